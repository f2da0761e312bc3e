//! The small set of error codes every edge maps from: once to gRPC status (in `proto`), once to exit codes (here).

use serde::{Deserialize, Serialize};

/// What kind of failure a caller meets, and therefore what it can do about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The input is wrong; the message names file, line or flag.
    InvalidInput,
    /// The thing named does not exist.
    NotFound,
    /// The request contradicts the present state (answered already, not in that state, held by another).
    Conflict,
    /// The lease, attempt or epoch is no longer current.
    Stale,
    /// The peer's identity does not allow it.
    NotAuthorised,
    /// The coordinator or worker cannot be reached, or drains.
    Unreachable,
    /// A bound is reached (queue, message, disk).
    Exhausted,
    /// A bug or a broken invariant; details are in the log, never on the wire.
    Internal,
}

impl ErrorCode {
    /// The exit code `orchctl` ends with.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::InvalidInput => 3,
            Self::Unreachable => 4,
            Self::NotAuthorised => 5,
            Self::NotFound | Self::Conflict | Self::Stale | Self::Exhausted | Self::Internal => 1,
        }
    }
}
