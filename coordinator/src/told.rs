//! Prompts as they were sent, one file an attempt, so that a person can read what an agent was told. Views, not state: losing one costs nothing
//! but that. What is under `copy`, and what a worker keeps from its agents' output, is in no prompt.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use roundtable_shared::{AttemptKey, RunId};
use roundtable_store::segment::{attempt_dir, run_dir};

/// Most bytes of one run's prompts; beyond it the oldest go.
const RUN_BYTES_MAX: u64 = 256 << 20;
/// Longest file that is read, bytes: more than any prompt has.
const READ_BYTES_MAX: u64 = 4 << 20;
/// An attempt's prompt in its folder.
const NAME: &str = "prompt.md";

/// The folder of prompts.
#[derive(Clone, Debug)]
pub struct Told {
    root: PathBuf,
}

impl Told {
    /// Below a data directory; the folder need not exist yet.
    pub fn new(data_dir: &Path) -> Self {
        Self { root: data_dir.join("prompts") }
    }

    /// Keeps what an attempt is told.
    pub async fn keep(&self, key: &AttemptKey, text: String) -> std::io::Result<()> {
        let (root, folder) = (self.root.clone(), attempt_dir(key));
        blocking(move || write(&root, &folder, text.as_bytes())).await
    }

    /// Removes what the attempts of a run were told.
    pub async fn forget(&self, run: &RunId) -> std::io::Result<()> {
        let folder = self.root.join(run_dir(run));
        blocking(move || match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }

    /// What an attempt was told, as far as it is still here.
    pub async fn read(&self, key: &AttemptKey) -> std::io::Result<Option<String>> {
        let path = self.root.join(attempt_dir(key)).join(NAME);
        blocking(move || {
            use std::io::Read;
            let file = match std::fs::File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let mut bytes = Vec::new();
            file.take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

/// Whole or not at all: half a prompt would be told as what was sent.
fn write(root: &Path, folder: &Path, text: &[u8]) -> std::io::Result<()> {
    let place = root.join(folder);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&place)?;
    if let Some(run) = folder.iter().next() {
        make_room(&root.join(run), text.len() as u64)?;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&place)?;
    }
    let unfinished = place.join("prompt.new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(text)?;
    std::fs::rename(unfinished, place.join(NAME))
}

/// Removes a run's oldest prompts until this much more fits.
fn make_room(run: &Path, bytes: u64) -> std::io::Result<()> {
    let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for unit in folders(run)? {
        for attempt in folders(&unit)? {
            let Ok(about) = std::fs::metadata(attempt.join(NAME)) else { continue };
            kept.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), about.len(), attempt));
        }
    }
    let mut total = bytes + kept.iter().map(|(_, len, _)| len).sum::<u64>();
    if total <= RUN_BYTES_MAX {
        return Ok(());
    }
    kept.sort();
    for (_, len, attempt) in kept {
        std::fs::remove_dir_all(attempt)?;
        total = total.saturating_sub(len);
        if total <= RUN_BYTES_MAX {
            break;
        }
    }
    Ok(())
}

fn folders(of: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(of) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    entries.map(|entry| entry.map(|entry| entry.path())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use roundtable_shared::{AttemptNo, UnitId};

    use super::*;

    fn key(unit: Option<&str>, attempt: u32) -> AttemptKey {
        AttemptKey { run: RunId::new("ledger-k3v9q2"), unit: unit.map(UnitId::from), attempt: AttemptNo(attempt) }
    }

    #[tokio::test]
    async fn what_was_told_is_read_as_it_was_sent_and_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let told = Told::new(dir.path());
        assert_eq!(told.read(&key(Some("2"), 1)).await.unwrap(), None);
        told.keep(&key(Some("2"), 1), "do 2\n".to_owned()).await.unwrap();
        told.keep(&key(Some("../2"), 1), "do another\n".to_owned()).await.unwrap();
        told.keep(&key(None, 1), "assign\n".to_owned()).await.unwrap();
        assert_eq!(told.read(&key(Some("2"), 1)).await.unwrap().as_deref(), Some("do 2\n"));
        assert_eq!(told.read(&key(Some("../2"), 1)).await.unwrap().as_deref(), Some("do another\n"));
        assert_eq!(told.read(&key(None, 1)).await.unwrap().as_deref(), Some("assign\n"));
        let file = dir.path().join("prompts").join(attempt_dir(&key(Some("2"), 1))).join(NAME);
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        told.forget(&key(None, 1).run).await.unwrap();
        assert_eq!(told.read(&key(Some("2"), 1)).await.unwrap(), None);
        told.forget(&key(None, 1).run).await.unwrap();
    }

    #[test]
    fn the_oldest_prompts_make_room() {
        let dir = tempfile::tempdir().unwrap();
        let at = |attempt: u32| attempt_dir(&key(Some("2"), attempt));
        for attempt in [1, 2] {
            write(dir.path(), &at(attempt), b"x").unwrap();
        }
        // Sparse: it takes no room on the disk.
        let first = std::fs::OpenOptions::new().write(true).open(dir.path().join(at(1)).join(NAME)).unwrap();
        first.set_len(RUN_BYTES_MAX).unwrap();
        first.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        write(dir.path(), &at(3), b"y").unwrap();
        let is_there = |attempt: u32| dir.path().join(at(attempt)).join(NAME).is_file();
        assert_eq!((is_there(1), is_there(2), is_there(3)), (false, true, true));
    }
}
