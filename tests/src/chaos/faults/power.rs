//! A whole host: everything on it ends at once, or stands still.

use std::time::Duration;

use super::pause;
use crate::chaos::daemon::Daemon;

/// Everything ends; the program is started again afterwards. (What was written is still there: a kernel that goes down with it is not played.)
pub(super) fn cut(daemon: &Daemon, lasts: Duration) {
    daemon.take_down(|| daemon.host.cut_power());
    pause(lasts);
    daemon.start(Vec::new());
}

/// Everything stands still, agents too.
pub(super) fn freeze(daemon: &Daemon, lasts: Duration) {
    daemon.host.freeze();
    pause(lasts);
    daemon.host.thaw();
}
