//! Which units are held up by one before them: derived, never stored (docs/rules.md, "States of a unit"). Shared by read models and mirror files.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_core::state::{Run, Unit};
use roundtable_shared::manifest::PathIndex;
use roundtable_shared::{BlockedItem, HazardRule, UnitId, UnitState};

/// A unit with its place in plan order.
type Ranked<'a> = (usize, &'a Unit);

/// Units not yet started whose way is blocked upstream.
pub(crate) struct Upstream<'a> {
    by: BTreeMap<&'a UnitId, &'a Unit>,
    items: Items<'a>,
}

/// What the mirror says of units that cannot go on by themselves; the first of each.
type Items<'a> = BTreeMap<&'a str, &'a BlockedItem>;

impl<'a> Upstream<'a> {
    /// Those of a run, each with the first unit (in plan order) that blocks it, however indirectly. A unit that waits for a person blocks whoever waits
    /// for it in any way; one that is being fixed blocks those that depend on it. Costs as much as there are units and what they name; and where units block, for
    /// each after them as much as there are paths of blocked ones that it meets, until it meets one of the first blocker.
    pub(crate) fn of(run: &'a Run) -> Self {
        let mut items = Items::new();
        run.people.blocked_items.iter().rev().for_each(|item| {
            items.insert(item.task_id.as_str(), item);
        });
        let units = run.units.len();
        let (hard, soft) = (vec![None; units], vec![None; units]);
        let mut walk = Walk { run, items: &items, hard, soft, any: None, exclusive: None, writers: PathIndex::default() };
        let mut by = BTreeMap::new();
        for (rank, unit) in run.in_order().enumerate().filter(|(_, unit)| unit.spec.runs && !unit.state().is_terminal()) {
            if let Some(blocker) = walk.visit((rank, unit)) {
                by.insert(&unit.id, blocker);
            }
        }
        Self { by, items }
    }

    /// The unit that blocks this one, if one does.
    pub(crate) fn blocker(&self, unit: &UnitId) -> Option<&'a Unit> {
        self.by.get(unit).copied()
    }

    /// What a unit says that is blocked by that one.
    pub(crate) fn reason(&self, by: &Unit) -> String {
        let item = self.items.get(by.id.as_str()).map(|item| item.blocking_reason.as_str());
        let why = item.or(by.reason()).unwrap_or("blocked");
        format!("Upstream task {}: {why}", by.id)
    }
}

struct Walk<'a, 'i> {
    run: &'a Run,
    items: &'i Items<'a>,
    /// By position: what blocks the unit, or the unit itself if it blocks.
    hard: Vec<Option<Ranked<'a>>>,
    soft: Vec<Option<Ranked<'a>>>,
    /// First that blocks hard at all, and through a unit without a manifest.
    any: Option<Ranked<'a>>,
    exclusive: Option<Ranked<'a>>,
    /// What units write that are blocked hard or block so themselves, by the rank of who blocks them.
    writers: PathIndex<usize>,
}

impl<'a> Walk<'a, '_> {
    fn visit(&mut self, at: Ranked<'a>) -> Option<&'a Unit> {
        let (_, unit) = at;
        let waits = unit.state() == UnitState::NotStarted;
        let is_hard = unit.waits_for_person();
        let is_soft = unit.state() == UnitState::Blocked || self.items.contains_key(unit.id.as_str());
        let hard = if is_hard { Some(at) } else { self.upstream_hard(unit).filter(|_| waits) };
        let soft = if is_soft { Some(at) } else { first(self.needs(unit).filter_map(|on| self.soft[on])).filter(|_| waits) };
        self.hard[unit.spec.position] = hard;
        self.soft[unit.spec.position] = soft;
        if let Some(hard) = hard {
            self.any = first([self.any, Some(hard)].into_iter().flatten());
            if unit.claims_all() {
                self.exclusive = first([self.exclusive, Some(hard)].into_iter().flatten());
            } else {
                self.writers.insert(hard.0, &unit.assignment.manifest.writes);
            }
        }
        let (_, by) = hard.or(soft).filter(|_| waits)?;
        Some(by)
    }

    fn needs(&self, unit: &Unit) -> impl Iterator<Item = usize> + 'a {
        let needs: &'a [usize] = self.run.plan.needs.get(unit.spec.position).map(Vec::as_slice).unwrap_or_default();
        needs.iter().copied()
    }

    fn upstream_hard(&self, unit: &Unit) -> Option<Ranked<'a>> {
        let needed = self.needs(unit).filter_map(|on| self.hard[on]);
        if self.run.options.hazards != HazardRule::Ordered || unit.work.started {
            return first(needed);
        }
        // Where nothing before it blocks hard, it is no matter what it meets.
        let Some((floor, _)) = self.any else { return first(needed) };
        if unit.claims_all() {
            return first(needed.chain(self.any));
        }
        first(needed.chain(self.of_writers(unit, floor)).chain(self.exclusive))
    }

    /// The first that blocks an earlier unit whose writes this one touches; none blocks that comes before `floor`.
    fn of_writers(&self, unit: &Unit, floor: usize) -> Option<Ranked<'a>> {
        let manifest = &unit.assignment.manifest;
        let lowest = [&manifest.writes, &manifest.reads].into_iter().filter_map(|set| self.writers.lowest(set, floor)).min()?;
        let at = *self.run.plan.order.get(lowest)?;
        Some((lowest, self.run.units.get(at)?))
    }
}

fn first<'a>(ranked: impl Iterator<Item = Ranked<'a>>) -> Option<Ranked<'a>> {
    ranked.min_by_key(|(rank, _)| *rank)
}

/// Units that depend on this one, however indirectly, and have not come to their end; in document order.
pub(crate) fn dependants<'a>(run: &'a Run, id: &UnitId) -> Vec<&'a Unit> {
    let mut reached: BTreeSet<&UnitId> = BTreeSet::new();
    for unit in run.in_order() {
        let mut needs = unit.assignment.depends_on.iter().chain(&unit.spec.checkpoint_on);
        if needs.any(|need| need == id || reached.contains(need)) {
            reached.insert(&unit.id);
        }
    }
    run.units().filter(|unit| unit.spec.runs && !unit.state().is_terminal() && reached.contains(&unit.id)).collect()
}
