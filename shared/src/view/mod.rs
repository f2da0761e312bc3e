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
use crate::limits::EVENT_BYTES_MAX;
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

impl EventLine {
    /// As it is spooled and stored: its JSON, and in its place that so many bytes were not kept where that is longer than an event may be
    /// ([`EVENT_BYTES_MAX`]). No event of ours is without JSON.
    pub fn stored(&self) -> serde_json::Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        if json.len() <= EVENT_BYTES_MAX {
            return Ok(json);
        }
        serde_json::to_vec(&Self { at: self.at, event: AgentEvent::Elided { bytes: json.len() as u64 } })
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_event_that_is_too_long_is_stored_as_so_many_bytes() {
        let of = |count: usize| EventLine { at: WallMs(7), event: AgentEvent::Message { text: "x".repeat(count) } };
        let around = serde_json::to_vec(&of(0)).unwrap().len();
        let longest = of(EVENT_BYTES_MAX - around);
        assert_eq!(longest.stored().unwrap(), serde_json::to_vec(&longest).unwrap());
        let elided = EventLine { at: WallMs(7), event: AgentEvent::Elided { bytes: EVENT_BYTES_MAX as u64 + 1 } };
        assert_eq!(of(EVENT_BYTES_MAX - around + 1).stored().unwrap(), serde_json::to_vec(&elided).unwrap());
    }
}
