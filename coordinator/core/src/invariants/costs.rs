//! Who pays: what a failed end costs is counted once, for what it was, before its seat is granted again; and nothing is granted to a unit of which a
//! person should have been asked by then.

use std::collections::BTreeMap;

use roundtable_shared::{OutcomeClass, Role, RunId, Seat, UnitId};

use super::Found;
use crate::state::{LostCause, Run, Unit};
use crate::transition::{Counter, Fact, Granted};

/// Failures after which a person is asked: turns of implement, of one review seat, workers lost, breaches.
const FAILED_MAX: u32 = 3;
const REVIEWS_FAILED_MAX: u32 = 3;
const LOST_MAX: usize = 2;
const BREACHES_MAX: u32 = 2;
/// Hand-backs that cost nothing.
const HAND_BACKS_FREE: u32 = 24;

/// The last end of each unit's attempts.
#[derive(Clone, Debug, Default)]
pub(super) struct Costs {
    last: BTreeMap<(RunId, UnitId), End>,
}

#[derive(Clone, Copy, Debug)]
struct End {
    seat: Seat,
    role: Role,
    class: Option<OutcomeClass>,
    lost: Option<LostCause>,
    owes: bool,
}

impl Costs {
    pub(super) fn before(&mut self, found: &mut Found<'_>, run: &Run, fact: &Fact) {
        match fact {
            Fact::AttemptEnded { unit: Some(unit), attempt, result } => {
                let Some(of) = run.unit(unit).and_then(|unit| unit.attempt(*attempt)) else { return };
                let (seat, role, class) = (of.granted.seat, of.granted.role, result.class);
                // A red check says something of the candidate; a fix counts also where it is a good one.
                let owes = match class {
                    Some(OutcomeClass::Unit) => seat != Seat::Check,
                    Some(OutcomeClass::Infra | OutcomeClass::Internal) => true,
                    Some(OutcomeClass::Provider) => false,
                    None => role == Role::Fix,
                };
                self.last.insert((run.id.clone(), unit.clone()), End { seat, role, class, lost: None, owes });
            }
            Fact::AttemptLost { unit: Some(unit), attempt, cause, class, .. } => {
                let Some(of) = run.unit(unit).and_then(|unit| unit.attempt(*attempt)) else { return };
                let end = End { seat: of.granted.seat, role: of.granted.role, class: *class, lost: Some(*cause), owes: class.is_some() };
                self.last.insert((run.id.clone(), unit.clone()), end);
            }
            Fact::Counted { unit, what } => self.counted(found, run, unit, what),
            Fact::ReviewFailed { unit, .. } => {
                if let Some(end) = self.last.get_mut(&(run.id.clone(), unit.clone())) {
                    end.owes = false;
                }
            }
            Fact::LeaseGranted(granted) => self.granted(found, run, granted),
            _ => {}
        }
    }

    fn counted(&mut self, found: &mut Found<'_>, run: &Run, unit: &UnitId, what: &Counter) {
        let Some(end) = self.last.get_mut(&(run.id.clone(), unit.clone())) else { return };
        end.owes = false;
        let End { role, class, lost, .. } = *end;
        let is_its_own = lost.is_none() && matches!(class, None | Some(OutcomeClass::Unit));
        let is_of_worker = matches!(class, Some(OutcomeClass::Infra | OutcomeClass::Internal));
        let had_back = run.unit(unit).map_or(0, |unit| unit.counters.hand_backs);
        let fits = match what {
            Counter::UnitFailure => is_its_own && role == Role::Implement,
            Counter::Fix => is_its_own && role == Role::Fix,
            Counter::Infra => is_of_worker || had_back > HAND_BACKS_FREE,
            // An agent that was interrupted has ended for reasons of its worker too.
            Counter::HandBack => is_of_worker || (lost.is_some() && class.is_none()),
            Counter::LostWorker(_) => lost == Some(LostCause::Silent),
            Counter::Repeated(_) | Counter::Breach | Counter::RedCheck => true,
        };
        found.unless(fits, "costs", || format!("{what:?} is counted against unit {unit}, whose last attempt ended as {end:?}"));
    }

    fn granted(&self, found: &mut Found<'_>, run: &Run, granted: &Granted) {
        let Some(unit) = granted.unit.as_ref().and_then(|unit| run.unit(unit)) else { return };
        let last = self.last.get(&(run.id.clone(), unit.id.clone()));
        let owed = last.filter(|end| end.owes && end.seat == granted.seat);
        found.unless(owed.is_none(), "costs", || format!("unit {} is granted again, and nothing was counted for {owed:?}", unit.id));
        let why = exhausted(unit, granted);
        found.unless(why.is_none(), "costs", || format!("unit {} is granted {} after {why:?}", unit.id, granted.seat));
    }
}

/// What should have had a person asked.
fn exhausted(unit: &Unit, granted: &Granted) -> Option<&'static str> {
    let counters = &unit.counters;
    let is_work = granted.seat == Seat::Work;
    let reviews = counters.review_failures.get(&granted.seat).copied().unwrap_or(0);
    let reasons = [
        (granted.role == Role::Implement && counters.unit_failures >= FAILED_MAX, "turns that failed"),
        (reviews >= REVIEWS_FAILED_MAX, "reviews that failed"),
        (is_work && counters.lost_workers.len() >= LOST_MAX, "workers that were lost"),
        (is_work && counters.breaches >= BREACHES_MAX, "breaches"),
    ];
    reasons.into_iter().find(|(is_so, _)| *is_so).map(|(_, why)| why)
}
