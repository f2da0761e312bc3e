//! Dispatch units from tasks: states of parents, lifted dependencies and manifests, cycles. Which units run is decided in `select.rs`.

use std::collections::{HashMap, HashSet};

use super::depends::{self, DependencyLine, Item};
use super::model::{Dependency, Task, Unit};
use super::problem::Report;
use super::tree::Seed;
use crate::domain::SubtaskState;
use crate::ids::UnitId;
use crate::limits::EDGES_MAX;

const CYCLES_SHOWN_MAX: usize = 20;
const CYCLE_UNITS_SHOWN_MAX: usize = 20;

/// Makes units of tasks and reports what is wrong between them.
pub(super) fn gather(mut seeds: Vec<Seed>, units_max: usize, report: &mut Report) -> Vec<Unit> {
    settle_states(&mut seeds, report);
    resolve_dependencies(&mut seeds, report);
    let roots: Vec<usize> = roots(&seeds);
    let units = build(seeds, &roots, units_max, report);
    report_cycles(&units, report);
    units
}

/// Index of the top-level task of each.
fn roots(seeds: &[Seed]) -> Vec<usize> {
    let mut roots: Vec<Option<usize>> = vec![None; seeds.len()];
    for start in 0..seeds.len() {
        let mut path = Vec::new();
        let mut at = start;
        let root = loop {
            match (roots[at], seeds[at].parent) {
                (Some(root), _) => break root,
                (None, None) => break at,
                (None, Some(parent)) => {
                    path.push(at);
                    at = parent;
                }
            }
        };
        roots[at] = Some(root);
        for at in path {
            roots[at] = Some(root);
        }
    }
    roots.into_iter().enumerate().map(|(at, root)| root.unwrap_or(at)).collect()
}

/// Indices so that children come before their parents.
fn children_first(seeds: &[Seed]) -> Vec<usize> {
    let mut depth = vec![usize::MAX; seeds.len()];
    for start in 0..seeds.len() {
        let mut path = Vec::new();
        let mut at = start;
        while depth[at] == usize::MAX {
            path.push(at);
            match seeds[at].parent {
                Some(parent) => at = parent,
                None => break,
            }
        }
        let base = if depth[at] == usize::MAX { 0 } else { depth[at] + 1 };
        for (below, at) in path.into_iter().rev().enumerate() {
            depth[at] = base + below;
        }
    }
    let mut order: Vec<usize> = (0..seeds.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(depth[*at]));
    order
}

/// Children, `needed` and states. A parent's own box counts only where nothing needed is below it.
fn settle_states(seeds: &mut [Seed], report: &mut Report) {
    let order = children_first(seeds);
    let mut by_line: Vec<usize> = (0..seeds.len()).filter(|at| !seeds[*at].duplicate).collect();
    by_line.sort_by_key(|at| seeds[*at].task.line);
    for at in by_line {
        if let Some(parent) = seeds[at].parent {
            let id = seeds[at].task.id.clone();
            seeds[at].task.parent = Some(seeds[parent].task.id.clone());
            seeds[parent].task.subtasks.push(id);
        }
    }
    for &at in order.iter().rev() {
        let Some(parent) = seeds[at].parent else { continue };
        // The unit's own mark is about the unit: its descendants go with it.
        let parent_needed = seeds[parent].parent.is_none() || seeds[parent].task.needed;
        seeds[at].task.needed = !seeds[at].task.optional && parent_needed;
    }
    let mut open = vec![0usize; seeds.len()];
    let mut needed = vec![0usize; seeds.len()];
    let mut unticked = vec![0usize; seeds.len()];
    for &at in &order {
        // A heading has no box and no mark: where all below it is optional, so is it.
        if seeds[at].task.heading && needed[at] == 0 {
            seeds[at].task.optional = true;
            seeds[at].ticked = unticked[at] == 0;
        }
        let seed = &seeds[at];
        let is_parent = !seed.task.subtasks.is_empty();
        let done = if is_parent && needed[at] > 0 { open[at] == 0 } else { seed.ticked };
        if is_parent && needed[at] > 0 && !seed.task.heading && done != seed.ticked {
            let box_says = if seed.ticked { "ticked" } else { "not ticked" };
            report.note(
                seed.task.line,
                format!(
                    "the box of {} is {box_says}, but its subtasks decide: it counts as {}",
                    seed.task.id,
                    if done { "completed" } else { "not completed" }
                ),
            );
        }
        if let Some(parent) = seed.parent
            && !seed.duplicate
        {
            let below = if is_parent { (needed[at], open[at]) } else { (0, 0) };
            let own = usize::from(!is_parent && !seed.task.optional);
            if !seed.task.optional {
                needed[parent] += below.0 + own;
                open[parent] += below.1 + if done { 0 } else { own };
            }
            unticked[parent] += if is_parent { unticked[at] } else { usize::from(!seed.ticked) };
        }
        seeds[at].task.status = if done { SubtaskState::Completed } else { SubtaskState::NotStarted };
    }
}

