//! Index of a run's plan: order, who writes where, what is unfinished, remaining critical path. Kept by the fold beside the facts it is made of; the
//! scheduler's questions are answered from it, and a test compares them with the naive derivation.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use roundtable_shared::manifest::{ConflictingIds, PathIndex, PathSet};
use roundtable_shared::{BackendName, HazardRule, UnitId, UnitState, UnitType};
use serde::{Deserialize, Serialize};

use super::Learned;
use super::places::Places;
use super::unit::Unit;
use crate::planted::{Bug, planted};
use crate::shared::List;

/// A guess for a unit nobody has measured: so long per line of details, and as much again for what every unit takes.
const GUESS_PER_DETAIL_MS: u64 = 60_000;
/// A learned duration counts anew for the critical path once it differs by more than one in so many from the one that counted before. The path decides the
/// order of what is ready and nothing else, and to measure the whole plan with each unit would cost more than all else: so what is left out, and what
/// manifests gain and lose on the way, counts from the next time on.
const LEARNED_ANEW: u64 = 10;

/// Who writes where.
#[derive(Clone, Debug, Default)]
pub struct Writers(PathIndex<usize>);

impl Writers {
    /// The units by what they write, each by the number its table is kept by.
    pub(crate) fn paths(&self) -> &PathIndex<usize> {
        &self.0
    }
}

/// Order and hazards of a run. Units are named by their place in the document, or by their rank: their place in `order`. What seldom changes is shared by
/// copies, and what they are asked for by name alone is made again for a copy that is asked (`lookup`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Plan order: places in the document.
    pub order: Arc<Vec<usize>>,
    /// Place of each unit in `order`.
    pub rank: Arc<Vec<usize>>,
    /// Per unit: explicit and checkpoint dependencies that run.
    pub needs: Arc<Vec<Vec<usize>>>,
    /// Ranks of units that run and have not come to their end.
    pub unfinished: Places,
    /// Of those, units that count as reading and writing everything.
    pub unfinished_all: Places,
    /// Of the unfinished, those that are in another state than `not_started`; one whose first turn has failed is in that state again.
    pub begun: Places,
    /// Of those, the ones that do not stand in the integration queue: however long that is, what is looked for among units is looked for among these.
    pub active: Places,
    /// Places of units that hold their writes.
    pub holders: Places,
    /// Of those, units that hold everything.
    pub holders_all: Places,
    /// Whether units wait for earlier ones that write what they touch.
    pub is_ordered: bool,
    /// Per unit: milliseconds from its start to the end of the longest chain that waits for it, when that was last measured.
    pub remaining_ms: Arc<Vec<u64>>,
    /// The means that `remaining_ms` rests on.
    pub measured: Arc<BTreeMap<(BackendName, UnitType), u64>>,
    #[serde(skip)]
    kept: Kept,
}

/// A lookup as long as it is kept by the fold: a copy of a plan makes its own when it is first asked. It follows from the rest of the plan and the units, but
/// for which of several others a unit is noted to wait for, which depends on when it was made: so plans are equal where the rest is.
#[derive(Debug, Default)]
struct Kept(OnceLock<Box<Lookup>>);

impl Clone for Kept {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Kept {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Kept {}

/// Who writes what, and who can be begun: what the scheduler finds units by.
#[derive(Debug, Default)]
pub struct Lookup {
    /// What the unfinished write, by rank; those that write everything aside.
    pub writers: Writers,
    /// What holders write, by place; those that hold everything aside.
    pub held: Writers,
    /// Units that wait for no other by order, as far as is known of them: all that can be begun are among these. By what they need of a worker.
    pub startable: BTreeMap<WorkKind, BTreeSet<PlaceInLine>>,
    /// Per unit that is not startable: one that it waits for.
    pub waits_on: Vec<Option<usize>>,
    /// Per unit: those that may wait for it, to be looked at again when that changes.
    pub waiters: Vec<Vec<usize>>,
    /// Per unit that is startable: the chain by which it stands in its line.
    pub in_line: Vec<Option<u64>>,
    /// The integration queue: numbers of final review, and ranks.
    pub queue: BTreeSet<(u64, usize)>,
    /// Per unit that stands in it: its number there.
    pub in_queue: Vec<Option<u64>>,
}

/// What units need of the worker that begins them: those of one kind are begun wherever one of them is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
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
    pub fn build(units: &List<Unit>, order: Vec<usize>, hazards: HazardRule, learned: &BTreeMap<(BackendName, UnitType), Learned>) -> Self {
        let mut rank = vec![0; units.len()];
        for (place_in_order, at) in order.iter().enumerate() {
            rank[*at] = place_in_order;
        }
        let places: BTreeMap<&UnitId, usize> = units.iter().enumerate().map(|(at, unit)| (&unit.id, at)).collect();
        let needs = |unit: &Unit| {
            let named = unit.assignment.depends_on.iter().chain(&unit.spec.checkpoint_on).filter_map(|id| places.get(id).copied());
            let forgotten = |at: &usize| planted(Bug::CheckpointForgotten) && unit.spec.checkpoint_on.contains(&units[*at].id);
            named.filter(|at| units[*at].spec.runs && !forgotten(at)).collect()
        };
        let mut plan = Self {
            order: Arc::new(order),
            rank: Arc::new(rank),
            needs: Arc::new(units.iter().map(needs).collect()),
            is_ordered: hazards == HazardRule::Ordered,
            ..Self::default()
        };
        for (at, unit) in units.iter().enumerate() {
            plan.enter(at, unit, !unit.is_settled_for_others(), unit.holds());
        }
        plan.measure(units, learned);
        plan.lookup(units);
        plan
    }

