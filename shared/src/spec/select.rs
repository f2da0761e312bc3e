//! Which units run, what each of them waits for by dependency, and in which order they stand (docs/rules.md, "Which units run").
//! Hazards, holds and slots are the scheduler's.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::model::Unit;
use super::problem::{Level, Problem};
use crate::ids::UnitId;
use crate::limits::EDGES_MAX;

/// Units that run, in plan order.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Selection {
    /// Units that run, in plan order.
    pub runs: Vec<SelectedUnit>,
    /// The others, in document order.
    pub left_out: Vec<(UnitId, NotRun)>,
    /// What is odd about the choice.
    pub problems: Vec<Problem>,
}

/// A unit that runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SelectedUnit {
    /// The unit.
    pub id: UnitId,
    /// Units that run and must be done before it, in document order; for checkpoints the implied ones too.
    pub depends_on: Vec<UnitId>,
}

/// Why a unit does not run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotRun {
    /// The plan says it is done.
    Completed,
    /// It is optional and optional units were not asked for.
    Optional,
    /// Not among the units asked for.
    NotAsked,
}

/// Chooses units. `file` is the plan's name in problems; `only` empty means all.
pub fn select(units: &[Unit], with_optional: bool, only: &[String], file: &str) -> Selection {
    let mut chooser = Chooser { units, file, problems: Vec::new() };
    let reasons = chooser.reasons(with_optional, only);
    let mut edges = chooser.explicit(&reasons);
    imply_checkpoints(units, &reasons, &mut edges);
    let order = plan_order(&edges, |at| reasons[at].is_none());
    let id = |at: usize| units[at].id.clone();
    let runs = order.into_iter().map(|at| SelectedUnit { id: id(at), depends_on: edges[at].iter().map(|to| id(*to)).collect() }).collect();
    let left_out = reasons.iter().enumerate().filter_map(|(at, reason)| Some((id(at), (*reason)?))).collect();
    Selection { runs, left_out, problems: chooser.problems }
}

struct Chooser<'a> {
    units: &'a [Unit],
    file: &'a str,
    problems: Vec<Problem>,
}

impl Chooser<'_> {
    fn say(&mut self, level: Level, line: u32, message: String) {
        self.problems.push(Problem { level, file: self.file.to_owned(), line, message });
    }

    fn reasons(&mut self, with_optional: bool, only: &[String]) -> Vec<Option<NotRun>> {
        let asked: HashSet<&str> = only.iter().map(String::as_str).collect();
        let units = self.units;
        let owner: HashMap<&str, &UnitId> = units
            .iter()
            .filter(|_| !only.is_empty())
            .flat_map(|unit| unit.tasks.iter().map(move |task| (task.id.as_str(), &unit.id)))
            .collect();
        for id in only {
            let owner = owner.get(id.as_str());
            if owner.is_some_and(|unit| unit.as_str() == id) {
                continue;
            }
            let message = match owner {
                Some(unit) => format!("--only {id}: that is a subtask and runs with its unit; name unit {unit}"),
                None => format!("--only {id}: there is no such unit; name units of this plan"),
            };
            self.say(Level::Error, 0, message);
        }
        let mut reasons = Vec::with_capacity(units.len());
        for unit in units {
            let is_asked = asked.is_empty() || asked.contains(unit.id.as_str());
            let reason = if unit.completed {
                Some(NotRun::Completed)
            } else if unit.optional && !with_optional {
                Some(NotRun::Optional)
            } else if !is_asked {
                Some(NotRun::NotAsked)
            } else {
                None
            };
            if reason == Some(NotRun::Optional) && !asked.is_empty() && is_asked {
                self.say(Level::Warning, unit.own().line, format!("unit {} is optional and does not run; add --with-optional", unit.id));
            }
            reasons.push(reason);
        }
        reasons
    }

    /// Dependencies among units that run, by index. The others are met.
    fn explicit(&mut self, reasons: &[Option<NotRun>]) -> Vec<Vec<usize>> {
        let place: HashMap<&str, usize> = self.units.iter().enumerate().map(|(at, unit)| (unit.id.as_str(), at)).collect();
        let units = self.units;
        let mut edges = Vec::with_capacity(units.len());
        for (at, unit) in units.iter().enumerate() {
            let mut own = Vec::new();
            if reasons[at].is_none() {
                for to in unit.depends_on.iter().filter_map(|id| place.get(id.as_str()).copied()) {
                    match reasons[to] {
                        None => own.push(to),
                        Some(reason) => self.met(unit, &units[to], reason),
                    }
                }
            }
            edges.push(own);
        }
        edges
    }

    fn met(&mut self, unit: &Unit, to: &Unit, reason: NotRun) {
        let line = unit.tasks.iter().flat_map(|task| &task.depends_on).find(|dependency| to.task(dependency.task.as_str()).is_some());
        let line = line.map_or(unit.own().line, |dependency| dependency.line);
        let (level, why, fix) = match reason {
            NotRun::Completed => (Level::Note, "completed in the plan", ""),
            NotRun::Optional => (Level::Warning, "optional and does not run", "; add --with-optional to have it done"),
            NotRun::NotAsked => (Level::Warning, "left out by --only", "; name it too to have it done"),
        };
        self.say(level, line, format!("unit {} depends on {}, which is {why}: the dependency counts as met{fix}", unit.id, to.id));
    }
}

