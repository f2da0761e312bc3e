//! `findings --json`.

use roundtable_core::state::{Run, Unit};
use roundtable_shared::view::FindingView;
use roundtable_shared::{Finding, Severity};

/// All findings of a run or of one of its units, all rounds, oldest first.
pub fn findings(run: &Run, unit: Option<&Unit>) -> Vec<FindingView> {
    let mut all: Vec<&Finding> = match unit {
        Some(unit) => unit.findings.iter().collect(),
        None => run.units().flat_map(|unit| &unit.findings).collect(),
    };
    all.sort_by_key(|finding| finding.created_at);
    all.into_iter().map(finding).collect()
}

/// What is still to be said at the end: findings of each unit's last round that found something.
pub(super) fn open_findings(unit: &Unit) -> impl Iterator<Item = &Finding> {
    let last = unit.findings.iter().map(|finding| finding.round).max().unwrap_or(0);
    unit.findings.iter().filter(move |finding| finding.round == last && finding.severity != Severity::None)
}

pub(super) fn finding(finding: &Finding) -> FindingView {
    FindingView {
        task_id: finding.task_id.to_string(),
        reviewer: finding.reviewer.clone(),
        round: finding.round,
        severity: finding.severity.to_string(),
        summary: finding.summary.clone(),
        details: finding.details.clone(),
        issues: finding.issues.clone(),
    }
}