    /// Whether a plan that was read is one of so many units; else it is of no use.
    pub(super) fn is_of(&self, count: usize) -> bool {
        let lists = [self.order.len(), self.rank.len(), self.needs.len(), self.remaining_ms.len()];
        let sets = [&self.unfinished, &self.unfinished_all, &self.begun, &self.active, &self.holders, &self.holders_all];
        let mut named = self.order.iter().chain(self.rank.iter()).chain(self.needs.iter().flatten());
        lists.iter().all(|len| *len == count)
            && named.all(|at| *at < count)
            && sets.iter().all(|set| set.iter().next_back().is_none_or(|last| last < count))
    }

    /// What the scheduler finds units by. At hand in the plan that the fold keeps; a copy makes it when it is first asked, which costs as much as there are
    /// units. `units`: those of its run.
    pub fn lookup(&self, units: &List<Unit>) -> &Lookup {
        self.kept.0.get_or_init(|| Box::new(Lookup::of(self, units)))
    }

    /// The same, to be spoiled: for simulations.
    pub fn lookup_mut(&mut self, units: &List<Unit>) -> &mut Lookup {
        self.lookup(units);
        self.kept.0.get_mut().expect("it was made just now")
    }

    /// A unit depends on one more, which comes before it.
    pub(crate) fn need(&mut self, units: &List<Unit>, at: usize, on: usize) {
        if units[on].spec.runs && !self.needs[at].contains(&on) && !planted(Bug::FoundDependencyForgotten) {
            Arc::make_mut(&mut self.needs)[at].push(on);
        }
    }

    /// A unit's manifest is about to change: it is taken out, as it is now, until `note` puts it in again.
    pub(crate) fn leave(&mut self, at: usize, unit: &Unit) {
        self.enter(at, unit, false, false);
        if let Some(lookup) = self.kept.0.get_mut() {
            lookup.step_out(at, self.rank[at], unit);
        }
    }

    /// A unit's state has changed, or it is put in again.
    pub(crate) fn note(&mut self, units: &List<Unit>, at: usize) {
        let unit = &units[at];
        self.enter(at, unit, !unit.is_settled_for_others(), unit.holds() && !planted(Bug::HoldersUnindexed));
        self.with_lookup(|plan, lookup| {
            lookup.line_up(plan, units, at);
            if unit.is_settled_for_others() {
                lookup.wake(plan, units, at);
            }
        });
    }

    /// Those that wait for a unit may do so no more: it has come to its end, or its manifest has changed.
    pub(crate) fn wake(&mut self, units: &List<Unit>, at: usize) {
        self.with_lookup(|plan, lookup| lookup.wake(plan, units, at));
    }

    /// Changes the lookup, if there is one to be kept.
    fn with_lookup(&mut self, change: impl FnOnce(&Self, &mut Lookup)) {
        if let Some(mut lookup) = self.kept.0.take() {
            change(self, &mut lookup);
            self.kept = Kept(OnceLock::from(lookup));
        }
    }

    /// Units that can be begun as far as order goes, in no order.
    pub fn all_startable(&self, units: &List<Unit>) -> impl Iterator<Item = usize> {
        self.lookup(units).startable.values().flatten().map(|(_, rank)| self.order[*rank])
    }

    /// How many units have not been begun, startable or not.
    pub fn to_begin(&self) -> usize {
        self.unfinished.len() - self.begun.len()
    }