/// A checkpoint depends on every unit before it that runs and does not depend on it.
fn imply_checkpoints(units: &[Unit], reasons: &[Option<NotRun>], edges: &mut [Vec<usize>]) {
    let runs: Vec<usize> = (0..units.len()).filter(|at| reasons[*at].is_none()).collect();
    let looks_ahead = edges.iter().enumerate().any(|(at, own)| own.iter().any(|to| *to > at));
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); units.len()];
    if looks_ahead {
        for (at, own) in edges.iter().enumerate() {
            own.iter().for_each(|to| dependants[*to].push(at));
        }
    }
    let mut budget = EDGES_MAX.saturating_sub(edges.iter().map(Vec::len).sum());
    let mut previous: Option<usize> = None;
    for (position, &at) in runs.iter().enumerate() {
        if !units[at].checkpoint {
            continue;
        }
        let later = if looks_ahead { reachable(at, &dependants) } else { HashSet::new() };
        // What the checkpoint before already waits for need not be listed once a plan has very many edges.
        let from = if position <= budget { 0 } else { previous.filter(|before| !later.contains(&runs[*before])).unwrap_or(0) };
        let mut own: Vec<usize> = runs[from..position].iter().copied().filter(|to| !later.contains(to)).collect();
        if looks_ahead {
            own.iter().for_each(|to| dependants[*to].push(at));
        }
        budget = budget.saturating_sub(own.len());
        own.append(&mut edges[at]);
        own.sort_unstable();
        own.dedup();
        edges[at] = own;
        previous = Some(position);
    }
}

/// Everything that depends on a unit, however indirectly.
fn reachable(from: usize, dependants: &[Vec<usize>]) -> HashSet<usize> {
    let mut seen = HashSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        open.extend(dependants[at].iter().copied().filter(|next| seen.insert(*next)));
    }
    seen
}

/// Topological order, ties by position. What lies on a cycle comes last, by position, so that nothing is lost.
pub fn plan_order(edges: &[Vec<usize>], runs: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut waits: Vec<usize> = edges.iter().map(Vec::len).collect();
    let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); edges.len()];
    for (at, own) in edges.iter().enumerate() {
        own.iter().for_each(|to| dependants[*to].push(at));
    }
    let mut ready: BinaryHeap<Reverse<usize>> = (0..edges.len()).filter(|at| runs(*at) && waits[*at] == 0).map(Reverse).collect();
    let mut placed = vec![false; edges.len()];
    let mut order = Vec::with_capacity(edges.len());
    while let Some(Reverse(at)) = ready.pop() {
        placed[at] = true;
        order.push(at);
        for &next in &dependants[at] {
            waits[next] -= 1;
            if waits[next] == 0 {
                ready.push(Reverse(next));
            }
        }
    }
    order.extend((0..edges.len()).filter(|at| runs(*at) && !placed[*at]));
    order
}
