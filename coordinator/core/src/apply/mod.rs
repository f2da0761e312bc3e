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

use groups::facts;

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
        // Nobody shares it: what is published is a copy.
        let run = id.as_ref().and_then(|id| self.runs.get_mut(id)).map(Arc::make_mut);
        match (fact, run) {
            (facts!(fleet), _) => fleet::apply(self, id.as_ref(), at, fact),
            (facts!(access), _) => access::apply(Arc::make_mut(&mut self.access), at, fact),
            (facts!(attempt), Some(run)) => attempt::apply(run, &mut self.live, at, fact),
            (facts!(plan), Some(run)) => run::apply(run, at, fact, &self.learned),
            (facts!(life), Some(run)) => run::life(run, &mut self.open, at, fact),
            (facts!(decision), Some(run)) => run::decide(run, fact),
            (facts!(agent), Some(run)) => run::consult(run, at, fact),
            (facts!(train), Some(run)) => train::apply(run, at, fact),
            (facts!(unit), Some(run)) => unit::apply(run, at, fact, &mut self.learned),
            (facts!(work), Some(run)) => unit::work(run, fact),
            (facts!(review), Some(run)) => unit::review(run, at, fact),
            (_, None) => debug_assert!(id.is_some(), "{} names no run", fact.kind()),
        }
    }
}

/// The unit of that id, to be changed.
fn unit_mut<'a>(run: &'a mut Run, id: &UnitId) -> Option<&'a mut Unit> {
    let at = *run.positions.get(id)?;
    run.units.get_mut(at)
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
