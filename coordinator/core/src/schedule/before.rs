//! Which units stand before one, told in part: the first of them and how many there are, at a cost that does not grow with how many there are.

use std::collections::BTreeSet;

use roundtable_shared::manifest::{FirstIds, PathIndex, PathSet};

use crate::state::{Places, Plan, Run, Unit};

/// Paths and globs that are looked at in an index.
const PATHS_MAX: usize = 256;
/// Units that are compared one by one where more paths than these are met: then whoever is met is seldom far from the first.
const UNITS_MAX: usize = 256;

/// The first of the units that stand before one.
pub(crate) struct FirstUnits {
    /// Their places in the document, the first first.
    pub(crate) places: Vec<usize>,
    /// How many more there are.
    pub(crate) left_out: usize,
    /// Whether there may be still more.
    pub(crate) at_least: bool,
}

impl FirstUnits {
    fn of(found: FirstIds<usize>, place: impl Fn(usize) -> usize) -> Self {
        let FirstIds { ids, count, is_counted, .. } = found;
        Self { left_out: count - ids.len(), at_least: !is_counted, places: ids.into_iter().map(place).collect() }
    }
}

/// The first in plan order of the earlier units that write what this one reads or writes and have not come to their end, `most` at most. Those without
/// a manifest are no part of this.
pub(crate) fn hazards(run: &Run, unit: &Unit, most: usize) -> FirstUnits {
    let (plan, manifest) = (&run.plan, &unit.assignment.manifest);
    if unit.claims_all() {
        return FirstUnits { places: Vec::new(), left_out: 0, at_least: false };
    }
    let rank = plan.rank[unit.spec.position];
    let earlier = plan.unfinished.before(rank).filter(|rank| !plan.unfinished_all.contains(*rank));
    let writes = |rank: usize| &run.units[plan.order[rank]].assignment.manifest.writes;
    let found = first(plan.lookup(&run.units).writers.paths(), &[&manifest.writes, &manifest.reads], rank, most, earlier, writes);
    FirstUnits::of(found, |rank| plan.order[rank])
}

/// The first in document order of the units that hold what this one, which holds nothing yet, would hold.
pub(crate) fn holders(run: &Run, unit: &Unit, most: usize) -> FirstUnits {
    let plan = &run.plan;
    let everything = if unit.claims_all() { &plan.holders } else { &plan.holders_all };
    let mut found = FirstIds { ids: everything.iter().take(most).collect(), count: everything.len(), is_counted: true, is_whole: true };
    if !unit.claims_all() {
        let named = plan.holders.iter().filter(|at| !plan.holders_all.contains(*at));
        let writes = |at: usize| &run.units[at].assignment.manifest.writes;
        let of_paths = first(plan.lookup(&run.units).held.paths(), &[&unit.assignment.manifest.writes], usize::MAX, most, named, writes);
        found.count += of_paths.count;
        found.is_counted = of_paths.is_counted;
        found.ids.extend(of_paths.ids);
        while found.ids.len() > most {
            found.ids.pop_last();
        }
    }
    FirstUnits::of(found, |at| at)
}

/// The first of an index below a bound that meet these sets; `all` are those below the bound, in order. Costs as much as there are paths met only where these
/// are more than the index is asked for and hardly any of the first units meets one of them.
fn first<'a>(
    index: &PathIndex<usize>,
    sets: &[&PathSet],
    bound: usize,
    most: usize,
    mut all: impl Iterator<Item = usize>,
    writes: impl Fn(usize) -> &'a PathSet,
) -> FirstIds<usize> {
    let found = index.first_before(sets, bound, most, PATHS_MAX);
    if found.is_whole {
        return found;
    }
    let meets = |id: &usize| sets.iter().any(|set| writes(*id).conflicts(set));
    // One more than is asked for, so that it is known whether there is more.
    let met: BTreeSet<usize> = all.by_ref().take(UNITS_MAX).filter(meets).take(most.saturating_add(1)).collect();
    let are_all = all.next().is_none();
    if met.len() <= most && !are_all {
        return index.first_before(sets, bound, most, usize::MAX);
    }
    let count = if are_all { met.len() } else { met.len().max(found.count) };
    FirstIds { ids: met.into_iter().take(most).collect(), count, is_counted: are_all, is_whole: true }
}

/// How many of the units that have not come to their end stand before each place of the plan's order, so that they are counted once for many questions.
pub(crate) struct UnfinishedBefore {
    all: Vec<usize>,
    without_manifest: Vec<usize>,
}

impl UnfinishedBefore {
    /// Of that plan as it is now. Costs as much as there are units.
    pub(crate) fn of(plan: &Plan) -> Self {
        let count = |ranks: &Places| {
            let mut counts = vec![0; plan.rank.len() + 1];
            ranks.iter().for_each(|rank| counts[rank + 1] = 1);
            (1..counts.len()).for_each(|rank| counts[rank] += counts[rank - 1]);
            counts
        };
        Self { all: count(&plan.unfinished), without_manifest: count(&plan.unfinished_all) }
    }

    /// Of all, or of those without a manifest.
    pub(crate) fn count(&self, rank: usize, all: bool) -> usize {
        if all { self.all[rank] } else { self.without_manifest[rank] }
    }
}
