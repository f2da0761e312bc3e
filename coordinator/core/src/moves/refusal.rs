//! An agent that says it cannot do the unit as it stands (docs/rules.md, "Agents that refuse a unit"): trying it blindly again would get the same answer, so a
//! person is asked at once, unless all it lacks is another unit's work that is on its way.

use roundtable_shared::answer::{RefusalKind, WorkAnswer};
use roundtable_shared::{DecisionKind, Role, RunId, UnitId};

use crate::moves::unit;
use crate::moves::unit::{Block, block};
use crate::rules::needed;
use crate::transition::{Counter, Fact};
use crate::txn::Txn;

/// What becomes of a unit whose agent refuses it; false if the answer refuses nothing.
pub(crate) fn refused(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, role: Role, answer: &WorkAnswer, error: &str) -> bool {
    let Some(kind) = answer.refusal else { return false };
    let on =
        (kind == RefusalKind::BlockedOn && role == Role::Implement).then(|| needed::needed(d.run(run), d.unit(run, unit), error)).flatten();
    if let Some(on) = on {
        d.notice(run, format!("unit {unit} waits for unit {on}: its agent says that it needs that first: {error}"));
        d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::Repeated(role) });
        d.emit(run, Fact::DependencyFound { unit: unit.clone(), on });
        unit::back_to_waiting(d, run, unit);
        return true;
    }
    let counter = if role == Role::Fix { Counter::Fix } else { Counter::UnitFailure };
    d.emit(run, Fact::Counted { unit: unit.clone(), what: counter });
    let what = match kind {
        RefusalKind::Underspecified => "says that the task does not say enough",
        RefusalKind::BlockedOn => "says that something else must be there first",
        RefusalKind::OutOfScope => "says that the task cannot be done within the unit's bounds",
    };
    let context = format!("unit {unit}: the agent {what}: {error}");
    block(d, run, unit, Block { kind: DecisionKind::FailedSubtask, reason: error.to_owned(), context });
    true
}
