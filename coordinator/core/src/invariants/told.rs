//! What belongs to a phase of a unit is told of one that is in it, and a fix with its cause: what the fold would have to leave out, or make up, is named
//! before it is written.

use roundtable_shared::{UnitId, UnitState};

use super::Found;
use crate::state::Run;
use crate::transition::Fact;

/// What facts about a phase may not do.
pub(super) fn before(found: &mut Found<'_>, run: &Run, fact: &Fact) {
    use UnitState::*;
    match fact {
        Fact::ReleaseSet { unit, .. } => in_phase(found, run, unit, "it is to be released", &[Blocked]),
        Fact::MergeSet { unit, merging: Some(_) } => in_phase(found, run, unit, "a merge is owed", &[FixRequired]),
        Fact::RoundOpened { unit, .. } => in_phase(found, run, unit, "a round begins", &[InProgress, FixRequired, PendingReview]),
        Fact::ReviewFailed { unit, .. } => in_phase(found, run, unit, "a reviewer fails", &[UnderReview]),
        Fact::RoundConsolidated { unit, .. } => in_phase(found, run, unit, "its round is consolidated", &[FinalReview]),
        Fact::ContendedSet { unit, paths } if !paths.is_empty() => has_cause(found, run, unit, "waits for paths"),
        Fact::UnitMoved { unit, to: FixRequired, .. } => has_cause(found, run, unit, "is to be fixed"),
        Fact::UnitMoved { unit, to, .. } if *to != Blocked => {
            let coming = run.unit(unit).and_then(|unit| unit.coming.as_ref());
            found.unless(coming.is_none(), "told", || format!("unit {unit} goes to {to}, and this was said of a fix: {coming:?}"));
        }
        _ => {}
    }
}

fn in_phase(found: &mut Found<'_>, run: &Run, unit: &UnitId, what: &str, phases: &[UnitState]) {
    let state = run.unit(unit).map(|unit| unit.state());
    found.unless(state.is_some_and(|state| phases.contains(&state)), "told", || format!("{what}, of unit {unit}, which is {state:?}"));
}

fn has_cause(found: &mut Found<'_>, run: &Run, unit: &UnitId, what: &str) {
    let has_cause = run.unit(unit).is_some_and(|unit| unit.fix().is_some());
    found.unless(has_cause, "told", || format!("unit {unit} {what}, but for no reason"));
}
