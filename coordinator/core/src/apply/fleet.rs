//! Folds facts about the fleet, and runs that begin.

use std::sync::Arc;

use roundtable_shared::RunId;
use roundtable_shared::time::WallMs;

use super::groups::{facts, others};
use super::{access, run};
use crate::state::{Park, Remark, State};
use crate::transition::Fact;

/// Answers kept for runs to come.
const ASSIGNMENTS_MAX: usize = 32;

/// Folds a fact of this kind.
pub(super) fn apply(state: &mut State, run: Option<&RunId>, at: WallMs, fact: &Fact) {
    match fact {
        Fact::RunCreated(created) => {
            let Some(id) = run else { return };
            state.runs.insert(id.clone(), Arc::new(run::create(id, at, created)));
            state.created.push(id.clone());
            Arc::make_mut(&mut state.open).push(id.clone());
        }
        Fact::BackendParked { park, until, known, reason, worker, step } => {
            let value = Park { until: *until, known: *known, reason: reason.clone(), worker: worker.clone(), step: *step, answered: false };
            state.parks.insert(park.clone(), value);
        }
        Fact::BackendAnswered { park } => {
            if let Some(park) = state.parks.get_mut(park) {
                park.answered = true;
            }
        }
        Fact::BackendUnparked { park } => {
            state.parks.remove(park);
        }
        Fact::AllPaused { note, by } => state.paused = Some(Remark { text: note.clone(), by: by.clone(), at }),
        Fact::AllResumed { .. } => state.paused = None,
        Fact::WorkerDrained { worker, by } => {
            let remark = Remark { text: String::new(), by: by.clone(), at };
            Arc::make_mut(&mut state.drained).insert(worker.clone(), remark);
        }
        Fact::WorkerUndrained { worker, .. } => {
            Arc::make_mut(&mut state.drained).remove(worker);
        }
        Fact::AssignmentKept { kept } => {
            let assignments = Arc::make_mut(&mut state.assignments);
            assignments.retain(|other| other.inputs_digest != kept.inputs_digest || other.answer.backend != kept.answer.backend);
            assignments.push((**kept).clone());
            let excess = assignments.len().saturating_sub(ASSIGNMENTS_MAX);
            assignments.drain(..excess);
        }
        Fact::StoreRestored { .. } => access::restored(Arc::make_mut(&mut state.access), at),
        others!(fleet) => {}
    }
}
