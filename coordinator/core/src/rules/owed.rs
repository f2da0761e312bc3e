//! Effects that the state alone owes: what is repeated after a crash or a failure, and what a run at rest does not have.

use roundtable_shared::TaskId;

use crate::effect::Effect;
use crate::rules::integration;
use crate::state::{Run, Stage, Unit};

/// Effects a run owes by its state alone. Each is idempotent.
pub(crate) fn owed_effects(run: &Run) -> Vec<Effect> {
    let mut owed: Vec<Effect> = run.active().filter_map(|unit| merge(run, unit)).collect();
    owed.extend(effects(run));
    if run.stage() == Stage::Closing {
        owed.extend(closing(run).or(Some(Effect::CloseRun {
            run: run.id.clone(),
            tip: run.branch.tip.clone(),
            ticks: Vec::new(),
            learnings: Vec::new(),
        })));
    }
    owed
}

/// Effects the train owes: commits to be made, the branch to be moved.
pub(crate) fn effects(run: &Run) -> Vec<Effect> {
    let mut owed: Vec<Effect> = run.branch.train.flights.iter().filter_map(|flight| integration::preparation(run, flight)).collect();
    owed.extend(branch_move(run));
    owed
}

/// The move of the branch that is owed.
pub(crate) fn branch_move(run: &Run) -> Option<Effect> {
    let new = run.branch.train.destination().filter(|new| **new != run.branch.tip)?;
    Some(Effect::MoveBranch { run: run.id.clone(), old: run.branch.tip.clone(), new: new.clone() })
}

/// The effect a unit's merge owes.
pub(crate) fn merge(run: &Run, unit: &Unit) -> Option<Effect> {
    let merging = unit.merging()?;
    Some(Effect::MergeWithTip {
        run: run.id.clone(),
        unit: unit.id.clone(),
        base: merging.work.base.clone(),
        commit: merging.work.commit.clone(),
        tip: merging.tip.clone(),
    })
}

/// The closing commit a run owes, if there is anything to commit.
pub(crate) fn closing(run: &Run) -> Option<Effect> {
    let owed = if run.origin.tick_path.is_some() { run.branch.unticked.as_slice() } else { &[] };
    let ticks: Vec<TaskId> = owed.iter().flat_map(|unit| integration::boxes(run, unit)).collect();
    let learnings: Vec<(String, Vec<String>)> =
        run.branch.learnings.iter().map(|learning| (learning.text.clone(), learning.paths.clone())).collect();
    if ticks.is_empty() && learnings.is_empty() {
        return None;
    }
    Some(Effect::CloseRun { run: run.id.clone(), tip: run.branch.tip.clone(), ticks, learnings })
}
