//! Outcomes of review seats: findings, and reviewers that are of no use (docs/rules.md, "Reviews"). Rounds are consolidated by `settle::review`.

use roundtable_shared::{DecisionKind, OutcomeClass, RunId, Seat, UnitId};

use crate::command::{Report, RoleAnswer};
use crate::moves::outcome::{ended, provider_failed};
use crate::moves::setback;
use crate::moves::unit::{Block, block};
use crate::planted::{Bug, planted};
use crate::rules::finding::finding;
use crate::rules::setback::Setback;
use crate::state::AttemptEnd;
use crate::transition::Fact;
use crate::txn::Txn;

/// Failures of one review seat before a person is asked.
const REVIEW_FAILURES_MAX: u32 = 3;

/// The outcome of a live review attempt.
pub(crate) fn reported(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, seat: Seat, report: &Report) {
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
            setback::setback(d, run, Some(unit), &setback);
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
fn unusable(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, seat: Seat, report: &Report, reason: &str) {
    let Some(backend) = d.state().attempt(&report.lease.key).map(|attempt| attempt.granted.backend.clone()) else { return };
    d.emit(run, Fact::ReviewFailed { unit: unit.clone(), seat, worker: report.worker.clone(), backend });
    let failures = d.unit(run, unit).counters.review_failures.get(&seat).copied().unwrap_or(0);
    if failures >= REVIEW_FAILURES_MAX && !planted(Bug::ReviewerEndless) {
        let context = format!("reviewer {seat} of unit {unit} failed {failures} times, last: {reason}");
        block(d, run, unit, Block { kind: DecisionKind::ReviewFailed, reason: "its review failed".to_owned(), context });
    }
}
