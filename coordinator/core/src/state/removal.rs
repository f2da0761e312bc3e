//! A run whose files were removed, and what they were: what is told of it from then on is what the log says.

use roundtable_shared::CommitId;
use roundtable_shared::time::WallMs;
use serde::{Deserialize, Serialize};

/// That its files are gone, or go.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Removed {
    /// Who said so.
    pub by: String,
    /// When.
    pub at: WallMs,
    /// What there was.
    pub remains: Remains,
}

/// What a removed run's files were, so that what is left of them elsewhere (an accepted branch, a backup) can be held to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Remains {
    /// Where its branch was.
    pub tip: CommitId,
    /// Attempts of all seats.
    pub attempts: u32,
    /// Their events.
    pub events: u64,
}
