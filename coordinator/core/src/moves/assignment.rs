//! One unit is assigned anew.

use roundtable_shared::{Assignment, DecisionId, DecisionKind, RunId};

use crate::moves::{ask, retry};
use crate::transition::Fact;
use crate::txn::Txn;

/// What a person says stands; a unit that waited for an owner goes on.
pub(crate) fn reassign(d: &mut Txn<'_>, run: &RunId, assignment: Assignment, by: String) {
    let (id, has_owner) = (assignment.unit.clone(), assignment.owner_agent.is_some());
    d.emit(run, Fact::UnitReassigned { assignment: Box::new(assignment), by });
    let missing: DecisionId = DecisionKind::MissingOwnerAgent.id(Some(id.as_str()));
    if has_owner && d.is_open(run, &missing) {
        ask::withdraw(d, run, &missing, "it has an owner now");
        retry::go_on(d, run, &id);
    }
}
