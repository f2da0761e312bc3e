//! Who depends on a unit, directly or not.

use std::collections::BTreeSet;

use roundtable_shared::UnitId;

use crate::state::Run;

/// A unit and all that depend on it, however indirectly; checkpoints go on without it.
pub(crate) fn with_dependants(run: &Run, unit: &UnitId) -> Vec<UnitId> {
    let mut ended: BTreeSet<&UnitId> = BTreeSet::from([unit]);
    // Plan order is topological, so one pass meets every dependant after what it depends on.
    for other in run.in_order().filter(|other| other.spec.runs && !other.state().is_terminal()) {
        if other.assignment.depends_on.iter().any(|on| ended.contains(on)) {
            ended.insert(&other.id);
        }
    }
    let dependants = run.in_order().filter(|other| other.id != *unit && ended.contains(&other.id)).map(|other| other.id.clone());
    std::iter::once(unit.clone()).chain(dependants).collect()
}
