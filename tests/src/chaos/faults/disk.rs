//! The disk under a program's data: filled to its last block, and emptied again.

use std::time::Duration;

use super::pause;
use crate::chaos::daemon::Daemon;

/// Fills it.
pub(super) fn fill(daemon: &Daemon, lasts: Duration) {
    let disk = daemon.host.disk.as_ref().expect("a host whose disk is filled has one of its own");
    disk.fill();
    pause(lasts);
    disk.free();
}
