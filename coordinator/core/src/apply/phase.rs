//! Makes where a unit is of the facts about it. A move makes the variant; what belongs to a variant may be told before the move to it or after, in
//! logs of earlier builds too. What comes before waits in `Unit::coming` for the move, which is of the same batch.

use roundtable_shared::time::WallMs;
use roundtable_shared::{BackendName, CommitId, Role, Seat, UnitState, WorkerId};

use crate::state::{Blocked, ComingFix, FixCause, FixOwed, Merging, Release, Unit, UnitPhase};

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

/// The cause of a fix for which none is said: `Unit::coming` stays there then, and the invariants name it.
const UNSAID: FixCause = FixCause::Repeat { role: Role::Fix };

/// The unit is elsewhere from here on.
pub(super) fn go(unit: &mut Unit, to: Move) {
    let Move { at, to, reason, number, commit } = to;
    let ComingFix { cause: said, contended } = unit.coming.take().map(|coming| *coming).unwrap_or_default();
    let before = std::mem::take(&mut unit.phase);
    // The one that was said for the move, else that of the fix it had.
    let cause = || said.or_else(|| cause_of(before));
    unit.phase = match to {
        UnitState::NotStarted => UnitPhase::NotStarted,
        UnitState::InProgress => UnitPhase::InProgress { fix: cause().map(Box::new) },
        UnitState::PendingReview => UnitPhase::PendingReview,
        UnitState::UnderReview => UnitPhase::UnderReview { failed: Vec::new() },
        UnitState::FinalReview => UnitPhase::FinalReview { queued: number, consolidated: false },
        UnitState::FixRequired => {
            let cause = cause();
            if cause.is_none() {
                unit.coming = Some(Box::default());
            }
            UnitPhase::FixRequired(Box::new(FixOwed { cause: cause.unwrap_or(UNSAID), contended, merging: None }))
        }
        UnitState::Blocked => UnitPhase::Blocked(Box::new(Blocked { reason, release: None, fix: cause() })),
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

fn cause_of(phase: UnitPhase) -> Option<FixCause> {
    match phase {
        UnitPhase::InProgress { fix } => fix.map(|fix| *fix),
        UnitPhase::FixRequired(owed) => Some(owed.cause),
        UnitPhase::Blocked(blocked) => blocked.fix,
        _ => None,
    }
}

/// Why a fix is owed; none = none is. That none is owed any more is said of a unit in `fix_required` just before the move that ends it.
pub(super) fn set_fix(unit: &mut Unit, cause: Option<&FixCause>) {
    match (&mut unit.phase, cause) {
        (UnitPhase::InProgress { fix }, cause) => *fix = cause.cloned().map(Box::new),
        (UnitPhase::Blocked(blocked), cause) => blocked.fix = cause.cloned(),
        (UnitPhase::FixRequired(owed), Some(cause)) => {
            owed.cause = cause.clone();
            unit.coming = None;
        }
        (UnitPhase::FixRequired(_), None) => {}
        (_, Some(cause)) => unit.coming.get_or_insert_default().cause = Some(cause.clone()),
        (_, None) => unit.coming = None,
    }
}

/// Paths it waits for, or will with its next move.
pub(super) fn set_contended(unit: &mut Unit, paths: &[String]) {
    let contended = match (&mut unit.phase, &mut unit.coming) {
        (UnitPhase::FixRequired(owed), _) => &mut owed.contended,
        (_, coming) if !paths.is_empty() => &mut coming.get_or_insert_default().contended,
        (_, Some(coming)) => &mut coming.contended,
        (_, None) => return,
    };
    *contended = paths.iter().cloned().collect();
}

/// Paths it waits for no more.
pub(super) fn free_contended(unit: &mut Unit, paths: &[String]) {
    if let UnitPhase::FixRequired(owed) = &mut unit.phase {
        owed.contended.retain(|path| !paths.contains(path));
    }
}

/// A merge with the tip that comes before its fix; none = done.
pub(super) fn set_merging(unit: &mut Unit, merging: Option<&Merging>) {
    if let UnitPhase::FixRequired(owed) = &mut unit.phase {
        owed.merging = merging.cloned();
    }
}

/// How it leaves `blocked`.
pub(super) fn set_release(unit: &mut Unit, release: Option<&Release>) {
    if let UnitPhase::Blocked(blocked) = &mut unit.phase {
        blocked.release = release.cloned();
    }
}

/// A reviewer was of no use.
pub(super) fn fail_review(unit: &mut Unit, seat: Seat, worker: &WorkerId, backend: &BackendName) {
    if let UnitPhase::UnderReview { failed } = &mut unit.phase {
        failed.push((seat, worker.clone(), backend.clone()));
    }
}

/// Its round is consolidated.
pub(super) fn consolidate(unit: &mut Unit) {
    if let UnitPhase::FinalReview { consolidated, .. } = &mut unit.phase {
        *consolidated = true;
    }
}
