//! A fix is wanted, or was of no use.

use roundtable_shared::limits::FIX_ATTEMPTS_MAX;
use roundtable_shared::{DecisionKind, RunId, UnitId, UnitState};

use crate::command::HUMAN;
use crate::moves::orchestrator;
use crate::moves::unit::{Block, block};
use crate::planted::{Bug, planted};
use crate::rules::unfixed;
use crate::state::FixCause;
use crate::transition::{Counter, Fact};
use crate::txn::Txn;

/// A unit needs a fix: it goes to `fix_required`, or after the third one to a person.
pub(crate) fn want_fix(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, cause: FixCause) {
    let context = unfixed::context_of(d, run, unit, &cause);
    if !planted(Bug::CauseForgotten) {
        d.emit(run, Fact::FixSet { unit: unit.clone(), cause: Some(cause) });
    }
    if d.unit(run, unit).counters.fix_attempts >= FIX_ATTEMPTS_MAX && !planted(Bug::FourthFix) {
        block(d, run, unit, Block { kind: DecisionKind::HumanFallback, reason: HUMAN.to_owned(), context });
        return;
    }
    if d.unit(run, unit).state() != UnitState::FixRequired {
        d.move_unit(run, unit, UnitState::FixRequired, None);
    }
    orchestrator::due(d, run, &format!("unit {unit} was sent back"));
}

/// A fix ended without being acceptable: the same again, or a person.
pub(crate) fn fix_failed(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, error: &str) {
    d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::Fix });
    let now = d.unit(run, unit);
    if now.counters.fix_attempts >= FIX_ATTEMPTS_MAX {
        let context = format!("unit {unit}: the fix failed {} times, last: {error}", now.counters.fix_attempts);
        block(d, run, unit, Block { kind: DecisionKind::HumanFallback, reason: HUMAN.to_owned(), context });
    } else {
        d.move_unit(run, unit, UnitState::FixRequired, None);
    }
}
