//! States of a unit's tasks: those of leaves are facts, those of parents are derived (docs/rules.md, "States of a unit").

use std::collections::BTreeMap;

use roundtable_core::state::Unit;
use roundtable_shared::spec::{Task, Unit as Outlined};
use roundtable_shared::view::TaskView;
use roundtable_shared::{SubtaskState, UnitState};

/// A unit's tasks for `show`, its own first.
pub(super) fn tasks(outlined: &Outlined, unit: &Unit) -> Vec<TaskView> {
    let states = subtask_states(outlined, unit);
    let view = |task: &Task| {
        let leaf = unit.spec.subtasks.iter().find(|leaf| leaf.id == task.id);
        let status = if task.id.as_str() == unit.id.as_str() {
            unit.state()
        } else {
            shown_state(task, states.get(task.id.as_str()).copied().unwrap_or(task.status), &states)
        };
        TaskView {
            id: task.id.to_string(),
            title: task.title.clone(),
            status: status.into(),
            optional: task.optional,
            error: leaf.and_then(|leaf| leaf.error.clone()),
        }
    };
    outlined.tasks.iter().map(view).collect()
}

/// States of the subtasks that have none of their own, from those that do.
pub(crate) fn subtask_states<'a>(outlined: &'a Outlined, unit: &'a Unit) -> BTreeMap<&'a str, SubtaskState> {
    let mut states: BTreeMap<&str, SubtaskState> = unit.spec.subtasks.iter().map(|leaf| (leaf.id.as_str(), leaf.state)).collect();
    // Children stand behind their parents in the document, so going backwards every child is known before its parent.
    for task in outlined.subtasks().iter().rev().filter(|task| !task.subtasks.is_empty()) {
        let children: Vec<(SubtaskState, bool)> = task
            .subtasks
            .iter()
            .filter_map(|id| Some((*states.get(id.as_str())?, outlined.task(id.as_str()).is_some_and(|child| child.needed))))
            .collect();
        let needed_open = children.iter().any(|(state, needed)| *needed && *state != SubtaskState::Completed);
        let any_done = children.iter().any(|(state, _)| *state == SubtaskState::Completed);
        let state = if children.iter().any(|(state, _)| *state == SubtaskState::Blocked) {
            SubtaskState::Blocked
        } else if !needed_open && any_done {
            SubtaskState::Completed
        } else {
            SubtaskState::NotStarted
        };
        states.insert(task.id.as_str(), state);
    }
    states
}

/// The state to show of a subtask: a parent of which some part is done is in progress.
pub(crate) fn shown_state(task: &Task, state: SubtaskState, states: &BTreeMap<&str, SubtaskState>) -> UnitState {
    let begun = |id: &roundtable_shared::TaskId| states.get(id.as_str()) == Some(&SubtaskState::Completed);
    match state {
        SubtaskState::NotStarted if task.subtasks.iter().any(begun) => UnitState::InProgress,
        SubtaskState::NotStarted => UnitState::NotStarted,
        SubtaskState::Completed => UnitState::Completed,
        SubtaskState::Blocked => UnitState::Blocked,
    }
}
