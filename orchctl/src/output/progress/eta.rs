//! How long the rest may take, from the units seen completing since the run was joined.

use std::time::Instant;

use roundtable_shared::RunStatus;
use roundtable_shared::view::StatusView;

/// Units that must have completed before a guess is worth anything.
const COMPLETED_MIN: u32 = 2;

/// An estimator.
#[derive(Debug, Default)]
pub(super) struct Eta {
    first: Option<(Instant, u32)>,
    latest: Option<(Instant, u32)>,
}

impl Eta {
    /// Takes in a status.
    pub(super) fn observe(&mut self, status: &StatusView, now: Instant) {
        let completed = status.counts.completed();
        self.first.get_or_insert((now, completed));
        // The rate is taken between completions, so that it does not sag while a long unit runs.
        if self.latest.is_none_or(|(_, known)| known != completed) {
            self.latest = Some((now, completed));
        }
    }

    /// Milliseconds, once enough is known.
    pub(super) fn remaining_ms(&self, status: &StatusView) -> Option<u64> {
        let ((began, at_first), (until, at_latest)) = (self.first?, self.latest?);
        let seen = at_latest.saturating_sub(at_first);
        let left = status.counts.total().saturating_sub(status.counts.completed());
        if seen < COMPLETED_MIN || left == 0 || status.status != RunStatus::Running {
            return None;
        }
        let each = until.duration_since(began).as_millis() / u128::from(seen);
        u64::try_from(each * u128::from(left)).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use roundtable_shared::UnitState;
    use roundtable_shared::view::Counts;

    use super::*;

    fn status(completed: u32) -> StatusView {
        let mut counts = Counts::new(10, 10, 0);
        (0..completed).for_each(|_| counts.add(&UnitState::Completed.into()));
        StatusView { status: RunStatus::Running.into(), counts, ..StatusView::default() }
    }

    #[test]
    fn known_after_two_units_and_steady_between_completions() {
        let (mut eta, start) = (Eta::default(), Instant::now());
        let at = |s: u64| start + Duration::from_secs(s);
        eta.observe(&status(4), at(0));
        assert_eq!(eta.remaining_ms(&status(4)), None);
        eta.observe(&status(5), at(10));
        assert_eq!(eta.remaining_ms(&status(5)), None);
        eta.observe(&status(6), at(20));
        assert_eq!(eta.remaining_ms(&status(6)), Some(40_000));
        eta.observe(&status(6), at(60));
        assert_eq!(eta.remaining_ms(&status(6)), Some(40_000));
        assert_eq!(eta.remaining_ms(&status(10)), None);
    }
}
