//! What an integration commit is made of: the boxes it ticks, who reviewed it, and what the shell is told; and whether the check of the base comes first.

use std::collections::BTreeSet;

use roundtable_shared::{BackendName, Role, SubtaskState, TaskId, UnitId};

use crate::effect::{Effect, PrepareIntegration};
use crate::planted::{Bug, planted};
use crate::rules::manifest::keeps_agents_md;
use crate::state::{BaseCheck, InFlight, Run, Unit};

/// Whether integration waits for checks, and for what.
pub(crate) fn is_gated_by_check(run: &Run) -> bool {
    matches!(run.branch.base_check, BaseCheck::Wanted { .. } | BaseCheck::Red { .. })
}

/// The commit of a unit that is still to be made: on the one ahead of it, or alone.
pub(crate) fn preparation(run: &Run, flight: &InFlight) -> Option<Effect> {
    let alone = flight.alone.as_ref().filter(|alone| alone.commit.is_none()).map(|alone| &alone.tip);
    let tip = alone.or_else(|| flight.is_preparing().then_some(&flight.tip))?;
    let unit = run.unit(&flight.unit)?;
    let work = unit.work.accepted.as_ref()?;
    Some(Effect::PrepareIntegration(Box::new(PrepareIntegration {
        run: run.id.clone(),
        unit: unit.id.clone(),
        base: work.base.clone(),
        tip: tip.clone(),
        commit: work.commit.clone(),
        attempt: work.attempt,
        title: unit.spec.title.clone(),
        ticks: flight.ticks.clone(),
        reviewed_by: reviewers_of(unit),
        keeps_agents_md: keeps_agents_md(unit),
        date_ms: flight.at.0,
    })))
}

/// Boxes a unit's commit ticks: its own, and those owed by units that made no commit.
pub(crate) fn ticks(run: &Run, unit: &UnitId) -> (Vec<TaskId>, Vec<UnitId>) {
    if run.origin.tick_path.is_none() {
        return (Vec::new(), Vec::new());
    }
    // Those of units without a commit, but for what a commit ahead ticks.
    let mut owed: Vec<UnitId> = run.branch.unticked.clone();
    for ahead in &run.branch.train.flights {
        match &ahead.candidate {
            Some(candidate) if candidate.empty => owed.push(ahead.unit.clone()),
            _ => {
                let ticked: BTreeSet<&UnitId> = ahead.owed.iter().collect();
                owed.retain(|unit| !ticked.contains(unit) || planted(Bug::BoxTwice));
            }
        }
    }
    let mut tasks = boxes(run, unit);
    for other in &owed {
        tasks.extend(boxes(run, other));
    }
    (tasks, owed)
}

/// Boxes of a unit that are done: tasks without subtasks that are completed, and parents all of whose needed ones are.
pub(crate) fn boxes(run: &Run, unit: &UnitId) -> Vec<TaskId> {
    let (Some(unit), Some(outline)) = (run.unit(unit), run.outlined(unit)) else { return vec![unit.task()] };
    let is_done = |id: &TaskId| {
        unit.spec.subtasks.iter().find(|subtask| subtask.id == *id).is_none_or(|subtask| subtask.state == SubtaskState::Completed)
    };
    let mut done: Vec<TaskId> = Vec::new();
    // Children stand below their parent, so going backwards meets them first.
    for task in outline.tasks.iter().rev() {
        let is_ticked = if task.subtasks.is_empty() {
            is_done(&task.id)
        } else {
            task.subtasks.iter().all(|child| done.contains(child) || outline.task(child.as_str()).is_some_and(|child| !child.needed))
        };
        if is_ticked && !task.heading {
            done.push(task.id.clone());
        }
    }
    done.reverse();
    done
}

/// Backends whose reviews of the last round passed it.
fn reviewers_of(unit: &Unit) -> Vec<BackendName> {
    let reviews = unit.attempts.iter().filter(|attempt| attempt.granted.role == Role::Review && attempt.granted.round == unit.review.round);
    let mut names: Vec<BackendName> = reviews
        .filter(|attempt| attempt.end() == Some(crate::state::AttemptEnd::Completed))
        .map(|attempt| attempt.granted.backend.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}
