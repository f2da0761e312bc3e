//! A round whose findings are all in is consolidated (docs/rules.md, "Reviews").

use roundtable_shared::{FinalReport, Finding, HistoryFinding, ReviewHistoryEntry, RunId, Severity, UnitId, UnitState};

use crate::command::Phase;
use crate::moves::fix::want_fix;
use crate::moves::review;
use crate::planted::{Bug, planted};
use crate::rules::step;
use crate::state::{FixCause, Unit};
use crate::transition::Fact;
use crate::txn::Txn;

/// Rounds that are complete go to `final_review` and are consolidated.
pub(crate) fn consolidate_ready(d: &mut Txn<'_>, run: &RunId) {
    let ready = |unit: &&Unit| match unit.state() {
        UnitState::PendingReview => unit.review.reviewers == 0,
        UnitState::UnderReview => unit.live.is_empty() && (unit.missing_reviews().next().is_none() || planted(Bug::RoundEarly)),
        UnitState::FinalReview => !unit.is_consolidated() && unit.review.reviewers > 0,
        _ => false,
    };
    let mut units: Vec<&Unit> = d.run(run).active().filter(ready).collect();
    // As they are written down.
    units.sort_by_key(|unit| unit.spec.position);
    let units: Vec<UnitId> = units.into_iter().map(|unit| unit.id.clone()).collect();
    for unit in units {
        if d.unit(run, &unit).state() == UnitState::PendingReview {
            d.move_unit(run, &unit, UnitState::UnderReview, None);
        }
        if d.unit(run, &unit).state() == UnitState::UnderReview {
            d.move_unit(run, &unit, UnitState::FinalReview, None);
        }
        let may = !d.run(run).is_held(Phase::Consolidate, d.now.wall) && step::allows(d.run(run), Phase::Consolidate, &unit);
        if may && d.unit(run, &unit).review.reviewers > 0 {
            consolidate(d, run, &unit);
        }
    }
}

/// One final report per round; what must be fixed sends the unit back.
fn consolidate(d: &mut Txn<'_>, run: &RunId, unit: &UnitId) {
    let now = d.unit(run, unit);
    let (round, fixes) = (now.review.round, now.counters.fix_attempts);
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
        review::send_back_item(d, run, unit, overall, &summary);
        want_fix(d, run, unit, FixCause::Findings { round });
    } else {
        review::clear_blocked_item(d, run, unit);
    }
}

fn history(finding: &Finding) -> HistoryFinding {
    HistoryFinding { severity: finding.severity, summary: finding.summary.clone(), details: finding.details.clone() }
}
