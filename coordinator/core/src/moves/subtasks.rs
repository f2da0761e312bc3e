//! Subtasks are closed by what an agent reports, and opened again with the next attempt.

use roundtable_shared::{AttemptNo, RunId, SubtaskState, TaskId, UnitId};

use crate::transition::Fact;
use crate::txn::Txn;

/// Completes those of the unit's subtasks that are not yet.
pub(crate) fn close_subtasks(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, done: &[TaskId]) {
    for task in done {
        let open = d.unit(run, unit).spec.subtasks.iter().any(|subtask| subtask.id == *task && subtask.state != SubtaskState::Completed);
        if open {
            d.emit(run, Fact::SubtaskMoved { unit: unit.clone(), task: task.clone(), to: SubtaskState::Completed, error: None });
        }
    }
}

/// The same of one of which nothing is heard any more: what had been reported when its work was last saved.
pub(crate) fn close_saved(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, attempt: AttemptNo) {
    let saved = d.unit(run, unit).attempt(attempt).and_then(|attempt| attempt.saved.clone());
    if let Some(saved) = saved {
        close_subtasks(d, run, unit, &saved.done);
    }
}

/// Marks open subtasks that failed as open again: a new attempt goes at them.
pub(crate) fn reopen_subtasks(d: &mut Txn<'_>, run: &RunId, unit: &UnitId) {
    let failed = d.unit(run, unit).spec.subtasks.iter().filter(|subtask| subtask.state == SubtaskState::Blocked);
    let failed: Vec<TaskId> = failed.map(|subtask| subtask.id.clone()).collect();
    for task in failed {
        d.emit(run, Fact::SubtaskMoved { unit: unit.clone(), task, to: SubtaskState::NotStarted, error: None });
    }
}
