//! The outcome of the user's check command, on the base or on a candidate (docs/rules.md, "Integration"). Whom a red one sends back is
//! `settle::judge`'s to say.

use roundtable_shared::{AttemptKey, CommitId, OutcomeClass, RunId, UnitId};

use crate::command::Report;
use crate::effect::Start;
use crate::moves::outcome::{ended, provider_failed};
use crate::moves::{base_check, send_back, setback};
use crate::planted::{Bug, planted};
use crate::rules::setback::Setback;
use crate::state::{AttemptEnd, BaseCheck};
use crate::transition::Fact;
use crate::txn::Txn;

/// Red checks of the base before it counts as red: one retry.
const RED_MAX: u32 = 2;

/// What a check's outcome says.
enum Found {
    Green,
    Red(String),
    /// Not run, for reasons of the worker.
    Lost(String),
    /// Not run, for reasons of a provider (a check has none; a worker may still say so).
    Parked,
}

fn found(report: &Report) -> Found {
    let Some(failure) = &report.facts.failure else { return Found::Green };
    match failure.kind.class() {
        OutcomeClass::Unit => Found::Red(evidence(report, &failure.message)),
        OutcomeClass::Provider => Found::Parked,
        OutcomeClass::Infra | OutcomeClass::Internal => Found::Lost(failure.message.clone()),
    }
}

/// The end of the check's output says most.
fn evidence(report: &Report, message: &str) -> String {
    let answer = report.facts.answer.trim();
    if answer.is_empty() { message.to_owned() } else { format!("{message}\n{answer}") }
}

fn record(d: &mut Txn<'_>, report: &Report, found: &Found) {
    let (end, class) = match found {
        Found::Green => (AttemptEnd::Completed, None),
        _ => (AttemptEnd::Failed, report.facts.failure.as_ref().map(|failure| failure.kind.class())),
    };
    ended(d, report, end, class, report.facts.failure.as_ref().map(|failure| failure.message.clone()));
    if let (Found::Parked, Some(failure)) = (found, &report.facts.failure) {
        let key: AttemptKey = report.lease.key.clone();
        provider_failed(d, &key, &failure.kind, &failure.message);
    }
}

/// The outcome of the check of a unit in the train.
pub(crate) fn reported(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, report: &Report) {
    let found = found(report);
    record(d, report, &found);
    let start = d.state().attempt(&report.lease.key).map(|attempt| attempt.granted.start.clone());
    let Some(Start::Commit(of)) = start else { return };
    match found {
        Found::Green => checked(d, run, unit, &of, None),
        Found::Red(evidence) => checked(d, run, unit, &of, Some(evidence)),
        Found::Lost(_) => {
            let Some(setback) = Setback::of(d.state(), report) else { return };
            setback::setback(d, run, Some(unit), &setback);
        }
        Found::Parked => {}
    }
}

/// The outcome of the check of the base.
pub(crate) fn base_reported(d: &mut Txn<'_>, run: &RunId, report: &Report) {
    let found = found(report);
    record(d, report, &found);
    match found {
        Found::Green => d.emit(run, Fact::BaseChecked { result: BaseCheck::Green }),
        Found::Red(evidence) => {
            let BaseCheck::Wanted { red, lost, .. } = d.run(run).branch.base_check else { return };
            if red + 1 >= RED_MAX {
                base_check::base_red(d, run, evidence);
            } else {
                d.emit(run, Fact::BaseChecked { result: BaseCheck::Wanted { red: red + 1, lost, retry_at: None } });
            }
        }
        Found::Lost(reason) => base_check::base_lost(d, run, &reason),
        Found::Parked => {}
    }
}

/// A check of a unit in the train has ended; `red`: the end of its output.
pub(crate) fn checked(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, of: &CommitId, red: Option<String>) {
    let Some(flight) = d.run(run).branch.train.flight(unit) else { return };
    let is_alone = flight.alone.as_ref().is_some_and(|alone| alone.commit.as_ref() == Some(of));
    let is_candidate = flight.candidate.as_ref().is_some_and(|candidate| candidate.commit == *of);
    let evidence = flight.checks.evidence.clone();
    match red.filter(|_| !planted(Bug::RedIsGreen)) {
        None if is_alone => send_back::send_back(d, run, unit, evidence, true),
        Some(_) if is_alone => send_back::send_back(d, run, unit, evidence, false),
        red if is_candidate => d.emit(run, Fact::CandidateChecked { unit: unit.clone(), red }),
        _ => {}
    }
}
