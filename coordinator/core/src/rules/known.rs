//! What an act may be about: a unit that is there, and one that may be tried again.

use roundtable_shared::{RunId, UnitId, UnitState};

use crate::change::Rejection;
use crate::state::Unit;
use crate::txn::Txn;

/// A unit of the run, or why not.
pub(crate) fn known_unit<'a>(d: &'a Txn<'_>, run: &RunId, unit: &UnitId) -> Result<&'a Unit, Rejection> {
    d.state().unit(run, unit).ok_or_else(|| Rejection::not_found(format!("run {run} has no unit {unit}")))
}

/// Whether an operator may have the unit start its work over.
pub(crate) fn may_retry(unit: &Unit) -> bool {
    matches!(unit.state(), UnitState::NotStarted | UnitState::InProgress | UnitState::FixRequired | UnitState::Blocked)
}
