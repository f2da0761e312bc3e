//! Index of a run's plan: order, who writes where, what is unfinished, remaining critical path. Kept by the fold beside the facts it is made of; the
//! scheduler's questions are answered from it, and a test compares them with the naive derivation.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use roundtable_shared::manifest::{ConflictingIds, PathIndex, PathSet};
use roundtable_shared::{BackendName, HazardRule, UnitId, UnitState, UnitType};
use serde::{Deserialize, Serialize};

use super::Learned;
use super::unit::Unit;
use crate::planted::{Bug, planted};

/// A guess for a unit nobody has measured: so long per line of details, and as much again for what every unit takes.
const GUESS_PER_DETAIL_MS: u64 = 60_000;
/// A learned duration counts anew for the critical path once it differs by more than one in so many from the one that counted before. The path decides the
/// order of what is ready and nothing else, and to measure the whole plan with each unit would cost more than all else: so what is left out, and what
/// manifests gain and lose on the way, counts from the next time on.
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
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
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
    /// Of the unfinished, those that are in another state than `not_started`; one whose first turn has failed is in that state again.
    pub begun: BTreeSet<usize>,
    /// Places of units that hold their writes.
    pub holders: BTreeSet<usize>,
    /// Of those, units that hold everything.
    pub holders_all: BTreeSet<usize>,
    /// What the unfinished write, by rank; those that write everything aside.
    #[serde(skip)]
    pub writers: Writers,
    /// What holders write, by place; those that hold everything aside.
    #[serde(skip)]
    pub held: Writers,
    /// Units that wait for no other by order, as far as is known of them: all that can be begun are among these. By what they need of a worker.
    pub startable: BTreeMap<WorkKind, BTreeSet<PlaceInLine>>,
    /// Per unit that is not startable: one that it waits for.
    pub waits_on: Vec<Option<usize>>,
    /// Per unit: those that may wait for it, to be looked at again when that changes.
    pub waiters: Vec<Vec<usize>>,
    /// Per unit that is startable: the chain by which it stands in its line.
    pub in_line: Vec<Option<u64>>,
    /// Whether units wait for earlier ones that write what they touch.
    pub is_ordered: bool,
    /// Per unit: milliseconds from its start to the end of the longest chain that waits for it, when that was last measured.
    pub remaining_ms: Vec<u64>,
    /// The means that `remaining_ms` rests on.
    pub measured: BTreeMap<(BackendName, UnitType), u64>,
}

/// What units need of the worker that begins them: those of one kind are begun wherever one of them is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct WorkKind {
    /// Who is to do it.
    pub owner: Option<BackendName>,
    /// Decides who may stand in.
    pub unit_type: UnitType,
    /// Labels its worker must have.
    pub requires: Vec<String>,
}

/// A unit's place in the line of those that can be begun: the longest remaining chain first, then its rank.
pub type PlaceInLine = (Reverse<u64>, usize);

impl WorkKind {
    fn of(unit: &Unit) -> Self {
        Self { owner: unit.assignment.owner.clone(), unit_type: unit.assignment.unit_type, requires: unit.assignment.requires.clone() }
    }
}

impl Plan {
    /// The plan of these units in that order.
    pub fn build(
        units: &[Arc<Unit>],
        order: Vec<usize>,
        hazards: HazardRule,
        learned: &BTreeMap<(BackendName, UnitType), Learned>,
    ) -> Self {
        let mut plan = Self {
            order,
            rank: vec![0; units.len()],
            waits_on: vec![None; units.len()],
            waiters: vec![Vec::new(); units.len()],
            in_line: vec![None; units.len()],
            is_ordered: hazards == HazardRule::Ordered,
            ..Self::default()
        };
        for (rank, at) in plan.order.iter().enumerate() {
            plan.rank[*at] = rank;
        }
        let places: BTreeMap<&UnitId, usize> = units.iter().enumerate().map(|(at, unit)| (&unit.id, at)).collect();
        plan.needs = units
            .iter()
            .map(|unit| {
                let named = unit.assignment.depends_on.iter().chain(&unit.spec.checkpoint_on).filter_map(|id| places.get(id).copied());
                let forgotten = |at: &usize| planted(Bug::CheckpointForgotten) && unit.spec.checkpoint_on.contains(&units[*at].id);
                named.filter(|at| units[*at].spec.runs && !forgotten(at)).collect()
            })
            .collect();
        for (at, unit) in units.iter().enumerate() {
            plan.enter(at, unit, !unit.is_settled_for_others(), unit.holds());
        }
        plan.measure(units, learned);
        for at in 0..units.len() {
            plan.line_up(units, at);
        }
        plan
    }

