//! Judging the unit at the head of the train: what its candidate is counts only once everything ahead is integrated or gone.

use roundtable_shared::{CommitId, DecisionKind, Finding, HistoryFinding, ReviewHistoryEntry, RunId, Severity, UnitId};

use super::blocking::{Block, block};
use super::{Deciding, fix, integrate, review};
use crate::command::Prepared;
use crate::planted::{Bug, planted};
use crate::state::{BaseCheck, FixCause, Misfit};
use crate::transition::Fact;

/// Units named in a finding.
const NAMED_MAX: usize = 20;

/// A check of a unit in the train has ended; `red`: the end of its output.
pub(super) fn checked(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, of: &CommitId, red: Option<String>) {
    let Some(flight) = d.run(run).train.flight(unit) else { return };
    let is_alone = flight.alone.as_ref().is_some_and(|alone| alone.commit.as_ref() == Some(of));
    let is_candidate = flight.candidate.as_ref().is_some_and(|candidate| candidate.commit == *of);
    let evidence = flight.checks.evidence.clone();
    match red.filter(|_| !planted(Bug::RedIsGreen)) {
        None if is_alone => send_back(d, run, unit, evidence, true),
        Some(_) if is_alone => send_back(d, run, unit, evidence, false),
        red if is_candidate => d.emit(run, Fact::CandidateChecked { unit: unit.clone(), red }),
        _ => {}
    }
}

/// The head is sent back if it does not fit or is red; a red one first shows how it is without those that were integrated since the train started.
pub(super) fn judge_head(d: &mut Deciding<'_>, run: &RunId) {
    let now = d.run(run);
    let Some(head) = now.train.head() else { return };
    let unit = head.unit.clone();
    match head.misfit.clone() {
        Some(Misfit::Conflict { paths, evidence }) => {
            integrate::leave(d, run, &unit, "it conflicts with the run's branch", true);
            return fix::want_fix(d, run, &unit, FixCause::Conflict { paths, evidence });
        }
        Some(Misfit::Outside { paths }) => {
            // I6: nothing outside the manifest is integrated, whatever made it so.
            integrate::leave(d, run, &unit, "its commit goes outside its manifest", true);
            let context = format!("unit {unit}: its commit on the run's branch would change {}", paths.join(", "));
            return block(d, run, &unit, Block { kind: DecisionKind::Breach, reason: "changes outside its manifest".to_owned(), context });
        }
        None => {}
    }
    if !head.is_red() || head.alone.is_some() || !now.has_checks() || now.base_check == BaseCheck::Waived {
        return;
    }
    let evidence = head.checks.evidence.clone();
    match now.alone_tip(&unit) {
        Some(tip) => start_alone(d, run, &unit, tip),
        None => send_back(d, run, &unit, evidence, false),
    }
}

fn start_alone(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, tip: CommitId) {
    d.emit(run, Fact::AloneStarted { unit: unit.clone(), tip: tip.clone() });
    if d.unit(run, unit).changed.is_empty() {
        d.emit(run, Fact::AlonePrepared { unit: unit.clone(), commit: tip });
    } else if let Some(effect) = d.run(run).train.flight(unit).and_then(|flight| integrate::preparation(d.run(run), flight)) {
        d.effect(effect);
    }
}

/// The unit's commit without those integrated since the train started. Where there can be none, it is red for what it is.
pub(super) fn prepared_alone(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, tip: &CommitId, result: Prepared) {
    match result {
        Prepared::Clean { commit, .. } => d.emit(run, Fact::AlonePrepared { unit: unit.clone(), commit }),
        Prepared::Empty => d.emit(run, Fact::AlonePrepared { unit: unit.clone(), commit: tip.clone() }),
        Prepared::Conflict { .. } => {
            let evidence = d.run(run).train.flight(unit).map(|flight| flight.checks.evidence.clone()).unwrap_or_default();
            send_back(d, run, unit, evidence, false);
        }
    }
}

/// Red counts as a major finding. One that is green alone names those it is red with.
fn send_back(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, evidence: String, green_alone: bool) {
    let now = d.unit(run, unit);
    let (round, fixes) = (now.round, now.fix_attempts);
    let checks = now.findings.iter().filter(|finding| finding.reviewer.starts_with("check-")).count();
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
    integrate::leave(d, run, unit, "its check is red", true);
    review::send_back_item(d, run, unit, Severity::Major, &summary);
    let evidence = if green_alone { format!("{summary}\n{evidence}") } else { evidence };
    fix::want_fix(d, run, unit, FixCause::CheckRed { evidence });
}

/// The commit a unit was checked on alone, and the units integrated after it, for people.
fn named(d: &Deciding<'_>, run: &RunId, unit: &UnitId) -> Option<(CommitId, String)> {
    let now = d.run(run);
    let tip = now.train.flight(unit)?.alone.as_ref()?.tip.clone();
    let since = now.integrated_since(&tip);
    let titled = |id: &UnitId| now.unit(id).map_or_else(|| id.to_string(), |unit| format!("{id} ({})", unit.title));
    let mut others = since.iter().take(NAMED_MAX).map(titled).collect::<Vec<_>>().join(", ");
    if since.len() > NAMED_MAX {
        others.push_str(&format!(" and {} more", since.len() - NAMED_MAX));
    }
    let what = if since.len() == 1 { "unit" } else { "units" };
    Some((tip, format!("{what} {others}, integrated since the train started")))
}
