//! When a worker must count itself as cut off: no heartbeat of its was answered for so long that the coordinator may be about to give its leases to others.
//! Judged by a clock that counts through suspend, from when the last answered heartbeat was sent, not from when the answer came.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use roundtable_runtime::clock::Clock;
use roundtable_shared::limits::CUT_OFF_MS;

/// Heartbeats without an answer whose sending is remembered; there are never more before the link is given up.
const UNANSWERED_MAX: usize = 16;

/// Knows when the coordinator was last heard. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fence {
    clock: Arc<dyn Clock>,
    /// When what was answered last was sent.
    heard_ms: Arc<AtomicU64>,
}

impl Fence {
    /// Before the first word of a coordinator.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, heard_ms: Arc::new(AtomicU64::new(0)) }
    }

    /// The time on its clock.
    pub fn now_ms(&self) -> u64 {
        self.clock.boot_ms()
    }

    /// What was sent at that time has been answered.
    pub fn heard(&self, sent_ms: u64) {
        self.heard_ms.fetch_max(sent_ms, Ordering::SeqCst);
    }

    /// Whether nothing new may be begun.
    pub fn is_cut_off(&self) -> bool {
        self.now_ms().saturating_sub(self.heard_ms.load(Ordering::SeqCst)) > CUT_OFF_MS
    }
}

/// The heartbeats of one session.
pub struct Beats {
    fence: Fence,
    number: u64,
    /// Number and time of those that were not answered yet, oldest first.
    unanswered: VecDeque<(u64, u64)>,
}

impl Beats {
    /// The session's hello is being sent: it stands for a heartbeat, number 0.
    pub fn begin(fence: Fence) -> Self {
        let unanswered = VecDeque::from([(0, fence.now_ms())]);
        Self { fence, number: 0, unanswered }
    }

    /// One more is being sent; its number.
    pub fn sending(&mut self) -> u64 {
        self.number += 1;
        if self.unanswered.len() == UNANSWERED_MAX {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((self.number, self.fence.now_ms()));
        self.number
    }

    /// That one was answered, and with it all before it.
    pub fn answered(&mut self, number: u64) {
        while let Some((sent, at_ms)) = self.unanswered.front().copied().filter(|(sent, _)| *sent <= number) {
            self.unanswered.pop_front();
            if sent == number {
                self.fence.heard(at_ms);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use roundtable_runtime::clock::ManualClock;
    use roundtable_shared::time::WallMs;

    use super::*;

    fn fence() -> (Fence, ManualClock) {
        let clock = ManualClock::new(1_000_000, WallMs(0));
        (Fence::new(Arc::new(clock.clone())), clock)
    }

    #[test]
    fn nobody_who_was_never_heard_is_near() {
        let (fence, _) = fence();
        assert!(fence.is_cut_off());
        Beats::begin(fence.clone()).answered(0);
        assert!(!fence.is_cut_off());
    }

    #[test]
    fn it_counts_from_the_sending_of_what_was_answered() {
        let (fence, clock) = fence();
        let mut beats = Beats::begin(fence.clone());
        beats.answered(0);
        let first = beats.sending();
        clock.advance(15_000);
        let second = beats.sending();
        // The answer to the first comes late: it says nothing of the time since.
        beats.answered(first);
        clock.advance(5_001);
        assert!(fence.is_cut_off());
        beats.answered(second);
        assert!(!fence.is_cut_off());
        clock.advance(15_000);
        assert!(fence.is_cut_off(), "20 s after the second was sent");
    }

    #[test]
    fn a_suspend_counts_and_a_change_of_the_day_does_not() {
        let (fence, clock) = fence();
        Beats::begin(fence.clone()).answered(0);
        clock.set_wall(WallMs(u64::MAX));
        assert!(!fence.is_cut_off());
        clock.advance(3_600_000);
        assert!(fence.is_cut_off());
    }

    #[test]
    fn answers_to_what_was_never_sent_or_again_say_nothing() {
        let (fence, clock) = fence();
        let mut beats = Beats::begin(fence.clone());
        beats.answered(0);
        clock.advance(20_001);
        beats.answered(0);
        beats.answered(77);
        assert!(fence.is_cut_off());
        for _ in 0..100 {
            beats.sending();
        }
        assert!(beats.unanswered.len() <= UNANSWERED_MAX);
    }
}
