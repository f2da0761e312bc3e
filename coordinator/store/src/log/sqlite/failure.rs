//! What SQLite's errors mean to us: no space, a write refused whole, damage, or an IO failure.

use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use crate::log::error::{AppendError, Corruption, OpenError, ReadError};
use crate::trouble;

/// A commit of few rows writes about this much.
const WRITE_BYTES: usize = 16 << 10;

/// A failed operation on the store, sorted by what the caller must do.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    Full,
    /// Nothing was begun.
    Refused(String),
    /// A write before the commit failed, and SQLite does not say why: a write beside it does.
    Write(String),
    Io(String),
    Corrupt(Corruption),
    Missing,
    NotAStore,
    Newer {
        found: u32,
        known: u32,
    },
    Older {
        found: u32,
        known: u32,
    },
}

impl From<Corruption> for Failure {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt(corruption)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        let damaged = |detail: String| Self::Corrupt(Corruption::store(detail));
        match &error {
            rusqlite::Error::SqliteFailure(code, _) => match (code.code, code.extended_code) {
                // Growing the shared index reports a full disk as an IO error of its own.
                (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => Self::Full,
                (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)
                | (_, ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS | ffi::SQLITE_IOERR_DATA) => damaged(error.to_string()),
                // Our statements are fixed: when a table is unknown, a key is there twice or a value has another type, the file is not what we wrote.
                (ErrorCode::Unknown | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig, _) => {
                    damaged(error.to_string())
                }
                (ErrorCode::CannotOpen, _) => Self::Refused(format!("{error} (is the directory there, and writable?)")),
                (ErrorCode::DatabaseBusy, _) => Self::Refused(format!("{error}: another program holds the store")),
                (_, ffi::SQLITE_READONLY) => Self::Refused("Read-only file system".to_owned()),
                (_, ffi::SQLITE_IOERR_WRITE) => Self::Write(error.to_string()),
                _ => Self::Io(error.to_string()),
            },
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::QueryReturnedNoRows
            | rusqlite::Error::SqlInputError { .. } => damaged(error.to_string()),
            _ => Self::Io(error.to_string()),
        }
    }
}

impl Failure {
    /// Names the row an error without a place belongs to.
    pub(super) fn at_row(self, seq: u64) -> Self {
        match self {
            Self::Corrupt(Corruption { seq: None, detail }) => Self::Corrupt(Corruption { seq: Some(seq), detail }),
            other => other,
        }
    }

    pub(super) fn on_append(self, store: &Path) -> AppendError {
        match self {
            Self::Refused(detail) => return AppendError::Unwritable { detail },
            // What was written of it is no commit, and is written over by the next.
            Self::Write(detail) => match trouble::try_writing(store.parent().unwrap_or(Path::new(".")), WRITE_BYTES) {
                Err(error) if trouble::is_refusal(&error) => return AppendError::Unwritable { detail: trouble::words(&error) },
                _ => return AppendError::Io { detail },
            },
            _ => {}
        }
        match self.on_read() {
            Ok(ReadError::Corrupt(corruption)) => AppendError::Corrupt(corruption),
            Ok(ReadError::Io { detail }) => AppendError::Io { detail },
            Ok(ReadError::Closed) => AppendError::Closed,
            Err(Full) => AppendError::Full,
        }
    }

    /// The error of a read, unless the disk was full.
    pub(super) fn on_read(self) -> Result<ReadError, Full> {
        match self {
            Self::Full => Err(Full),
            Self::Io(detail) | Self::Refused(detail) | Self::Write(detail) => Ok(ReadError::Io { detail }),
            Self::Corrupt(corruption) => Ok(ReadError::Corrupt(corruption)),
            Self::Missing => Ok(ReadError::Io { detail: "the file is gone".to_owned() }),
            Self::NotAStore | Self::Newer { .. } | Self::Older { .. } => {
                Ok(ReadError::Corrupt(Corruption::store("the file was replaced while it was open")))
            }
        }
    }

    pub(super) fn on_open(self, path: &Path) -> OpenError {
        match self {
            Self::Full => OpenError::Full,
            Self::Io(detail) | Self::Refused(detail) | Self::Write(detail) => OpenError::Io { path: path.to_owned(), detail },
            Self::Corrupt(corruption) => OpenError::Corrupt(corruption),
            Self::Missing => OpenError::Missing { path: path.to_owned() },
            Self::NotAStore => OpenError::NotAStore { path: path.to_owned() },
            Self::Newer { found, known } => OpenError::Newer { found, known },
            Self::Older { found, known } => OpenError::Older { found, known },
        }
    }
}

/// The disk was full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;
