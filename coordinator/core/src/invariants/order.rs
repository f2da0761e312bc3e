//! I5: a unit starts only when all it depends on is at its end, no earlier unit threatens what it touches, and its base has what was integrated.

use roundtable_shared::{CommitId, HazardRule, Seat, UnitId};

use super::Found;
use crate::effect::Start;
use crate::state::{Run, Unit};
use crate::transition::{Fact, Granted};

/// What work grants may not overtake.
pub(super) fn before(found: &mut Found<'_>, run: &Run, fact: &Fact, began_here: impl Fn(&UnitId) -> bool) {
    let Fact::LeaseGranted(granted) = fact else { return };
    let Some(unit) = granted.unit.as_ref().filter(|_| granted.seat == Seat::Work).and_then(|unit| run.unit(unit)) else { return };
    if unit.work.started && !began_here(&unit.id) {
        return;
    }
    for on in unit.assignment.depends_on.iter().chain(&unit.spec.checkpoint_on).filter_map(|on| run.unit(on)) {
        let done = !on.spec.runs || on.state().is_terminal();
        found.unless(done, "I5", || format!("unit {} is granted work while {}, on which it depends, is {}", unit.id, on.id, on.state()));
        has_integrated(found, run, unit, on, granted);
    }
    if unit.work.started {
        return;
    }
    let at_tip = granted.base == run.branch.tip && granted.start == Start::Commit(run.branch.tip.clone());
    found.unless(at_tip, "I5", || format!("unit {} starts on {} and not on the tip {}", unit.id, granted.base, run.branch.tip));
    if run.options.hazards == HazardRule::Ordered {
        let earlier = run.in_order().take_while(|other| other.id != unit.id);
        for other in earlier.filter(|other| other.spec.runs && !other.state().is_terminal()) {
            found.unless(!threatens(other, unit), "I5", || {
                format!(
                    "unit {} starts while {} ({}), which comes first and writes what it touches, is open",
                    unit.id,
                    other.id,
                    other.state()
                )
            });
        }
    }
}

/// Whether an earlier unit writes what a later one reads or writes.
fn threatens(earlier: &Unit, later: &Unit) -> bool {
    let everything = |unit: &Unit| unit.assignment.exclusive && !unit.assignment.settled;
    everything(earlier)
        || everything(later)
        || earlier.assignment.manifest.writes.conflicts(&later.assignment.manifest.writes)
        || earlier.assignment.manifest.writes.conflicts(&later.assignment.manifest.reads)
}

/// Whether the base lies behind the integration of that unit.
fn has_integrated(found: &mut Found<'_>, run: &Run, unit: &Unit, on: &Unit, granted: &Granted) {
    let place = |commit: &CommitId| run.branch.integrations.iter().position(|integration| integration.commit == *commit);
    let Some(needed) = run.branch.integrations.iter().position(|integration| integration.unit.as_ref() == Some(&on.id)) else { return };
    found.unless(place(&granted.base).is_some_and(|base| base >= needed), "I5", || {
        format!("unit {} works on {}, which lacks the work of {}, on which it depends", unit.id, granted.base, on.id)
    });
}
