//! What can go wrong with agent events: appending them, reading them.

use std::io;

use thiserror::Error;

use crate::trouble;

/// Why a chunk was not appended.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ChunkError {
    /// Events are missing before this chunk: send again from `expected`.
    #[error("events are missing: the next one must be {expected}; send again from there")]
    Nack {
        /// The number that must come next.
        expected: u64,
    },
    /// The attempt has ended, and these events are new.
    #[error("the attempt's events ended at {last_seq}; later ones are not kept")]
    Finished {
        /// Its last event.
        last_seq: u64,
    },
    /// The attempt has used up its space.
    #[error("the attempt's events have reached {bytes_max} bytes, the most that is kept")]
    Quota {
        /// The bound.
        bytes_max: u64,
    },
    /// The chunk is outside the bounds or numbered from 0.
    #[error("the chunk was refused: {detail}")]
    Refused {
        /// Which bound.
        detail: String,
    },
    /// The write was refused whole (no space, read-only, no permission). Nothing of the chunk was kept; sending it again is fine.
    #[error("the coordinator's data directory cannot be written: {detail}")]
    Unwritable {
        /// What the system said.
        detail: String,
    },
    /// Writing or syncing failed: fatal, never to be retried; what was acknowledged as durable is safe.
    #[error("events cannot be written: {detail}. Stop, check the disk, start again")]
    Io {
        /// What the system said.
        detail: String,
    },
    /// The attempt's files are damaged; others are not concerned.
    #[error("{detail}. Run `coordinator verify`")]
    Corrupt {
        /// What is damaged.
        detail: String,
    },
    /// The store was closed.
    #[error("the store of agent events is closed")]
    Closed,
}

impl From<io::Error> for ChunkError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Corrupt { detail: error.to_string() },
            _ if trouble::is_refusal(&error) => Self::Unwritable { detail: trouble::words(&error) },
            _ => Self::Io { detail: error.to_string() },
        }
    }
}

/// Why events could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum EventsError {
    /// The stored events are damaged from `seq` on.
    #[error("{file}: event {seq} is damaged or missing: {detail}. Run `coordinator verify`")]
    Corrupt {
        /// The file, relative to the store.
        file: String,
        /// The first event that cannot be had.
        seq: u64,
        /// What is wrong.
        detail: String,
    },
    /// Reading failed.
    #[error("events cannot be read: {detail}")]
    Io {
        /// What the system said.
        detail: String,
    },
    /// The store was closed.
    #[error("the store of agent events is closed")]
    Closed,
}

impl From<ChunkError> for EventsError {
    /// For reads that have to open an attempt first.
    fn from(error: ChunkError) -> Self {
        match error {
            ChunkError::Closed => Self::Closed,
            other => Self::Io { detail: other.to_string() },
        }
    }
}
