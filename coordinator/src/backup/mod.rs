//! Backups: one file, a tar of what a data directory holds with the list of it in front. `take` makes one beside a coordinator that serves, `restore` makes a
//! data directory of one, `check` reads one. Restored, its log has a name of its own.

mod archive;
mod copy;
mod folder;
mod known;
mod restore;
mod take;
mod unpacked;

use std::collections::{BTreeMap, BTreeSet};
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

/// The list of a backup's files; the first entry of it.
pub const MANIFEST: &str = "backup.json";
/// Form of a backup. A release reads all up to its own.
const FORMAT: u32 = 1;
/// In a data directory that is being restored; removed last, so that one that bears it is not whole.
const UNFINISHED: &str = "restoring";
/// What is restored is taken apart in here, in the data directory, before it becomes that.
const UNPACKED: &str = "restoring.files";
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
    /// The file or folder is not fit for it.
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
    /// Reads one in a folder that is a backup of an earlier release, or that a backup was taken apart in; `None` if it is neither.
    pub fn read(folder: &Path) -> Result<Option<Self>, BackupError> {
        let path = folder.join(MANIFEST);
        match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => Self::parse(&text.map_err(BackupError::io(&path))?, &path).map(Some),
        }
    }

    /// Reads one that lies in `path`.
    fn parse(text: &[u8], path: &Path) -> Result<Self, BackupError> {
        let shown = path.display();
        let unreadable = |why: String| BackupError::Unfit(format!("the list in {shown} cannot be read: {why}; use another backup"));
        // A later form may have other fields: its number comes first.
        let value: serde_json::Value = serde_json::from_slice(text).map_err(|error| unreadable(error.to_string()))?;
        let format = value["format"].as_u64().ok_or_else(|| unreadable("it names no format".to_owned()))?;
        if format > u64::from(FORMAT) {
            let version = value["version"].as_str().unwrap_or("unknown");
            return Err(BackupError::Unfit(format!(
                "the backup {shown} has format {format}, this release knows {FORMAT}: it was made by a newer release (version {version}); use that one"
            )));
        }
        serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))
    }

    /// Names at the top of what it holds.
    fn top(&self) -> BTreeSet<&str> {
        self.files.keys().map(|name| name.split('/').next().unwrap_or(name)).collect()
    }

    /// Folders of repositories in it.
    fn repositories(&self) -> impl Iterator<Item = &str> {
        let heads = self.files.keys().filter_map(|name| name.strip_suffix("/HEAD"));
        heads.filter(|folder| folder.starts_with("repos/"))
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

/// A backup that was read.
#[derive(Debug)]
pub struct Checked {
    /// What it says of itself.
    pub manifest: Manifest,
    /// What is not as its list says, a line each.
    pub differences: Vec<String>,
}

/// Reads all of a backup. Log and repositories were verified before they were packed, so what is as the list says is whole. Needs no room.
pub async fn check(file: &Path) -> Result<Checked, BackupError> {
    let file = file.to_owned();
    let shown = file.clone();
    let read = tokio::task::spawn_blocking(move || archive::walk(&file, None)).await;
    read.map_err(io::Error::other).map_err(BackupError::io(&shown))?
}

/// Removes a file or a folder with all that is in it, if it is there.
fn discard(path: &Path) -> io::Result<()> {
    let removed =
        if path.symlink_metadata().is_ok_and(|found| found.is_dir()) { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Why a folder cannot be served, if a backup was taken apart in it or it was restored in part only.
pub(crate) fn unservable(data_dir: &Path) -> Option<String> {
    let shown = data_dir.display();
    if data_dir.join(MANIFEST).exists() {
        return Some(format!(
            "{shown} is what a backup holds: make a data directory of the backup with `coordinator restore FILE --data-dir DIR`, and serve that"
        ));
    }
    let is_unfinished = data_dir.join(UNFINISHED).exists() || data_dir.join(PUTTING_ASIDE).exists();
    is_unfinished.then(|| format!("{shown} was restored in part only: do it again with `coordinator restore FILE --data-dir {shown}`"))
}
