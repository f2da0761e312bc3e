//! Index of a run's plan: order, who writes where, what is unfinished, remaining critical path. Kept by the fold beside the facts it is made of; the
//! scheduler's questions are answered from it, and a test compares them with the naive derivation.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use roundtable_shared::manifest::PathIndex;
use roundtable_shared::{BackendName, UnitId, UnitState, UnitType};

use super::Learned;
use super::unit::Unit;
use crate::planted::{Bug, planted};

/// A guess for a unit nobody has measured: so long per line of details, and as much again for what every unit takes.
const GUESS_PER_DETAIL_MS: u64 = 60_000;
/// A learned duration counts anew for the critical path once it differs by more than one in so many from the one that counted before: it takes part in
/// the order of what is ready, and to measure the whole plan with each unit would cost more than all else.
const LEARNED_ANEW: u64 = 10;

/// Who writes where. What it says follows from the sets beside it in the plan, so that two are always equal where those are.
#[derive(Clone, Debug, Default)]
pub struct Writers(PathIndex<usize>);

impl PartialEq for Writers {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Writers {}

/// Order and hazards of a run. Units are named by their place in the document, or by their rank: their place in `order`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Plan order: places in the document.
    pub order: Vec<usize>,
    /// Place of each unit in `order`.
    pub rank: Vec<usize>,
    /// Per unit: explicit and checkpoint dependencies that run.
    pub needs: Vec<Vec<usize>>,
    /// Ranks of units that run and have not come to their end.
    pub unfinished: BTreeSet<usize>,
    /// Of those, units that count as reading and writing everything.
    pub unfinished_all: BTreeSet<usize>,
    /// Of the unfinished, those that are in another state than `not_started`.
    pub begun: BTreeSet<usize>,
    /// Places of units that hold their writes.
    pub holders: BTreeSet<usize>,
    /// Of those, units that hold everything.
    pub holders_all: BTreeSet<usize>,
    /// What the unfinished write, by rank; those that write everything aside.
    pub writers: Writers,
    /// What holders write, by place; those that hold everything aside.
    pub held: Writers,
    /// Per unit: milliseconds from its start to the end of the longest chain that waits for it.
    pub remaining_ms: Vec<u64>,
    /// The means that `remaining_ms` rests on.
    pub measured: BTreeMap<(BackendName, UnitType), u64>,
}

impl Plan {
    /// The plan of these units in that order.
    pub fn build(units: &[Arc<Unit>], order: Vec<usize>, learned: &BTreeMap<(BackendName, UnitType), Learned>) -> Self {
        let mut plan = Self { order, rank: vec![0; units.len()], ..Self::default() };
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
        for (at, unit) in units.iter().enumerate() {
            plan.note(at, unit);
        }
        plan.measure(units, learned);
        plan
    }

    /// A unit depends on one more, which comes before it.
    pub(crate) fn need(&mut self, units: &[Arc<Unit>], at: usize, on: usize) {
        if units[on].runs && !self.needs[at].contains(&on) && !planted(Bug::FoundDependencyForgotten) {
            self.needs[at].push(on);
        }
    }

    /// A unit's manifest is about to change: it is taken out, as it is now, until `note` puts it in again.
    pub(crate) fn leave(&mut self, at: usize, unit: &Unit) {
        self.enter(at, unit, false, false);
    }

    /// A unit's state has changed, or it is put in.
    pub(crate) fn note(&mut self, at: usize, unit: &Unit) {
        self.enter(at, unit, !unit.is_settled_for_others(), unit.holds() && !planted(Bug::HoldersUnindexed));
    }

    /// Whether an earlier unit that is not at its end writes what this one reads or writes. Units without a manifest are no part of this: they stand
    /// in `unfinished_all`.
    pub fn has_open_hazard(&self, unit: &Unit) -> bool {
        let Some(&rank) = self.rank.get(unit.position).filter(|_| unit.runs && !unit.claims_all()) else { return false };
        let manifest = &unit.manifest;
        self.writers.0.any_before(&manifest.writes, rank) || self.writers.0.any_before(&manifest.reads, rank)
    }

