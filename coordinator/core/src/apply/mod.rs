//! The fold: `State::apply` is the only thing that changes a state. It decides nothing and cannot fail; a fact about something unknown is
//! ignored (the invariants' checker would have named it before it was written).

mod access;
mod attempt;
mod run;
mod train;
mod unit;

use std::sync::Arc;

use roundtable_shared::UnitId;

use crate::state::{Park, Remark, Run, State, Unit};
use crate::transition::{Fact, Transition};

/// Answers kept for runs to come.
const ASSIGNMENTS_MAX: usize = 32;

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
        let Transition { run, at, fact } = transition;
        let Some(id) = run else { return self.apply_to_fleet(transition) };
        if let Fact::RunCreated(created) = fact {
            self.runs.insert(id.clone(), Arc::new(run::create(id, *at, created)));
            self.created.push(id.clone());
            return;
        }
        let Some(run) = self.runs.get_mut(id) else { return };
        let run = Arc::make_mut(run);
        let handled = attempt::apply(run, &mut self.live, *at, fact)
            || run::apply(run, *at, fact, &self.learned)
            || unit::apply(run, *at, fact, &mut self.learned);
        debug_assert!(handled, "no fold for {}", fact.kind());
    }

    fn apply_to_fleet(&mut self, transition: &Transition) {
        match &transition.fact {
            Fact::BackendParked { park, until, known, reason, worker, step } => {
                let value = Park {
                    until: *until,
                    known: *known,
                    reason: reason.clone(),
                    since: transition.at,
                    worker: worker.clone(),
                    step: *step,
                    answered: false,
                };
                self.parks.insert(park.clone(), value);
            }
            Fact::BackendAnswered { park } => {
                if let Some(park) = self.parks.get_mut(park) {
                    park.answered = true;
                }
            }
            Fact::BackendUnparked { park } => {
                self.parks.remove(park);
            }
            Fact::AllPaused { note, by } => self.paused = Some(Remark { text: note.clone(), by: by.clone(), at: transition.at }),
            Fact::AllResumed { .. } => self.paused = None,
            Fact::WorkerDrained { worker, by } => {
                let remark = Remark { text: String::new(), by: by.clone(), at: transition.at };
                self.drained.insert(worker.clone(), remark);
            }
            Fact::WorkerUndrained { worker, .. } => {
                self.drained.remove(worker);
            }
            Fact::AssignmentKept { kept } => {
                self.assignments.retain(|other| other.inputs_digest != kept.inputs_digest || other.answer.backend != kept.answer.backend);
                self.assignments.push((**kept).clone());
                let excess = self.assignments.len().saturating_sub(ASSIGNMENTS_MAX);
                self.assignments.drain(..excess);
            }
            Fact::StoreRestored { .. } => access::restored(&mut self.access, transition.at),
            other => {
                let handled = access::apply(&mut self.access, transition.at, other);
                debug_assert!(handled, "{} names no run", other.kind());
            }
        }
    }
}

/// The unit of that id with its place, to be changed.
fn unit_mut<'a>(run: &'a mut Run, id: &UnitId) -> Option<(usize, &'a mut Unit)> {
    let at = *run.positions.get(id)?;
    Some((at, Arc::make_mut(&mut run.units[at])))
}

/// Changes a unit in a way that may change what its plan knows of it beside its state: its manifest, or what it needs of a worker.
fn change_planned(run: &mut Run, id: &UnitId, change: impl FnOnce(&mut Unit)) {
    let Some(at) = run.positions.get(id).copied() else { return };
    run.plan.leave(at, &run.units[at]);
    change(Arc::make_mut(&mut run.units[at]));
    run.plan.note(&run.units, at);
    run.plan.wake(&run.units, at);
}
