//! `tasks.md` as a whole: decides which checkboxes have ids, hands them to the tree and the units. The entry point of the parser.

use std::collections::HashSet;

use super::checkbox::{self, Checkbox, Numbered, Shape};
use super::lines::{self, Line};
use super::model::Plan;
use super::problem::{Problem, Report};
use super::tree;
use super::units;
use crate::limits::SPEC_FILE_BYTES_MAX;

/// What a line is, before anything is known about the plan.
#[derive(Debug)]
pub(super) enum Kind<'a> {
    /// Nothing, or a rule.
    Empty,
    /// Fenced code.
    Fenced,
    /// A heading.
    Heading {
        /// From 1.
        level: usize,
        /// Its text.
        text: &'a str,
    },
    /// A checkbox.
    Box {
        /// Its parts.
        parts: Checkbox<'a>,
        /// The id, once accepted.
        number: Option<Numbered<'a>>,
        /// Whether it stands below another checkbox by indentation.
        nested: bool,
    },
    /// Anything else.
    Text,
}

/// Reads a plan. Never fails: everything that is wrong is in [`Plan::problems`].
pub fn parse_tasks(bytes: &[u8], file: &str) -> Plan {
    read(bytes, file).plan
}

/// A plan with what only [`super::tick()`] needs.
pub(super) struct Reading {
    pub(super) plan: Plan,
    /// Task id, and the byte range between its brackets.
    pub(super) boxes: Vec<(String, (usize, usize))>,
}

pub(super) fn read(bytes: &[u8], file: &str) -> Reading {
    let mut report = Report::new(file);
    let text = match checked_text(bytes) {
        Ok(text) => text,
        Err(message) => {
            report.error(line_of(bytes), message);
            return Reading { plan: Plan { problems: report.finish(), ..Plan::default() }, boxes: Vec::new() };
        }
    };
    let lines = lines::split(text, &mut report);
    let mut kinds: Vec<Kind<'_>> = classify(&lines);
    let generated_ids = !accept_ids(&mut kinds);
    let grown = tree::grow(&lines, &kinds, generated_ids, &mut report);
    let boxes = grown.boxes;
    let units = units::gather(grown.tasks, &mut report);
    if units.is_empty() && report.problems.iter().all(|problem| problem.level != super::Level::Error) {
        report.error(1, "there are no tasks; write at least one line such as `- [ ] 1. Title`");
    }
    Reading { plan: Plan { generated_ids: generated_ids && !units.is_empty(), units, problems: report.finish() }, boxes }
}

/// The text of a spec file, or why there is none.
pub(super) fn checked_text(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > SPEC_FILE_BYTES_MAX {
        return Err(format!("the file has {} bytes, more than {SPEC_FILE_BYTES_MAX}; split the spec", bytes.len()));
    }
    std::str::from_utf8(bytes).map_err(|error| format!("invalid UTF-8 at byte {}; save the file as UTF-8", error.valid_up_to()))
}

/// Line of the first byte that is no UTF-8.
fn line_of(bytes: &[u8]) -> u32 {
    let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), |_| 0);
    let newlines = bytes[..valid].iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(newlines).unwrap_or(u32::MAX).saturating_add(1)
}

/// A file-wide problem without lines of its own.
pub(super) fn file_problem(level: super::Level, file: &str, message: impl Into<String>) -> Problem {
    Problem { level, file: file.to_owned(), line: 0, message: message.into() }
}

