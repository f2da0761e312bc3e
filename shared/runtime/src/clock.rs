//! Two clocks behind one trait: one for durations, which counts through suspend, and one for display. Timers are tokio's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use roundtable_shared::time::WallMs;

/// Reads the time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Milliseconds since this host booted, suspend included. Never goes back; says nothing to another host.
    fn boot_ms(&self) -> u64;

    /// The time of day. May jump; for display and for what must outlive a boot.
    fn wall(&self) -> WallMs;
}

/// The host's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn boot_ms(&self) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let millis = u64::try_from(now.tv_nsec / 1_000_000).unwrap_or(0);
        seconds.saturating_mul(1000).saturating_add(millis)
    }

    fn wall(&self) -> WallMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock that tests move. Clones share the time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    boot_ms: Arc<AtomicU64>,
    wall_ms: Arc<AtomicU64>,
}

impl ManualClock {
    /// Begins at these times.
    pub fn new(boot_ms: u64, wall: WallMs) -> Self {
        Self { boot_ms: Arc::new(AtomicU64::new(boot_ms)), wall_ms: Arc::new(AtomicU64::new(wall.0)) }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, ms: u64) {
        self.boot_ms.fetch_add(ms, Ordering::SeqCst);
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the time of day alone, as an administrator or a time server may.
    pub fn set_wall(&self, wall: WallMs) {
        self.wall_ms.store(wall.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn boot_ms(&self) -> u64 {
        self.boot_ms.load(Ordering::SeqCst)
    }

    fn wall(&self) -> WallMs {
        WallMs(self.wall_ms.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_booted_and_it_is_late() {
        let first = SystemClock.boot_ms();
        assert!(first > 0 && SystemClock.boot_ms() >= first);
        assert!(SystemClock.wall() > WallMs(1_767_225_600_000));
    }

    #[test]
    fn a_jump_of_the_day_is_no_duration() {
        let clock = ManualClock::new(5, WallMs(100));
        let seen = clock.clone();
        clock.advance(10);
        clock.set_wall(WallMs(1));
        assert_eq!((seen.boot_ms(), seen.wall()), (15, WallMs(1)));
    }
}
