//! Paths a unit changed while another holds them (docs/rules.md, "Manifests and holds"): waiting, claiming in the transaction that frees them, and the
//! rule that waiting never closes a cycle.

use std::collections::BTreeSet;

use roundtable_shared::limits::FIX_ATTEMPTS_MAX;
use roundtable_shared::{DecisionKind, Role, RunId, UnitId, UnitState};

use super::blocking::{Block, block};
use super::{Deciding, failure, merge};
use crate::planted::{Bug, planted};
use crate::state::{Breach, FixCause, Run};
use crate::transition::{Counter, Fact};

/// Breaches since the last decision before a person is asked.
const BREACHES_MAX: u32 = 2;

/// A unit whose work touches paths others hold.
pub(super) struct Contention {
    pub role: Role,
    pub claim: Vec<String>,
    pub contended: Vec<String>,
    pub by_person: bool,
}

/// The unit waits in `fix_required` until nobody else holds those paths.
pub(super) fn wait_for(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, contention: Contention) {
    let Contention { role, claim, contended, by_person } = contention;
    if !claim.is_empty() {
        d.emit(run, Fact::ManifestClaimed { unit: unit.clone(), paths: claim });
    }
    d.emit(run, Fact::FixSet { unit: unit.clone(), cause: Some(FixCause::Waiting { role, by_person }) });
    d.emit(run, Fact::ContendedSet { unit: unit.clone(), paths: contended });
    if d.unit(run, unit).state != UnitState::FixRequired {
        d.move_unit(run, unit, UnitState::FixRequired, None);
    }
    break_cycles(d, run);
}

/// Paths that became free are claimed by those that wait for them, in plan order, before anything is granted.
pub(super) fn claim_freed(d: &mut Deciding<'_>, run: &RunId) {
    let waiting: Vec<UnitId> = d.run(run).in_order().filter(|unit| !unit.contended.is_empty()).map(|unit| unit.id.clone()).collect();
    for id in waiting.into_iter().filter(|_| !planted(Bug::FreedUnclaimed)) {
        let now = d.run(run);
        let unit = d.unit(run, &id);
        let free: Vec<String> = unit.contended.iter().filter(|path| now.holders_of(&id, path).next().is_none()).cloned().collect();
        if free.is_empty() {
            continue;
        }
        d.emit(run, Fact::ManifestClaimed { unit: id.clone(), paths: free.clone() });
        d.emit(run, Fact::ContendedFreed { unit: id.clone(), paths: free });
        break_cycles(d, run);
        let unit = d.unit(run, &id);
        if let (true, Some(FixCause::Waiting { by_person, .. }), Some(work)) = (unit.contended.is_empty(), &unit.fix, &unit.last) {
            let (work, by_person) = (work.clone(), *by_person);
            merge::begin(d, run, &id, work, by_person);
        }
    }
}

/// Work outside the manifest: once the same turn again with the list, then a person.
pub(super) fn breach(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, role: Role, paths: Vec<(String, String)>) {
    let listed: Vec<String> = paths.iter().map(|(path, why)| format!("{path} ({why})")).collect();
    let attempt = d.unit(run, unit).last.as_ref().map(|work| work.attempt).unwrap_or_default();
    d.emit(run, Fact::BreachRecorded { unit: unit.clone(), breach: Some(Breach { attempt, paths }) });
    d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::Breach });
    let no_fix_left = role == Role::Fix && d.unit(run, unit).fix_attempts >= FIX_ATTEMPTS_MAX;
    if no_fix_left || (d.unit(run, unit).counters.breaches >= BREACHES_MAX && !planted(Bug::BreachesEndless)) {
        failure::back_to_waiting(d, run, unit);
        let context = format!("unit {unit} changed what its manifest does not allow: {}", listed.join(", "));
        block(d, run, unit, Block { kind: DecisionKind::Breach, reason: "changes outside its manifest".to_owned(), context });
        return;
    }
    d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::Repeated(role) });
    if d.unit(run, unit).state == UnitState::FixRequired {
        d.emit(run, Fact::FixSet { unit: unit.clone(), cause: Some(FixCause::Repeat { role }) });
    } else {
        failure::back_to_waiting(d, run, unit);
    }
}

/// Where waiting would be for ever, the last unit of the cycle in plan order has to do without those paths.
fn break_cycles(d: &mut Deciding<'_>, run: &RunId) {
    while let Some(unit) = victim(d.run(run)).filter(|_| !planted(Bug::CycleKept)) {
        let now = d.unit(run, &unit);
        let role = now.next_role();
        let paths: Vec<(String, String)> =
            now.contended.iter().map(|path| (path.clone(), "held by a unit that waits for this one".to_owned())).collect();
        d.emit(run, Fact::ContendedSet { unit: unit.clone(), paths: Vec::new() });
        breach(d, run, &unit, role, paths);
    }
}

/// The last unit, in plan order, of some cycle of units that wait for each other's paths.
fn victim(run: &Run) -> Option<UnitId> {
    let contended = run.in_order().filter(|unit| !unit.contended.is_empty());
    for start in contended {
        let mut path = vec![start.position];
        let mut seen = BTreeSet::new();
        if closes(run, start.position, start.position, &mut path, &mut seen) {
            let last = path.into_iter().max_by_key(|at| run.plan.rank[*at])?;
            return Some(run.units[last].id.clone());
        }
    }
    None
}

/// Whether waiting leads from `at` back to `start`; `path` is then the cycle.
fn closes(run: &Run, at: usize, start: usize, path: &mut Vec<usize>, seen: &mut BTreeSet<usize>) -> bool {
    let unit = &run.units[at];
    for contended in &unit.contended {
        for holder in run.holders_of(&unit.id, contended) {
            if holder.position == start {
                return true;
            }
            if holder.contended.is_empty() || !seen.insert(holder.position) {
                continue;
            }
            path.push(holder.position);
            if closes(run, holder.position, start, path, seen) {
                return true;
            }
            path.pop();
        }
    }
    false
}
