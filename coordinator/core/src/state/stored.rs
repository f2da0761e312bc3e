//! Reading a state that was kept elsewhere than in the log. Indexes that follow from what is beside them are not kept: they are made anew here, as a part of
//! reading, so that no state is without them.

use std::sync::Arc;

use roundtable_shared::RunId;
use roundtable_shared::manifest::{Manifest, PathSet};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::run::Run;
use crate::shared::Table;

/// Runs, each with its indexes.
pub(super) fn runs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Table<RunId, Arc<Run>>, D::Error> {
    let mut runs = Table::<RunId, Arc<Run>>::deserialize(deserializer)?;
    let mut refused = None;
    runs.for_each_mut(|id, run| {
        if !index(Arc::make_mut(run)) {
            refused = Some(id.clone());
        }
    });
    match refused {
        Some(id) => Err(D::Error::custom(format!("the plan of run {id} is not one of its units"))),
        None => Ok(runs),
    }
}

/// Makes what is not kept of a run. False if it contradicts itself. Who writes what is found when it is first asked for.
fn index(run: &mut Run) -> bool {
    if run.options.ignore_case {
        let folded = |set: &mut PathSet| std::mem::take(set).with_case(true);
        for at in 0..run.units.len() {
            let Some(unit) = run.units.get_mut(at) else { return false };
            let Manifest { writes, reads } = &mut unit.assignment.manifest;
            unit.assignment.manifest = Manifest { writes: folded(writes), reads: folded(reads) };
        }
    }
    run.positions = Arc::new(run.units.iter().enumerate().map(|(at, unit)| (unit.id.clone(), at)).collect());
    run.plan.is_of(run.units.len())
}
