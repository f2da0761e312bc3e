//! Time in which a run could not work, by what it waited for: duration is what is left without it.

use roundtable_shared::time::WallMs;
use serde::{Deserialize, Serialize};

/// What a run of which nothing is live waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// It is paused or halted, or decisions are open and nothing else could go on.
    People,
    /// What could go on needs a backend whose provider refuses.
    Provider,
    /// What could go on needs a worker, or a slot of one, that is not there.
    Machines,
}

/// A rest that goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Resting {
    /// On what.
    pub on: Rest,
    /// Since when.
    pub since: WallMs,
}

/// Time spent at rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rested {
    /// Waiting for people.
    pub people_ms: u64,
    /// Waiting for providers.
    pub provider_ms: u64,
    /// Waiting for machines.
    pub machines_ms: u64,
}

impl Rested {
    /// All of it.
    pub fn total_ms(self) -> u64 {
        self.people_ms.saturating_add(self.provider_ms).saturating_add(self.machines_ms)
    }

    pub(super) fn add(&mut self, on: Rest, ms: u64) {
        let sum = match on {
            Rest::People => &mut self.people_ms,
            Rest::Provider => &mut self.provider_ms,
            Rest::Machines => &mut self.machines_ms,
        };
        *sum = sum.saturating_add(ms);
    }
}
