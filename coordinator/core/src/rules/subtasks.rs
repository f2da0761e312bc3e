//! Which subtasks a word of an agent closes.

use std::collections::BTreeSet;

use roundtable_shared::TaskId;
use roundtable_shared::answer::{WorkAnswer, WorkStatus};

use crate::state::{Run, Unit};

/// Whether the agent says that all is done.
pub(crate) fn is_completed(answer: &WorkAnswer) -> bool {
    answer.status == WorkStatus::Completed
}

/// The unit's subtasks among those tasks and below them.
pub(crate) fn leaves_among(run: &Run, unit: &Unit, tasks: &[TaskId]) -> Vec<TaskId> {
    let named: BTreeSet<TaskId> = tasks.iter().flat_map(|id| leaves_of(run, unit, id)).collect();
    unit.spec.subtasks.iter().map(|subtask| &subtask.id).filter(|id| named.contains(*id)).cloned().collect()
}

/// Subtasks that an answer reports as done; a completed answer that names none closes all.
pub(crate) fn completed_by(run: &Run, unit: &Unit, answer: &WorkAnswer) -> Vec<TaskId> {
    if is_completed(answer) && answer.completed_subtasks.is_empty() {
        return unit.open_subtasks().map(|subtask| subtask.id.clone()).collect();
    }
    let named: Vec<TaskId> = answer.completed_subtasks.iter().flat_map(|id| leaves_of(run, unit, id)).collect();
    unit.open_subtasks().filter(|subtask| named.contains(&subtask.id)).map(|subtask| subtask.id.clone()).collect()
}

/// The first needed subtask that is still open.
pub(crate) fn first_missing(unit: &Unit, done: &[TaskId]) -> Option<TaskId> {
    unit.open_subtasks().find(|subtask| subtask.needed && !done.contains(&subtask.id)).map(|subtask| subtask.id.clone())
}

/// The subtask a failed answer names, or where a completed one with gaps counts as failed.
pub(crate) fn named_failure(run: &Run, unit: &Unit, answer: &WorkAnswer, done: &[TaskId]) -> Option<TaskId> {
    if is_completed(answer) {
        return first_missing(unit, done);
    }
    let named = leaves_of(run, unit, answer.failed_subtask.as_ref()?);
    unit.open_subtasks().find(|subtask| named.contains(&subtask.id)).map(|subtask| subtask.id.clone())
}

/// A task without subtasks, or those below a parent.
fn leaves_of(run: &Run, unit: &Unit, id: &TaskId) -> Vec<TaskId> {
    if unit.spec.subtasks.iter().any(|subtask| subtask.id == *id) {
        return vec![id.clone()];
    }
    let Some(outline) = run.outlined(&unit.id) else { return Vec::new() };
    let mut found = Vec::new();
    let mut open = vec![id];
    while let Some(next) = open.pop() {
        let Some(task) = outline.task(next.as_str()) else { continue };
        if task.subtasks.is_empty() {
            found.push(task.id.clone());
        }
        // A task's children stand below it, so this ends; a damaged outline must not make it go round.
        if found.len() + open.len() > outline.tasks.len() {
            break;
        }
        open.extend(&task.subtasks);
    }
    found
}
