//! Which units are held up by one before them: derived, never stored (docs/rules.md, "States of a unit"). Shared by read models and mirror files.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_core::state::{Run, Unit};
use roundtable_shared::{HazardRule, UnitId, UnitState};

/// A unit with its place in plan order.
type Ranked<'a> = (usize, &'a Unit);

/// Units not yet started whose way is blocked upstream, each with the first unit (in plan order) that blocks it, however indirectly. A unit that
/// waits for a person blocks whoever waits for it in any way; one that is being fixed blocks those that depend on it.
pub(crate) fn blocked_upstream(run: &Run) -> BTreeMap<&UnitId, &Unit> {
    let mut walk = Walk { run, hard: vec![None; run.units.len()], soft: vec![None; run.units.len()], any: None, exclusive: None };
    let mut blocked = BTreeMap::new();
    for (rank, unit) in run.in_order().enumerate().filter(|(_, unit)| unit.spec.runs && !unit.state().is_terminal()) {
        if let Some(by) = walk.visit((rank, unit)) {
            blocked.insert(&unit.id, by);
        }
    }
    blocked
}

struct Walk<'a> {
    run: &'a Run,
    /// By position: what blocks the unit, or the unit itself if it blocks.
    hard: Vec<Option<Ranked<'a>>>,
    soft: Vec<Option<Ranked<'a>>>,
    /// First that blocks hard at all, and through a unit without a manifest.
    any: Option<Ranked<'a>>,
    exclusive: Option<Ranked<'a>>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, at: Ranked<'a>) -> Option<&'a Unit> {
        let (_, unit) = at;
        let waits = unit.state() == UnitState::NotStarted;
        let is_hard = unit.state() == UnitState::Blocked && unit.release().is_none();
        let is_soft = unit.state() == UnitState::Blocked || has_blocked_item(self.run, unit);
        let hard = if is_hard { Some(at) } else { self.upstream_hard(unit).filter(|_| waits) };
        let soft = if is_soft { Some(at) } else { first(self.needs(unit).filter_map(|on| self.soft[on])).filter(|_| waits) };
        self.hard[unit.spec.position] = hard;
        self.soft[unit.spec.position] = soft;
        if let Some(hard) = hard {
            self.any = first([self.any, Some(hard)].into_iter().flatten());
            if unit.claims_all() {
                self.exclusive = first([self.exclusive, Some(hard)].into_iter().flatten());
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
        // Nothing before it blocks hard, whatever it meets.
        if self.any.is_none() {
            return first(needed);
        }
        let ordered = self.run.plan.open_hazards(unit).into_iter().filter_map(|on| self.hard[on]);
        let exclusive = if unit.claims_all() { self.any } else { self.exclusive };
        first(needed.chain(ordered).chain(exclusive))
    }
}

fn first<'a>(ranked: impl Iterator<Item = Ranked<'a>>) -> Option<Ranked<'a>> {
    ranked.min_by_key(|(rank, _)| *rank)
}

fn has_blocked_item(run: &Run, unit: &Unit) -> bool {
    run.people.blocked_items.iter().any(|item| item.task_id.as_str() == unit.id.as_str())
}

/// What a unit that is blocked upstream says of it.
pub(crate) fn upstream_reason(run: &Run, by: &Unit) -> String {
    let item = run.people.blocked_items.iter().find(|item| item.task_id.as_str() == by.id.as_str());
    let why = item.map(|item| item.blocking_reason.as_str()).or(by.reason()).unwrap_or("blocked");
    format!("Upstream task {}: {why}", by.id)
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
