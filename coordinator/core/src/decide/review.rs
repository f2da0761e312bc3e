//! Reviews: findings, reviewers that are of no use, consolidation of a round (docs/rules.md, "Reviews").

use roundtable_shared::{
    DecisionKind, DeferredFix, FinalReport, Finding, HistoryFinding, OutcomeClass, ReviewHistoryEntry, RunId, Seat, Severity, UnitId,
    UnitState,
};

use super::blocking::{Block, block};
use super::failure::{self, Setback};
use super::finding::finding;
use super::fix::want_fix;
use super::report::{ended, provider_failed};
use super::{Deciding, step};
use crate::command::{Phase, Report, RoleAnswer};
use crate::planted::{Bug, planted};
use crate::state::{AttemptEnd, FixCause};
use crate::transition::Fact;

/// Failures of one review seat before a person is asked.
const REVIEW_FAILURES_MAX: u32 = 3;

/// The outcome of a live review attempt.
pub(super) fn reported(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, seat: Seat, report: &Report) {
    let key = &report.lease.key;
    let failure = report.facts.failure.as_ref();
    match (failure.map(|failure| failure.kind.class()), failure, &report.answer) {
        (Some(OutcomeClass::Provider), Some(failure), _) => {
            ended(d, report, AttemptEnd::Failed, Some(OutcomeClass::Provider), Some(failure.message.clone()));
            provider_failed(d, key, &failure.kind, &failure.message);
        }
        (Some(class @ (OutcomeClass::Infra | OutcomeClass::Internal)), Some(failure), _) => {
            ended(d, report, AttemptEnd::Failed, Some(class), Some(failure.message.clone()));
            let Some(setback) = Setback::of(d.state(), report) else { return };
            failure::setback(d, run, Some(unit), &setback);
        }
        (None, _, Ok(RoleAnswer::Review(answer))) => {
            ended(d, report, AttemptEnd::Completed, None, None);
            let Seat::Review(n) = seat else { return };
            let finding = finding(d.unit(run, unit), n, answer, d.now.wall);
            d.emit(run, Fact::FindingRecorded { unit: unit.clone(), finding: Box::new(finding) });
        }
        (_, failure, answer) => {
            let reason = match (failure, answer) {
                (Some(failure), _) => failure.message.clone(),
                (None, Err(reason)) => reason.clone(),
                (None, Ok(_)) => "the answer is for another role".to_owned(),
            };
            ended(d, report, AttemptEnd::Failed, Some(OutcomeClass::Unit), Some(reason.clone()));
            unusable(d, run, unit, seat, report, &reason);
        }
    }
}

/// A reviewer failed or cannot be understood: elsewhere again, the third time a person. Never counts as clean.
fn unusable(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, seat: Seat, report: &Report, reason: &str) {
    let Some(backend) = d.state().attempt(&report.lease.key).map(|attempt| attempt.backend.clone()) else { return };
    d.emit(run, Fact::ReviewFailed { unit: unit.clone(), seat, worker: report.worker.clone(), backend });
    let failures = d.unit(run, unit).counters.review_failures.get(&seat).copied().unwrap_or(0);
    if failures >= REVIEW_FAILURES_MAX && !planted(Bug::ReviewerEndless) {
        let context = format!("reviewer {seat} of unit {unit} failed {failures} times, last: {reason}");
        block(d, run, unit, Block { kind: DecisionKind::ReviewFailed, reason: "its review failed".to_owned(), context });
    }
}

