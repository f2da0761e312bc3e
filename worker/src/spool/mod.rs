//! The spool: what the worker still owes its coordinator, on disk until a verdict says it has arrived. It outlives crashes of both. Sending is
//! `session`'s, producing is `attempt`'s.

mod attempt;
mod record;
mod tail;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use roundtable_runtime::fsx;
use roundtable_shared::{AttemptKey, Lease};

pub use attempt::{ATTEMPT_BYTES_MAX, AttemptSpool, Position, Reader};

/// How long attempts are kept that have their verdict, in case the coordinator's store is restored from a backup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepLimits {
    /// At most so long.
    pub time: Duration,
    /// At most so many bytes; the oldest go first.
    pub bytes: u64,
}

impl Default for KeepLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(24 * 3600), bytes: 2 << 30 }
    }
}

/// Why the spool failed.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// No space left.
    #[error("the disk of the worker's spool is full; free space")]
    Full,
    /// The disk failed.
    #[error("the worker's spool cannot be used: {0}")]
    Io(io::Error),
    /// An event that was written cannot be read.
    #[error("event {seq} in the worker's spool is damaged")]
    Damaged {
        /// Its number.
        seq: u64,
    },
    /// What an attempt left is in another form.
    #[error("{folder} holds an attempt that this release cannot read ({detail}): it is kept; start the release that left it to have it handed in, or remove it", folder = folder.display())]
    Unreadable {
        /// Where it lies.
        folder: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

impl From<io::Error> for SpoolError {
    fn from(error: io::Error) -> Self {
        if fsx::is_full(&error) { Self::Full } else { Self::Io(error) }
    }
}

/// The spool of a worker.
#[derive(Clone, Debug)]
pub struct Spool {
    root: PathBuf,
    keep: KeepLimits,
}

impl Spool {
    /// Opens it, creating the folder.
    pub fn open(root: PathBuf) -> Result<Self, SpoolError> {
        fs::create_dir_all(&root)?;
        Ok(Self { root, keep: KeepLimits::default() })
    }

    /// The same with other limits.
    #[must_use]
    pub fn keeping(self, keep: KeepLimits) -> Self {
        Self { keep, ..self }
    }

    /// Removes accepted attempts that are old, or too many; with `all`, all of them.
    pub fn prune(&self, all: bool) -> Result<(), SpoolError> {
        let mut accepted = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let dir = entry?.path();
            if let Some(at) = attempt::accepted_at(&dir) {
                let bytes = fs::read_dir(&dir)?.flatten().filter_map(|file| Some(file.metadata().ok()?.len())).sum();
                accepted.push((at, bytes, dir));
            }
        }
        if all {
            accepted.iter().for_each(|(_, _, dir)| remove(dir));
        } else {
            prune(accepted, SystemTime::now(), self.keep);
        }
        Ok(())
    }

    /// The coordinator's store to which this was delivered last; empty before there was one.
    pub fn store(&self) -> String {
        fs::read_to_string(self.store_file()).map(|text| text.trim().to_owned()).unwrap_or_default()
    }

    /// Notes the coordinator's store; nothing is written where it is known.
    pub fn remember_store(&self, store: &str) -> Result<(), SpoolError> {
        if store.is_empty() || self.store() == store {
            return Ok(());
        }
        Ok(fsx::write_atomic(&self.store_file(), format!("{store}\n").as_bytes(), fsx::PRIVATE)?)
    }

    /// Beside the attempts, not among them.
    fn store_file(&self) -> PathBuf {
        self.root.with_extension("store")
    }

    /// Attempts with an outcome that were delivered and are kept still: from here on they are owed again, as the coordinator may have lost them. The one that
    /// was delivered last comes first: it is the likeliest to be missing.
    pub fn owe_again(&self) -> Result<Vec<AttemptSpool>, SpoolError> {
        let (mut accepted, mut again) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.root)? {
            let dir = entry?.path();
            accepted.extend(attempt::accepted_at(&dir).map(|at| (at, dir)));
        }
        accepted.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (_, dir) in accepted {
            match owed_again(&dir) {
                Ok(spool) => again.extend(spool),
                // It keeps the others from nobody, nor the worker from its coordinator.
                Err(error) => tracing::warn!(dir = %dir.display(), %error, "a delivered attempt cannot be offered again"),
            }
        }
        Ok(again)
    }

    /// Begins an attempt: its lease is durable when this returns.
    pub fn begin(&self, lease: Lease) -> Result<AttemptSpool, SpoolError> {
        let dir = self.root.join(folder_of(&lease.lease.key, &lease.lease.lease_id.to_string()));
        AttemptSpool::create(dir, lease)
    }

    /// What an earlier life left: attempts without a verdict. Those accepted long ago are removed.
    pub fn left_behind(&self) -> Result<Vec<AttemptSpool>, SpoolError> {
        self.prune(false)?;
        let mut owed = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let dir = entry?.path();
            if attempt::accepted_at(&dir).is_some() {
                continue;
            }
            match AttemptSpool::reopen(dir.clone()) {
                // Not even its lease was durable: nothing was promised.
                Ok(None) => remove(&dir),
                Ok(Some(spool)) => owed.push(spool),
                // It keeps the others from nobody.
                Err(error @ SpoolError::Unreadable { .. }) => tracing::warn!("{error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(owed)
    }
}

/// One of them; none if it has no outcome.
fn owed_again(dir: &Path) -> Result<Option<AttemptSpool>, SpoolError> {
    let Some(spool) = AttemptSpool::reopen(dir.to_owned())?.filter(|spool| spool.outcome().is_some()) else { return Ok(None) };
    spool.unmark_accepted()?;
    Ok(Some(spool))
}

/// Removes accepted attempts that are old or too many.
fn prune(mut accepted: Vec<(SystemTime, u64, PathBuf)>, now: SystemTime, keep: KeepLimits) {
    accepted.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    let mut kept = 0;
    for (at, bytes, dir) in accepted {
        kept += bytes;
        let old = now.duration_since(at).is_ok_and(|age| age > keep.time);
        if old || kept > keep.bytes {
            remove(&dir);
        }
    }
}

fn remove(dir: &Path) {
    if let Err(error) = fs::remove_dir_all(dir) {
        tracing::warn!(dir = %dir.display(), %error, "an old attempt in the spool could not be removed");
    }
}

/// A name that is safe whatever the ids hold, and different for each lease.
fn folder_of(key: &AttemptKey, lease_id: &str) -> String {
    let plain = |text: &str| -> String {
        text.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' }).take(60).collect()
    };
    let unit = key.unit.as_ref().map_or_else(|| "run".to_owned(), |unit| plain(unit.as_str()));
    format!("{}.{unit}.{}.{lease_id}", plain(key.run.as_str()), key.attempt)
}

#[cfg(test)]
mod tests;
