//! A unit changed paths that others hold, or that are nobody's to change (docs/rules.md, "Manifests and holds").

use roundtable_shared::limits::FIX_ATTEMPTS_MAX;
use roundtable_shared::{DecisionKind, Role, RunId, UnitId, UnitState};

use crate::moves::unit;
use crate::moves::unit::{Block, block};
use crate::planted::{Bug, planted};
use crate::rules::contention;
use crate::state::{Breach, FixCause};
use crate::transition::{Counter, Fact};
use crate::txn::Txn;

/// Breaches since the last decision before a person is asked.
const BREACHES_MAX: u32 = 2;

/// A unit whose work touches paths others hold.
pub(crate) struct Contention {
    pub role: Role,
    pub claim: Vec<String>,
    pub contended: Vec<String>,
    pub by_person: bool,
}

/// The unit waits in `fix_required` until nobody else holds those paths.
pub(crate) fn wait_for(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, contention: Contention) {
    let Contention { role, claim, contended, by_person } = contention;
    if !claim.is_empty() {
        d.emit(run, Fact::ManifestClaimed { unit: unit.clone(), paths: claim });
    }
    d.emit(run, Fact::FixSet { unit: unit.clone(), cause: Some(FixCause::Waiting { role, by_person }) });
    d.emit(run, Fact::ContendedSet { unit: unit.clone(), paths: contended });
    if d.unit(run, unit).state() != UnitState::FixRequired {
        d.move_unit(run, unit, UnitState::FixRequired, None);
    }
    break_cycles(d, run);
}

/// Work outside the manifest: once the same turn again with the list, then a person.
pub(crate) fn breach(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, role: Role, paths: Vec<(String, String)>) {
    let listed: Vec<String> = paths.iter().map(|(path, why)| format!("{path} ({why})")).collect();
    let attempt = d.unit(run, unit).work.last.as_ref().map(|work| work.attempt).unwrap_or_default();
    d.emit(run, Fact::BreachRecorded { unit: unit.clone(), breach: Some(Breach { attempt, paths }) });
    d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::Breach });
    let no_fix_left = role == Role::Fix && d.unit(run, unit).counters.fix_attempts >= FIX_ATTEMPTS_MAX;
    if no_fix_left || (d.unit(run, unit).counters.breaches >= BREACHES_MAX && !planted(Bug::BreachesEndless)) {
        unit::back_to_waiting(d, run, unit);
        let context = format!("unit {unit} changed what its manifest does not allow: {}", listed.join(", "));
        block(d, run, unit, Block { kind: DecisionKind::Breach, reason: "changes outside its manifest".to_owned(), context });
        return;
    }
    d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::Repeated(role) });
    if d.unit(run, unit).state() == UnitState::FixRequired {
        d.emit(run, Fact::FixSet { unit: unit.clone(), cause: Some(FixCause::Repeat { role }) });
    } else {
        unit::back_to_waiting(d, run, unit);
    }
}

/// Where waiting would be for ever, the last unit of the cycle in plan order has to do without those paths.
pub(crate) fn break_cycles(d: &mut Txn<'_>, run: &RunId) {
    while let Some(unit) = contention::victim(d.run(run)).filter(|_| !planted(Bug::CycleKept)) {
        let now = d.unit(run, &unit);
        let role = now.next_role();
        let paths: Vec<(String, String)> =
            now.contended().iter().map(|path| (path.clone(), "held by a unit that waits for this one".to_owned())).collect();
        d.emit(run, Fact::ContendedSet { unit: unit.clone(), paths: Vec::new() });
        breach(d, run, &unit, role, paths);
    }
}
