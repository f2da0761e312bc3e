//! Phases of a run, and the one that manual mode has opened.

use std::collections::BTreeSet;

use roundtable_shared::UnitId;
use serde::{Deserialize, Serialize};

/// Phases of manual mode and of the orchestrator's actions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Assign owners and manifests.
    Assign,
    /// Grant work.
    Dispatch,
    /// Grant reviews.
    Reviews,
    /// Consolidate and integrate.
    Consolidate,
    /// Write the mirror files.
    SyncPulse,
}

impl Phase {
    /// The word of `orchctl step`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Assign => "assign",
            Self::Dispatch => "dispatch",
            Self::Reviews => "reviews",
            Self::Consolidate => "consolidate",
            Self::SyncPulse => "sync-pulse",
        }
    }
}

/// Manual mode: one phase under way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The phase.
    pub phase: Phase,
    /// Units that may still move in it.
    pub units: BTreeSet<UnitId>,
}
