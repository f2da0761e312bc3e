//! The fix loop (SEMANTICS §7): sending a unit back, counting its fixes, and the end of patience.

use roundtable_shared::limits::FIX_ATTEMPTS_MAX;
use roundtable_shared::{DecisionKind, RunId, UnitId, UnitState};

use super::blocking::{Block, block};
use super::{Deciding, consult};
use crate::command::HUMAN;
use crate::state::FixCause;
use crate::transition::{Counter, Fact};

/// A unit needs a fix: it goes to `fix_required`, or after the third one to a person.
pub(super) fn want_fix(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, cause: FixCause) {
    let context = context_of(d, run, unit, &cause);
    d.emit(run, Fact::FixSet { unit: unit.clone(), cause: Some(cause) });
    if d.unit(run, unit).fix_attempts >= FIX_ATTEMPTS_MAX {
        block(d, run, unit, Block { kind: DecisionKind::HumanFallback, reason: HUMAN.to_owned(), context });
        return;
    }
    if d.unit(run, unit).state != UnitState::FixRequired {
        d.move_unit(run, unit, UnitState::FixRequired, None);
    }
    consult::due(d, run, &format!("unit {unit} was sent back"));
}

/// A fix ended without being acceptable: the same again, or a person.
pub(super) fn fix_failed(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, error: &str) {
    d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::Fix });
    let now = d.unit(run, unit);
    if now.fix_attempts >= FIX_ATTEMPTS_MAX {
        let context = format!("unit {unit}: the fix failed {} times, last: {error}", now.fix_attempts);
        block(d, run, unit, Block { kind: DecisionKind::HumanFallback, reason: HUMAN.to_owned(), context });
    } else {
        d.move_unit(run, unit, UnitState::FixRequired, None);
    }
}

fn context_of(d: &Deciding<'_>, run: &RunId, unit: &UnitId, cause: &FixCause) -> String {
    let now = d.unit(run, unit);
    let tried = format!("after {} fixes", now.fix_attempts);
    match cause {
        FixCause::Findings { .. } => {
            let open: Vec<&str> =
                now.round_findings().filter(|finding| finding.severity.must_fix()).map(|finding| finding.summary.as_str()).collect();
            format!("unit {unit} still has findings {tried}: {}", open.join("; "))
        }
        FixCause::Conflict { paths, .. } => format!("unit {unit} still conflicts with the run's branch {tried}: {}", paths.join(", ")),
        FixCause::CheckRed { .. } => format!("the check of unit {unit} is still red {tried}"),
        FixCause::Repeat { .. } | FixCause::Imported | FixCause::Waiting { .. } => format!("unit {unit} still needs a fix {tried}"),
    }
}