/// Turns dependency lines into tasks that exist.
fn resolve_dependencies(seeds: &mut [Seed], report: &mut Report) {
    let known: HashMap<String, String> = seeds
        .iter()
        .filter(|seed| !seed.duplicate)
        .map(|seed| (seed.task.id.as_str().to_owned(), seed.task.title.to_lowercase()))
        .collect();
    let mut budget = EDGES_MAX;
    for seed in seeds.iter_mut() {
        let mut seen: HashSet<String> = HashSet::new();
        for (line, list) in std::mem::take(&mut seed.depends) {
            let mut resolver = Resolver { known: &known, line, mixed: !list.foreign.is_empty(), found: Vec::new(), budget: &mut budget };
            resolver.list(list, report);
            for task in resolver.found {
                if seen.insert(task.clone()) {
                    seed.task.depends_on.push(Dependency { task: task.into(), line });
                }
            }
        }
        if budget == 0 {
            report.error(
                seed.task.line,
                format!("the plan has more than {EDGES_MAX} dependencies; name parents instead of all their subtasks"),
            );
            return;
        }
    }
}

struct Resolver<'k> {
    /// Titles by id, lower case.
    known: &'k HashMap<String, String>,
    line: u32,
    /// Whether other words stand between the ids, so that a number need not be one.
    mixed: bool,
    found: Vec<String>,
    budget: &'k mut usize,
}

impl Resolver<'_> {
    fn list(&mut self, list: DependencyLine, report: &mut Report) {
        let mut foreign = list.foreign;
        for (id, words) in list.titled {
            // `2 Parser` is task 2 if that is its title; `2 reviewers` is not.
            if self.known.get(&id).is_some_and(|title| title.contains(&words.to_lowercase())) {
                self.one(&id, report);
            } else {
                foreign.push(format!("{id} {words}"));
                self.mixed = true;
            }
        }
        for item in &list.items {
            match item {
                Item::One(id) => self.one(id, report),
                Item::Range(from, to) => self.range(from, to, report),
            }
        }
        if foreign.is_empty() {
            return;
        }
        let words = foreign.join(", ");
        if self.found.is_empty() {
            report.note(self.line, format!("`{words}` names no task, so nothing is depended on here; list task ids if it should"));
        } else {
            let taken = self.found.join(", ");
            report.warning(self.line, format!("only {taken} is read as a dependency, `{words}` names no task; list task ids alone"));
        }
    }

    fn one(&mut self, id: &str, report: &mut Report) {
        if *self.budget == 0 {
            return;
        }
        *self.budget -= 1;
        if self.known.contains_key(id) {
            self.found.push(id.to_owned());
        } else if !self.mixed {
            report.error(self.line, format!("unknown dependency id {id}; name a task of this plan or remove it"));
        }
    }

    /// Both ends must exist; what is missing between them is no concern.
    fn range(&mut self, from: &str, to: &str, report: &mut Report) {
        let Some(ids) = depends::expand(from, to, *self.budget) else {
            if !self.mixed {
                report.warning(
                    self.line,
                    format!("`{from}-{to}` is no range of one row, so only its two ends count; list the ids one by one"),
                );
            }
            self.one(from, report);
            self.one(to, report);
            return;
        };
        *self.budget = self.budget.saturating_sub(ids.len());
        // Of a row longer than what may still be named the end is not here; that it is too long is said of the plan.
        let last = if *self.budget == 0 { 0 } else { ids.len().saturating_sub(1) };
        for (at, id) in ids.into_iter().enumerate() {
            if self.known.contains_key(&id) {
                self.found.push(id);
            } else if (at == 0 || at == last) && !self.mixed {
                report.error(self.line, format!("unknown dependency id {id} in `{from}-{to}`; name tasks of this plan"));
            }
        }
    }
}

