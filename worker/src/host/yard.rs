//! Where worktrees nobody works in lie: idle ones to be used again, and what could not be removed, which is tried again later. Together they are bounded.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use roundtable_runtime::sweep;

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
    /// Folders of delivered attempts with the repository they are of, the latest last.
    idle: Mutex<Vec<(String, PathBuf)>>,
}

impl Yard {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, idle: Mutex::default() }
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
        let at = idle.iter().rposition(|(of, _)| of == repository)?;
        Some(idle.remove(at).1)
    }

    /// Has a folder lie idle; the oldest go where there are too many.
    pub(super) fn put(&self, repository: String, dir: PathBuf) {
        let room = IDLE_MAX.saturating_sub(self.stuck().len());
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((repository, dir));
        let beyond = idle.len().saturating_sub(room);
        let oldest: Vec<_> = idle.drain(..beyond).collect();
        drop(idle);
        oldest.iter().for_each(|(_, dir)| self.discard(dir));
    }

    /// Removes all that lies here.
    pub(super) fn empty(&self) {
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        idle.iter().for_each(|(_, dir)| self.discard(dir));
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