/// Rounds that are complete go to `final_review` and are consolidated.
pub(super) fn consolidate_ready(d: &mut Deciding<'_>, run: &RunId) {
    let ready = |d: &Deciding<'_>, unit: &UnitId| -> bool {
        let unit = d.unit(run, unit);
        match unit.state {
            UnitState::PendingReview => unit.reviewers == 0 && unit.merging.is_none(),
            UnitState::UnderReview => unit.live.is_empty() && (unit.missing_reviews().next().is_none() || planted(Bug::RoundEarly)),
            UnitState::FinalReview => !unit.consolidated && unit.reviewers > 0,
            _ => false,
        }
    };
    let units: Vec<UnitId> = d.run(run).holders().map(|unit| unit.id.clone()).collect();
    for unit in units.into_iter().filter(|unit| ready(d, unit)).collect::<Vec<_>>() {
        if d.unit(run, &unit).state == UnitState::PendingReview {
            d.move_unit(run, &unit, UnitState::UnderReview, None);
        }
        if d.unit(run, &unit).state == UnitState::UnderReview {
            d.move_unit(run, &unit, UnitState::FinalReview, None);
        }
        let may = !d.run(run).is_held(Phase::Consolidate, d.now.wall) && step::allows(d.run(run), Phase::Consolidate, &unit);
        if may && d.unit(run, &unit).reviewers > 0 {
            consolidate(d, run, &unit);
        }
    }
}

/// One final report per round; what must be fixed sends the unit back.
fn consolidate(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId) {
    let now = d.unit(run, unit);
    let (round, fixes) = (now.round, now.fix_attempts);
    let findings: Vec<Finding> = now.round_findings().cloned().collect();
    let overall = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::None);
    let open: Vec<&Finding> = findings.iter().filter(|finding| finding.severity != Severity::None).collect();
    let summary = match open.as_slice() {
        [] => "no findings".to_owned(),
        open => open.iter().map(|finding| format!("{}: {}", finding.severity, finding.summary)).collect::<Vec<_>>().join("; "),
    };
    let report = FinalReport {
        task_id: unit.task(),
        overall_severity: overall,
        summary: summary.clone(),
        finding_count: u32::try_from(open.len()).unwrap_or(u32::MAX),
        created_at: d.now.wall,
    };
    d.emit(run, Fact::RoundConsolidated { unit: unit.clone(), report: Box::new(report) });
    if overall.must_fix() && !planted(Bug::FindingsPassed) {
        let entry = ReviewHistoryEntry {
            attempt: fixes,
            severity: overall,
            findings: open.iter().map(|finding| history(finding)).collect(),
            reviewed_at: d.now.wall,
        };
        d.emit(run, Fact::HistoryAdded { unit: unit.clone(), entry: Box::new(entry) });
        send_back_item(d, run, unit, overall, &summary);
        want_fix(d, run, unit, FixCause::Findings { round });
    } else {
        clear_blocked_item(d, run, unit);
    }
}

fn history(finding: &Finding) -> HistoryFinding {
    HistoryFinding { severity: finding.severity, summary: finding.summary.clone(), details: finding.details.clone() }
}

/// The entry of `blocked_items` that stays until the fix passes.
pub(super) fn send_back_item(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, severity: Severity, summary: &str) {
    let item = roundtable_shared::BlockedItem {
        task_id: unit.task(),
        blocking_reason: format!("review found {severity} issues: {summary}"),
        required_resolution: Some("a fix that passes its review".to_owned()),
        created_at: d.now.wall,
    };
    d.emit(run, Fact::BlockedItemAdded { item: Box::new(item) });
}

/// Its entry of `blocked_items` goes when it passes.
pub(super) fn clear_blocked_item(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId) {
    if d.run(run).blocked_items.iter().any(|item| item.task_id.as_str() == unit.as_str()) {
        d.emit(run, Fact::BlockedItemCleared { unit: unit.clone() });
    }
}

/// Minor issues of its last round are left for later when a unit is completed.
pub(super) fn defer_minor(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId) {
    let now = d.unit(run, unit);
    let minor = now.round_findings().filter(|finding| finding.severity == Severity::Minor);
    let texts: Vec<String> = minor
        .flat_map(|finding| {
            let issues: Vec<String> =
                finding.issues.iter().filter(|issue| issue.severity == Severity::Minor).map(|issue| issue.description.clone()).collect();
            if issues.is_empty() { vec![finding.summary.clone()] } else { issues }
        })
        .collect();
    for description in texts {
        let fix = DeferredFix { task_id: unit.task(), description, severity: Severity::Minor, created_at: d.now.wall };
        d.emit(run, Fact::DeferredFixAdded { fix: Box::new(fix) });
    }
}
