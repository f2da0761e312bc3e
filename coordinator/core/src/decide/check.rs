//! The user's check command: on the base before anything is integrated, then on each candidate (docs/rules.md, "Integration"). What a candidate's means is `judge`'s.

use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptKey, DecisionKind, OutcomeClass, RunId, UnitId};

use super::failure::{self, Setback};
use super::report::{ended, provider_failed};
use super::{Deciding, judge, raise};
use crate::command::Report;
use crate::effect::Start;
use crate::planted::{Bug, planted};
use crate::state::{AttemptEnd, BaseCheck};
use crate::transition::Fact;

/// Red checks of the base before it counts as red: one retry.
const RED_MAX: u32 = 2;
/// Times the check of the base may be lost before it counts as red.
const BASE_LOST_MAX: u32 = 5;
/// Between two tries of the base's check that could not be run.
const BASE_RETRY_MS: u64 = 5_000;

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

fn record(d: &mut Deciding<'_>, report: &Report, found: &Found) {
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
pub(super) fn reported(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, report: &Report) {
    let found = found(report);
    record(d, report, &found);
    let start = d.state().attempt(&report.lease.key).map(|attempt| attempt.start.clone());
    let Some(Start::Commit(of)) = start else { return };
    match found {
        Found::Green => judge::checked(d, run, unit, &of, None),
        Found::Red(evidence) => judge::checked(d, run, unit, &of, Some(evidence)),
        Found::Lost(_) => {
            let Some(setback) = Setback::of(d.state(), report) else { return };
            failure::setback(d, run, Some(unit), &setback);
        }
        Found::Parked => {}
    }
}

/// The outcome of the check of the base.
pub(super) fn base_reported(d: &mut Deciding<'_>, run: &RunId, report: &Report) {
    let found = found(report);
    record(d, report, &found);
    match found {
        Found::Green => d.emit(run, Fact::BaseChecked { result: BaseCheck::Green }),
        Found::Red(evidence) => {
            let BaseCheck::Wanted { red, lost, .. } = d.run(run).base_check else { return };
            if red + 1 >= RED_MAX {
                base_red(d, run, evidence);
            } else {
                d.emit(run, Fact::BaseChecked { result: BaseCheck::Wanted { red: red + 1, lost, retry_at: None } });
            }
        }
        Found::Lost(reason) => base_lost(d, run, &reason),
        Found::Parked => {}
    }
}

/// The check of the base could not be run.
pub(super) fn base_lost(d: &mut Deciding<'_>, run: &RunId, reason: &str) {
    let BaseCheck::Wanted { red, lost, .. } = d.run(run).base_check else { return };
    if lost + 1 >= BASE_LOST_MAX {
        return base_red(d, run, format!("it could not be run: {reason}"));
    }
    let retry_at = (lost > 0).then(|| WallMs(d.now.wall.0.saturating_add(BASE_RETRY_MS << lost)));
    d.emit(run, Fact::BaseChecked { result: BaseCheck::Wanted { red, lost: lost + 1, retry_at } });
}

fn base_red(d: &mut Deciding<'_>, run: &RunId, evidence: String) {
    let last: String = evidence.lines().rev().take(5).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
    d.emit(run, Fact::BaseChecked { result: BaseCheck::Red { evidence } });
    let context = format!("the check command fails on the commit the run started from, before any change: {last}");
    if !planted(Bug::BaseRedUnasked) {
        raise(d, run, DecisionKind::CheckRedOnBase, None, context);
    }
}
