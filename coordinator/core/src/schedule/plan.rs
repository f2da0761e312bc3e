//! A plan before anything runs: order, waves, what waits for what and why, the critical path. `orchctl plan` prints it; a run is scheduled by
//! the same index.

use std::collections::BTreeMap;
use std::sync::Arc;

use roundtable_shared::manifest::Manifest;
use roundtable_shared::spec::{Plan as Outline, Unit as SpecUnit, select};
use roundtable_shared::{HazardRule, UnitId, UnitState};

use super::ready::hazard_path;
use crate::state::{Plan, Unit};

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
    let index = Plan::build(&units, order.chain(left_out).collect(), &BTreeMap::new());
    let waits: Vec<Vec<(usize, PlannedWait)>> = (0..units.len()).map(|at| waits_of(&units, &index, at, hazards)).collect();
    let waves = waves(&units, &index, &waits, slots);
    let critical_path = critical_path(&units, &index, &waits);
    let runs = index.order.iter().filter(|at| units[**at].runs);
    let planned = runs.map(|&at| PlannedUnit {
        id: units[at].id.clone(),
        wave: waves[at],
        exclusive: units[at].exclusive,
        waits_for: waits[at].iter().map(|(_, wait)| wait.clone()).collect(),
        remaining_ms: index.remaining_ms[at],
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

fn waits_of(units: &[Arc<Unit>], index: &Plan, at: usize, hazards: HazardRule) -> Vec<(usize, PlannedWait)> {
    let unit = &units[at];
    if !unit.runs {
        return Vec::new();
    }
    let wait = |on: usize, why, path| (on, PlannedWait { unit: units[on].id.clone(), why, path });
    let mut waits: Vec<(usize, PlannedWait)> = index.needs[at]
        .iter()
        .map(|&on| {
            let is_implied = unit.checkpoint_on.contains(&units[on].id);
            wait(on, if is_implied { PlanReason::Checkpoint } else { PlanReason::Dependency }, String::new())
        })
        .collect();
    if hazards == HazardRule::Ordered {
        for &on in index.order.iter().take(index.rank[at]) {
            let earlier = &units[on];
            if !earlier.runs || index.needs[at].contains(&on) {
                continue;
            }
            if unit.claims_all() || earlier.claims_all() {
                waits.push(wait(on, PlanReason::Exclusive, String::new()));
            } else if index.hazards[at].binary_search(&on).is_ok() {
                waits.push(wait(on, PlanReason::Hazard, hazard_path(unit, earlier)));
            }
        }
    }
    waits.sort_by_key(|(on, _)| index.rank[*on]);
    waits
}

/// The earliest wave of each unit; with few slots, units of a wave that is full move to the next, those with the longest chain first.
fn waves(units: &[Arc<Unit>], index: &Plan, waits: &[Vec<(usize, PlannedWait)>], slots: Option<usize>) -> Vec<u32> {
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
fn critical_path(units: &[Arc<Unit>], index: &Plan, waits: &[Vec<(usize, PlannedWait)>]) -> Vec<UnitId> {
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
