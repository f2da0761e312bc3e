//! A plan before anything runs: order, waves, what waits for what and why, the critical path. `orchctl plan` prints it; a run is scheduled by
//! the same index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roundtable_shared::manifest::Manifest;
use roundtable_shared::spec::{Plan as Outline, Unit as SpecUnit, select};
use roundtable_shared::{HazardRule, UnitId, UnitState};

use crate::schedule::ready::hazard_path;
use crate::state::{Plan, Unit};

/// Reasons to wait that are listed of a unit without leaving any out. Beyond it, those that follow from a listed one are, and then the earliest.
const WAITS_LISTED_MAX: usize = 256;

/// A plan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Planned {
    /// Units that run, in plan order.
    pub units: Vec<PlannedUnit>,
    /// Number of waves.
    pub waves: u32,
    /// Units of the critical path, first to last.
    pub critical_path: Vec<UnitId>,
}

/// A unit of a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedUnit {
    /// Its id.
    pub id: UnitId,
    /// Earliest wave it can run in, from 1.
    pub wave: u32,
    /// No manifest: counts as touching everything.
    pub exclusive: bool,
    /// What it waits for.
    pub waits_for: Vec<PlannedWait>,
    /// Further units it waits for that are not listed, being too many.
    pub waits_left_out: u32,
    /// How long it and what waits for it will take at least, by guess.
    pub remaining_ms: u64,
}

/// One reason to wait.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedWait {
    /// The earlier unit.
    pub unit: UnitId,
    /// Why.
    pub why: PlanReason,
    /// A path that causes a hazard; empty otherwise.
    pub path: String,
}

/// Why a unit waits for an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlanReason {
    /// It says so.
    Dependency,
    /// It is a checkpoint.
    Checkpoint,
    /// The earlier one writes what it reads or writes.
    Hazard,
    /// One of the two has no manifest.
    Exclusive,
}

impl PlanReason {
    /// The word of `plan --json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dependency => "dependency",
            Self::Checkpoint => "checkpoint",
            Self::Hazard => "hazard",
            Self::Exclusive => "exclusive",
        }
    }
}

/// Plans a spec as a run with these options would. `slots` bounds how many units a wave takes; `None` = no bound.
pub fn plan(
    outline: &Outline,
    with_optional: bool,
    only: &[String],
    hazards: HazardRule,
    ignore_case: bool,
    slots: Option<usize>,
) -> Planned {
    let selection = select(&outline.units, with_optional, only, "tasks.md");
    let needs: BTreeMap<&UnitId, &Vec<UnitId>> = selection.runs.iter().map(|unit| (&unit.id, &unit.depends_on)).collect();
    let units: Vec<Arc<Unit>> =
        outline.units.iter().enumerate().map(|(at, unit)| Arc::new(unit_of(at, unit, &needs, ignore_case))).collect();
    let places: BTreeMap<&UnitId, usize> = units.iter().enumerate().map(|(at, unit)| (&unit.id, at)).collect();
    let order = selection.runs.iter().filter_map(|unit| places.get(&unit.id).copied());
    let left_out = units.iter().filter(|unit| !unit.runs).map(|unit| unit.position);
    let index = Plan::build(&units, order.chain(left_out).collect(), hazards, &BTreeMap::new());
    let waits = Waits::find(&units, &index, hazards);
    let waves = waves(&units, &index, &waits.of, slots);
    let critical_path = critical_path(&units, &index, &waits.of);
    let runs = index.order.iter().filter(|at| units[**at].runs);
    let planned = runs.map(|&at| {
        let waits_for = waits.listed(&units, at);
        PlannedUnit {
            id: units[at].id.clone(),
            wave: waves[at],
            exclusive: units[at].exclusive,
            waits_left_out: u32::try_from(waits.count[at].saturating_sub(waits_for.len())).unwrap_or(u32::MAX),
            waits_for,
            remaining_ms: index.remaining_ms[at],
        }
    });
    Planned { units: planned.collect(), waves: waves.iter().copied().max().unwrap_or(0), critical_path }
}

