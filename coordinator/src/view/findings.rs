//! `findings --json`.

use roundtable_core::state::{OwnerAnswer, Run, Unit};
use roundtable_shared::time::WallMs;
use roundtable_shared::view::FindingView;
use roundtable_shared::{Finding, Severity};

/// All findings of a run or of one of its units, all rounds, oldest first.
pub fn findings(run: &Run, unit: Option<&Unit>) -> Vec<FindingView> {
    let mut all: Vec<(WallMs, FindingView)> = Vec::new();
    for unit in run.units().filter(|each| unit.is_none_or(|unit| unit.id == each.id)) {
        all.extend(unit.review.findings.iter().map(|each| (each.created_at, finding(unit, each))));
    }
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, view)| view).collect()
}

/// What is still to be said at the end: findings of each unit's last round that found something.
pub(super) fn open_findings(unit: &Unit) -> impl Iterator<Item = &Finding> {
    let last = unit.review.findings.iter().map(|finding| finding.round).max().unwrap_or(0);
    unit.review.findings.iter().filter(move |finding| finding.round == last && finding.severity != Severity::None)
}

pub(super) fn finding(unit: &Unit, finding: &Finding) -> FindingView {
    let is_of = |answer: &&OwnerAnswer| {
        answer.answer.finding == finding.id() || finding.issues.iter().any(|issue| issue.id == answer.answer.finding)
    };
    FindingView {
        id: finding.id().to_owned(),
        task_id: finding.task_id.to_string(),
        reviewer: finding.reviewer.clone(),
        round: finding.round,
        severity: finding.severity.into(),
        summary: finding.summary.clone(),
        details: finding.details.clone(),
        issues: finding.issues.iter().map(Into::into).collect(),
        earlier: finding.earlier.iter().map(Into::into).collect(),
        answers: unit.review.answers.iter().filter(is_of).map(|answer| answer.answer.clone()).collect(),
    }
}
