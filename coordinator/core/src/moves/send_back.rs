//! A unit in the train whose own check is red goes back to its agent.

use roundtable_shared::{CommitId, Finding, HistoryFinding, ReviewHistoryEntry, RunId, Severity, UnitId};

use crate::moves::{fix, flight, review};
use crate::state::FixCause;
use crate::transition::Fact;
use crate::txn::Txn;

/// Units named in a finding.
const NAMED_MAX: usize = 20;

/// Red counts as a major finding. One that is green alone names those it is red with.
pub(crate) fn send_back(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, evidence: String, green_alone: bool) {
    let now = d.unit(run, unit);
    let (round, fixes) = (now.review.round, now.counters.fix_attempts);
    let checks = now.review.findings.iter().filter(|finding| finding.reviewer.starts_with("check-")).count();
    let others = if green_alone { named(d, run, unit) } else { None };
    let (summary, evidence) = match others {
        None => ("the check command fails with this unit on the run's branch".to_owned(), evidence),
        Some((since, others)) => {
            let told = format!("without them, on {since}, the check is green");
            (format!("the check command fails with this unit together with {others}"), format!("{told}\n{evidence}"))
        }
    };
    let finding = Finding {
        task_id: unit.task(),
        reviewer: format!("check-{unit}-{}", checks + 1),
        round,
        severity: Severity::Major,
        summary: summary.clone(),
        details: Some(evidence.clone()),
        issues: Vec::new(),
        earlier: Vec::new(),
        created_at: d.now.wall,
    };
    d.emit(run, Fact::FindingRecorded { unit: unit.clone(), finding: Box::new(finding) });
    let entry = ReviewHistoryEntry {
        attempt: fixes,
        severity: Severity::Major,
        findings: vec![HistoryFinding { severity: Severity::Major, summary: summary.clone(), details: Some(evidence.clone()) }],
        reviewed_at: d.now.wall,
    };
    d.emit(run, Fact::HistoryAdded { unit: unit.clone(), entry: Box::new(entry) });
    flight::leave(d, run, unit, "its check is red", true);
    review::send_back_item(d, run, unit, Severity::Major, &summary);
    let evidence = if green_alone { format!("{summary}\n{evidence}") } else { evidence };
    fix::want_fix(d, run, unit, FixCause::CheckRed { evidence });
}

/// The commit a unit was checked on alone, and the units integrated after it, for people.
fn named(d: &Txn<'_>, run: &RunId, unit: &UnitId) -> Option<(CommitId, String)> {
    let now = d.run(run);
    let tip = now.branch.train.flight(unit)?.alone.as_ref()?.tip.clone();
    let since = now.integrated_since(&tip);
    let titled = |id: &UnitId| now.unit(id).map_or_else(|| id.to_string(), |unit| format!("{id} ({})", unit.spec.title));
    let mut others = since.iter().take(NAMED_MAX).map(titled).collect::<Vec<_>>().join(", ");
    if since.len() > NAMED_MAX {
        others.push_str(&format!(" and {} more", since.len() - NAMED_MAX));
    }
    let what = if since.len() == 1 { "unit" } else { "units" };
    Some((tip, format!("{what} {others}, integrated since the train started")))
}
