//! The train: a unit leaves it, and those behind are prepared again.

use roundtable_shared::{RunId, UnitId};

use crate::moves::attempt;
use crate::transition::Fact;
use crate::txn::Txn;

/// Takes a unit out of the train, as long as the branch cannot have moved past it. Those behind it are prepared again: they join anew, in their order.
pub(crate) fn drop_flight_of(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, reason: &str) {
    leave(d, run, unit, reason, false);
}

/// The same; `judged`: because of what its candidate is.
pub(crate) fn leave(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, reason: &str, judged: bool) {
    let train = &d.run(run).branch.train;
    let Some(place) = train.place(unit).filter(|place| !train.flights[*place].intended) else { return };
    let gone: Vec<UnitId> = train.flights[place..].iter().map(|flight| flight.unit.clone()).collect();
    for other in gone {
        let why = if other == *unit { reason.to_owned() } else { format!("unit {unit} ahead of it has left the train: {reason}") };
        attempt::revoke_unit(d, run, &other, &why);
    }
    d.emit(run, Fact::IntegrationDropped { unit: unit.clone(), reason: reason.to_owned(), judged });
}

/// Takes out every unit the branch is not being moved past.
pub(crate) fn drop_all(d: &mut Txn<'_>, run: &RunId, reason: &str) {
    if let Some(unit) = d.run(run).branch.train.flights.iter().find(|flight| !flight.intended).map(|flight| flight.unit.clone()) {
        drop_flight_of(d, run, &unit, reason);
    }
}
