//! What prompts of the run's own agents are made of, as plain data: whoever assigns its units, whoever watches over it.

use roundtable_shared::{Criticality, UnitType};
use serde::Serialize;

use super::input_of_unit::StepBrief;

/// What the assignment agent is told.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct AssignBrief {
    /// Name of the spec's folder.
    pub spec: String,
    /// Units in document order.
    pub units: Vec<AssignUnitBrief>,
    /// Text of `design.md`.
    pub design: Option<String>,
    /// Paths of the repository at the base.
    pub files: Vec<String>,
    /// How many there are in all.
    pub files_total: u64,
    /// Backends somebody offers.
    pub backends: Vec<String>,
    /// Who usually has each type of work.
    pub owners: Vec<OwnerBrief>,
    /// Distinct windows allowed.
    pub windows_max: usize,
    /// What was wrong with the last answer; empty on the first asking.
    pub refused: Vec<String>,
}

/// Who usually has a type of work, among those that are offered.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct OwnerBrief {
    /// The type.
    pub unit_type: UnitType,
    /// The backend.
    pub owner: String,
    /// Who would have it if that were offered.
    pub instead_of: Option<String>,
}

/// Paths the text of a unit names, by how they stand to the repository.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct NamedPathsBrief {
    /// There.
    pub existing: Vec<String>,
    /// Not there, in a folder that is.
    pub new: Vec<String>,
    /// Not there, nor is their folder.
    pub in_new_folders: Vec<String>,
}

/// A unit as the assignment agent sees it.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct AssignUnitBrief {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// It runs in this run.
    pub runs: bool,
    /// It is asked about: it runs, and where a run is under way already it has not started and no person assigned it.
    pub is_open: bool,
    /// Detail lines of the top-level task.
    pub details: Vec<String>,
    /// Its subtasks.
    pub steps: Vec<StepBrief>,
    /// Explicit dependencies.
    pub depends_on: Vec<String>,
    /// What rules and spec say: type.
    pub unit_type: UnitType,
    /// What rules and spec say: owner.
    pub owner_agent: Option<String>,
    /// What rules and spec say: criticality.
    pub criticality: Criticality,
    /// What the spec says: writes.
    pub writes: Vec<String>,
    /// What the spec says: reads.
    pub reads: Vec<String>,
    /// What its text names.
    pub named: NamedPathsBrief,
}

/// What the orchestrator agent is told.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct OrchestrateBrief {
    /// Name of the spec's folder.
    pub spec: String,
    /// State of the run as JSON.
    pub state: String,
    /// Text of `PROJECT_PULSE.md`.
    pub pulse: String,
    /// One line per task: id, title, state.
    pub tasks: Vec<String>,
    /// The last transitions, oldest first.
    pub events: Vec<String>,
    /// Actions that are taken from one answer.
    pub actions_max: u32,
    /// What was wrong with the last answer.
    pub refused: Option<String>,
}
