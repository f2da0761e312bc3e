//! Where worktrees nobody works in lie: idle ones to be used again, and what could not be removed, which is tried again later. Together they are bounded.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use roundtable_runtime::sweep;

use super::size::bytes_in;

/// Worktrees that lie idle at most, less those that are stuck.
const IDLE_MAX: usize = 8;
/// Stuck ones that are tried again at once.
const RETRIES_MAX: usize = 32;
/// How names of folders that are nobody's begin: idle ones or such as are being removed, and what could not be.
const ASIDE: &str = ".idle-";
const STUCK: &str = ".stuck-";

/// The yard of a host.
pub(super) struct Yard {
    root: PathBuf,
    /// Folders of delivered attempts, the latest last.
    idle: Mutex<Vec<Idle>>,
    bytes_max: u64,
}

/// A folder that lies idle.
struct Idle {
    repository: String,
    dir: PathBuf,
    bytes: u64,
}

impl Yard {
    pub(super) fn new(root: PathBuf, bytes_max: u64) -> Self {
        Self { root, idle: Mutex::default(), bytes_max }
    }

    /// Gives a folder a name under which it is nobody's.
    pub(super) fn aside(&self, dir: &Path) -> io::Result<PathBuf> {
        let aside = self.name(ASIDE);
        std::fs::rename(dir, &aside)?;
        Ok(aside)
    }

    /// Takes the latest idle folder of a repository.
    pub(super) fn take(&self, repository: &str) -> Option<PathBuf> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.iter().rposition(|idle| idle.repository == repository)?;
        Some(idle.remove(at).dir)
    }

    /// Has a folder lie idle; the oldest go where there are too many or they are too large together.
    pub(super) fn put(&self, repository: String, dir: PathBuf) {
        let room = IDLE_MAX.saturating_sub(self.stuck().len());
        let bytes = bytes_in(&dir);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle { repository, dir, bytes });
        let mut beyond = idle.len().saturating_sub(room);
        let held = |from: usize| idle[from..].iter().map(|idle| idle.bytes).fold(0, u64::saturating_add);
        while held(beyond) > self.bytes_max {
            beyond += 1;
        }
        let oldest: Vec<Idle> = idle.drain(..beyond).collect();
        drop(idle);
        oldest.iter().for_each(|idle| self.discard(&idle.dir));
    }

    /// Removes all that lies here.
    pub(super) fn empty(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        idle.iter().for_each(|idle| self.discard(&idle.dir));
        self.discard_stuck();
    }

    /// Removes a folder. What of it cannot be removed is put aside, so that it is in nobody's way, and tried again later.
    pub(super) fn discard(&self, dir: &Path) {
        let Err(stuck) = sweep::remove(dir) else { return };
        let is_known = dir.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(STUCK.as_bytes()));
        if is_known {
            return tracing::debug!(%stuck, "what is left of an old worktree still cannot be removed");
        }
        let aside = self.name(STUCK);
        match std::fs::rename(dir, &aside) {
            Ok(()) => {
                tracing::warn!(%stuck, left = %aside.display(), "what is left of an old worktree is put aside; it is tried again later");
            }
            Err(error) => tracing::warn!(%stuck, %error, "an old worktree could neither be removed nor be put aside"),
        }
    }

    /// Tries once more to remove what was stuck.
    pub(super) fn discard_stuck(&self) {
        self.stuck().iter().take(RETRIES_MAX).for_each(|dir| self.discard(dir));
    }

    fn stuck(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(STUCK.as_bytes())).map(|entry| entry.path()).collect()
    }

    fn name(&self, kind: &str) -> PathBuf {
        self.root.join(format!("{kind}{:016x}", getrandom::u64().unwrap_or_default()))
    }

    #[cfg(test)]
    pub(super) fn idle_count(&self) -> usize {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn idle_folders_are_bounded_by_what_they_hold() {
        let home = tempfile::tempdir().unwrap();
        let yard = Yard::new(home.path().to_owned(), 2_500);
        let put = |name: &str, bytes: usize| {
            let dir = home.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join("file"), vec![0; bytes]).unwrap();
            yard.put("r".to_owned(), dir);
        };
        let left = |names: &[&str]| names.iter().map(|name| home.path().join(name).exists()).collect::<Vec<_>>();
        put("a", 1_000);
        put("b", 1_000);
        assert_eq!(left(&["a", "b"]), [true, true]);
        put("c", 1_000);
        assert_eq!(left(&["a", "b", "c"]), [false, true, true], "the oldest goes");
        put("d", 3_000);
        assert_eq!(left(&["b", "c", "d"]), [false, false, false], "one that is too large alone does not stay either");
        assert_eq!(yard.idle_count(), 0);
    }
}
