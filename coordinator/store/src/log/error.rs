//! What can go wrong with a log, one enum per operation, each variant something the caller acts on differently.

use std::path::PathBuf;

use thiserror::Error;

/// The first thing found wrong in a log.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{}{detail}", place(.seq))]
pub struct Corruption {
    /// The first bad row, when it is a row that is bad.
    pub seq: Option<u64>,
    /// What is wrong with it.
    pub detail: String,
}

fn place(seq: &Option<u64>) -> String {
    seq.map_or_else(String::new, |seq| format!("row {seq}: "))
}

impl Corruption {
    /// A row that is wrong.
    pub(crate) fn row(seq: u64, detail: impl Into<String>) -> Self {
        Self { seq: Some(seq), detail: detail.into() }
    }

    /// Something other than a row that is wrong.
    pub(crate) fn store(detail: impl Into<String>) -> Self {
        Self { seq: None, detail: detail.into() }
    }
}

/// Why nothing was appended (or, for [`AppendError::Io`], why it is not known).
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AppendError {
    /// The log's head is not where the caller thought: someone appended. Refold from there, or stop.
    #[error("the log has moved: its last row is {actual}; read on from there and decide again")]
    Moved {
        /// The last row's sequence number.
        actual: u64,
    },
    /// A later epoch has begun: another coordinator holds the log now. Fatal for this handle.
    #[error("epoch {epoch} is over, epoch {by} holds the log; this coordinator must stop")]
    Deposed {
        /// This handle's epoch.
        epoch: u64,
        /// The log's epoch.
        by: u64,
    },
    /// A row is outside the bounds; nothing was written.
    #[error("the append was refused: {detail}")]
    Refused {
        /// Which bound.
        detail: String,
    },
    /// No space left. Nothing was written and the log is intact; appending again after space was made is fine.
    #[error("the disk that holds the log is full; nothing was written. Free space, then go on")]
    Full,
    /// The write was refused whole: read-only, no permission, held by another program. Nothing was written; appending again is fine.
    #[error("the log cannot be written: {detail}; nothing was written")]
    Unwritable {
        /// What the system said.
        detail: String,
    },
    /// Reading or writing failed. Whether the rows are durable is unknown until the log is opened again; fatal, never to be retried.
    #[error("the log cannot be written: {detail}. Stop, check the disk, start again: what was acknowledged is safe")]
    Io {
        /// What the system said.
        detail: String,
    },
    /// The log is damaged. Fatal.
    #[error("the log is damaged: {0}. Run `coordinator verify`")]
    Corrupt(#[source] Corruption),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl AppendError {
    /// What the system said of a write that was refused whole: the same append may be tried again, and nothing is lost.
    pub fn refused(&self) -> Option<&str> {
        match self {
            Self::Full => Some("No space left on device"),
            Self::Unwritable { detail } => Some(detail),
            _ => None,
        }
    }

    /// Whether the coordinator must stop: no later append through this handle can succeed.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Deposed { .. } | Self::Io { .. } | Self::Corrupt(_) | Self::Closed => true,
            Self::Moved { .. } | Self::Refused { .. } | Self::Full | Self::Unwritable { .. } => false,
        }
    }
}

/// Why rows could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ReadError {
    /// The log is damaged; no row from there on is to be believed.
    #[error("the log is damaged: {0}. Run `coordinator verify`")]
    Corrupt(#[source] Corruption),
    /// Reading failed.
    #[error("the log cannot be read: {detail}")]
    Io {
        /// What the system said.
        detail: String,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// Why a log could not be opened.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenError {
    /// There is no log there (only for readers; a writer creates it).
    #[error("there is no log at {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not a Roundtable store; name another data directory", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// A newer release wrote it.
    #[error("the store has schema {found}, this release knows {known}: it was written by a newer release. Use that one")]
    Newer {
        /// The version found.
        found: u32,
        /// The newest this release knows.
        known: u32,
    },
    /// An older release wrote it, and a reader does not change it.
    #[error("the store has schema {found}, this release wants {known}: start a coordinator once, it brings the store up to date")]
    Older {
        /// The version found.
        found: u32,
        /// The one this release wants.
        known: u32,
    },
    /// The store is damaged: refuse to serve.
    #[error("the store is damaged: {0}. Run `coordinator verify`, then restore a backup")]
    Corrupt(#[source] Corruption),
    /// No space to open or create it.
    #[error("the disk that holds the store is full; free space, then start again")]
    Full,
    /// Opening, reading or creating failed.
    #[error("the store at {} cannot be opened: {detail}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
}
