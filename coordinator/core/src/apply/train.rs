//! Folds facts about the integration train.

use roundtable_shared::UnitId;
use roundtable_shared::time::WallMs;

use super::groups::{facts, others};
use crate::planted::{Bug, planted};
use crate::state::{Alone, Checks, InFlight, Integration, Run};
use crate::transition::Fact;

/// Folds a fact of this kind.
pub(super) fn apply(run: &mut Run, at: WallMs, fact: &Fact) {
    match fact {
        Fact::IntegrationStarted { flight } => {
            run.branch.train.from.get_or_insert_with(|| flight.tip.clone());
            run.branch.train.flights.push((**flight).clone());
        }
        Fact::CandidatePrepared { unit, candidate } => change(run, unit, |flight| {
            flight.candidate = Some(candidate.clone());
            flight.checks = Checks::default();
        }),
        Fact::CandidateMisfits { unit, misfit } => change(run, unit, |flight| flight.misfit = Some(misfit.clone())),
        Fact::CandidateChecked { unit, red } => change(run, unit, |flight| match red {
            None => flight.checks.green = true,
            Some(evidence) => {
                flight.checks.red += 1;
                flight.checks.evidence.clone_from(evidence);
            }
        }),
        Fact::AloneStarted { unit, tip } => change(run, unit, |flight| flight.alone = Some(Alone { tip: tip.clone(), commit: None })),
        Fact::AlonePrepared { unit, commit } => change(run, unit, |flight| {
            if let Some(alone) = &mut flight.alone {
                alone.commit = Some(commit.clone());
            }
        }),
        Fact::IntegrationIntended { unit } => {
            if let Some(place) = run.branch.train.place(unit) {
                run.branch.train.flights[..=place].iter_mut().for_each(|flight| flight.intended = true);
            }
        }
        Fact::IntegrationDropped { unit, .. } => leave(run, unit),
        Fact::Integrated { unit, commit, changed } => {
            let owed = pass(run, unit).map(|flight| flight.owed).unwrap_or_default();
            run.branch.unticked.retain(|unit| !owed.contains(unit));
            run.branch.integrations.push(Integration { unit: Some(unit.clone()), commit: commit.clone(), changed: changed.clone(), at });
            if !planted(Bug::TipForgotten) {
                run.branch.tip = commit.clone();
            }
        }
        Fact::CompletedWithoutChange { unit } => {
            pass(run, unit);
            run.branch.unticked.push(unit.clone());
        }
        others!(train) => {}
    }
}

/// A red check, as releases before the train counted it: with its candidate.
pub(super) fn count_red(run: &mut Run, unit: &UnitId) {
    change(run, unit, |flight| flight.checks.red += 1);
}

fn change(run: &mut Run, unit: &UnitId, change: impl FnOnce(&mut InFlight)) {
    if let Some(flight) = run.branch.train.flights.iter_mut().find(|flight| flight.unit == *unit) {
        change(flight);
    }
}

/// The branch is past it.
fn pass(run: &mut Run, unit: &UnitId) -> Option<InFlight> {
    let place = run.branch.train.place(unit)?;
    let flight = run.branch.train.flights.remove(place);
    if run.branch.train.flights.is_empty() {
        run.branch.train.from = None;
    }
    Some(flight)
}

/// It leaves, and those behind with it. They come again in the same train.
fn leave(run: &mut Run, unit: &UnitId) {
    let Some(place) = run.branch.train.place(unit) else { return };
    let is_last = place + 1 == run.branch.train.flights.len();
    if planted(Bug::TrainBehindKept) {
        run.branch.train.flights.remove(place);
    } else {
        run.branch.train.flights.truncate(place);
    }
    if is_last && run.branch.train.flights.is_empty() {
        run.branch.train.from = None;
    }
}
