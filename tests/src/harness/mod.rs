//! Runs the real `coordinator`, `worker` and `orchctl` in a world of their own: home, data dir, repository, spec, playbook, processes, leftovers; or on hosts
//! of a network, which share nothing.
//!
//! Everything panics with what the programs said: this is test equipment. Nothing sleeps for a condition; every wait has [`DEADLINE`].

mod binaries;
mod cost;
mod leftovers;
mod network;
mod playbook;
mod process;
mod repository;
mod sandbox;
mod spec;

pub use binaries::binary;
pub use cost::{Cost, machine_ms};
pub use leftovers::{Leftover, leftovers};
pub use network::{Host, Network};
pub use playbook::{Playbook, Turn, step};
pub use process::{Output, Process, Signal};
pub use repository::Repository;
pub use sandbox::{Program, Sandbox};
pub use spec::{SpecText, Unit};

use std::time::{Duration, Instant};

/// The longest a test waits for anything: far beyond what it takes, so that a busy machine fails no test.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `look` gives something, and panics with `what` (and `said`) if that takes longer than [`DEADLINE`].
pub fn wait_for<T>(what: &str, said: impl Fn() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited {} s for {what}\n{}", DEADLINE.as_secs(), said());
        std::thread::sleep(LOOK_EVERY);
    }
}
