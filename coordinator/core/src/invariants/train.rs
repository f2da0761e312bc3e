//! I1 of the train: who joins stands on the one ahead, an intent covers a prefix that is green, and only the head is judged.

use std::collections::BTreeSet;

use roundtable_shared::{OutcomeClass, Seat, UnitId, UnitState};

use super::Found;
use crate::effect::Start;
use crate::state::{AttemptEnd, BaseCheck, InFlight, Run};
use crate::transition::Fact;

/// No train is longer, whatever the fleet.
const LENGTH_MAX: usize = 64;

/// What a train looks like between two batches.
pub(super) fn of_run(found: &mut Found<'_>, run: &Run) {
    let flights = &run.branch.train.flights;
    found.unless(flights.len() <= LENGTH_MAX, "I10", || format!("{} units are in the train", flights.len()));
    let units: BTreeSet<&UnitId> = flights.iter().map(|flight| &flight.unit).collect();
    found.unless(units.len() == flights.len(), "I1", || "a unit is in the train twice".to_owned());
    let (mut tip, mut may_be_intended, mut queued) = (Some(&run.branch.tip), true, None);
    for flight in flights {
        let id = &flight.unit;
        let unit = run.unit(id);
        let state = unit.map(|unit| unit.state());
        found.unless(state == Some(UnitState::FinalReview), "I1", || format!("unit {id} is being integrated in {state:?}"));
        found.unless(tip == Some(&flight.tip), "I1", || format!("unit {id} goes on {}, and ahead of it is {tip:?}", flight.tip));
        found.unless(!flight.intended || may_be_intended, "I1", || format!("unit {id} is intended, one ahead of it is not"));
        let place = unit.and_then(|unit| unit.queued());
        found.unless(queued <= place, "I1", || format!("unit {id} came to its final review before one ahead of it in the train"));
        tip = flight.candidate.as_ref().filter(|_| flight.misfit.is_none()).map(|candidate| &candidate.commit);
        may_be_intended &= flight.intended;
        queued = place;
        boxes(found, run, flight);
    }
    found.unless(run.branch.train.from.is_some() || flights.is_empty(), "I1", || "the train started nowhere".to_owned());
}

/// A box that is owed rides on one commit, and behind the unit whose it is.
fn boxes(found: &mut Found<'_>, run: &Run, flight: &InFlight) {
    let ahead: Vec<&InFlight> = run.branch.train.flights.iter().take_while(|ahead| ahead.unit != flight.unit).collect();
    for owed in &flight.owed {
        let is_open = run.branch.unticked.contains(owed) || ahead.iter().any(|ahead| ahead.unit == *owed);
        let twice =
            ahead.iter().any(|ahead| ahead.owed.contains(owed) && ahead.candidate.as_ref().is_some_and(|candidate| !candidate.empty));
        found.unless(is_open && !twice, "I1", || format!("unit {} ticks the box of {owed}, which is not owed to it", flight.unit));
    }
}

/// What facts of the train may not do.
pub(super) fn before(found: &mut Found<'_>, run: &Run, fact: &Fact) {
    match fact {
        Fact::IntegrationStarted { flight } => started(found, run, flight),
        Fact::CandidatePrepared { unit, .. } | Fact::CandidateMisfits { unit, .. } => {
            let fits = flight(run, unit).is_some_and(|flight| flight.candidate.is_none() && flight.misfit.is_none());
            found.unless(fits, "I1", || format!("a candidate of unit {unit} is not wanted"));
        }
        Fact::CandidateChecked { unit, .. } => {
            let flight = flight(run, unit).and_then(|flight| flight.candidate.as_ref().filter(|_| !flight.intended));
            found.unless(flight.is_some(), "I1", || format!("unit {unit} has no candidate that was checked"));
        }
        Fact::AloneStarted { unit, tip } => {
            let is_same = flight(run, unit).is_some_and(|flight| flight.tip == *tip);
            found.unless(!is_same, "I1", || format!("unit {unit} is checked alone on {tip}, where the others are"));
            let is_red = head(run, unit).is_some_and(|flight| flight.checks.red >= 2 && flight.alone.is_none());
            found.unless(is_red, "I1", || format!("unit {unit} is checked alone and is not red at the head of the train"));
        }
        Fact::AlonePrepared { unit, .. } => {
            let waits = head(run, unit).is_some_and(|flight| flight.alone.as_ref().is_some_and(|alone| alone.commit.is_none()));
            found.unless(waits, "I1", || format!("unit {unit} is prepared alone and was not to be"));
        }
        Fact::IntegrationIntended { unit } => intended(found, run, unit),
        Fact::IntegrationDropped { unit, judged, .. } => {
            let intended = flight(run, unit).map(|flight| flight.intended);
            found.unless(intended == Some(false), "I1", || format!("the intent to integrate unit {unit} is taken back: {intended:?}"));
            let is_head = run.branch.train.flights.first().is_some_and(|first| first.unit == *unit);
            found.unless(!judged || is_head, "I1", || format!("unit {unit} is judged while others are ahead of it"));
        }
        Fact::FindingRecorded { unit, finding } if finding.reviewer.starts_with("check-") => {
            let is_red = head(run, unit).is_some_and(|flight| flight.checks.red >= 2 && !flight.checks.green);
            found.unless(is_red, "I1", || format!("unit {unit} gets a finding of its check, and is not red at the head of the train"));
        }
        _ => {}
    }
}

