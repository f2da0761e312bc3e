//! Deadlines of one live lease. They live in memory only: after a restart each lease gets a grace.

use roundtable_shared::{LeasePhase, RunLimits, WorkerId};

use super::GRACE_MS;
use crate::command::Now;
use crate::state::{Attempt, Run};

/// How long a taken lease may be without starting or saying that it prepares.
pub const ACCEPTED_WITHOUT_PROGRESS_MS: u64 = 900_000;
/// How long after its wall limit an attempt may still be ended and uploaded, before its worker counts as wedged.
pub const OVERDUE_MS: u64 = 900_000;

/// Longest reason of a worker that is kept.
const WAITING_CHARS_MAX: usize = 300;

/// A live lease as it is watched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseWatch {
    /// Whose it is.
    pub worker: WorkerId,
    /// How far it is, as far as this process knows.
    pub phase: Option<LeasePhase>,
    /// Judged lost after this (monotonic).
    pub deadline_ms: u64,
    /// No sign of progress before `Started` moves the deadline beyond this.
    pub preparing_until_ms: u64,
    /// Heartbeats in a row that did not list it.
    pub missing_beats: u32,
    /// Why its outcome is not handed in yet, as its worker says.
    pub waiting: String,
}

impl LeaseWatch {
    /// Just granted: it must be taken soon.
    pub fn granted(worker: WorkerId, limits: &RunLimits, now: Now) -> Self {
        let deadline_ms = now.mono_ms.saturating_add(limits.accept_ms);
        Self { worker, phase: None, deadline_ms, preparing_until_ms: overdue_ms(limits, now), missing_beats: 0, waiting: String::new() }
    }

    /// From before a restart.
    pub fn recovered(attempt: &Attempt, run: Option<&Run>, now: Now) -> Self {
        let limits = run.map(|run| run.options.limits.clone()).unwrap_or_default();
        let overdue = overdue_ms(&limits, now);
        let (phase, deadline_ms) = match attempt.started_at {
            Some(_) => (Some(LeasePhase::Running), overdue),
            None => (None, now.mono_ms.saturating_add(GRACE_MS)),
        };
        let worker = attempt.granted.worker.clone();
        Self { worker, phase, deadline_ms, preparing_until_ms: overdue, missing_beats: 0, waiting: String::new() }
    }

    /// What its worker says of its outcome, within a bound.
    pub fn waits(&mut self, why: &str) {
        self.waiting = why.chars().take(WAITING_CHARS_MAX).collect();
    }

    /// It is known to be that far; `progress` = the worker said so just now, not merely that it still holds it.
    pub fn reached(&mut self, phase: LeasePhase, progress: bool, limits: &RunLimits, now: Now) {
        let is_news = self.phase.is_none_or(|before| before < phase);
        self.phase = self.phase.max(Some(phase));
        match phase {
            LeasePhase::Accepted | LeasePhase::Preparing if self.phase <= Some(LeasePhase::Preparing) && (is_news || progress) => {
                let deadline_ms = now.mono_ms.saturating_add(ACCEPTED_WITHOUT_PROGRESS_MS);
                self.deadline_ms = deadline_ms.min(self.preparing_until_ms);
            }
            LeasePhase::Running if is_news => self.deadline_ms = overdue_ms(limits, now),
            _ => {}
        }
    }
}

fn overdue_ms(limits: &RunLimits, now: Now) -> u64 {
    now.mono_ms.saturating_add(limits.wall_ms).saturating_add(OVERDUE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, ..Now::default() }
    }

    #[test]
    fn preparing_with_progress_has_an_end_and_starting_begins_the_wall_clock() {
        let limits = RunLimits::default();
        let mut watch = LeaseWatch::granted("w".into(), &limits, at(0));
        assert_eq!(watch.deadline_ms, 15_000);
        watch.reached(LeasePhase::Accepted, true, &limits, at(1_000));
        assert_eq!(watch.deadline_ms, 901_000);
        watch.reached(LeasePhase::Preparing, false, &limits, at(500_000));
        let first = watch.deadline_ms;
        watch.reached(LeasePhase::Preparing, false, &limits, at(600_000));
        assert_eq!(watch.deadline_ms, first, "holding it is no progress");
        watch.reached(LeasePhase::Preparing, true, &limits, at(8_000_000));
        assert_eq!(watch.deadline_ms, 7_200_000 + OVERDUE_MS, "progress has an end");
        watch.reached(LeasePhase::Running, true, &limits, at(8_000_000));
        assert_eq!(watch.deadline_ms, 8_000_000 + 7_200_000 + OVERDUE_MS);
        watch.reached(LeasePhase::Accepted, true, &limits, at(9_000_000));
        assert_eq!(watch.phase, Some(LeasePhase::Running), "late frames do not turn it back");
    }
}
