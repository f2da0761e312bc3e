//! The time of day on a host: its program is started with another one, and with the right one again. Durations stay right, as on a machine whose clock
//! somebody sets. A program that is linked statically does not notice.

use std::time::Duration;

use super::pause;
use crate::chaos::daemon::Daemon;
use crate::chaos::tools;

/// Sets it so many minutes wrong.
pub(super) fn set(daemon: &Daemon, minutes: i64, lasts: Duration) {
    let library = tools::faketime().expect("libfaketime is where chaos is");
    let lies = [
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", format!("{minutes:+}m")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_DONT_RESET", "1".to_owned()),
    ];
    daemon.take_down(|| {});
    daemon.start(lies.map(|(name, value)| (name.to_owned(), value)).to_vec());
    pause(lasts);
    daemon.take_down(|| {});
    daemon.start(Vec::new());
}
