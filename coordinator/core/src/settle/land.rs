//! Moving the run's branch past the longest prefix of the train that is green: one intent covers it, and nothing takes that back (I1).

use roundtable_shared::RunId;

use crate::moves::land;
use crate::planted::{Bug, planted};
use crate::rules::integration::is_gated_by_check;
use crate::rules::owed;
use crate::state::{BaseCheck, InFlight};
use crate::transition::Fact;
use crate::txn::Txn;

/// Intends to integrate all that may be, unless the branch is on its way already.
pub(crate) fn intend(d: &mut Txn<'_>, run: &RunId) {
    let now = d.run(run);
    let is_again = planted(Bug::IntentAgain) && now.passing() > now.branch.train.intended().count();
    if now.branch.train.is_moving() && !is_again {
        return pass_where_it_is(d, run);
    }
    let count = now.passing();
    if count == 0 || is_gated_by_check(now) {
        return;
    }
    let passing: Vec<InFlight> = now.branch.train.flights[..count].to_vec();
    let was_waived = now.branch.base_check == BaseCheck::Waived;
    let Some(last) = passing.last().map(|flight| flight.unit.clone()) else { return };
    d.emit(run, Fact::IntegrationIntended { unit: last });
    if was_waived {
        for flight in passing.iter().take_while(|flight| !flight.checks.green) {
            let unit = &flight.unit;
            d.notice(run, format!("the check is red after unit {unit}, as it was before the first: not held against it"));
        }
        if passing.iter().any(|flight| flight.checks.green) {
            d.emit(run, Fact::BaseChecked { result: BaseCheck::Green });
        }
    }
    if let Some(effect) = owed::branch_move(d.run(run)) {
        d.effect(effect);
    }
    pass_where_it_is(d, run);
}

/// Where all that is intended changes nothing, the branch need not move.
fn pass_where_it_is(d: &mut Txn<'_>, run: &RunId) {
    let now = d.run(run);
    if now.branch.train.destination() == Some(&now.branch.tip) {
        land::pass(d, run);
    }
}