    /// Makes who writes where anew, for a plan that was read without it. False if the plan is none of these units: then it is of no use.
    pub(super) fn index_paths(&mut self, units: &[Arc<Unit>]) -> bool {
        let count = units.len();
        let lists = [self.order.len(), self.rank.len(), self.needs.len(), self.waits_on.len(), self.waiters.len(), self.in_line.len()];
        let sets = [&self.unfinished, &self.unfinished_all, &self.begun, &self.holders, &self.holders_all];
        let named = self.needs.iter().chain(&self.waiters).flatten().chain(self.waits_on.iter().flatten());
        let in_line = self.startable.values().flatten().map(|(_, rank)| rank);
        let is_whole = lists.iter().chain([&self.remaining_ms.len()]).all(|len| *len == count)
            && self.order.iter().chain(&self.rank).chain(sets.into_iter().flatten()).chain(named).chain(in_line).all(|at| *at < count);
        if !is_whole {
            return false;
        }
        for &rank in self.unfinished.difference(&self.unfinished_all) {
            self.writers.0.insert(rank, &units[self.order[rank]].assignment.manifest.writes);
        }
        for &at in self.holders.difference(&self.holders_all) {
            self.held.0.insert(at, &units[at].assignment.manifest.writes);
        }
        true
    }

    /// A unit depends on one more, which comes before it.
    pub(crate) fn need(&mut self, units: &[Arc<Unit>], at: usize, on: usize) {
        if units[on].spec.runs && !self.needs[at].contains(&on) && !planted(Bug::FoundDependencyForgotten) {
            self.needs[at].push(on);
        }
    }

    /// A unit's manifest is about to change: it is taken out, as it is now, until `note` puts it in again.
    pub(crate) fn leave(&mut self, at: usize, unit: &Unit) {
        self.enter(at, unit, false, false);
        self.step_out(at, unit);
    }

    /// A unit's state has changed, or it is put in again.
    pub(crate) fn note(&mut self, units: &[Arc<Unit>], at: usize) {
        let unit = &units[at];
        self.enter(at, unit, !unit.is_settled_for_others(), unit.holds() && !planted(Bug::HoldersUnindexed));
        self.line_up(units, at);
        if unit.is_settled_for_others() {
            self.wake(units, at);
        }
    }

    /// Those that wait for a unit may do so no more: it has come to its end, or its manifest has changed.
    pub(crate) fn wake(&mut self, units: &[Arc<Unit>], at: usize) {
        for waiter in std::mem::take(&mut self.waiters[at]) {
            if self.waits_on[waiter] == Some(at) {
                self.line_up(units, waiter);
            }
        }
    }

    /// Units that can be begun as far as order goes, in no order.
    pub fn all_startable(&self) -> impl Iterator<Item = usize> {
        self.startable.values().flatten().map(|(_, rank)| self.order[*rank])
    }

    /// How many units have not been begun, startable or not.
    pub fn to_begin(&self) -> usize {
        self.unfinished.len() - self.begun.len()
    }

    /// Finds out whether the unit waits for another before it can be begun, and notes that or puts it in line. Others are not looked at again until what
    /// this one waits for changes: whatever it waits for, it cannot be begun meanwhile.
    fn line_up(&mut self, units: &[Arc<Unit>], at: usize) {
        let unit = &units[at];
        self.step_out(at, unit);
        if unit.is_settled_for_others() || unit.state() != UnitState::NotStarted {
            return;
        }
        match self.waits_for(units, at) {
            Some(on) => {
                self.waits_on[at] = Some(on);
                self.waiters[on].push(at);
            }
            None => {
                let remaining = self.remaining_ms[at];
                self.in_line[at] = Some(remaining);
                self.startable.entry(WorkKind::of(unit)).or_default().insert((Reverse(remaining), self.rank[at]));
            }
        }
    }

    fn step_out(&mut self, at: usize, unit: &Unit) {
        self.waits_on[at] = None;
        let Some(remaining) = self.in_line[at].take() else { return };
        let kind = WorkKind::of(unit);
        if let Some(line) = self.startable.get_mut(&kind) {
            line.remove(&(Reverse(remaining), self.rank[at]));
            if line.is_empty() {
                self.startable.remove(&kind);
            }
        }
    }

