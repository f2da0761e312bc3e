//! Tells our lines of a pulse from a person's. Their form alone does not: people write the same way. What counts is whether we wrote the line, which the
//! writer of the file knows; where it does not, lines in our form about a task are ours, as those of another program with the same form are.

use std::collections::HashSet;

use roundtable_shared::DecisionKind;
use roundtable_shared::spec::is_task_id;

use super::sections::{SectionKind, SubKind};
use super::{DESIGN_BEGIN, DESIGN_END};

/// Labels of the lists in `Narrative Delta`.
const LABELS: [&str; 3] = ["**Progress Summary:**", "**Recent Completions:**", "**Currently In Progress:**"];
/// Starts of lines in those lists that are followed by a number.
const TOTALS: [&str; 5] = ["- Total tasks: ", "- Completed: ", "- In progress: ", "- Pending review: ", "- Blocked: "];
/// Placeholders of a fresh pulse.
const PLACEHOLDER: &str = "<!-- Codex:";

/// A line in our form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form<'a> {
    /// No person writes such a line.
    Certain,
    /// Says something about what has this id.
    About(&'a str),
}

/// Who wrote which line of a file.
pub(super) struct Authors<'a> {
    /// Lines that are not known to be ours; `None` if nothing is known.
    foreign: Option<HashSet<&'a str>>,
    /// Whether nobody but people has written into it since we did.
    trusted: bool,
    /// A person's lines in our form.
    pub(super) kept: Vec<String>,
}

impl<'a> Authors<'a> {
    /// Of a file of which the writer says which lines are not its own. Totals that are not show that another program wrote them.
    pub(super) fn new(foreign: Option<&'a [String]>) -> Self {
        let foreign: Option<HashSet<&str>> = foreign.map(|lines| lines.iter().map(|line| line.trim()).collect());
        let trusted = foreign.as_ref().is_some_and(|foreign| !foreign.iter().any(|line| is_total(line)));
        Self { foreign, trusted, kept: Vec::new() }
    }

    fn is_ours(&mut self, line: &str, form: Option<Form<'_>>) -> bool {
        let line = line.trim();
        let ours = match form {
            None => return false,
            Some(Form::Certain) => true,
            Some(Form::About(id)) => {
                let known = self.foreign.as_ref().is_some_and(|foreign| !foreign.contains(line));
                known || (!self.trusted && is_task_id(id))
            }
        };
        if !ours {
            self.kept.push(line.to_owned());
        }
        ours
    }

    /// The lines of a section that are a person's.
    pub(super) fn without_ours<'t>(&mut self, kind: SectionKind, lines: Vec<&'t str>) -> Vec<&'t str> {
        match kind {
            SectionKind::MentalModel => without_design(lines),
            SectionKind::NarrativeDelta => lines.into_iter().filter(|line| !self.is_ours(line, narrative(line))).collect(),
            SectionKind::Anchors => lines.into_iter().filter(|line| !self.is_ours(line, anchor(line))).collect(),
            SectionKind::Risks => lines,
        }
    }

    /// The lines of a part of `Risks & Debt` that are a person's.
    pub(super) fn without_ours_in<'t>(&mut self, kind: SubKind, lines: Vec<&'t str>) -> Vec<&'t str> {
        lines.into_iter().filter(|line| !self.is_ours(line, risk(kind, line))).collect()
    }

    /// Decisions whose context was written over several lines are taken out whole.
    pub(super) fn without_long_decisions<'t>(&mut self, lines: Vec<&'t str>) -> Vec<&'t str> {
        let mut kept = Vec::with_capacity(lines.len());
        let mut at = 0;
        while at < lines.len() {
            let line = lines[at];
            let form = decision(line).filter(|_| !line.contains("(task: "));
            if self.is_ours(line, form) {
                let end = lines[at + 1..].iter().position(|line| line.contains("(task: ") && line.contains("Options:"));
                // Without an end only the first line is known to be no person's.
                at += end.map_or(1, |end| end + 2);
                continue;
            }
            kept.push(line);
            at += 1;
        }
        kept
    }
}

fn without_design(lines: Vec<&str>) -> Vec<&str> {
    let begin = lines.iter().position(|line| line.trim() == DESIGN_BEGIN);
    let end = lines.iter().position(|line| line.trim() == DESIGN_END);
    let block = match (begin, end) {
        (Some(begin), Some(end)) if begin < end => begin..=end,
        _ => lines.len()..=lines.len(),
    };
    let kept = lines.into_iter().enumerate().filter(|(at, line)| {
        let mark = line.trim() == DESIGN_BEGIN || line.trim() == DESIGN_END;
        !block.contains(at) && !mark && !line.trim_start().starts_with(PLACEHOLDER)
    });
    kept.map(|(_, line)| line).collect()
}

fn narrative(line: &str) -> Option<Form<'_>> {
    let line = line.trim();
    let certain =
        is_total(line) || LABELS.contains(&line) || line.starts_with("**Orchestration spec:** `") || line.starts_with(PLACEHOLDER);
    if certain {
        return Some(Form::Certain);
    }
    let rest = line.strip_prefix("- ✅ ").or_else(|| line.strip_prefix("- 🔄 "))?;
    rest.split_once(": ").map(|(id, _)| Form::About(id))
}

fn is_total(line: &str) -> bool {
    TOTALS.iter().filter_map(|start| line.strip_prefix(start)).any(|rest| rest.parse::<u64>().is_ok())
}

fn risk(kind: SubKind, line: &str) -> Option<Form<'_>> {
    let line = line.trim();
    if is_none(line) {
        return Some(Form::Certain);
    }
    match kind {
        SubKind::Warnings => bracketed(line, "- 🚫 BLOCKED: [").map(Form::About),
        SubKind::Debt => {
            let severity = ["(none)", "(minor)", "(major)", "(critical)"].iter().any(|end| line.ends_with(end));
            bracketed(line, "- [").filter(|_| severity).map(Form::About)
        }
        SubKind::Decisions => decision(line).filter(|_| line.contains(" Options: ")),
    }
}

fn anchor(line: &str) -> Option<Form<'_>> {
    let line = line.trim();
    if is_none(line) {
        return Some(Form::Certain);
    }
    let path = line.strip_prefix("- [")?.split_once("] `")?.1;
    path.rsplit_once("` -> `")?.1.strip_suffix('`').map(Form::About)
}

fn is_none(line: &str) -> bool {
    line.trim().eq_ignore_ascii_case("- none")
}

/// The id of a decision: its unit, if it is about one.
fn decision(line: &str) -> Option<Form<'_>> {
    let id = bracketed(line.trim_start(), "- [")?;
    let of_run = [DecisionKind::NoWorker, DecisionKind::CheckRedOnBase];
    if of_run.iter().any(|kind| id.starts_with(kind.as_str())) {
        return Some(Form::Certain);
    }
    let kind = DecisionKind::OF_UNITS.into_iter().find(|kind| id.starts_with(kind.as_str()))?;
    id[kind.as_str().len()..].strip_prefix('-').map(Form::About)
}

fn bracketed<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.strip_prefix(start)?.split_once(']').map(|(id, _)| id)
}
