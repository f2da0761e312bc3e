//! Index of a run's plan: order, hazard edges, what is unfinished, remaining critical path. Kept by the fold beside the facts it is made of;
//! `schedule::ready` answers from it, and a test compares it with the naive derivation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roundtable_shared::{BackendName, UnitId, UnitType};

use super::Learned;
use super::unit::Unit;
use crate::planted::{Bug, planted};

/// A guess for a unit nobody has measured: so long per line of details, and as much again for what every unit takes.
const GUESS_PER_DETAIL_MS: u64 = 60_000;

/// Order and hazards of a run. Units are named by their place in the document.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Plan order: places in the document.
    pub order: Vec<usize>,
    /// Place of each unit in `order`.
    pub rank: Vec<usize>,
    /// Per unit: explicit and checkpoint dependencies that run.
    pub needs: Vec<Vec<usize>>,
    /// Per unit: earlier units (in plan order) that write what it reads or writes. Units without a manifest are not listed: they stand in
    /// `unfinished_all`.
    pub hazards: Vec<Vec<usize>>,
    /// Ranks of units that run and have not come to their end.
    pub unfinished: BTreeSet<usize>,
    /// Of those, units that count as reading and writing everything.
    pub unfinished_all: BTreeSet<usize>,
    /// Places of units that hold their writes.
    pub holders: BTreeSet<usize>,
    /// Per unit: milliseconds from its start to the end of the longest chain that waits for it.
    pub remaining_ms: Vec<u64>,
}

impl Plan {
    /// The plan of these units in that order.
    pub(crate) fn build(units: &[Arc<Unit>], order: Vec<usize>, learned: &BTreeMap<(BackendName, UnitType), Learned>) -> Self {
        let mut plan = Self { order, rank: vec![0; units.len()], hazards: vec![Vec::new(); units.len()], ..Self::default() };
        for (rank, at) in plan.order.iter().enumerate() {
            plan.rank[*at] = rank;
        }
        let places: BTreeMap<&UnitId, usize> = units.iter().enumerate().map(|(at, unit)| (&unit.id, at)).collect();
        plan.needs = units
            .iter()
            .map(|unit| {
                let named = unit.depends_on.iter().chain(&unit.checkpoint_on).filter_map(|id| places.get(id).copied());
                let forgotten = |at: &usize| planted(Bug::CheckpointForgotten) && unit.checkpoint_on.contains(&units[*at].id);
                named.filter(|at| units[*at].runs && !forgotten(at)).collect()
            })
            .collect();
        for at in 0..units.len() {
            plan.hazards[at] = plan.hazards_of(units, at);
            plan.note(at, &units[at]);
        }
        plan.measure(units, learned);
        plan
    }

    /// A unit's manifest changed: its own edges and those of later units to it are judged again.
    pub(crate) fn refresh(&mut self, units: &[Arc<Unit>], at: usize) {
        self.hazards[at] = self.hazards_of(units, at);
        for later in (0..units.len()).filter(|later| self.rank[*later] > self.rank[at]) {
            let known = self.hazards[later].binary_search(&at);
            match (known, self.is_edge(units, later, at)) {
                (Ok(place), false) => {
                    self.hazards[later].remove(place);
                }
                (Err(place), true) => self.hazards[later].insert(place, at),
                _ => {}
            }
        }
        self.note(at, &units[at]);
    }

    /// A unit depends on one more, which comes before it.
    pub(crate) fn need(&mut self, units: &[Arc<Unit>], at: usize, on: usize) {
        if units[on].runs && !self.needs[at].contains(&on) && !planted(Bug::FoundDependencyForgotten) {
            self.needs[at].push(on);
        }
    }

    /// A unit's state changed.
    pub(crate) fn note(&mut self, at: usize, unit: &Unit) {
        let rank = self.rank[at];
        let unfinished = !unit.is_settled_for_others();
        set(&mut self.unfinished, rank, unfinished);
        set(&mut self.unfinished_all, rank, unfinished && unit.claims_all());
        set(&mut self.holders, at, unit.holds() && !planted(Bug::HoldersUnindexed));
    }

    /// Remaining critical path of every unit, over dependencies and hazards.
    pub(crate) fn measure(&mut self, units: &[Arc<Unit>], learned: &BTreeMap<(BackendName, UnitType), Learned>) {
        let mut after = vec![0_u64; units.len()];
        let (mut after_any, mut after_exclusive) = (0, 0);
        self.remaining_ms = vec![0; units.len()];
        for &at in self.order.iter().rev() {
            let unit = &units[at];
            if unit.is_settled_for_others() {
                continue;
            }
            let chain = if unit.claims_all() { after_any } else { after[at].max(after_exclusive) };
            let remaining = estimate_ms(unit, learned).saturating_add(chain);
            self.remaining_ms[at] = remaining;
            after_any = after_any.max(remaining);
            if unit.claims_all() {
                after_exclusive = after_exclusive.max(remaining);
            }
            for &earlier in self.needs[at].iter().chain(&self.hazards[at]) {
                after[earlier] = after[earlier].max(remaining);
            }
        }
    }

    fn hazards_of(&self, units: &[Arc<Unit>], at: usize) -> Vec<usize> {
        (0..units.len()).filter(|earlier| self.rank[*earlier] < self.rank[at] && self.is_edge(units, at, *earlier)).collect()
    }

    fn is_edge(&self, units: &[Arc<Unit>], later: usize, earlier: usize) -> bool {
        let (unit, before) = (&units[later], &units[earlier]);
        unit.runs && before.runs && !unit.claims_all() && !before.claims_all() && unit.is_hazard(before)
    }
}

/// How long a unit will take: what was learned of its backend and kind, else a guess from its details.
pub(crate) fn estimate_ms(unit: &Unit, learned: &BTreeMap<(BackendName, UnitType), Learned>) -> u64 {
    let owner = unit.owner.as_ref().and_then(|owner| learned.get(&(owner.clone(), unit.unit_type)));
    owner.and_then(Learned::mean_ms).unwrap_or_else(|| (u64::from(unit.details) + unit.subtasks.len() as u64).max(1) * GUESS_PER_DETAIL_MS)
}

fn set(set: &mut BTreeSet<usize>, item: usize, present: bool) {
    if present {
        set.insert(item);
    } else {
        set.remove(&item);
    }
}