    /// A unit that this one has to wait for before it can be begun, if there is one: of those it meets the nearest before it, of those it depends on the last
    /// named, so that few are looked at again whenever one comes to its end. Asks what the gates ask (`schedule::ready`), holds and time aside.
    fn waits_for(&self, units: &[Arc<Unit>], at: usize) -> Option<usize> {
        let (unit, rank) = (&units[at], self.rank[at]);
        let needed = self.needs[at].iter().copied().rfind(|on| !units[*on].is_settled_for_others());
        if let Some(on) = needed.filter(|_| !planted(Bug::DependencyForgotten)) {
            return Some(on);
        }
        if unit.work.started || !self.is_ordered {
            return None;
        }
        let exclusive = if unit.claims_all() { &self.unfinished } else { &self.unfinished_all };
        let exclusive = exclusive.range(..rank).next_back().filter(|_| !planted(Bug::ExclusiveForgotten));
        let hazard = || {
            let writers = &self.writers.0;
            writers
                .nearest_before(&unit.assignment.manifest.writes, rank)
                .max(writers.nearest_before(&unit.assignment.manifest.reads, rank))
        };
        let nearest = exclusive.copied().or_else(|| if unit.claims_all() || planted(Bug::HazardForgotten) { None } else { hazard() });
        nearest.map(|rank| self.order[rank])
    }

    /// Lines are by the chains that were measured.
    fn line_up_anew(&mut self) {
        for (kind, line) in std::mem::take(&mut self.startable) {
            let line = line.into_iter().map(|(_, rank)| {
                let at = self.order[rank];
                self.in_line[at] = Some(self.remaining_ms[at]);
                (Reverse(self.remaining_ms[at]), rank)
            });
            self.startable.insert(kind, line.collect());
        }
    }

    /// Whether an earlier unit that is not at its end writes what this one reads or writes. Units without a manifest are no part of this: they stand
    /// in `unfinished_all`.
    pub fn has_open_hazard(&self, unit: &Unit) -> bool {
        let Some(&rank) = self.rank.get(unit.spec.position).filter(|_| unit.spec.runs && !unit.claims_all()) else { return false };
        let manifest = &unit.assignment.manifest;
        self.writers.0.any_before(&manifest.writes, rank) || self.writers.0.any_before(&manifest.reads, rank)
    }

    /// All of those, by place. Costs as much as there are.
    pub fn open_hazards(&self, unit: &Unit) -> BTreeSet<usize> {
        self.nearest_hazards(unit).map(|rank| self.order[rank]).collect()
    }

