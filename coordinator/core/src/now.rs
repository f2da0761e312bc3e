//! The two clocks a command is judged by.

use roundtable_shared::time::WallMs;

/// The two clocks a command is judged by, read by the driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Monotonic (boot time) milliseconds of this coordinator: deadlines of leases and workers.
    pub mono_ms: u64,
    /// Wall clock: what is recorded, and timers that outlive a restart.
    pub wall: WallMs,
}
