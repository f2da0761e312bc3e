//! What is kept on disk: the append-only log of transitions, the segments of agent events and the audit log, with the checks that notice damage,
//! and snapshots of what the log comes to.
//!
//! Rows and events are opaque here: what they mean is the core's and the coordinator's. Nothing here knows of gRPC, git or leases.

pub mod audit;
pub mod log;
pub mod segment;
pub mod snapshot;
mod trouble;
pub mod verify;

pub use audit::{AuditError, AuditLog, AuditOptions, AuditReader};
pub use log::{
    AppendError, Appended, Corruption, Head, Incarnation, Log, LogReader, MemoryDisk, MemoryLog, NewRow, OpenError, ReadError, Row,
    RowHash, SqliteLog, SqliteReader,
};
pub use segment::{Chunk, Cursor, SegmentOptions, SegmentStore, StoredEvent};
pub use snapshot::{Label, Snapshots};
pub use trouble::Trouble;
pub use verify::{Report, verify};