    /// Those by rank, the nearest first. Costs as much as are taken, and can say how many there are.
    pub fn nearest_hazards(&self, unit: &Unit) -> ConflictingIds<'_, usize> {
        let manifest = &unit.assignment.manifest;
        match self.rank.get(unit.spec.position).filter(|_| unit.spec.runs && !unit.claims_all()) {
            Some(&rank) => self.writers.0.conflicting_before(&[&manifest.writes, &manifest.reads], rank),
            None => ConflictingIds::default(),
        }
    }

    /// Whether one of those, by place, is what is looked for: the earlier ones of each path are asked about first, and none after the first that is.
    pub fn any_open_hazard(&self, unit: &Unit, mut is_it: impl FnMut(usize) -> bool) -> bool {
        let Some(&rank) = self.rank.get(unit.spec.position).filter(|_| unit.spec.runs && !unit.claims_all()) else { return false };
        [&unit.assignment.manifest.writes, &unit.assignment.manifest.reads].into_iter().any(|set| {
            let look = |earlier: usize| if is_it(self.order[earlier]) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            self.writers.0.meeting_before(set, rank, look).is_break()
        })
    }

    /// Some of those, by place: `most` at most, the first in plan order; and how many there are, where there are very many at least. Costs what is asked
    /// for and not what is there.
    pub fn some_open_hazards(&self, unit: &Unit, most: usize) -> (BTreeSet<usize>, usize) {
        let Some(&rank) = self.rank.get(unit.spec.position).filter(|_| unit.spec.runs && !unit.claims_all()) else {
            return (BTreeSet::new(), 0);
        };
        let of = |set: &PathSet| self.writers.0.some_before(set, rank, most);
        let ((mut some, written), (read, count)) = (of(&unit.assignment.manifest.writes), of(&unit.assignment.manifest.reads));
        some.extend(read);
        let count = count.max(written).max(some.len());
        (some.into_iter().take(most).map(|rank| self.order[rank]).collect(), count)
    }

    /// Some of the others that hold what this unit would hold, by place: `most` at most; and how many there are, where there are very many at least.
    pub fn some_holders(&self, unit: &Unit, most: usize) -> (BTreeSet<usize>, usize) {
        let others = |holders: &BTreeSet<usize>| -> (BTreeSet<usize>, usize) {
            let others = holders.iter().filter(|at| **at != unit.spec.position).take(most).copied().collect();
            (others, holders.len() - usize::from(holders.contains(&unit.spec.position)))
        };
        if unit.claims_all() {
            return others(&self.holders);
        }
        let (mut some, all) = others(&self.holders_all);
        let (mut of_paths, mut count) = self.held.0.some_before(&unit.assignment.manifest.writes, usize::MAX, most.saturating_add(1));
        of_paths.remove(&unit.spec.position);
        count -= usize::from(count > 0 && self.holders.contains(&unit.spec.position));
        let count = all + count.max(of_paths.len());
        some.extend(of_paths);
        (some.into_iter().take(most).collect(), count)
    }

    /// Whether nobody else holds what this unit would hold.
    pub fn hold_is_free(&self, unit: &Unit) -> bool {
        let is_alone = |holders: &BTreeSet<usize>| holders.iter().all(|holder| *holder == unit.spec.position);
        if unit.claims_all() {
            return is_alone(&self.holders);
        }
        is_alone(&self.holders_all) && !self.held.0.any_meeting(&unit.assignment.manifest.writes, unit.spec.position)
    }

    /// Remaining critical path of every unit, over dependencies and hazards.
    pub(crate) fn measure(&mut self, units: &[Arc<Unit>], learned: &BTreeMap<(BackendName, UnitType), Learned>) {
        let mut after = vec![0_u64; units.len()];
        let (mut after_any, mut after_exclusive) = (0, 0);
        // Remaining chains of later units by what these read and write, as far as none between stands for them: whoever writes a path waits for all before
        // that touch it.
        let mut later: PathIndex<(u64, usize)> = PathIndex::default();
        self.remaining_ms = vec![0; units.len()];
        for (rank, &at) in self.order.iter().enumerate().rev() {
            let unit = &units[at];
            if unit.is_settled_for_others() {
                continue;
            }
            let chain = if unit.claims_all() {
                after_any
            } else {
                let longest = later.highest(&unit.assignment.manifest.writes).map_or(0, |(remaining, _)| remaining);
                after[at].max(after_exclusive).max(longest)
            };
            let remaining = estimate_ms(unit, learned).saturating_add(chain);
            self.remaining_ms[at] = remaining;
            after_any = after_any.max(remaining);
            if unit.claims_all() {
                after_exclusive = after_exclusive.max(remaining);
            } else {
                later.insert((remaining, rank), &unit.assignment.manifest.reads);
                later.insert_over((remaining, rank), &unit.assignment.manifest.writes);
            }
            for &earlier in &self.needs[at] {
                after[earlier] = after[earlier].max(remaining);
            }
        }
        self.line_up_anew();
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
        let (rank, writes, all) = (self.rank[at], &unit.assignment.manifest.writes, unit.claims_all());
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
        set(&mut self.begun, rank, is_unfinished && unit.state() != UnitState::NotStarted);
        set(&mut self.holders, at, holds);
        set(&mut self.holders_all, at, holds && all);
    }
}

/// How long a unit will take: what was learned of its backend and kind, else a guess from its details.
fn estimate_ms(unit: &Unit, learned: &BTreeMap<(BackendName, UnitType), Learned>) -> u64 {
    let owner = unit.assignment.owner.as_ref().and_then(|owner| learned.get(&(owner.clone(), unit.assignment.unit_type)));
    owner
        .and_then(Learned::mean_ms)
        .unwrap_or_else(|| (u64::from(unit.spec.details) + unit.spec.subtasks.len() as u64).max(1) * GUESS_PER_DETAIL_MS)
}

fn set(set: &mut BTreeSet<usize>, item: usize, present: bool) {
    if present {
        set.insert(item);
    } else {
        set.remove(&item);
    }
}
