//! What the plan says of a unit, and who does it with what.

use roundtable_shared::answer::Proposal;
use roundtable_shared::manifest::Manifest;
use roundtable_shared::{BackendName, Criticality, SubtaskState, TaskId, UnitId, UnitType};
use serde::{Deserialize, Serialize};

/// What the plan says.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct UnitSpec {
    /// The title of its top-level task.
    pub title: String,
    /// Place in the document, from 0.
    pub position: usize,
    /// Whether it is optional.
    pub optional: bool,
    /// Whether it depends on everything before it.
    pub checkpoint: bool,
    /// Whether it runs (docs/rules.md, "Which units run"); only such units count.
    pub runs: bool,
    /// Lines of details: a guess of its size until durations are learned.
    pub details: u32,
    /// Units it depends on as a checkpoint; these do not cancel it.
    pub checkpoint_on: Vec<UnitId>,
    /// Its tasks without subtasks, in order of work (its own where it has none).
    pub subtasks: Vec<Subtask>,
}

/// A task without subtasks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Subtask {
    /// Its id.
    pub id: TaskId,
    /// Its title.
    pub title: String,
    /// Whether the unit is incomplete without it.
    pub needed: bool,
    /// Whether it is done in this run (optional ones only with `--with-optional`).
    pub runs: bool,
    /// Where it is.
    pub state: SubtaskState,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
}

/// Who does it, and what it may touch.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct UnitAssignment {
    /// Kind of work.
    pub unit_type: UnitType,
    /// Backend that implements it; `None` only in manual mode before it is assigned, or imported without one.
    pub owner: Option<BackendName>,
    /// A person, or an import, said who does it: agents assign it no more.
    pub pinned: bool,
    /// Window name of the mirror files.
    pub window: Option<String>,
    /// How carefully it is reviewed.
    pub criticality: Criticality,
    /// What it may write and what it reads, claims included.
    pub manifest: Manifest,
    /// Labels that whoever works on it, or checks it, must have.
    pub requires: Vec<String>,
    /// Paths claimed beyond what was planned.
    pub claimed: Vec<String>,
    /// Planned without a manifest: counts as reading and writing everything until `settled`.
    pub exclusive: bool,
    /// Its work was accepted once: what it changed is its manifest.
    pub settled: bool,
    /// Units it depends on, by spec and assignment.
    pub depends_on: Vec<UnitId>,
    /// What it was assigned by the state it was imported from, beside owner and window.
    pub carried: Option<Box<Proposal>>,
}
