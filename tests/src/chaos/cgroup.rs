//! A host's cgroup: what it is called, and how everything in it is ended. What runs there is `host`'s.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::tools;

/// How long the kernel may take to empty a cgroup.
pub(super) const EMPTY_WITHIN: Duration = Duration::from_secs(20);

/// The cgroup of the host with that network.
pub(super) fn of_host(space: &str) -> Option<PathBuf> {
    Some(tools::cgroups()?.join(format!("roundtable-chaos-{space}")))
}

/// Ends what a killed maker left running on the host with that network.
pub(super) fn end_left(space: &str) {
    if let Some(cgroup) = of_host(space).filter(|cgroup| cgroup.is_dir()) {
        end(&cgroup);
    }
}

/// Kills everything in a cgroup, and takes it away.
pub(super) fn end(cgroup: &Path) {
    let _ = std::fs::write(cgroup.join("cgroup.freeze"), "0");
    let _ = std::fs::write(cgroup.join("cgroup.kill"), "1");
    let began = Instant::now();
    while !is_empty(cgroup) && began.elapsed() < EMPTY_WITHIN {
        std::thread::sleep(Duration::from_millis(5));
    }
    remove(cgroup);
}

/// Whether nothing runs in it.
pub(super) fn is_empty(cgroup: &Path) -> bool {
    let events = std::fs::read_to_string(cgroup.join("cgroup.events")).unwrap_or_default();
    !events.lines().any(|line| line == "populated 1")
}

/// Removes an empty cgroup and those below it.
fn remove(cgroup: &Path) {
    for entry in std::fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(cgroup);
}
