//! From a reviewer's answer to a finding: names that stay over the rounds, what stays open of the rounds before, and what may still hold the work back
//! (docs/rules.md, "Reviews").

use roundtable_shared::answer::ReviewAnswer;
use roundtable_shared::time::WallMs;
use roundtable_shared::{EarlierVerdict, Finding, Issue, Severity, VerdictOnEarlier};

use crate::state::{GROUNDED_FROM_ROUND, Unit};

/// Issues of one finding.
const ISSUES_MAX: usize = 1_000;

/// The finding of reviewer `n` of the present round.
pub(crate) fn finding(unit: &Unit, n: u32, answer: &ReviewAnswer, now: WallMs) -> Finding {
    let reviewer = unit.reviewer_id(n);
    let mut issues = named(unit, &reviewer, answer);
    issues.extend(kept(unit, &issues, &answer.earlier));
    issues.truncate(ISSUES_MAX);
    let mut stated = answer.severity;
    if unit.review.round >= GROUNDED_FROM_ROUND {
        stated = stated.min(Severity::Minor);
        for issue in issues.iter_mut().filter(|issue| !issue.is_grounded()) {
            issue.severity = issue.severity.min(Severity::Minor);
        }
    }
    let severity = issues.iter().map(|issue| issue.severity).fold(stated, Severity::max);
    Finding {
        task_id: unit.id.task(),
        reviewer,
        round: unit.review.round,
        severity,
        summary: answer.summary.clone(),
        details: answer.details.clone(),
        issues,
        earlier: answer.earlier.iter().filter(|verdict| known(unit, &verdict.id).is_some()).cloned().collect(),
        created_at: now,
    }
}

/// The answer's issues with their names: one that stays open keeps its own, and what was known of it; a new one gets the next of this reviewer.
fn named(unit: &Unit, reviewer: &str, answer: &ReviewAnswer) -> Vec<Issue> {
    let mut issues: Vec<Issue> = Vec::new();
    let mut new = 0;
    for said in &answer.issues {
        let again = known(unit, &said.id).filter(|_| issues.iter().all(|issue| issue.id != said.id));
        issues.push(match again {
            Some(before) => Issue {
                file: said.file.clone().or(before.file),
                line: said.line.or(before.line),
                reproduced: said.reproduced.clone().or(before.reproduced),
                ..said.clone()
            },
            None => {
                new += 1;
                Issue { id: format!("{reviewer}.{new}"), ..said.clone() }
            }
        });
    }
    issues
}

/// What the reviewer says stays open, and did not list.
fn kept(unit: &Unit, listed: &[Issue], verdicts: &[EarlierVerdict]) -> Vec<Issue> {
    let mut kept: Vec<Issue> = Vec::new();
    for verdict in verdicts.iter().filter(|verdict| verdict.verdict == VerdictOnEarlier::Kept) {
        let is_there = listed.iter().chain(&kept).any(|issue| issue.id == verdict.id);
        if let Some(issue) = known(unit, &verdict.id).filter(|_| !is_there) {
            kept.push(issue);
        }
    }
    kept
}

/// The latest issue of that name in the rounds before; a finding that lists none is one itself.
fn known(unit: &Unit, id: &str) -> Option<Issue> {
    if id.is_empty() {
        return None;
    }
    unit.review.findings.iter().rev().filter(|finding| finding.round < unit.review.round).find_map(|finding| {
        if finding.issues.is_empty() && finding.id() == id && finding.severity != Severity::None {
            let description = finding.summary.clone();
            return Some(Issue { id: id.to_owned(), description, severity: finding.severity, file: None, line: None, reproduced: None });
        }
        finding.issues.iter().find(|issue| issue.id == id && issue.severity != Severity::None).cloned()
    })
}
