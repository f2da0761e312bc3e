//! Manual mode: a unit has had its turn, or a step is left.

use roundtable_shared::{RunId, UnitId};

use crate::moves::flight;
use crate::rules::step;
use crate::transition::Fact;
use crate::txn::Txn;

/// The open phase ends where it stands, unless something of it runs: what it had under way is for the next step to take up.
pub(crate) fn abandon(d: &mut Txn<'_>, run: &RunId) {
    if d.run(run).life.step.is_none() || step::is_busy(d.run(run)) {
        return;
    }
    flight::drop_all(d, run, "its step was left");
    d.emit(run, Fact::StepClosed);
}

/// A unit has had its turn in the phase.
pub(crate) fn unit_done(d: &mut Txn<'_>, run: &RunId, unit: &UnitId) {
    if d.run(run).life.step.as_ref().is_some_and(|step| step.units.contains(unit)) {
        d.emit(run, Fact::StepUnitDone { unit: unit.clone() });
    }
}
