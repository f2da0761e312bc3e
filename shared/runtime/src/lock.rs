//! One process per data directory (or worker's workspace): an exclusive lock that the kernel lifts when its holder ends, and a note of who holds it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::fsx;

/// Who holds a directory, as it says itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// What it runs: `coordinator serve`, `orchctl run`, ….
    pub command: String,
    /// Where it listens, once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {}", self.command, self.pid)?;
        if let Some(address) = &self.address {
            write!(f, ", {address}")?;
        }
        f.write_str(")")
    }
}

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is held by {}; end that first or use another directory", dir.display(), named(holder))]
    Held {
        /// The directory.
        dir: PathBuf,
        /// Who says it holds it, if that could be read.
        holder: Option<Holder>,
    },
    /// The lock file could not be made or written.
    #[error("{} cannot be used: {source}; the data dir must be a folder that this user can write: make it so, or name another", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn named(holder: &Option<Holder>) -> String {
    holder.as_ref().map_or_else(|| "another process".to_owned(), Holder::to_string)
}

/// A held directory; dropped, it is free.
#[derive(Debug)]
pub struct DirLock {
    file: File,
    path: PathBuf,
    holder: Holder,
}

/// Name of the lock file in its directory.
const FILE_NAME: &str = "lock";
/// How often a held lock is tried again.
const RETRY: Duration = Duration::from_millis(50);

impl DirLock {
    /// Locks `dir` (made if absent) at once or says who holds it.
    pub fn acquire(dir: &Path, command: &str) -> Result<Self, LockError> {
        fsx::create_dir_unless_there(dir).map_err(|source| LockError::Io { path: dir.to_owned(), source })?;
        let path = dir.join(FILE_NAME);
        let failed = |source| LockError::Io { path: path.clone(), source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(&path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(LockError::Held { dir: dir.to_owned(), holder: read_holder(&file) }),
            Err(error) => return Err(failed(error.into())),
        }
        let mut lock = Self { file, path, holder: Holder { pid: std::process::id(), command: command.to_owned(), address: None } };
        lock.write_holder()?;
        Ok(lock)
    }

    /// Locks `dir`, waiting at most so long for its holder to end.
    pub async fn acquire_within(dir: &Path, command: &str, wait: Duration) -> Result<Self, LockError> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            match Self::acquire(dir, command) {
                Err(LockError::Held { .. }) if tokio::time::Instant::now() + RETRY < deadline => tokio::time::sleep(RETRY).await,
                done => return done,
            }
        }
    }

    /// Notes where the holder listens.
    pub fn set_address(&mut self, address: &str) -> Result<(), LockError> {
        self.holder.address = Some(address.to_owned());
        self.write_holder()
    }

    fn write_holder(&mut self) -> Result<(), LockError> {
        let text = serde_json::to_vec(&self.holder).unwrap_or_default();
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(&text)
        };
        write().map_err(|source| LockError::Io { path: self.path.clone(), source })
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        give_back(&self.file);
    }
}

/// A lock on a file that many may share, or one have alone. Dropped, it is given back.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        give_back(&self.file);
    }
}

/// Closing the file alone does not always do: a program that is being started beside has a copy of it until it runs, and with it the lock.
fn give_back(file: &File) {
    let _ = flock(file, FlockOperation::Unlock);
}

impl FileLock {
    /// Shares it, unless somebody has it alone.
    pub fn try_shared(path: &Path) -> io::Result<Option<Self>> {
        Self::take(path, FlockOperation::NonBlockingLockShared)
    }

    /// Has it alone, unless somebody has or shares it.
    pub fn try_alone(path: &Path) -> io::Result<Option<Self>> {
        Self::take(path, FlockOperation::NonBlockingLockExclusive)
    }

    fn take(path: &Path, how: FlockOperation) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match flock(&file, how) {
            Ok(()) => Ok(Some(Self { file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Who says it holds `dir`, if anyone holds it now.
pub fn holder_of(dir: &Path) -> Option<Holder> {
    let file = File::open(dir.join(FILE_NAME)).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => read_holder(&file),
        _ => None,
    }
}

fn read_holder(file: &File) -> Option<Holder> {
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_second_is_told_who_is_first() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("data");
        assert_eq!(holder_of(&dir), None);
        let mut first = DirLock::acquire(&dir, "coordinator serve").unwrap();
        first.set_address("127.0.0.1:7420").unwrap();
        let error = DirLock::acquire(&dir, "orchctl run").unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, LockError::Held { holder: Some(_), .. }));
        assert!(text.contains(&format!("coordinator serve (pid {}, 127.0.0.1:7420)", std::process::id())), "{text}");
        assert_eq!(holder_of(&dir).unwrap().command, "coordinator serve");
        drop(first);
        assert_eq!(holder_of(&dir), None);
        DirLock::acquire(&dir, "orchctl run").unwrap();
    }

    #[test]
    fn what_is_given_back_is_free_though_another_has_a_copy_of_the_file() {
        let home = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(home.path(), "coordinator serve").unwrap();
        let copy = first.file.try_clone().unwrap();
        drop(first);
        assert_eq!(holder_of(home.path()), None);
        drop(copy);
    }

    #[test]
    fn a_file_is_shared_by_many_or_had_by_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("files.lock");
        let (one, two) = (FileLock::try_shared(&path).unwrap(), FileLock::try_shared(&path).unwrap());
        assert!(one.is_some() && two.is_some());
        assert!(FileLock::try_alone(&path).unwrap().is_none());
        drop(one);
        assert!(FileLock::try_alone(&path).unwrap().is_none());
    }

    #[tokio::test]
    async fn waiting_ends_when_the_holder_does() {
        let home = tempfile::tempdir().unwrap();
        let first = DirLock::acquire(home.path(), "one").unwrap();
        let error = DirLock::acquire_within(home.path(), "two", Duration::from_millis(120)).await.unwrap_err();
        assert!(matches!(error, LockError::Held { .. }));
        let dir = home.path().to_owned();
        let waiting = tokio::spawn(async move { DirLock::acquire_within(&dir, "two", Duration::from_secs(30)).await });
        drop(first);
        waiting.await.unwrap().unwrap();
    }
}
