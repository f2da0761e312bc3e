//! How much a folder holds.

use std::path::Path;

/// Entries that are looked at; a folder with more counts as too large for anything.
const ENTRIES_MAX: usize = 2_000_000;

/// Bytes of the files below a folder; links lead nowhere.
pub(super) fn bytes_in(dir: &Path) -> u64 {
    let (mut bytes, mut entries) = (0_u64, 0);
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            entries += 1;
            if entries > ENTRIES_MAX {
                return u64::MAX;
            }
            let Ok(facts) = entry.metadata() else { continue };
            if facts.is_dir() {
                waiting.push(entry.path());
            } else {
                bytes = bytes.saturating_add(facts.len());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_of_all_depths_count_and_links_lead_nowhere() {
        let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(other.path().join("large"), [0; 5000]).unwrap();
        std::fs::create_dir_all(home.path().join("a/b")).unwrap();
        std::fs::write(home.path().join("a/one"), [0; 300]).unwrap();
        std::fs::write(home.path().join("a/b/two"), [0; 40]).unwrap();
        std::os::unix::fs::symlink(other.path(), home.path().join("link")).unwrap();
        let found = bytes_in(home.path());
        assert!((340..5000).contains(&found), "{found}");
        assert_eq!(bytes_in(&home.path().join("none")), 0);
    }
}
