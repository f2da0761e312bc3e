//! The audit log: rows chained by hash like the log's, in files of bounded size of which the oldest go. A row is durable when its append returns.
//!
//! What rows say is the coordinator's. They lie apart from the log because refusals are no facts of any run, and nothing is folded from them.

mod line;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{Mutex, watch};

use crate::log::{Incarnation, NewRow};
use writer::Writer;

pub use reader::AuditReader;

/// Largest body of a row, bytes.
pub const AUDIT_BODY_BYTES_MAX: usize = 16 << 10;

/// Bounds of the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditOptions {
    /// A file that has as many bytes is followed by another.
    pub file_bytes_max: u64,
    /// Most files; beyond that the oldest go.
    pub files_max: usize,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { file_bytes_max: 1 << 20, files_max: 256 }
    }
}

/// What is wrong with an audit log.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AuditError {
    /// It is damaged.
    #[error("the audit log is damaged: {place}: {detail}. Move its folder aside, where it stays as evidence; then a new one begins")]
    Corrupt {
        /// The first bad record: `audit/<file> line 7`.
        place: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A file cannot be read, or the folder cannot be made.
    #[error("the audit log at {} cannot be used: {detail}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// A write was refused whole: nothing was written, and it may succeed later.
    #[error("the audit log cannot be written: {detail}")]
    Refused {
        /// What the system said, or which bound.
        detail: String,
    },
    /// A sync failed, or a write whose result is unknown. Nothing is written any more.
    #[error("the audit log could not be made durable: {detail}. Stop, check the disk, start again: what was acknowledged is safe")]
    Failed {
        /// What the system said.
        detail: String,
    },
}

/// The writing side. Cheap to clone; one process at a time.
#[derive(Clone, Debug)]
pub struct AuditLog {
    writer: Arc<Mutex<Writer>>,
    failed: watch::Receiver<Option<String>>,
}

impl AuditLog {
    /// Opens the log in `dir`, or begins one there, chained from `store`. The newest file is checked; all of them are `verify`'s to walk.
    pub fn open(dir: &Path, options: AuditOptions, store: Incarnation) -> Result<Self, AuditError> {
        let (sender, failed) = watch::channel(None);
        let writer = Writer::open(dir, options, store, sender)?;
        Ok(Self { writer: Arc::new(Mutex::new(writer)), failed })
    }

    /// Appends all of `rows`, or none, and tells the last one's number. When this returns `Ok` they are durable.
    pub async fn append(&self, rows: Vec<NewRow>) -> Result<u64, AuditError> {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        let done = tokio::task::spawn_blocking(move || writer.append(rows)).await;
        done.unwrap_or_else(|error| Err(AuditError::Failed { detail: error.to_string() }))
    }

    /// Says why nothing is written any more, once that is so.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.failed.clone()
    }
}

/// What the witness of the log's end is named after; a backup takes its file for one of the moment.
fn witnessed(dir: &Path) -> PathBuf {
    dir.join(".rows")
}

/// How a file is called in reports.
fn place_of(index: u64, line: u64) -> String {
    format!("audit/{} line {line}", file_name(index))
}

fn file_name(index: u64) -> String {
    format!("{index:08}.jsonl")
}

/// Numbers of the files in `dir`, in order; none if it is not there.
fn indices(dir: &Path) -> Result<Vec<u64>, AuditError> {
    let failed = |error: std::io::Error| AuditError::Io { path: dir.to_owned(), detail: error.to_string() };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let index = name.to_str().and_then(|name| name.strip_suffix(".jsonl")).and_then(|digits| digits.parse().ok());
        found.extend(index.filter(|index| file_name(*index).as_str() == name));
    }
    found.sort_unstable();
    Ok(found)
}
