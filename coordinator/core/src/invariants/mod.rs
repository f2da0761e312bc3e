//! What must hold of every state and of every step of a history. Pure functions over the state; they decide nothing and repair nothing.
//!
//! The rules are written out naively here, from scratch and without the indexes the core keeps, so that they do not share its mistakes.

mod access;
mod costs;
mod holds;
mod integration;
mod liveness;
mod order;
mod seats;
mod shape;
mod time;
mod told;
mod train;

use std::collections::BTreeSet;
use std::fmt;

use roundtable_shared::{LeaseId, RunId, UnitId};

use crate::command::Now;
use crate::fleet::Fleet;
use crate::state::{Run, State, may_move};
use crate::transition::{Fact, Transition};

pub use liveness::at_rest;
pub use shape::{of_fleet, of_state};
pub use time::after_tick;

/// An invariant that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Its name in the table of the architecture document.
    pub invariant: &'static str,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.text)
    }
}

/// Collects violations of one run.
struct Found<'a> {
    run: Option<&'a RunId>,
    violations: Vec<Violation>,
}

impl<'a> Found<'a> {
    fn of(run: &'a RunId) -> Self {
        Self { run: Some(run), violations: Vec::new() }
    }

    /// Something is wrong unless `holds`.
    fn unless(&mut self, holds: bool, invariant: &'static str, text: impl FnOnce() -> String) {
        if !holds {
            let run = self.run.map(|run| format!("run {run}: ")).unwrap_or_default();
            self.violations.push(Violation { invariant, text: format!("{run}{}", text()) });
        }
    }
}

/// Follows a history: each transition is shown to it twice, with the state before and the state after it is folded.
#[derive(Clone, Debug, Default)]
pub struct History {
    leases: BTreeSet<LeaseId>,
    /// Units that began elsewhere: on what they were built is not known.
    imported: BTreeSet<(RunId, UnitId)>,
    costs: costs::Costs,
}

impl History {
    /// What the transition may not do to this state.
    pub fn before(&mut self, before: &State, transition: &Transition) -> Vec<Violation> {
        let Some(id) = &transition.run else { return Vec::new() };
        let mut found = Found::of(id);
        let Some(run) = before.run(id) else {
            found.unless(matches!(transition.fact, Fact::RunCreated(_)), "I13", || {
                format!("{} of a run that does not exist", transition.kind())
            });
            return found.violations;
        };
        let may_follow_end = matches!(transition.fact, Fact::RunAccepted { .. } | Fact::AttemptLate { .. } | Fact::RunRemoved { .. });
        found.unless(!run.is_ended() || may_follow_end, "I13", || format!("{} after its end", transition.kind()));
        if matches!(transition.fact, Fact::RunRemoved { .. }) {
            found.unless(run.is_ended(), "I2", || "its files are removed, and it has not ended".to_owned());
            found.unless(run.life.removed.is_none(), "I13", || "it is removed twice".to_owned());
        }
        if let Fact::LeaseGranted(granted) = &transition.fact {
            found.unless(self.leases.insert(granted.lease_id), "I3", || format!("lease id {} is used again", granted.lease_id));
        }
        seats::before(&mut found, before, run, &transition.fact, transition.at);
        if let Fact::UnitImported { unit, .. } = &transition.fact {
            self.imported.insert((id.clone(), unit.clone()));
        }
        let began_here = |unit: &UnitId| !self.imported.contains(&(id.clone(), unit.clone()));
        order::before(&mut found, run, &transition.fact, began_here);
        integration::before(&mut found, run, &transition.fact);
        self.costs.before(&mut found, run, &transition.fact);
        told::before(&mut found, run, &transition.fact);
        moves(&mut found, run, &transition.fact);
        rests(&mut found, run, &transition.fact);
        found.violations
    }

    /// What may not be so once it is folded.
    pub fn after(&mut self, after: &State, transition: &Transition) -> Vec<Violation> {
        let Some((id, run)) = transition.run.as_ref().and_then(|id| Some((id, after.run(id)?))) else { return Vec::new() };
        let mut found = Found::of(id);
        holds::after(&mut found, run, &transition.fact);
        seats::after(&mut found, run, &transition.fact);
        found.violations
    }
}

/// Every move of a unit is in the table.
fn moves(found: &mut Found<'_>, run: &Run, fact: &Fact) {
    let Fact::UnitMoved { unit, to, .. } = fact else { return };
    let Some(unit) = run.unit(unit) else { return found.unless(false, "I13", || format!("unit {unit} does not exist")) };
    found.unless(may_move(unit.state(), *to), "moves", || format!("unit {} goes from {} to {to}", unit.id, unit.state()));
    found.unless(unit.spec.runs, "moves", || format!("unit {} does not run and goes to {to}", unit.id));
}

/// A rest is told when it begins, changes or ends, and never of a run of which something is live.
fn rests(found: &mut Found<'_>, run: &Run, fact: &Fact) {
    let Fact::RunRests { on, .. } = fact else { return };
    found.unless(run.life.resting.map(|resting| resting.on) != *on, "rests", || format!("it is told again that it rests on {on:?}"));
    found.unless(on.is_none() || !run.has_live_attempts(), "rests", || format!("it rests on {on:?}, and something of it is live"));
}

/// All of it at once, for a state between two batches.
pub fn check(state: &State, fleet: &Fleet, now: Now) -> Vec<Violation> {
    let mut violations = of_state(state);
    violations.extend(of_fleet(state, fleet));
    violations.extend(at_rest(state, fleet, now));
    violations
}
