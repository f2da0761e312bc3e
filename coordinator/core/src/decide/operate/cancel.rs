//! A person ends a unit, those that depend on it, or the whole run (docs/rules.md, "Decisions").

use roundtable_shared::{Dependants, RunId, UnitId, UnitState};

use crate::change::Rejection;
use crate::moves::end;
use crate::rules::dependants;
use crate::rules::known::known_unit;
use crate::txn::Txn;

/// A person goes on without a unit.
pub(crate) fn skip_act(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, dependants: Dependants) -> Result<(), Rejection> {
    if known_unit(d, run, unit)?.state() == UnitState::Skipped {
        d.unchanged(format!("unit {unit} is skipped already"));
        return Ok(());
    }
    check_can_end(d, run, unit, dependants == Dependants::Skip)?;
    end::skip(d, run, unit, dependants);
    d.done(format!("unit {unit} is skipped"));
    Ok(())
}

/// A person ends a unit, and with it those that depend on it.
pub(crate) fn cancel_act(d: &mut Txn<'_>, run: &RunId, unit: &UnitId) -> Result<(), Rejection> {
    if known_unit(d, run, unit)?.state() == UnitState::Cancelled {
        d.unchanged(format!("unit {unit} is cancelled already"));
        return Ok(());
    }
    check_can_end(d, run, unit, true)?;
    let units = dependants::with_dependants(d.run(run), unit);
    for id in &units {
        let reason =
            if id == unit { "cancelled by a person".to_owned() } else { format!("cancelled with unit {unit}, on which it depends") };
        end::end_unit(d, run, id, UnitState::Cancelled, reason);
    }
    let listed: Vec<&str> = units.iter().map(UnitId::as_str).collect();
    d.done(format!("cancelled: {}", listed.join(", ")));
    Ok(())
}

/// A person ends the run.
pub(crate) fn cancel_run(d: &mut Txn<'_>, run: &RunId, by: String) -> Result<(), Rejection> {
    let now = d.run(run);
    let open = now.units().filter(|unit| unit.spec.runs && !unit.state().is_terminal() && !now.branch.train.is_intended(&unit.id));
    let open: Vec<UnitId> = open.map(|unit| unit.id.clone()).collect();
    for unit in open {
        end::end_unit(d, run, &unit, UnitState::Cancelled, "the run was cancelled".to_owned());
    }
    end::abort(d, run, "cancelled by a person".to_owned(), by);
    d.done(format!("run {run} is cancelled"));
    Ok(())
}

/// A unit whose branch move is under way cannot be ended: it is completed in a moment.
fn check_can_end(d: &Txn<'_>, run: &RunId, unit: &UnitId, and_dependants: bool) -> Result<(), Rejection> {
    let now = known_unit(d, run, unit)?;
    if now.state().is_terminal() || !now.spec.runs {
        return Err(Rejection::conflict(format!("unit {unit} is {} already", now.state())));
    }
    let run_now = d.run(run);
    let units = if and_dependants { dependants::with_dependants(run_now, unit) } else { vec![unit.clone()] };
    match run_now.branch.train.intended().find(|flight| units.contains(&flight.unit)) {
        Some(flight) => Err(Rejection::conflict(format!("unit {} is being integrated at this moment; ask again", flight.unit))),
        None => Ok(()),
    }
}
