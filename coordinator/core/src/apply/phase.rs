//! Makes where a unit is of the facts about it. A move makes the variant; what belongs to a variant may be told before the move to it or after, in
//! logs of earlier builds too. What comes before waits in `Unit::coming` for the move, which is of the same batch.

use roundtable_shared::time::WallMs;
use roundtable_shared::{CommitId, Role, UnitState};

use crate::state::{Blocked, FixCause, FixOwed, Merging, Release, Unit, UnitPhase};

/// What a move takes along of what is not the unit's own.
pub(super) struct Move {
    pub at: WallMs,
    pub to: UnitState,
    pub reason: Option<String>,
    /// The number of the move: the order of final review.
    pub number: u64,
    /// The commit it was integrated as.
    pub commit: Option<CommitId>,
}

/// The unit is elsewhere from here on.
pub(super) fn go(unit: &mut Unit, to: Move) {
    let Move { at, to, reason, number, commit } = to;
    let coming = unit.coming.take();
    let before = std::mem::take(&mut unit.phase);
    unit.since = at;
    unit.phase = match to {
        UnitState::NotStarted => UnitPhase::NotStarted,
        UnitState::InProgress => UnitPhase::InProgress { fix: cause(coming, before).map(Box::new) },
        UnitState::PendingReview => UnitPhase::PendingReview,
        UnitState::UnderReview => UnitPhase::UnderReview { failed: Vec::new() },
        UnitState::FinalReview => UnitPhase::FinalReview { queued: number, consolidated: false },
        UnitState::FixRequired => {
            UnitPhase::FixRequired(coming.unwrap_or_else(|| Box::new(FixOwed::of(cause(None, before).unwrap_or(UNSAID)))))
        }
        UnitState::Blocked => UnitPhase::Blocked(Box::new(Blocked { reason, release: None, fix: cause(coming, before) })),
        UnitState::Completed => UnitPhase::Completed { at: Some(at), commit },
        UnitState::Skipped => UnitPhase::Skipped { reason },
        UnitState::Cancelled => UnitPhase::Cancelled { reason },
    };
    if to == UnitState::InProgress {
        unit.work.started = true;
    }
    if let Some(counters) = unit.counters.made().filter(|_| to.is_terminal()) {
        counters.retry_at = None;
    }
}

/// A move to a fix of which nobody has said why: the invariants name it, and the fold goes on.
const UNSAID: FixCause = FixCause::Repeat { role: Role::Fix };

/// The fix that goes along.
fn cause(coming: Option<Box<FixOwed>>, before: UnitPhase) -> Option<FixCause> {
    match (coming, before) {
        (Some(coming), _) => Some(coming.cause),
        (None, UnitPhase::InProgress { fix }) => fix.map(|fix| *fix),
        (None, UnitPhase::FixRequired(owed)) => Some(owed.cause),
        (None, UnitPhase::Blocked(blocked)) => blocked.fix,
        _ => None,
    }
}

/// Why a fix is owed; none = none is. Of one that is owed that is said just before the move away from it, which ends it.
pub(super) fn set_fix(unit: &mut Unit, cause: Option<&FixCause>) {
    match (&mut unit.phase, cause) {
        (UnitPhase::InProgress { fix }, cause) => *fix = cause.cloned().map(Box::new),
        (UnitPhase::Blocked(blocked), cause) => blocked.fix = cause.cloned(),
        (UnitPhase::FixRequired(owed), Some(cause)) => owed.cause = cause.clone(),
        (UnitPhase::FixRequired(_), None) => {}
        (_, Some(cause)) => return coming(unit).cause = cause.clone(),
        (_, None) => return unit.coming = None,
    }
    if let (Some(coming), Some(cause)) = (&mut unit.coming, cause) {
        coming.cause = cause.clone();
    }
}

/// Paths it waits for.
pub(super) fn set_contended(unit: &mut Unit, paths: &[String]) {
    if let Some(owed) = owed(unit, !paths.is_empty()) {
        owed.contended = paths.iter().cloned().collect();
    }
}

/// Paths it waits for no more.
pub(super) fn free_contended(unit: &mut Unit, paths: &[String]) {
    if let Some(owed) = owed(unit, false) {
        owed.contended.retain(|path| !paths.contains(path));
    }
}

/// A merge with the tip that is owed; none = done.
pub(super) fn set_merging(unit: &mut Unit, merging: Option<&Merging>) {
    if let Some(owed) = owed(unit, merging.is_some()) {
        owed.merging = merging.cloned();
    }
}

/// How it leaves `blocked`.
pub(super) fn set_release(unit: &mut Unit, release: Option<&Release>) {
    if let UnitPhase::Blocked(blocked) = &mut unit.phase {
        blocked.release = release.cloned();
    }
}

/// What is owed, or will be with the next move; that is made where it `is_said`.
fn owed(unit: &mut Unit, is_said: bool) -> Option<&mut FixOwed> {
    if matches!(unit.phase, UnitPhase::FixRequired(_)) {
        let UnitPhase::FixRequired(owed) = &mut unit.phase else { return None };
        return Some(owed);
    }
    if is_said { Some(coming(unit)) } else { unit.coming.as_deref_mut() }
}

fn coming(unit: &mut Unit) -> &mut FixOwed {
    let Unit { coming, phase, .. } = unit;
    coming.get_or_insert_with(|| Box::new(FixOwed::of(phase.fix().cloned().unwrap_or(UNSAID))))
}