fn flight<'a>(run: &'a Run, unit: &UnitId) -> Option<&'a InFlight> {
    run.branch.train.flights.iter().find(|flight| flight.unit == *unit)
}

fn head<'a>(run: &'a Run, unit: &UnitId) -> Option<&'a InFlight> {
    run.branch.train.flights.first().filter(|flight| flight.unit == *unit && !flight.intended)
}

fn started(found: &mut Found<'_>, run: &Run, new: &InFlight) {
    let id = &new.unit;
    found.unless(flight(run, id).is_none(), "I1", || format!("unit {id} joins the train a second time"));
    let ahead = match run.branch.train.flights.last() {
        None => Some(&run.branch.tip),
        Some(last) => last.candidate.as_ref().map(|candidate| &candidate.commit),
    };
    found.unless(ahead == Some(&new.tip), "I1", || format!("unit {id} joins the train on {}, and ahead of it is {ahead:?}", new.tip));
    let state = run.unit(id).map(|unit| unit.state());
    found.unless(state == Some(UnitState::FinalReview), "I1", || format!("unit {id} joins the train in {state:?}"));
    let gated = matches!(run.branch.base_check, BaseCheck::Wanted { .. } | BaseCheck::Red { .. });
    found.unless(!gated, "I1", || format!("unit {id} joins the train before the base is checked"));
}

/// One intent at a time, of a prefix whose every candidate was checked.
fn intended(found: &mut Found<'_>, run: &Run, unit: &UnitId) {
    let moving = run.branch.train.flights.iter().any(|flight| flight.intended);
    found.unless(!moving, "I1", || format!("unit {unit} is intended while the branch is being moved"));
    let Some(last) = run.branch.train.flights.iter().position(|flight| flight.unit == *unit) else {
        return found.unless(false, "I1", || format!("unit {unit} is intended and not in the train"));
    };
    let mut waived = run.branch.base_check == BaseCheck::Waived;
    for flight in &run.branch.train.flights[..=last] {
        let Some(candidate) = &flight.candidate else {
            return found.unless(false, "I1", || format!("unit {} is intended without a candidate", flight.unit));
        };
        if run.branch.base_check == BaseCheck::None {
            continue;
        }
        let start = Start::Commit(candidate.commit.clone());
        let attempts = run.unit(&flight.unit).map(|unit| unit.attempts.as_slice()).unwrap_or_default();
        let checks = attempts.iter().filter(|attempt| attempt.granted.seat == Seat::Check && attempt.granted.start == start);
        let ended =
            |end| checks.clone().any(|attempt| attempt.end() == Some(end) && matches!(attempt.class(), None | Some(OutcomeClass::Unit)));
        let green = ended(AttemptEnd::Completed);
        let fine = green || (waived && ended(AttemptEnd::Failed));
        found.unless(fine, "I1", || format!("unit {} is to be integrated as {}, which was not found green", flight.unit, candidate.commit));
        waived &= !green;
    }
}