fn unit_of(at: usize, unit: &SpecUnit, needs: &BTreeMap<&UnitId, &Vec<UnitId>>, ignore_case: bool) -> Unit {
    let on = needs.get(&unit.id);
    let (depends_on, checkpoint_on) = on.map(|on| on.iter().cloned().partition(|id| unit.depends_on.contains(id))).unwrap_or_default();
    let details: usize = unit.tasks.iter().map(|task| task.details.len()).sum();
    Unit {
        position: at,
        title: unit.title.clone(),
        checkpoint: unit.checkpoint,
        runs: on.is_some(),
        details: u32::try_from(details).unwrap_or(u32::MAX),
        depends_on,
        checkpoint_on,
        manifest: Manifest::new(&unit.writes, &unit.reads, ignore_case).unwrap_or_default(),
        exclusive: on.is_some() && unit.writes.is_empty() && unit.reads.is_empty(),
        state: UnitState::NotStarted,
        ..Unit::blank(unit.id.clone())
    }
}

/// Who waits for whom, and why.
struct Waits {
    /// By unit, in plan order of what is waited for. Of long lists, what follows from the rest is left out.
    of: Vec<Vec<(usize, PlanReason)>>,
    /// How many there are with those.
    count: Vec<usize>,
}

/// What is known of the units before one in plan order, by rank.
struct Before {
    /// Units that run.
    running: Vec<usize>,
    /// Of those, units that claim everything.
    claiming: Vec<usize>,
    /// Rank from which on there is no more of them.
    last_claiming: Vec<usize>,
}

impl Waits {
    fn find(units: &[Arc<Unit>], index: &Plan, hazards: HazardRule) -> Self {
        let before = Before::of(units, index);
        let mut waits = Self { of: vec![Vec::new(); units.len()], count: vec![0; units.len()] };
        // By rank: the units up to there are waited for by this one, directly or not.
        let mut floors = vec![0_usize; units.len()];
        for (rank, &at) in index.order.iter().enumerate() {
            if !units[at].runs {
                continue;
            }
            let (all, count) = waits_of(units, index, &before, at, hazards);
            waits.count[at] = count;
            waits.of[at] = if count > WAITS_LISTED_MAX { without_implied(all, index, &floors) } else { all };
            floors[rank] = floor_of(units, index, &floors, rank, &waits.of[at]);
        }
        waits
    }

    /// The reasons to show of a unit: the latest, if there are too many.
    fn listed(&self, units: &[Arc<Unit>], at: usize) -> Vec<PlannedWait> {
        let own = &self.of[at];
        let shown = own[own.len().saturating_sub(WAITS_LISTED_MAX)..].iter();
        let wait = |(on, why): &(usize, PlanReason)| {
            let path = if *why == PlanReason::Hazard { hazard_path(&units[at], &units[*on]) } else { String::new() };
            PlannedWait { unit: units[*on].id.clone(), why: *why, path }
        };
        shown.map(wait).collect()
    }
}

impl Before {
    fn of(units: &[Arc<Unit>], index: &Plan) -> Self {
        let mut before = Self { running: vec![0], claiming: vec![0], last_claiming: vec![0] };
        let (mut running, mut claiming, mut last) = (0, 0, 0);
        for (rank, &at) in index.order.iter().enumerate() {
            if units[at].runs {
                running += 1;
                if units[at].claims_all() {
                    claiming += 1;
                    last = rank;
                }
            }
            before.running.push(running);
            before.claiming.push(claiming);
            before.last_claiming.push(last);
        }
        before
    }
}

/// What a unit waits for, and how much that is. Of very many, only what comes from the last unit on that claims everything: that waits for all before it.
fn waits_of(units: &[Arc<Unit>], index: &Plan, before: &Before, at: usize, hazards: HazardRule) -> (Vec<(usize, PlanReason)>, usize) {
    let (unit, rank) = (&units[at], index.rank[at]);
    let mut waits: Vec<(usize, PlanReason)> = Vec::new();
    for &on in &index.needs[at] {
        let is_implied = unit.checkpoint_on.contains(&units[on].id);
        waits.push((on, if is_implied { PlanReason::Checkpoint } else { PlanReason::Dependency }));
    }
    let mut count = waits.len();
    if hazards == HazardRule::Ordered {
        let needed: BTreeSet<usize> = index.needs[at].iter().copied().collect();
        let claims_all = unit.claims_all();
        let open = index.open_hazards(unit);
        let most = if claims_all { before.running[rank] } else { waits.len() + before.claiming[rank] + open.len() };
        let from = if most > WAITS_LISTED_MAX { before.last_claiming[rank] } else { 0 };
        for &on in &index.order[from..rank] {
            let earlier = &units[on];
            if !earlier.runs || needed.contains(&on) {
                continue;
            }
            if claims_all || earlier.claims_all() {
                waits.push((on, PlanReason::Exclusive));
            } else if open.contains(&on) {
                waits.push((on, PlanReason::Hazard));
            }
        }
        count = if from == 0 { waits.len() } else { most };
    }
    waits.sort_by_key(|(on, _)| index.rank[*on]);
    (waits, count)
}

