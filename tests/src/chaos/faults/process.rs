//! A program alone: killed, stopped. What it had started is its own business.

use std::time::Duration;

use super::pause;
use crate::chaos::daemon::Daemon;
use crate::harness::Signal;

/// `kill -9`; started again afterwards.
pub(super) fn kill(daemon: &Daemon, lasts: Duration) {
    daemon.take_down(|| {});
    pause(lasts);
    daemon.start(Vec::new());
}

/// SIGSTOP, and SIGCONT.
pub(super) fn stop(daemon: &Daemon, lasts: Duration) {
    daemon.signal(Signal::STOP);
    pause(lasts);
    daemon.signal(Signal::CONT);
}
