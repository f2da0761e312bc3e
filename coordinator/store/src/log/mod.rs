//! The one append-only log: its trait, its errors, and the implementations behind it.
//!
//! Folding rows into state is the core's; deciding what to append is the driver's.

mod error;
mod memory;
mod row;
mod sqlite;
pub(crate) mod witness;

use std::future::Future;
use std::pin::Pin;

pub use error::{AppendError, Corruption, OpenError, ReadError};
pub use memory::{Fault, MemoryDisk, MemoryLog};
pub use row::{Chain, Head, Incarnation, NewRow, Row, RowHash};
pub(crate) use sqlite::page_damage;
pub use sqlite::{CommitTimes, Copied, SqliteLog, SqliteOptions, SqliteReader, copy_store};

/// Largest body of one row, bytes. A spec travels in one row, so this is large; it exists so that nothing is unbounded.
pub const ROW_BODY_BYTES_MAX: usize = 256 << 20;
/// Longest `kind` or `run` of a row, bytes.
pub const ROW_NAME_BYTES_MAX: usize = 1024;
/// Most rows of one append.
pub const APPEND_ROWS_MAX: usize = 1 << 20;
/// One read returns no more than about this many bytes of bodies, however large its `limit`; at least one row.
pub const READ_BYTES_MAX: usize = 8 << 20;

/// A future of the log's traits, boxed so that `dyn Log` works.
pub type LogFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Reads a log. Every row returned has been checked against the hash chain.
pub trait LogReader: Send + Sync + 'static {
    /// Up to `limit` rows from `from_seq` (counted from 1) on, in order, each verified. An empty answer means the end of the log;
    /// a short one does not (see [`READ_BYTES_MAX`]).
    fn read(&self, from_seq: u64, limit: usize) -> LogFuture<'_, Result<Vec<Row>, ReadError>>;

    /// The last durable row; sequence 0 and the genesis hash when there is none.
    fn head(&self) -> LogFuture<'_, Result<Head, ReadError>>;

    /// Which store this is; minted when it was created.
    fn incarnation(&self) -> Incarnation;
}

/// Appends to a log. Opening one begins a new epoch, which deposes every earlier handle (I12).
pub trait Log: LogReader {
    /// Appends all of `rows` after row `expected_seq`, or none. When this returns `Ok` the rows are durable (I14).
    ///
    /// Appends queued at the same time share one commit, each compared with the head the ones before it leave. Dropping the future
    /// does not undo an append that was already queued.
    fn append(&self, expected_seq: u64, rows: Vec<NewRow>) -> LogFuture<'_, Result<Appended, AppendError>>;

    /// The epoch of this handle; it is in every row it appends.
    fn epoch(&self) -> u64;
}

/// What an append left behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Sequence number of the last row appended (of the head, if `rows` was empty).
    pub last_seq: u64,
    /// Its hash.
    pub head_hash: RowHash,
}

/// Refuses rows that are outside the bounds, before anything is queued.
fn check_bounds(expected_seq: u64, rows: &[NewRow]) -> Result<(), AppendError> {
    let refuse = |detail: String| Err(AppendError::Refused { detail });
    if rows.len() > APPEND_ROWS_MAX {
        return refuse(format!("{} rows in one append, at most {APPEND_ROWS_MAX}", rows.len()));
    }
    if expected_seq > i64::MAX as u64 - APPEND_ROWS_MAX as u64 {
        return refuse(format!("sequence number {expected_seq} is out of range"));
    }
    for row in rows {
        if row.body.len() > ROW_BODY_BYTES_MAX {
            return refuse(format!("a {} row of {} bytes, at most {ROW_BODY_BYTES_MAX}", row.kind, row.body.len()));
        }
        if row.kind.len().max(row.run.as_ref().map_or(0, String::len)) > ROW_NAME_BYTES_MAX {
            return refuse(format!("a row's kind or run is longer than {ROW_NAME_BYTES_MAX} bytes"));
        }
        if i64::try_from(row.at_ms).is_err() {
            return refuse(format!("time {} ms is out of range", row.at_ms));
        }
    }
    Ok(())
}
