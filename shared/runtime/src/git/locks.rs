//! Lock files that a killed git left in a repository of our own: all of them before it is used, and one that is met later. Whoever asks holds the folder alone, so
//! that no git but our own can be at work in it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::program::Trust;
use super::{Git, GitError};

/// A git that outlived its caller may take so long to end; a lock older than that is nobody's.
const ABANDONED_AFTER: Duration = Duration::from_secs(2);
/// Time between two looks at a lock that is young.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Where git takes locks, beside refs.
const PLACES: [&str; 3] = ["", "objects/info", "objects/info/commit-graphs"];
/// Refs may be nested so deep.
const DEPTH_MAX: usize = 16;

impl Git {
    /// Removes what a git that was killed left locked; without it, every later git would refuse. Waits a moment for a lock that is young. To be called once,
    /// before the repository is used. Returns what was removed.
    pub async fn clear_abandoned_locks(&self) -> Result<Vec<PathBuf>, GitError> {
        let dir = self.git_dir.clone();
        let io = GitError::io("clear-locks");
        tokio::task::spawn_blocking(move || clear(&dir)).await.map_err(std::io::Error::other).and_then(|cleared| cleared).map_err(io)
    }

    /// Removes the lock on which a move of refs failed, by its words, if no git of ours can have it. Whether it is worth another try.
    pub(super) async fn clear_lock_met(&self, stderr: &str) -> Result<bool, GitError> {
        let Some(lock) = lock_met(stderr).filter(|lock| self.trust == Trust::Own && lock.starts_with(&self.git_dir)) else {
            return Ok(false);
        };
        // Who had it has ended by now, or was killed and has left it.
        let _alone = self.moving.write().await;
        let cleared = tokio::task::spawn_blocking(move || remove_abandoned(&lock).map(|removed| removed.then_some(lock))).await;
        let cleared = cleared.map_err(std::io::Error::other).and_then(|cleared| cleared).map_err(GitError::io("clear-locks"))?;
        if let Some(lock) = cleared {
            tracing::warn!(lock = %lock.display(), "a git that was killed had left this lock; removed");
        }
        Ok(true)
    }
}

/// The lock file that git says it could not make.
fn lock_met(stderr: &str) -> Option<PathBuf> {
    let (_, rest) = stderr.split_once("Unable to create '")?;
    let (lock, _) = rest.split_once("': File exists")?;
    lock.ends_with(".lock").then(|| PathBuf::from(lock))
}

/// Removes a lock once it is no longer young; whether it was there.
fn remove_abandoned(lock: &Path) -> std::io::Result<bool> {
    let deadline = Instant::now() + ABANDONED_AFTER;
    while Instant::now() < deadline && is_young(lock) {
        std::thread::sleep(LOOK_EVERY);
    }
    match std::fs::remove_file(lock) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn clear(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for place in PLACES {
        locks_in(&dir.join(place), 0, &mut found)?;
    }
    locks_in(&dir.join("refs"), DEPTH_MAX, &mut found)?;
    let mut removed = Vec::new();
    for lock in found {
        if remove_abandoned(&lock)? {
            removed.push(lock);
        }
    }
    Ok(removed)
}

/// Whether the lock is there and may still be a living git's.
fn is_young(lock: &Path) -> bool {
    let taken = std::fs::metadata(lock).and_then(|meta| meta.modified());
    taken.is_ok_and(|taken| SystemTime::now().duration_since(taken).unwrap_or_default() < ABANDONED_AFTER)
}

/// Lock files in a folder and so many levels below it. No ref's name ends in `.lock`: git refuses it.
fn locks_in(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            locks_in(&entry.path(), depth - 1, found)?;
        } else if kind.is_file() && entry.path().extension().is_some_and(|extension| extension == "lock") {
            found.push(entry.path());
        }
    }
    Ok(())
}
