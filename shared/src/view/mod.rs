//! Read models and requests as JSON: the contract of `--json`, of the Control service and of reading a data dir without a coordinator.
//!
//! Keys are stable: add freely, rename nothing. The coordinator builds these from its state; `orchctl` only prints them. What is one of a few words is
//! an enum on both sides ([`Word`]): text only where it is written or printed.

mod access;
mod choice;
mod counts;
mod disk;
mod finding;
mod fleet;
mod operation;
mod plan;
mod query;
mod run;
mod submit;
mod word;

pub use access::*;
pub use choice::*;
pub use counts::*;
pub use disk::*;
pub use finding::*;
pub use fleet::*;
pub use operation::*;
pub use plan::*;
pub use query::*;
pub use run::*;
pub use submit::*;
pub use word::*;

use serde::{Deserialize, Serialize};

use crate::domain::AgentEvent;
use crate::time::WallMs;

/// One agent event as it is spooled, stored in segments and streamed: a JSON line.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EventLine {
    /// When the worker saw it.
    pub at: WallMs,
    /// The event.
    #[serde(flatten)]
    pub event: AgentEvent,
}

/// Whether a flag that is told only where it is set is left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Whether a count that is told only where there is one is left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