/// Units in document order, with what their descendants name lifted to them.
fn build(seeds: Vec<Seed>, roots: &[usize], units_max: usize, report: &mut Report) -> Vec<Unit> {
    let mut tops: Vec<usize> = (0..seeds.len()).filter(|at| roots[*at] == *at && !seeds[*at].duplicate).collect();
    tops.sort_by_key(|at| seeds[*at].task.line);
    if tops.len() > units_max {
        let how = "split the spec, or allow more with --units-max, here and where the coordinator is served";
        report.error(1, format!("the plan has {} units, more than {units_max}; {how}", tops.len()));
        tops.truncate(units_max);
    }
    let place: HashMap<usize, usize> = tops.iter().enumerate().map(|(position, at)| (*at, position)).collect();
    let ids: Vec<UnitId> = tops.iter().map(|at| seeds[*at].task.id.unit()).collect();
    let mut unit_of: HashMap<String, usize> = HashMap::with_capacity(seeds.len());
    let mut members: Vec<Vec<Task>> = vec![Vec::new(); tops.len()];
    for (at, seed) in seeds.into_iter().enumerate() {
        if let Some(&position) = place.get(&roots[at])
            && !seed.duplicate
        {
            unit_of.insert(seed.task.id.as_str().to_owned(), position);
            members[position].push(seed.task);
        }
    }
    let lift = |(position, mut tasks): (usize, Vec<Task>)| {
        let own = ids[position].as_str();
        tasks.sort_by_key(|task| (task.id.as_str() != own, task.line));
        // They stay as long as the run does: the room for three more would be most of what a small unit takes.
        tasks.shrink_to_fit();
        tasks.iter_mut().for_each(Task::shrink_to_fit);
        lift_unit(position, tasks, &unit_of, &ids)
    };
    members.into_iter().enumerate().map(lift).collect()
}

fn lift_unit(position: usize, tasks: Vec<Task>, unit_of: &HashMap<String, usize>, ids: &[UnitId]) -> Unit {
    let own = &tasks[0];
    let mut targets: Vec<usize> = Vec::new();
    for task in &tasks {
        let named = task.depends_on.iter().filter_map(|dependency| unit_of.get(dependency.task.as_str()));
        targets.extend(named.filter(|target| **target != position));
    }
    targets.sort_unstable();
    targets.dedup();
    let writes = merged(&tasks, |task| &task.writes);
    let reads = merged(&tasks, |task| &task.reads);
    Unit {
        id: ids[position].clone(),
        title: own.title.clone(),
        optional: own.optional,
        completed: own.status == SubtaskState::Completed,
        checkpoint: is_checkpoint(&own.title),
        depends_on: targets.into_iter().map(|target| ids[target].clone()).collect(),
        exclusive: writes.is_empty() && reads.is_empty(),
        requires: merged(&tasks, |task| &task.requires),
        writes,
        reads,
        tasks,
    }
}

fn merged(tasks: &[Task], list: impl Fn(&Task) -> &Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    tasks.iter().flat_map(list).filter(|entry| seen.insert(entry.as_str())).cloned().collect()
}

/// `Checkpoint`, `Final checkpoint`, whatever follows.
fn is_checkpoint(title: &str) -> bool {
    let lower = title.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    let rest = lower.strip_prefix("final").map_or(lower.as_str(), str::trim_start);
    rest.strip_prefix("checkpoint").is_some_and(|rest| ends_word(rest.strip_prefix('s').unwrap_or(rest)))
}

/// Whether a word ends where this begins: `_`, and a mark that joins on to a letter (`checkpoint-helper`, `checkpoint.rs`), are part of it.
fn ends_word(rest: &str) -> bool {
    let mut next = rest.chars();
    match next.next() {
        Some('-' | '.' | '/' | '\'' | '’') => !next.next().is_some_and(char::is_alphabetic),
        Some(c) => !c.is_alphanumeric() && c != '_',
        None => true,
    }
}

/// Reports tasks that depend on themselves and cycles of units, each once.
fn report_cycles(units: &[Unit], report: &mut Report) {
    for task in units.iter().flat_map(|unit| &unit.tasks) {
        for dependency in task.depends_on.iter().filter(|dependency| dependency.task == task.id) {
            report.error(dependency.line, format!("dependency cycle: {0} -> {0}; remove the dependency", task.id));
        }
    }
    units.iter().for_each(|unit| report_inner_cycles(unit, report));
    let place: HashMap<&str, usize> = units.iter().enumerate().map(|(at, unit)| (unit.id.as_str(), at)).collect();
    let edges: Vec<Vec<usize>> =
        units.iter().map(|unit| unit.depends_on.iter().filter_map(|id| place.get(id.as_str()).copied()).collect()).collect();
    for cycle in cycles(&edges) {
        let first = &units[cycle[0]];
        let next = &units[cycle[1 % cycle.len()]];
        report.error(line_of_edge(first, next), format!("dependency cycle: {}; remove one of these dependencies", show(&cycle, units)));
    }
}

