//! The fold: `State::apply` is the only thing that changes a state. It decides nothing and cannot fail; a fact about something unknown is
//! ignored (the invariants' checker would have named it before it was written).

mod access;
mod attempt;
mod fleet;
mod groups;
mod phase;
mod run;
mod train;
mod unit;

use std::sync::Arc;

use roundtable_shared::UnitId;

use groups::{of_access, of_agent, of_attempt, of_decision, of_fleet, of_life, of_plan, of_review, of_train, of_unit, of_work};

use crate::state::{Run, State, Unit};
use crate::transition::{Fact, Transition};

impl State {
    /// The state after these transitions.
    pub fn fold<'a>(transitions: impl IntoIterator<Item = &'a Transition>) -> Self {
        let mut state = Self::default();
        for transition in transitions {
            state.apply(transition);
        }
        state
    }

    /// Folds one transition.
    pub fn apply(&mut self, transition: &Transition) {
        self.seq += 1;
        let Transition { run: id, at, fact } = transition;
        let at = *at;
        match fact {
            of_fleet!() => return fleet::apply(self, id.as_ref(), at, fact),
            of_access!() => return access::apply(Arc::make_mut(&mut self.access), at, fact),
            _ => {}
        }
        debug_assert!(id.is_some(), "{} names no run", fact.kind());
        let Some(run) = id.as_ref().and_then(|id| self.runs.get_mut(id)) else { return };
        // Nobody shares it: what is published is a copy.
        let run = Arc::make_mut(run);
        match fact {
            of_attempt!() => attempt::apply(run, &mut self.live, at, fact),
            of_plan!() => run::apply(run, at, fact, &self.learned),
            of_life!() => run::life(run, at, fact),
            of_decision!() => run::decide(run, fact),
            of_agent!() => run::consult(run, at, fact),
            of_train!() => train::apply(run, at, fact),
            of_unit!() => unit::apply(run, at, fact, &mut self.learned),
            of_work!() => unit::work(run, fact),
            of_review!() => unit::review(run, at, fact),
            of_fleet!() | of_access!() => {}
        }
        if run.is_ended() && self.open.contains(&run.id) {
            let id = &run.id;
            Arc::make_mut(&mut self.open).retain(|open| open != id);
        }
    }
}

/// The unit of that id with its place, to be changed.
fn unit_mut<'a>(run: &'a mut Run, id: &UnitId) -> Option<(usize, &'a mut Unit)> {
    let at = *run.positions.get(id)?;
    Some((at, run.units.get_mut(at)?))
}

/// Changes a unit in a way that may change what its plan knows of it beside its state: its manifest, or what it needs of a worker.
fn change_planned(run: &mut Run, id: &UnitId, change: impl FnOnce(&mut Unit)) {
    let Some(at) = run.positions.get(id).copied() else { return };
    run.plan.leave(at, &run.units[at]);
    if let Some(unit) = run.units.get_mut(at) {
        change(unit);
    }
    run.plan.note(&run.units, at);
    run.plan.wake(&run.units, at);
}