fn classify<'a>(lines: &'a [Line<'a>]) -> Vec<Kind<'a>> {
    let mut open: Vec<usize> = Vec::new();
    lines
        .iter()
        .map(|line| {
            if line.fenced {
                return Kind::Fenced;
            }
            let text = line.text.trim_end();
            if text.trim().is_empty() || checkbox::is_rule(text) {
                return Kind::Empty;
            }
            if let Some((level, text)) = checkbox::heading(text) {
                open.clear();
                return Kind::Heading { level, text };
            }
            let Some(parts) = checkbox::parse(text) else { return Kind::Text };
            let indent = line.indent();
            while open.last().is_some_and(|last| *last >= indent) {
                open.pop();
            }
            let nested = !open.is_empty();
            open.push(indent);
            Kind::Box { number: checkbox::numbered(parts.body), parts, nested }
        })
        .collect()
}

/// Drops candidates that are words or counts rather than ids; says whether any id is left.
///
/// `1.`, `A1:` and `1.2` always count. A bare `3` counts at top level of a plan that numbers its tasks, and indented where the rest of the plan says that
/// it is a task ([`misplaced`]); a bare `S3` if such ids are what the plan uses, and at top level also if the plan surely uses letters of any kind in its
/// ids: otherwise it is the first word of a title (`H2 database`).
fn accept_ids(kinds: &mut [Kind<'_>]) -> bool {
    let mut prefixes: HashSet<String> = HashSet::new();
    let (mut top, mut bare_numbers, mut bare_words, mut numbered) = (0usize, 0usize, 0usize, false);
    for kind in kinds.iter() {
        let Kind::Box { number, nested, parts } = kind else { continue };
        let counts = usize::from(!nested);
        top += counts;
        let Some(number) = number else { continue };
        let letters = prefix(number.id);
        match number.shape {
            Shape::Number => bare_numbers += counts,
            Shape::Word => {
                bare_words += counts;
                if number.id[letters.len()..].starts_with('0') {
                    prefixes.insert(letters.to_owned());
                }
            }
            Shape::Delimited | Shape::Dotted => {
                numbered |= letters.is_empty() && known_mark(parts.mark);
                prefixes.insert(letters.to_owned());
            }
        }
    }
    let has_letters = prefixes.iter().any(|letters| !letters.is_empty());
    let misplaced = misplaced(kinds);
    let mut any = false;
    for (at, kind) in kinds.iter_mut().enumerate() {
        let Kind::Box { number, nested, parts } = kind else { continue };
        let Some(found) = number else {
            if !known_mark(parts.mark) {
                *kind = Kind::Text;
            }
            continue;
        };
        let accepted = match found.shape {
            Shape::Delimited | Shape::Dotted => true,
            Shape::Number => misplaced.contains(&at) || (!*nested && (numbered || bare_numbers * 2 >= top)),
            Shape::Word => prefixes.contains(prefix(found.id)) || bare_words * 2 >= top || (!*nested && has_letters),
        };
        // An unknown mark is taken for a typing slip only on lines that are surely tasks.
        let accepted = accepted && (known_mark(parts.mark) || found.shape == Shape::Delimited || numbered);
        if accepted {
            any = true;
        } else if known_mark(parts.mark) {
            *number = None;
        } else {
            *kind = Kind::Text;
        }
    }
    any
}

/// Indented bare numbers that are top-level tasks all the same, by place: tasks of that number's own stand below (`4.1`), or it is just what is missing
/// between the top-level tasks before and after it; and no other line or heading has it. Otherwise such a number is a count (`3 retries at most`).
fn misplaced(kinds: &[Kind<'_>]) -> HashSet<usize> {
    let mut top: Vec<(usize, &str)> = Vec::new();
    let mut taken: HashSet<&str> = HashSet::new();
    let mut parents: HashSet<&str> = HashSet::new();
    let mut found: Vec<(usize, &str)> = Vec::new();
    for (at, kind) in kinds.iter().enumerate() {
        match kind {
            Kind::Heading { text, .. } => taken.extend(checkbox::heading_number(text).map(|(id, _)| id)),
            Kind::Box { number: Some(number), nested, parts } if known_mark(parts.mark) => match number.shape {
                Shape::Number if *nested => found.push((at, number.id)),
                Shape::Number | Shape::Delimited | Shape::Word if !number.id.contains('.') => {
                    taken.insert(number.id);
                    if !*nested {
                        top.push((at, number.id));
                    }
                }
                _ => parents.extend(number.id.split_once('.').map(|(root, _)| root)),
            },
            _ => {}
        }
    }
    let is_gap = |at: usize, id: &str| {
        let after = top.partition_point(|(place, _)| *place < at);
        let number = |place: Option<usize>| top.get(place?)?.1.parse::<u32>().ok();
        let (Some(before), Some(after), Ok(own)) = (number(after.checked_sub(1)), number(Some(after)), id.parse::<u32>()) else {
            return false;
        };
        before.checked_add(1) == Some(own) && own.checked_add(1) == Some(after)
    };
    let mut out = HashSet::new();
    for (at, id) in found {
        if !taken.contains(id) && (parents.contains(id) || is_gap(at, id)) {
            taken.insert(id);
            out.insert(at);
        }
    }
    out
}

fn prefix(id: &str) -> &str {
    let letters = id.bytes().take_while(u8::is_ascii_alphabetic).count();
    &id[..letters]
}

pub(super) fn known_mark(mark: &str) -> bool {
    matches!(mark, "" | "x" | "X" | "-" | "~")
}
