//! Backups: a folder that is laid out like a data directory, with a list of what is in it. `take` makes one beside a coordinator that serves, `restore` makes a
//! data directory of one, `coordinator verify` checks one like any data directory. A backup is never served: restored, its log has a name of its own.

mod copy;
mod known;
mod restore;
mod take;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use roundtable_runtime::git::GitError;
use roundtable_runtime::lock::LockError;
use roundtable_store::{AppendError, OpenError, ReadError};
use serde::{Deserialize, Serialize};

pub use restore::{Restored, restore};
pub use take::{Taken, take};

use crate::driver::CodecError;
use copy::hash_file;

/// The list of a backup's files; written last, so that a folder without it is no backup.
pub const MANIFEST: &str = "backup.json";
/// Form of a backup. A release reads all up to its own.
const FORMAT: u32 = 1;
/// In a data directory that is being restored; removed last, so that one that bears it is not whole.
const UNFINISHED: &str = "restoring";
/// Where `restore --replace` puts what is there; no part of the data directory any more.
const ASIDE: &str = "replaced-";
/// In a data directory of which some is put aside already, and some not: names the folder that all of it goes to.
const PUTTING_ASIDE: &str = "putting-aside";
/// git takes a folder without this one for no repository, even where all refs are packed.
const REFS: &str = "refs/heads";
/// Differences that are named.
const DIFFERENCES_MAX: usize = 20;

/// What a backup says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Form of the backup.
    pub format: u32,
    /// Version of the program that made it.
    pub version: String,
    /// When, RFC 3339.
    pub made_at: String,
    /// Name of the store it is of.
    pub store: String,
    /// Rows of the log.
    pub rows: u64,
    /// Hash of the last one.
    pub head: String,
    /// Files by their path in the folder.
    pub files: BTreeMap<String, FileFacts>,
}

/// A file of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileFacts {
    /// Its size.
    pub bytes: u64,
    /// Its BLAKE3, hex.
    pub blake3: String,
}

/// Why a backup was not made, read or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The log cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The restored log cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A row cannot be understood or written.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Another process holds the data directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder is not fit for it.
    #[error("{0}")]
    Unfit(String),
}

impl BackupError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

impl Manifest {
    /// Reads a backup's; `None` if the folder is no backup.
    pub fn read(folder: &Path) -> Result<Option<Self>, BackupError> {
        let path = folder.join(MANIFEST);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(BackupError::io(&path))?,
        };
        let unreadable = |why: String| BackupError::Unfit(format!("{} cannot be read: {why}; use another backup", path.display()));
        // A later form may have other fields: its number comes first.
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        let format = value["format"].as_u64().ok_or_else(|| unreadable("it names no format".to_owned()))?;
        if format > u64::from(FORMAT) {
            let version = value["version"].as_str().unwrap_or("unknown");
            return Err(BackupError::Unfit(format!(
                "the backup in {} has format {format}, this release knows {FORMAT}: it was made by a newer release (version {version}); use that one",
                folder.display()
            )));
        }
        serde_json::from_value(value).map(Some).map_err(|error| unreadable(error.to_string()))
    }

    /// What differs from the list, a line each.
    pub fn differences(&self, folder: &Path) -> Vec<String> {
        let mut differences = Vec::new();
        for (name, listed) in &self.files {
            match hash_file(&folder.join(name)) {
                Ok(found) if found == *listed => continue,
                Ok(_) => differences.push(format!("{name} is not what the backup's list says")),
                Err(error) => differences.push(format!("{name}: {error}")),
            }
            if differences.len() >= DIFFERENCES_MAX {
                break;
            }
        }
        differences
    }
}

/// Why a folder cannot be served, if it is a backup or was restored in part only.
pub(crate) fn unservable(data_dir: &Path) -> Option<String> {
    let shown = data_dir.display();
    if data_dir.join(MANIFEST).exists() {
        return Some(format!(
            "{shown} is a backup: make a data directory of it with `coordinator restore {shown} --data-dir DIR`, and serve that"
        ));
    }
    let is_unfinished = data_dir.join(UNFINISHED).exists() || data_dir.join(PUTTING_ASIDE).exists();
    is_unfinished.then(|| format!("{shown} was restored in part only: do it again with `coordinator restore BACKUP --data-dir {shown}`"))
}
