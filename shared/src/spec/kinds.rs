//! What each line of a plan is, and which checkboxes have ids: words and counts at the beginning of a title are none. What hangs below what is `tree`'s.

use std::collections::HashSet;

use super::checkbox::{self, Checkbox, Numbered, Shape};
use super::lines::Line;

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

/// What each line is; ids are candidates until [`accept_ids`].
pub(super) fn classify<'a>(lines: &'a [Line<'a>]) -> Vec<Kind<'a>> {
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
pub(super) fn accept_ids(kinds: &mut [Kind<'_>]) -> bool {
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
                numbered |= letters.is_empty() && checkbox::known_mark(parts.mark);
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
            if !checkbox::known_mark(parts.mark) {
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
        let accepted = accepted && (checkbox::known_mark(parts.mark) || found.shape == Shape::Delimited || numbered);
        if accepted {
            any = true;
        } else if checkbox::known_mark(parts.mark) {
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
            Kind::Box { number: Some(number), nested, parts } if checkbox::known_mark(parts.mark) => match number.shape {
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
