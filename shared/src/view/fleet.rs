//! Workers, their backends and what refuses them, as commands show them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Word;
use crate::domain::WorkerStatus;

/// `workers --json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct WorkerView {
    /// Id.
    pub id: String,
    /// Display name.
    pub name: String,
    /// How it stands.
    pub status: Word<WorkerStatus>,
    /// By backend.
    pub backends: BTreeMap<String, BackendView>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Milliseconds since its last sign of life.
    pub last_seen_ms: u64,
    /// Version of the program.
    pub version: String,
    /// What it runs: run, unit, attempt.
    pub leases: Vec<String>,
    /// Of those, what is over and being handed in, and what stands in the way.
    #[serde(default)]
    pub delivering: BTreeMap<String, String>,
    /// Who drained it; null = nobody.
    #[serde(default)]
    pub drained_by: Option<String>,
}

/// A backend of a worker.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct BackendView {
    /// Slots of its pool.
    pub slots: u32,
    /// Of those, busy.
    pub busy: u32,
    /// Why it cannot be used now; null = usable.
    pub unavailable: Option<String>,
    /// Version of the CLI.
    pub version: String,
}

/// A backend whose provider refuses, on the whole fleet.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ParkView {
    /// The backend that was refused (not the one it plays for).
    pub backend: String,
    /// The model, where one was asked for with the run.
    pub model: String,
    /// What refused, in a few words.
    pub cause: String,
    /// All that its CLI said.
    pub reason: String,
    /// On which worker.
    pub worker: Option<String>,
    /// RFC 3339: when it is tried again.
    pub until: String,
    /// The attempt that tries it now, if one does.
    pub probed_by: Option<String>,
    /// In words: `again in 30 s`, `unit 2 tries it now`.
    pub goes_on: String,
    /// Units of the run that wait for it.
    pub units_waiting: u32,
}