/// Cycles of a unit's own tasks. A task begins after its parent has begun and what it depends on is done; it is done after it has begun and its
/// subtasks are done. So a task that depends on one below itself waits for itself, too; one that names a task above itself only says where it belongs.
fn report_inner_cycles(unit: &Unit, report: &mut Report) {
    let place: HashMap<&str, usize> = unit.tasks.iter().enumerate().map(|(at, task)| (task.id.as_str(), at)).collect();
    let parent = |at: usize| unit.tasks[at].parent.as_ref().and_then(|parent| place.get(parent.as_str()).copied());
    let inner = |at: usize| {
        let named = unit.tasks[at].depends_on.iter().filter_map(|on| Some((*place.get(on.task.as_str())?, on.line)));
        // A task that names itself is reported already.
        named.filter(move |(on, _)| std::iter::successors(Some(at), |at| parent(*at)).all(|above| above != *on))
    };
    if (0..unit.tasks.len()).all(|at| inner(at).next().is_none()) {
        return;
    }
    let (begun, done) = (|at: usize| 2 * at, |at: usize| 2 * at + 1);
    let mut edges: Vec<Vec<usize>> = vec![Vec::new(); 2 * unit.tasks.len()];
    for at in 0..unit.tasks.len() {
        edges[begun(at)].extend(inner(at).map(|(on, _)| done(on)));
        edges[done(at)].push(begun(at));
        if let Some(parent) = parent(at) {
            edges[begun(at)].push(begun(parent));
            edges[done(parent)].push(done(at));
        }
    }
    let mut told = HashSet::new();
    for cycle in cycles(&edges) {
        let mut tasks: Vec<usize> = cycle.into_iter().map(|node| node / 2).collect();
        tasks.dedup();
        if tasks.len() > 1 && tasks.first() == tasks.last() {
            tasks.pop();
        }
        let least = tasks.iter().enumerate().min_by_key(|(_, at)| **at).map_or(0, |(at, _)| at);
        tasks.rotate_left(least);
        if !told.insert(tasks.clone()) {
            continue;
        }
        let names: Vec<&str> = tasks.iter().map(|at| unit.tasks[*at].id.as_str()).collect();
        let line = tasks.iter().flat_map(|at| inner(*at)).find(|(on, _)| tasks.contains(on)).map_or(unit.own().line, |(_, line)| line);
        report.error(line, format!("dependency cycle: {}; remove one of these dependencies", shown(names)));
    }
}

/// One cycle per knot of a graph, each starting at its first node; bounded.
pub(crate) fn cycles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const NEW: u8 = 0;
    const OPEN: u8 = 1;
    const DONE: u8 = 2;
    let mut state = vec![NEW; edges.len()];
    let mut found = Vec::new();
    for start in 0..edges.len() {
        if state[start] != NEW {
            continue;
        }
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        state[start] = OPEN;
        while let Some((node, next)) = path.last_mut() {
            let Some(&target) = edges[*node].get(*next) else {
                state[*node] = DONE;
                path.pop();
                continue;
            };
            *next += 1;
            if state[target] == NEW {
                state[target] = OPEN;
                path.push((target, 0));
            } else if state[target] == OPEN && found.len() < CYCLES_SHOWN_MAX {
                let from = path.iter().position(|(node, _)| *node == target).unwrap_or(0);
                let mut cycle: Vec<usize> = path[from..].iter().map(|(node, _)| *node).collect();
                let least = cycle.iter().enumerate().min_by_key(|(_, node)| **node).map_or(0, |(at, _)| at);
                cycle.rotate_left(least);
                found.push(cycle);
            }
        }
    }
    found
}

fn show(cycle: &[usize], units: &[Unit]) -> String {
    shown(cycle.iter().map(|at| units[*at].id.as_str()).collect())
}

fn shown(names: Vec<&str>) -> String {
    let first = names.first().map(|name| (*name).to_owned());
    let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    if names.len() > CYCLE_UNITS_SHOWN_MAX {
        let left_out = names.len() - CYCLE_UNITS_SHOWN_MAX;
        names.splice(CYCLE_UNITS_SHOWN_MAX / 2..CYCLE_UNITS_SHOWN_MAX / 2 + left_out, [format!("({left_out} more)")]);
    }
    names.extend(first);
    names.join(" -> ")
}

/// Line on which a unit names a task of another.
fn line_of_edge(unit: &Unit, target: &Unit) -> u32 {
    let names = |dependency: &&Dependency| target.task(dependency.task.as_str()).is_some();
    unit.tasks.iter().flat_map(|task| &task.depends_on).find(names).map_or(unit.own().line, |dependency| dependency.line)
}
