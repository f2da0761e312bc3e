//! Tells our lines of a pulse from a person's, by their form: also those an earlier version, or another program with the same form, wrote.

use roundtable_shared::DecisionKind;

use super::document::{SectionKind, SubKind};
use super::{DESIGN_BEGIN, DESIGN_END};

/// Labels of the lists in `Narrative Delta`.
const LABELS: [&str; 3] = ["**Progress Summary:**", "**Recent Completions:**", "**Currently In Progress:**"];
/// Starts of lines in those lists that are followed by a number.
const TOTALS: [&str; 5] = ["- Total tasks: ", "- Completed: ", "- In progress: ", "- Pending review: ", "- Blocked: "];
/// Placeholders of a fresh pulse.
const PLACEHOLDER: &str = "<!-- Codex:";
const DECISIONS: [DecisionKind; 8] = [
    DecisionKind::HumanFallback,
    DecisionKind::FailedSubtask,
    DecisionKind::Quarantine,
    DecisionKind::ReviewFailed,
    DecisionKind::Breach,
    DecisionKind::MissingOwnerAgent,
    DecisionKind::NoWorker,
    DecisionKind::CheckRedOnBase,
];

/// The lines of a section that are a person's.
pub(super) fn without_ours(kind: SectionKind, lines: Vec<&str>) -> Vec<&str> {
    match kind {
        SectionKind::MentalModel => without_design(lines),
        SectionKind::NarrativeDelta => lines.into_iter().filter(|line| !is_narrative(line)).collect(),
        SectionKind::Anchors => lines.into_iter().filter(|line| !is_anchor(line)).collect(),
        SectionKind::Risks => lines,
    }
}

/// Whether a line of a part of `Risks & Debt` is ours.
pub(super) fn is_ours_in(kind: SubKind, line: &str) -> bool {
    let line = line.trim();
    if is_none(line) {
        return true;
    }
    match kind {
        SubKind::Warnings => line.starts_with("- 🚫 BLOCKED: ["),
        SubKind::Debt => line.starts_with("- [") && ["(none)", "(minor)", "(major)", "(critical)"].iter().any(|end| line.ends_with(end)),
        SubKind::Decisions => is_decision(line) && line.contains(" Options: "),
    }
}

/// Decisions whose context was written over several lines are taken out whole.
pub(super) fn without_long_decisions(lines: Vec<&str>) -> Vec<&str> {
    let mut kept = Vec::with_capacity(lines.len());
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if is_decision(line) && !line.contains("(task: ") {
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

fn is_narrative(line: &str) -> bool {
    let line = line.trim();
    let total = TOTALS.iter().filter_map(|start| line.strip_prefix(start)).any(|rest| rest.parse::<u64>().is_ok());
    total
        || LABELS.contains(&line)
        || line.starts_with("**Orchestration spec:** `")
        || line.starts_with("- ✅ ")
        || line.starts_with("- 🔄 ")
        || line.starts_with(PLACEHOLDER)
}

fn is_anchor(line: &str) -> bool {
    let line = line.trim();
    is_none(line) || (line.starts_with("- [") && line.contains("] `") && line.contains("` -> `") && line.ends_with('`'))
}

fn is_none(line: &str) -> bool {
    line.trim().eq_ignore_ascii_case("- none")
}

fn is_decision(line: &str) -> bool {
    let Some(id) = line.trim_start().strip_prefix("- [") else { return false };
    DECISIONS.iter().any(|kind| id.starts_with(kind.as_str()))
}