/// Drops, of reasons in plan order, those that a later one waits for itself. What the plan says in words stays.
fn without_implied(waits: Vec<(usize, PlanReason)>, index: &Plan, floors: &[usize]) -> Vec<(usize, PlanReason)> {
    let mut covered = 0;
    let mut kept: Vec<(usize, PlanReason)> = Vec::new();
    for (on, why) in waits.into_iter().rev() {
        let rank = index.rank[on];
        if rank >= covered || why == PlanReason::Dependency {
            covered = covered.max(floors[rank]);
            kept.push((on, why));
        }
    }
    kept.reverse();
    kept
}

/// The rank up to which everything that runs is waited for by the unit of this rank, by itself or through what it waits for.
fn floor_of(units: &[Arc<Unit>], index: &Plan, floors: &[usize], rank: usize, waits: &[(usize, PlanReason)]) -> usize {
    let ranks: BTreeSet<usize> = waits.iter().map(|(on, _)| index.rank[*on]).collect();
    let mut floor = ranks.iter().map(|on| floors[*on]).max().unwrap_or(0);
    while floor < rank && (ranks.contains(&floor) || !units[index.order[floor]].runs) {
        floor += 1;
    }
    floor
}

/// The earliest wave of each unit; with few slots, units of a wave that is full move to the next, those with the longest chain first.
fn waves(units: &[Arc<Unit>], index: &Plan, waits: &[Vec<(usize, PlanReason)>], slots: Option<usize>) -> Vec<u32> {
    let mut waves = vec![0_u32; units.len()];
    let Some(slots) = slots.filter(|slots| *slots > 0) else {
        for &at in index.order.iter().filter(|at| units[**at].runs) {
            waves[at] = 1 + waits[at].iter().map(|(on, _)| waves[*on]).max().unwrap_or(0);
        }
        return waves;
    };
    let mut open: Vec<usize> = index.order.iter().copied().filter(|at| units[*at].runs).collect();
    let mut wave = 0;
    while !open.is_empty() {
        wave += 1;
        let mut ready: Vec<usize> =
            open.iter().copied().filter(|at| waits[*at].iter().all(|(on, _)| waves[*on] > 0 && waves[*on] < wave)).collect();
        ready.sort_by_key(|at| (std::cmp::Reverse(index.remaining_ms[*at]), index.rank[*at]));
        ready.truncate(slots);
        if ready.is_empty() {
            // Only a cycle, which is an error of the plan, leaves nothing ready: everything left goes into this wave.
            ready.clone_from(&open);
        }
        for &at in &ready {
            waves[at] = wave;
        }
        open.retain(|at| waves[*at] == 0);
    }
    waves
}

/// From the unit with the longest chain, always on to the unit that waits for it with the longest rest.
fn critical_path(units: &[Arc<Unit>], index: &Plan, waits: &[Vec<(usize, PlanReason)>]) -> Vec<UnitId> {
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); units.len()];
    for (at, own) in waits.iter().enumerate() {
        own.iter().for_each(|(on, _)| dependants[*on].push(at));
    }
    let longest = |of: &mut dyn Iterator<Item = usize>| of.max_by_key(|at| (index.remaining_ms[*at], std::cmp::Reverse(index.rank[*at])));
    let mut path = Vec::new();
    let mut next = longest(&mut (0..units.len()).filter(|at| units[*at].runs));
    while let Some(at) = next {
        path.push(units[at].id.clone());
        next = longest(&mut dependants[at].iter().copied()).filter(|_| path.len() < units.len());
    }
    path
}
