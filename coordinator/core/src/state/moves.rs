//! The table of unit states (docs/rules.md, "States of a unit"): which moves exist. Nothing else decides this.

use roundtable_shared::UnitState;

/// Whether a unit may go from one state to another. Every other move is refused and logged.
pub fn may_move(from: UnitState, to: UnitState) -> bool {
    use UnitState::*;
    if from.is_terminal() {
        return false;
    }
    match (from, to) {
        (from, Blocked) => from != Blocked,
        (_, Skipped | Cancelled) => true,
        (NotStarted, InProgress) => true,
        (InProgress, PendingReview | NotStarted | FixRequired | FinalReview) => true,
        (PendingReview, UnderReview) => true,
        (UnderReview, FinalReview | FixRequired) => true,
        (FinalReview, Completed | FixRequired) => true,
        (FixRequired, InProgress | PendingReview) => true,
        (Blocked, NotStarted | InProgress | FixRequired | PendingReview) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use UnitState::*;

    const ALL: [UnitState; 10] =
        [NotStarted, InProgress, PendingReview, UnderReview, FinalReview, FixRequired, Completed, Blocked, Skipped, Cancelled];

    #[test]
    fn terminal_states_are_final_and_every_other_can_be_blocked_skipped_and_cancelled() {
        for from in ALL {
            for to in ALL {
                if from.is_terminal() {
                    assert!(!may_move(from, to), "{from} -> {to}");
                }
            }
            if !from.is_terminal() {
                assert!(may_move(from, Skipped) && may_move(from, Cancelled), "{from}");
                assert_eq!(may_move(from, Blocked), from != Blocked, "{from}");
            }
        }
    }

    #[test]
    fn only_final_review_completes() {
        for from in ALL {
            assert_eq!(may_move(from, Completed), from == FinalReview, "{from}");
        }
    }

    #[test]
    fn work_is_granted_only_from_waiting_states() {
        for from in ALL {
            assert_eq!(may_move(from, InProgress), matches!(from, NotStarted | FixRequired | Blocked), "{from}");
        }
    }
}
