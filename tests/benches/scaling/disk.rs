//! What stands for the disks of many hosts on one machine.

use std::path::{Path, PathBuf};

/// Where Linux has a file system in memory.
const MEMORY: &str = "/dev/shm";
/// A worktree or two for each host, and what it keeps of the repository: some 20 MB a host.
const NEEDED_BYTES: u64 = 1 << 30;

/// A folder that is as fast for many hosts as for one: in memory, where there is room. On one disk the journal lets one host after the other make its files, which no
/// network does.
pub fn in_memory() -> Option<PathBuf> {
    let memory = Path::new(MEMORY);
    let has_room = rustix::fs::statvfs(memory).is_ok_and(|facts| facts.f_bavail.saturating_mul(facts.f_frsize) >= NEEDED_BYTES);
    (has_room && tempfile::tempdir_in(memory).is_ok()).then(|| memory.to_owned())
}
