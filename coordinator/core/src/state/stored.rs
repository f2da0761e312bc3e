//! Reading a state that was kept elsewhere than in the log. Indexes that follow from what is beside them are not kept: they are made anew here, as a part of
//! reading, so that no state is without them.

use std::collections::BTreeMap;
use std::sync::Arc;

use roundtable_shared::RunId;
use roundtable_shared::manifest::{Manifest, PathSet};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::run::Run;

/// Runs, each with its indexes.
pub(super) fn runs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<RunId, Arc<Run>>, D::Error> {
    let mut runs = BTreeMap::<RunId, Arc<Run>>::deserialize(deserializer)?;
    for (id, run) in &mut runs {
        if !index(Arc::make_mut(run)) {
            return Err(D::Error::custom(format!("the plan of run {id} is not one of its units")));
        }
    }
    Ok(runs)
}

/// Makes what is not kept of a run. False if it contradicts itself.
fn index(run: &mut Run) -> bool {
    if run.options.ignore_case {
        for unit in &mut run.units {
            let unit = Arc::make_mut(unit);
            let folded = |set: &mut PathSet| std::mem::take(set).with_case(true);
            let Manifest { writes, reads } = &mut unit.assignment.manifest;
            unit.assignment.manifest = Manifest { writes: folded(writes), reads: folded(reads) };
        }
    }
    run.positions = run.units.iter().enumerate().map(|(at, unit)| (unit.id.clone(), at)).collect();
    run.plan.index_paths(&run.units)
}
