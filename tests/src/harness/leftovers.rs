//! Processes that outlived what started them, found by the sandbox's path in their environment: agents inherit its HOME, programs all of it.

use std::path::Path;

/// A process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leftover {
    /// Its id.
    pub pid: u32,
    /// Its command line.
    pub command: String,
}

/// Every live process whose environment speaks of this folder. Zombies have no environment and do not count.
pub fn leftovers(root: &Path) -> Vec<Leftover> {
    let needle = root.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if pid == std::process::id() {
            continue;
        }
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if !contains(&environment, needle) {
            continue;
        }
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
        found.push(Leftover { pid, command });
    }
    found
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}