    /// Whether an earlier unit that is not at its end writes what this one reads or writes. Units without a manifest are no part of this: they stand
    /// in `unfinished_all`.
    pub fn has_open_hazard(&self, units: &List<Unit>, unit: &Unit) -> bool {
        let Some(&rank) = self.rank.get(unit.spec.position).filter(|_| unit.spec.runs && !unit.claims_all()) else { return false };
        let (manifest, writers) = (&unit.assignment.manifest, &self.lookup(units).writers.0);
        writers.any_before(&manifest.writes, rank) || writers.any_before(&manifest.reads, rank)
    }

    /// Those by rank, the nearest first. Costs as much as are taken, and can say how many there are.
    pub fn nearest_hazards(&self, units: &List<Unit>, unit: &Unit) -> ConflictingIds<'_, usize> {
        let manifest = &unit.assignment.manifest;
        match self.rank.get(unit.spec.position).filter(|_| unit.spec.runs && !unit.claims_all()) {
            Some(&rank) => self.lookup(units).writers.0.conflicting_before(&[&manifest.writes, &manifest.reads], rank),
            None => ConflictingIds::default(),
        }
    }

    /// Whether one of those, by place, is what is looked for: the earlier ones of each path are asked about first, and none after the first that is.
    pub fn any_open_hazard(&self, units: &List<Unit>, unit: &Unit, mut is_it: impl FnMut(usize) -> bool) -> bool {
        let Some(&rank) = self.rank.get(unit.spec.position).filter(|_| unit.spec.runs && !unit.claims_all()) else { return false };
        [&unit.assignment.manifest.writes, &unit.assignment.manifest.reads].into_iter().any(|set| {
            let look = |earlier: usize| if is_it(self.order[earlier]) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            self.lookup(units).writers.0.meeting_before(set, rank, look).is_break()
        })
    }

    /// Whether nobody else holds what this unit would hold.
    pub fn hold_is_free(&self, units: &List<Unit>, unit: &Unit) -> bool {
        let is_alone = |holders: &Places| holders.iter().all(|holder| holder == unit.spec.position);
        if unit.claims_all() {
            return is_alone(&self.holders);
        }
        is_alone(&self.holders_all) && !self.lookup(units).held.0.any_meeting(&unit.assignment.manifest.writes, unit.spec.position)
    }

    /// Remaining critical path of every unit, over dependencies and hazards.
    pub(crate) fn measure(&mut self, units: &List<Unit>, learned: &BTreeMap<(BackendName, UnitType), Learned>) {
        let mut after = vec![0_u64; units.len()];
        let (mut after_any, mut after_exclusive) = (0, 0);
        // Remaining chains of later units by what these read and write, as far as none between stands for them: whoever writes a path waits for all before
        // that touch it.
        let mut later: PathIndex<(u64, usize)> = PathIndex::default();
        let mut remaining_ms = vec![0; units.len()];
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
            remaining_ms[at] = remaining;
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
        self.remaining_ms = Arc::new(remaining_ms);
        self.with_lookup(|plan, lookup| lookup.line_up_anew(plan));
        self.measured = Arc::new(learned.iter().filter_map(|(kind, learned)| Some((kind.clone(), learned.mean_ms()?))).collect());
    }

    /// The same, if what was learned since makes a difference.
    pub(crate) fn measure_anew(&mut self, units: &List<Unit>, learned: &BTreeMap<(BackendName, UnitType), Learned>) {
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
        if let Some(lookup) = self.kept.0.get_mut() {
            let was_unfinished = self.unfinished.contains(rank) && !self.unfinished_all.contains(rank);
            lookup.writers.note(rank, writes, was_unfinished, is_unfinished && !all);
            let held = self.holders.contains(at) && !self.holders_all.contains(at);
            lookup.held.note(at, writes, held, holds && !all);
        }
        self.unfinished.set(rank, is_unfinished);
        self.unfinished_all.set(rank, is_unfinished && all);
        let is_begun = is_unfinished && unit.state() != UnitState::NotStarted;
        self.begun.set(rank, is_begun);
        self.active.set(rank, is_begun && unit.in_queue().is_none());
        self.holders.set(at, holds);
        self.holders_all.set(at, holds && all);
    }
}

impl Writers {
    fn note(&mut self, id: usize, writes: &PathSet, was_in: bool, is_in: bool) {
        match (was_in, is_in) {
            (false, true) => self.0.insert(id, writes),
            (true, false) => self.0.remove(id, writes),
            _ => {}
        }
    }
}

