//! Read models and requests as JSON: the contract of `--json`, of the Control service and of reading a data dir without a coordinator.
//!
//! Keys are stable: add freely, rename nothing. The coordinator builds these from its state; `orchctl` only prints them.

mod access;
mod choice;
mod disk;
mod fleet;
mod operation;
mod plan;
mod query;
mod run;
mod submit;

pub use access::*;
pub use choice::*;
pub use disk::*;
pub use fleet::*;
pub use operation::*;
pub use plan::*;
pub use query::*;
pub use run::*;
pub use submit::*;

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