    /// All of those, by place. Costs as much as there are.
    pub fn open_hazards(&self, unit: &Unit) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let Some(&rank) = self.rank.get(unit.position).filter(|_| unit.runs && !unit.claims_all()) else { return found };
        for set in [&unit.manifest.writes, &unit.manifest.reads] {
            let _ = self.writers.0.meeting(set, |earlier| {
                if earlier < rank {
                    found.insert(self.order[earlier]);
                }
                ControlFlow::<()>::Continue(())
            });
        }
        found
    }

    /// Whether nobody else holds what this unit would hold.
    pub fn hold_is_free(&self, unit: &Unit) -> bool {
        let is_alone = |holders: &BTreeSet<usize>| holders.iter().all(|holder| *holder == unit.position);
        if unit.claims_all() {
            return is_alone(&self.holders);
        }
        is_alone(&self.holders_all) && !self.held.0.any_meeting(&unit.manifest.writes, unit.position)
    }

    /// Remaining critical path of every unit, over dependencies and hazards.
    pub(crate) fn measure(&mut self, units: &[Arc<Unit>], learned: &BTreeMap<(BackendName, UnitType), Learned>) {
        let mut after = vec![0_u64; units.len()];
        let (mut after_any, mut after_exclusive) = (0, 0);
        // Later units by what they read and write, as far as none between stands for them: whoever writes a path waits for all before that touch it.
        let mut later: PathIndex<usize> = PathIndex::default();
        self.remaining_ms = vec![0; units.len()];
        for (rank, &at) in self.order.iter().enumerate().rev() {
            let unit = &units[at];
            if unit.is_settled_for_others() {
                continue;
            }
            let chain = if unit.claims_all() {
                after_any
            } else {
                let mut chain = after[at].max(after_exclusive);
                let _ = later.meeting(&unit.manifest.writes, |rank| {
                    chain = chain.max(self.remaining_ms[self.order[rank]]);
                    ControlFlow::<()>::Continue(())
                });
                chain
            };
            let remaining = estimate_ms(unit, learned).saturating_add(chain);
            self.remaining_ms[at] = remaining;
            after_any = after_any.max(remaining);
            if unit.claims_all() {
                after_exclusive = after_exclusive.max(remaining);
            } else {
                later.insert(rank, &unit.manifest.reads);
                later.insert_over(rank, &unit.manifest.writes);
            }
            for &earlier in &self.needs[at] {
                after[earlier] = after[earlier].max(remaining);
            }
        }
        self.measured = learned.iter().filter_map(|(kind, learned)| Some((kind.clone(), learned.mean_ms()?))).collect();
    }

    /// The same, if what was learned since makes a difference.
    pub(crate) fn measure_anew(&mut self, units: &[Arc<Unit>], learned: &BTreeMap<(BackendName, UnitType), Learned>) {
        let is_new = |(kind, learned): (&(BackendName, UnitType), &Learned)| {
            let mean = learned.mean_ms().unwrap_or(0);
            self.measured.get(kind).is_none_or(|before| mean.abs_diff(*before) > before / LEARNED_ANEW)
        };
        if learned.iter().any(is_new) {
            self.measure(units, learned);
        }
    }

    /// Puts a unit where it belongs, or takes it out. It has the manifest with which it was put in.
    fn enter(&mut self, at: usize, unit: &Unit, is_unfinished: bool, holds: bool) {
        let (rank, writes, all) = (self.rank[at], &unit.manifest.writes, unit.claims_all());
        let was = self.unfinished.contains(&rank) && !self.unfinished_all.contains(&rank);
        match (was, is_unfinished && !all) {
            (false, true) => self.writers.0.insert(rank, writes),
            (true, false) => self.writers.0.remove(rank, writes),
            _ => {}
        }
        let was = self.holders.contains(&at) && !self.holders_all.contains(&at);
        match (was, holds && !all) {
            (false, true) => self.held.0.insert(at, writes),
            (true, false) => self.held.0.remove(at, writes),
            _ => {}
        }
        set(&mut self.unfinished, rank, is_unfinished);
        set(&mut self.unfinished_all, rank, is_unfinished && all);
        set(&mut self.begun, rank, is_unfinished && unit.state != UnitState::NotStarted);
        set(&mut self.holders, at, holds);
        set(&mut self.holders_all, at, holds && all);
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