impl Lookup {
    fn of(plan: &Plan, units: &List<Unit>) -> Self {
        let mut lookup = Self {
            waits_on: vec![None; units.len()],
            waiters: vec![Vec::new(); units.len()],
            in_line: vec![None; units.len()],
            in_queue: vec![None; units.len()],
            ..Self::default()
        };
        for rank in plan.unfinished.iter().filter(|rank| !plan.unfinished_all.contains(*rank)) {
            lookup.writers.note(rank, &units[plan.order[rank]].assignment.manifest.writes, false, true);
        }
        for at in plan.holders.iter().filter(|at| !plan.holders_all.contains(*at)) {
            lookup.held.note(at, &units[at].assignment.manifest.writes, false, true);
        }
        for at in 0..units.len() {
            lookup.line_up(plan, units, at);
        }
        lookup
    }

    fn wake(&mut self, plan: &Plan, units: &List<Unit>, at: usize) {
        for waiter in std::mem::take(&mut self.waiters[at]) {
            if self.waits_on[waiter] == Some(at) {
                self.line_up(plan, units, waiter);
            }
        }
    }

    /// Finds out whether the unit waits for another before it can be begun, and notes that or puts it in line. Others are not looked at again until what
    /// this one waits for changes: whatever it waits for, it cannot be begun meanwhile.
    fn line_up(&mut self, plan: &Plan, units: &List<Unit>, at: usize) {
        let unit = &units[at];
        self.step_out(at, plan.rank[at], unit);
        self.in_queue[at] = unit.in_queue();
        self.queue.extend(self.in_queue[at].map(|number| (number, plan.rank[at])));
        if unit.is_settled_for_others() || unit.state() != UnitState::NotStarted {
            return;
        }
        match self.waits_for(plan, units, at) {
            Some(on) => {
                self.waits_on[at] = Some(on);
                self.waiters[on].push(at);
            }
            None => {
                let remaining = plan.remaining_ms[at];
                self.in_line[at] = Some(remaining);
                self.startable.entry(WorkKind::of(unit)).or_default().insert((Reverse(remaining), plan.rank[at]));
            }
        }
    }

    fn step_out(&mut self, at: usize, rank: usize, unit: &Unit) {
        self.waits_on[at] = None;
        if let Some(number) = self.in_queue[at].take() {
            self.queue.remove(&(number, rank));
        }
        let Some(remaining) = self.in_line[at].take() else { return };
        let kind = WorkKind::of(unit);
        if let Some(line) = self.startable.get_mut(&kind) {
            line.remove(&(Reverse(remaining), rank));
            if line.is_empty() {
                self.startable.remove(&kind);
            }
        }
    }

    /// A unit that this one has to wait for before it can be begun, if there is one: of those it meets the nearest before it, of those it depends on the last
    /// named, so that few are looked at again whenever one comes to its end. Asks what the gates ask (`schedule::ready`), holds and time aside.
    fn waits_for(&self, plan: &Plan, units: &List<Unit>, at: usize) -> Option<usize> {
        let (unit, rank) = (&units[at], plan.rank[at]);
        let needed = plan.needs[at].iter().copied().rfind(|on| !units[*on].is_settled_for_others());
        if let Some(on) = needed.filter(|_| !planted(Bug::DependencyForgotten)) {
            return Some(on);
        }
        if unit.work.started || !plan.is_ordered {
            return None;
        }
        let exclusive = if unit.claims_all() { &plan.unfinished } else { &plan.unfinished_all };
        let exclusive = exclusive.before(rank).next_back().filter(|_| !planted(Bug::ExclusiveForgotten));
        let hazard = || {
            let writers = &self.writers.0;
            writers
                .nearest_before(&unit.assignment.manifest.writes, rank)
                .max(writers.nearest_before(&unit.assignment.manifest.reads, rank))
        };
        let nearest = exclusive.or_else(|| if unit.claims_all() || planted(Bug::HazardForgotten) { None } else { hazard() });
        nearest.map(|rank| plan.order[rank])
    }

    /// Lines are by the chains that were measured.
    fn line_up_anew(&mut self, plan: &Plan) {
        for (kind, line) in std::mem::take(&mut self.startable) {
            let line = line.into_iter().map(|(_, rank)| {
                let at = plan.order[rank];
                self.in_line[at] = Some(plan.remaining_ms[at]);
                (Reverse(plan.remaining_ms[at]), rank)
            });
            self.startable.insert(kind, line.collect());
        }
    }
}

/// How long a unit will take: what was learned of its backend and kind, else a guess from its details.
fn estimate_ms(unit: &Unit, learned: &BTreeMap<(BackendName, UnitType), Learned>) -> u64 {
    let owner = unit.assignment.owner.as_ref().and_then(|owner| learned.get(&(owner.clone(), unit.assignment.unit_type)));
    owner
        .and_then(Learned::mean_ms)
        .unwrap_or_else(|| (u64::from(unit.spec.details) + unit.spec.subtasks.len() as u64).max(1) * GUESS_PER_DETAIL_MS)
}
