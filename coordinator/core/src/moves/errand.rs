//! Effects that failed are done again.

use roundtable_shared::RunId;

use crate::fleet::Errand;
use crate::planted::{Bug, planted};
use crate::rules::owed;
use crate::txn::Txn;

/// Repeats effects that failed and whose pause is over.
pub(crate) fn repeat_due(d: &mut Txn<'_>) {
    let now = d.now.mono_ms;
    let is_due = |errand: &Errand| errand.due_ms.is_some_and(|due| due <= now) && !planted(Bug::ErrandForgotten);
    let due = d.fleet.errands.iter_mut().filter(|(_, errand)| is_due(errand));
    let mut runs: Vec<RunId> = Vec::new();
    for ((run, _), errand) in due {
        errand.due_ms = None;
        if !runs.contains(run) {
            runs.push(run.clone());
        }
    }
    for run in runs {
        repeat_owed(d, &run);
    }
}

/// All effects a run owes, once more.
pub(crate) fn repeat_owed(d: &mut Txn<'_>, run: &RunId) {
    for effect in owed::owed_effects(d.run(run)) {
        d.effect(effect);
    }
}
