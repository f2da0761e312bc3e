//! When a process tree has to end: wall time, idleness, too much output, a provider that does not answer or refuses. Pure arithmetic over instants; the caller measures and acts.

use std::time::{Duration, Instant};

use roundtable_shared::limits::OUTPUT_KILL_BYTES;

use crate::backend::{Contact, EndedBy};

/// Using less than this share of one processor counts as doing nothing: runtimes of waiting agents tick a little.
const BUSY_PER_MILLE: u128 = 20;
/// A gap between two looks longer than this means that the worker itself stood still.
const STALL: Duration = Duration::from_secs(5);

/// Bounds of one process tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest life, from the start of the program.
    pub wall: Duration,
    /// Longest time with neither output nor processor time.
    pub idle: Duration,
    /// Longest time from the start to the provider's first byte, where that can be seen.
    pub first_byte: Duration,
    /// Longest time without output, whatever is computed, where a tool that is at work cannot be seen (`Contact::Blurred`).
    pub silence: Duration,
    /// Most output, both streams together, bytes.
    pub output_bytes_max: u64,
    /// Time between the request to end (SIGTERM) and the end by force.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(7200),
            idle: Duration::from_secs(900),
            first_byte: Duration::from_secs(120),
            // opencode ends its commands after ten minutes at most.
            silence: Duration::from_secs(660),
            output_bytes_max: OUTPUT_KILL_BYTES,
            grace: Duration::from_secs(10),
        }
    }
}

/// Watches one tree.
#[derive(Debug)]
pub(super) struct Watch {
    limits: Limits,
    started: Instant,
    active: Instant,
    /// The last output, later by the time in which nobody looked.
    said: Instant,
    /// The start, later by the time in which nobody looked.
    waiting_since: Instant,
    looked: Instant,
    cpu_seen: Option<(Instant, u64)>,
}

impl Watch {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self { limits, started: now, active: now, said: now, waiting_since: now, looked: now, cpu_seen: None }
    }

    /// How often to look.
    pub(super) fn every(&self) -> Duration {
        (self.limits.idle / 8).clamp(Duration::from_millis(50), Duration::from_secs(5))
    }

    /// When the wall limit strikes.
    pub(super) fn wall_at(&self) -> Instant {
        self.started + self.limits.wall
    }

    /// A measurement of the tree's processor time so far.
    pub(super) fn cpu(&mut self, now: Instant, cpu_us: u64) {
        if let Some((at, before)) = self.cpu_seen {
            let used = u128::from(cpu_us.saturating_sub(before));
            if used * 1000 >= now.saturating_duration_since(at).as_micros() * BUSY_PER_MILLE && used > 0 {
                self.active = self.active.max(now);
            }
        }
        self.cpu_seen = Some((now, cpu_us));
    }

    /// Judges. `quiet_for` is the time since the last output.
    pub(super) fn verdict(&mut self, now: Instant, output_bytes: u64, quiet_for: Duration, contact: Contact) -> Option<EndedBy> {
        let gap = now.saturating_duration_since(self.looked);
        if gap > STALL + self.every() {
            // We were stopped, not the agent: its output of that time may still wait to be read.
            self.active += gap;
            self.waiting_since += gap;
            self.said += gap;
        }
        self.looked = now;
        if let Some(output_at) = now.checked_sub(quiet_for) {
            self.active = self.active.max(output_at);
            self.said = self.said.max(output_at);
        }
        if output_bytes > self.limits.output_bytes_max {
            Some(EndedBy::Output)
        } else if now >= self.wall_at() {
            Some(EndedBy::Wall)
        } else if contact == Contact::Refusing {
            Some(EndedBy::Refused)
        } else if contact == Contact::Awaited && now.saturating_duration_since(self.waiting_since) >= self.limits.first_byte {
            Some(EndedBy::Unanswered)
        } else if contact == Contact::Blurred && now.saturating_duration_since(self.said) >= self.limits.silence {
            Some(EndedBy::Stalled)
        } else if now.saturating_duration_since(self.active) >= self.limits.idle {
            Some(EndedBy::Idle)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        wall: Duration::from_secs(100),
        idle: Duration::from_secs(20),
        first_byte: Duration::from_secs(12),
        silence: Duration::from_secs(14),
        output_bytes_max: 1000,
        grace: Duration::from_secs(1),
    };

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Looks every two seconds until a verdict; `cpu_per_mille` of a processor is used all the time, output comes while `talking`.
    fn verdict_at(cpu_per_mille: u64, talking: bool) -> (u64, EndedBy) {
        verdict_under(Contact::Unknown, cpu_per_mille, talking)
    }

    fn verdict_under(contact: Contact, cpu_per_mille: u64, talking: bool) -> (u64, EndedBy) {
        let start = Instant::now();
        let mut watch = Watch::new(LIMITS, start);
        for n in (2..).step_by(2) {
            let now = start + secs(n);
            watch.cpu(now, n * cpu_per_mille * 1000);
            if let Some(end) = watch.verdict(now, 10, if talking { secs(1) } else { secs(n) }, contact) {
                return (n, end);
            }
        }
        unreachable!("the wall limit ends it")
    }

    #[test]
    fn idle_needs_silence_and_no_processor_time() {
        assert_eq!(verdict_at(0, false), (20, EndedBy::Idle));
        assert_eq!(verdict_at(5, false), (20, EndedBy::Idle), "an event loop's ticking is no work");
        assert_eq!(verdict_at(500, false), (100, EndedBy::Wall));
        assert_eq!(verdict_at(0, true), (100, EndedBy::Wall));
    }

    #[test]
    fn a_provider_that_sends_nothing_or_refuses_again_ends_it_whatever_the_cli_does() {
        assert_eq!(verdict_under(Contact::Awaited, 500, true), (12, EndedBy::Unanswered));
        assert_eq!(verdict_under(Contact::Heard, 0, true), (100, EndedBy::Wall));
        assert_eq!(verdict_under(Contact::Heard, 500, false), (100, EndedBy::Wall));
        assert_eq!(verdict_under(Contact::Blurred, 500, false), (14, EndedBy::Stalled), "its event loop is no tool");
        assert_eq!(verdict_under(Contact::Blurred, 0, true), (100, EndedBy::Wall));
        assert_eq!(verdict_under(Contact::Refusing, 500, true), (2, EndedBy::Refused));
    }

    #[test]
    fn too_much_output_ends_it() {
        let start = Instant::now();
        let mut watch = Watch::new(LIMITS, start);
        assert_eq!(watch.verdict(start, 1000, secs(0), Contact::Unknown), None);
        assert_eq!(watch.verdict(start, 1001, secs(0), Contact::Unknown), Some(EndedBy::Output));
    }

    #[test]
    fn a_worker_that_stood_still_does_not_call_its_agent_idle() {
        let start = Instant::now();
        let mut watch = Watch::new(LIMITS, start);
        assert_eq!(watch.verdict(start + secs(60), 0, secs(60), Contact::Awaited), None);
        assert_eq!(watch.verdict(start + secs(62), 0, secs(62), Contact::Awaited), None);
        for n in (64..80).step_by(2) {
            assert_eq!(watch.verdict(start + secs(n), 0, secs(n), Contact::Unknown), None, "{n}");
        }
        assert_eq!(watch.verdict(start + secs(81), 0, secs(81), Contact::Unknown), Some(EndedBy::Idle));
    }
}
