//! `orchctl plan --json`.

use serde::{Deserialize, Serialize};

use super::is_zero;
use crate::answer::Proposal;
use crate::domain::{PlanReason, SubtaskState};
use crate::ids::{BackendName, TaskId, UnitId};

/// What a spec comes to, before anything runs. Present, as far as it could be read, also when there are errors.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PlanView {
    /// Units in plan order (document order where the plan has errors).
    pub units: Vec<PlanUnit>,
    /// Number of waves.
    pub waves: u32,
    /// Units of the critical path, first to last.
    pub critical_path: Vec<UnitId>,
    /// Why it cannot run.
    pub errors: Vec<ProblemView>,
    /// What is worth knowing.
    pub warnings: Vec<ProblemView>,
}

/// A unit of a plan.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlanUnit {
    /// Its id.
    pub id: UnitId,
    /// Its title.
    pub title: String,
    /// Whether it is optional.
    pub optional: bool,
    /// What the boxes say: not started or completed.
    pub status: SubtaskState,
    /// Whether it runs with the options given.
    pub runs: bool,
    /// Its tasks: the top-level one first, then its descendants in document order.
    pub tasks: Vec<PlanTask>,
    /// Explicit dependencies, lifted to units.
    pub depends_on: Vec<UnitId>,
    /// Lifted manifest: writes.
    pub writes: Vec<String>,
    /// Lifted manifest: reads.
    pub reads: Vec<String>,
    /// No manifest: alone under `ordered`.
    pub exclusive: bool,
    /// Labels that whoever works on it must have.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Earliest wave it can run in, from 1; 0 if it does not run.
    pub wave: u32,
    /// What it waits for, dependencies and hazards.
    pub waits_for: Vec<PlanWait>,
    /// Further units it waits for that are not listed: there are very many, and most follow from those that are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waits_left_out: u32,
}

/// A task of a plan.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlanTask {
    /// Its id.
    pub id: TaskId,
    /// Its title.
    pub title: String,
    /// What its box says.
    pub status: SubtaskState,
    /// Whether it is optional.
    pub optional: bool,
    /// Line in `tasks.md`, from 1.
    pub line: u32,
}

/// One reason to wait.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlanWait {
    /// The earlier unit.
    pub unit: UnitId,
    /// Why.
    pub why: PlanReason,
    /// The path (or pair of patterns) that causes a hazard; empty otherwise.
    pub path: String,
}

/// A problem of a spec.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProblemView {
    /// File, by its name in the spec's folder.
    pub file: String,
    /// Line, from 1; 0 = the file as a whole.
    pub line: u32,
    /// What, and the fix.
    pub message: String,
}

/// What an assignment agent answered, and to which question.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AssignmentView {
    /// Names what it was asked about.
    pub inputs_digest: String,
    /// Who was asked.
    pub backend: BackendName,
    /// With which model; empty = the backend's own.
    #[serde(default)]
    pub model: String,
    /// The answer, as far as it could be taken.
    pub proposals: Vec<Proposal>,
}
