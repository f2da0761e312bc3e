//! A plan before anything runs: order, waves, what waits for what and why, the critical path. `orchctl plan` prints it; a run is scheduled by
//! the same index.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

pub use roundtable_shared::PlanReason;
use roundtable_shared::manifest::Manifest;
use roundtable_shared::spec::{Plan as Outline, Unit as SpecUnit, select};
use roundtable_shared::{HazardRule, UnitId};

use crate::schedule::ready::hazard_path;
use crate::shared::List;
use crate::state::{Plan, Unit, UnitAssignment, UnitSpec};

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
    let units: List<Unit> = outline.units.iter().enumerate().map(|(at, unit)| unit_of(at, unit, &needs, ignore_case)).collect();
    let places: BTreeMap<&UnitId, usize> = units.iter().enumerate().map(|(at, unit)| (&unit.id, at)).collect();
    let order = selection.runs.iter().filter_map(|unit| places.get(&unit.id).copied());
    let left_out = units.iter().filter(|unit| !unit.spec.runs).map(|unit| unit.spec.position);
    let index = Plan::build(&units, order.chain(left_out).collect(), hazards, &BTreeMap::new());
    let waits = Waits::find(&units, &index, hazards);
    let waves = waves(&units, &index, &waits.of, slots);
    let critical_path = critical_path(&units, &index, &waits.of);
    let runs = index.order.iter().filter(|at| units[**at].spec.runs);
    let planned = runs.map(|&at| {
        let waits_for = waits.listed(&units, at);
        PlannedUnit {
            id: units[at].id.clone(),
            wave: waves[at],
            exclusive: units[at].assignment.exclusive,
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
    let spec = UnitSpec {
        title: unit.title.clone(),
        position: at,
        checkpoint: unit.checkpoint,
        runs: on.is_some(),
        details: u32::try_from(details).unwrap_or(u32::MAX),
        checkpoint_on,
        ..UnitSpec::default()
    };
    let assignment = UnitAssignment {
        depends_on,
        manifest: Manifest::new(&unit.writes, &unit.reads, ignore_case).unwrap_or_default(),
        exclusive: on.is_some() && unit.writes.is_empty() && unit.reads.is_empty(),
        ..UnitAssignment::default()
    };
    Unit { spec, assignment, ..Unit::blank(unit.id.clone()) }
}

/// Who waits for whom, and why.
struct Waits {
    /// By unit, in plan order of what is waited for. Of long lists, what follows from the rest is left out.
    of: Vec<Vec<(usize, PlanReason)>>,
    /// How many there are with those.
    count: Vec<usize>,
}

/// What is known of the units before one in plan order, by rank.
struct RunningBefore {
    /// Units that run.
    running: Vec<usize>,
    /// Ranks of those that claim everything, and how many of them there are before each.
    claiming: Vec<usize>,
    claiming_before: Vec<usize>,
}

impl Waits {
    fn find(units: &List<Unit>, index: &Plan, hazards: HazardRule) -> Self {
        let before = RunningBefore::of(units, index);
        let mut waits = Self { of: vec![Vec::new(); units.len()], count: vec![0; units.len()] };
        // By rank: the units up to there are waited for by this one, directly or not.
        let mut floors = vec![0_usize; units.len()];
        for (rank, &at) in index.order.iter().enumerate() {
            if !units[at].spec.runs {
                continue;
            }
            let reasons = Reasons::of(units, index, &before, at, hazards);
            waits.count[at] = reasons.count;
            waits.of[at] = if reasons.count > WAITS_LISTED_MAX { reasons.not_implied(index, &floors) } else { reasons.all(index) };
            floors[rank] = floor_of(units, index, &floors, rank, &waits.of[at]);
        }
        waits
    }

    /// The reasons to show of a unit: the latest, if there are too many.
    fn listed(&self, units: &List<Unit>, at: usize) -> Vec<PlannedWait> {
        let own = &self.of[at];
        let shown = own[own.len().saturating_sub(WAITS_LISTED_MAX)..].iter();
        let wait = |(on, why): &(usize, PlanReason)| {
            let path = if *why == PlanReason::Hazard { hazard_path(&units[at], &units[*on]) } else { String::new() };
            PlannedWait { unit: units[*on].id.clone(), why: *why, path }
        };
        shown.map(wait).collect()
    }
}

impl RunningBefore {
    fn of(units: &List<Unit>, index: &Plan) -> Self {
        let mut before = Self { running: vec![0], claiming: Vec::new(), claiming_before: vec![0] };
        for (rank, &at) in index.order.iter().enumerate() {
            if units[at].spec.runs && units[at].claims_all() {
                before.claiming.push(rank);
            }
            before.claiming_before.push(before.claiming.len());
            before.running.push(before.running[rank] + usize::from(units[at].spec.runs));
        }
        before
    }
}

/// What a unit waits for.
struct Reasons<'a> {
    /// What it depends on, by rank, the latest first.
    needs: Vec<(usize, PlanReason)>,
    /// What it meets by order, by rank, the latest first, perhaps what it depends on too.
    by_order: Box<dyn Iterator<Item = (usize, PlanReason)> + 'a>,
    /// How many there are.
    count: usize,
}

impl<'a> Reasons<'a> {
    fn of(units: &'a List<Unit>, index: &'a Plan, before: &'a RunningBefore, at: usize, hazards: HazardRule) -> Self {
        let (unit, rank) = (&units[at], index.rank[at]);
        let checkpoint_on: BTreeSet<&UnitId> = unit.spec.checkpoint_on.iter().collect();
        let why = |on: usize| if checkpoint_on.contains(&units[on].id) { PlanReason::Checkpoint } else { PlanReason::Dependency };
        let mut needs: Vec<(usize, PlanReason)> = index.needs[at].iter().map(|on| (index.rank[*on], why(*on))).collect();
        needs.sort_unstable_by_key(|(rank, _)| Reverse(*rank));
        let none = Box::new(std::iter::empty());
        if hazards != HazardRule::Ordered {
            return Self { count: needs.len(), needs, by_order: none };
        }
        let exclusive = |rank: usize| (rank, PlanReason::Exclusive);
        if unit.claims_all() {
            let runs = move |rank: &usize| units[index.order[*rank]].spec.runs;
            let by_order = Box::new((0..rank).rev().filter(runs).map(exclusive));
            return Self { needs, by_order, count: before.running[rank] };
        }
        let claiming = &before.claiming[..before.claiming_before[rank]];
        let hazards = index.nearest_hazards(units, unit);
        let is_met_too = |(rank, _): &&(usize, PlanReason)| unit.is_hazard(&units[index.order[*rank]]);
        let count = claiming.len() + hazards.total() + needs.len() - needs.iter().filter(is_met_too).count();
        let hazards = hazards.map(|rank| (rank, PlanReason::Hazard));
        let by_order = Box::new(falling(claiming.iter().rev().copied().map(exclusive), hazards));
        Self { needs, by_order, count }
    }

    /// All of them, by place, in plan order.
    fn all(self, index: &Plan) -> Vec<(usize, PlanReason)> {
        self.kept(index, |_, _| true)
    }

    /// In plan order those that no later one waits for itself. What the plan says in words stays.
    fn not_implied(self, index: &Plan, floors: &[usize]) -> Vec<(usize, PlanReason)> {
        let mut covered = 0;
        self.kept(index, |rank, why| {
            let is_kept = rank >= covered || why == PlanReason::Dependency;
            if is_kept {
                covered = covered.max(floors[rank]);
            }
            is_kept
        })
    }

    /// Those that are kept, from the latest down. Of what is met by order nothing more is looked at after the first that is not kept, as none is after that.
    fn kept(self, index: &Plan, mut is_kept: impl FnMut(usize, PlanReason) -> bool) -> Vec<(usize, PlanReason)> {
        let mut kept: Vec<(usize, PlanReason)> = Vec::new();
        let (mut needs, mut by_order) = (self.needs.into_iter().peekable(), Some(self.by_order.peekable()));
        let mut last_need = None;
        loop {
            let need = needs.peek().map(|(rank, _)| *rank);
            let is_need = need >= by_order.as_mut().and_then(Peekable::peek).map(|(rank, _)| *rank);
            let next = if is_need { needs.next() } else { by_order.as_mut().and_then(Iterator::next) };
            let Some((rank, why)) = next else { break };
            if is_need {
                last_need = Some(rank);
            } else if last_need == Some(rank) {
                continue;
            }
            if is_kept(rank, why) {
                kept.push((index.order[rank], why));
            } else if !is_need {
                by_order = None;
            }
        }
        kept.reverse();
        kept
    }
}

/// Two falling lists as one.
fn falling<T: Copy>(first: impl Iterator<Item = (usize, T)>, second: impl Iterator<Item = (usize, T)>) -> impl Iterator<Item = (usize, T)> {
    let (mut first, mut second) = (first.peekable(), second.peekable());
    std::iter::from_fn(move || match (first.peek(), second.peek()) {
        (Some((one, _)), Some((other, _))) if one < other => second.next(),
        (Some(_), _) => first.next(),
        (None, _) => second.next(),
    })
}

/// The rank up to which everything that runs is waited for by the unit of this rank, by itself or through what it waits for.
fn floor_of(units: &List<Unit>, index: &Plan, floors: &[usize], rank: usize, waits: &[(usize, PlanReason)]) -> usize {
    let ranks: BTreeSet<usize> = waits.iter().map(|(on, _)| index.rank[*on]).collect();
    let mut floor = ranks.iter().map(|on| floors[*on]).max().unwrap_or(0);
    while floor < rank && (ranks.contains(&floor) || !units[index.order[floor]].spec.runs) {
        floor += 1;
    }
    floor
}

/// The earliest wave of each unit; with few slots, units of a wave that is full move to the next, those with the longest chain first.
fn waves(units: &List<Unit>, index: &Plan, waits: &[Vec<(usize, PlanReason)>], slots: Option<usize>) -> Vec<u32> {
    let mut waves = vec![0_u32; units.len()];
    let running = || index.order.iter().copied().filter(|at| units[*at].spec.runs);
    let Some(slots) = slots.filter(|slots| *slots > 0) else {
        for at in running() {
            waves[at] = 1 + waits[at].iter().map(|(on, _)| waves[*on]).max().unwrap_or(0);
        }
        return waves;
    };
    let dependants = dependants(waits);
    let mut open: Vec<usize> = waits.iter().map(Vec::len).collect();
    let place = |at: usize| (Reverse(index.remaining_ms[at]), index.rank[at]);
    let mut ready: BTreeSet<(Reverse<u64>, usize)> = running().filter(|at| open[*at] == 0).map(place).collect();
    for wave in 1.. {
        let taken: Vec<usize> = (0..slots).map_while(|_| ready.pop_first()).map(|(_, rank)| index.order[rank]).collect();
        if taken.is_empty() {
            // Only a cycle, which is an error of the plan, leaves something that is never ready: it goes into this wave.
            running().for_each(|at| waves[at] = if waves[at] == 0 { wave } else { waves[at] });
            break;
        }
        for at in taken {
            waves[at] = wave;
            for &next in &dependants[at] {
                open[next] -= 1;
                if open[next] == 0 {
                    ready.insert(place(next));
                }
            }
        }
    }
    waves
}

/// Per unit those that wait for it.
fn dependants(waits: &[Vec<(usize, PlanReason)>]) -> Vec<Vec<usize>> {
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); waits.len()];
    for (at, own) in waits.iter().enumerate() {
        own.iter().for_each(|(on, _)| dependants[*on].push(at));
    }
    dependants
}

/// From the unit with the longest chain, always on to the unit that waits for it with the longest rest.
fn critical_path(units: &List<Unit>, index: &Plan, waits: &[Vec<(usize, PlanReason)>]) -> Vec<UnitId> {
    let dependants = dependants(waits);
    let longest = |of: &mut dyn Iterator<Item = usize>| of.max_by_key(|at| (index.remaining_ms[*at], std::cmp::Reverse(index.rank[*at])));
    let mut path = Vec::new();
    let mut next = longest(&mut (0..units.len()).filter(|at| units[*at].spec.runs));
    while let Some(at) = next {
        path.push(units[at].id.clone());
        next = longest(&mut dependants[at].iter().copied()).filter(|_| path.len() < units.len());
    }
    path
}
