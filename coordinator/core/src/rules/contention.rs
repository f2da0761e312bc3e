//! Units that wait for each other in a circle, and which of them gives way.

use std::collections::BTreeSet;

use roundtable_shared::UnitId;

use crate::state::Run;

/// The last unit, in plan order, of some cycle of units that wait for each other's paths.
pub(crate) fn victim(run: &Run) -> Option<UnitId> {
    let contended = run.active().filter(|unit| !unit.contended().is_empty());
    for start in contended {
        let mut path = vec![start.spec.position];
        let mut seen = BTreeSet::new();
        if closes(run, start.spec.position, start.spec.position, &mut path, &mut seen) {
            let last = path.into_iter().max_by_key(|at| run.plan.rank[*at])?;
            return Some(run.units[last].id.clone());
        }
    }
    None
}

/// Whether waiting leads from `at` back to `start`; `path` is then the cycle.
fn closes(run: &Run, at: usize, start: usize, path: &mut Vec<usize>, seen: &mut BTreeSet<usize>) -> bool {
    let unit = &run.units[at];
    for contended in unit.contended() {
        for holder in run.holders_of(&unit.id, contended) {
            if holder.spec.position == start {
                return true;
            }
            if holder.contended().is_empty() || !seen.insert(holder.spec.position) {
                continue;
            }
            path.push(holder.spec.position);
            if closes(run, holder.spec.position, start, path, seen) {
                return true;
            }
            path.pop();
        }
    }
    false
}
