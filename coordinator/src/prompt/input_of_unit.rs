//! What prompts tell of a unit itself, as plain data: its text and steps, what it may write, and what of design and conventions concerns
//! it. What has happened to it so far is in `input`.

use roundtable_shared::{Criticality, SubtaskState, UnitType};
use serde::Serialize;

/// A unit as those who work on it or review it see it.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct UnitBrief {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// Name of the spec's folder.
    pub spec: String,
    /// Kind of work.
    pub unit_type: UnitType,
    /// How carefully it is reviewed.
    pub criticality: Criticality,
    /// Detail lines of the top-level task, verbatim.
    pub details: Vec<String>,
    /// Questions about it that a person has answered in words, with the answers.
    pub decided: Vec<String>,
    /// Its subtasks in document order; empty for a unit without any.
    pub steps: Vec<StepBrief>,
    /// Text of the requirements it links.
    pub requirements: Vec<RequirementBrief>,
    /// Links that name no requirement found.
    pub requirements_unknown: Vec<String>,
    /// Text of `design.md`.
    pub design: Option<DesignBrief>,
    /// Paths it may write; empty with `exclusive`.
    pub writes: Vec<String>,
    /// Paths it reads.
    pub reads: Vec<String>,
    /// It declares nothing and runs alone.
    pub exclusive: bool,
    /// Paths outside the writes are refused even if nobody holds them.
    pub strict: bool,
    /// `AGENTS.md` files that concern it, nearest last.
    pub conventions: Vec<ConventionBrief>,
}

/// One step of a unit.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct StepBrief {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// How deep below the unit, from 0.
    pub depth: usize,
    /// Detail lines, verbatim.
    pub details: Vec<String>,
    /// The plan marks it optional.
    pub optional: bool,
    /// It is to be done in this run (not optional, or optional ones are wanted).
    pub wanted: bool,
    /// It has steps of its own and is done when they are.
    pub is_group: bool,
    /// Its state.
    pub state: SubtaskState,
    /// Why it failed before.
    pub error: Option<String>,
    /// The turn goes on here.
    pub is_next: bool,
}

/// A design, sorted for one unit.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct DesignBrief {
    /// Sections that speak of it; empty where the design is short or names nothing of it.
    pub near: String,
    /// The others, or all.
    pub rest: String,
}

/// A linked requirement.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct RequirementBrief {
    /// Id as linked.
    pub id: String,
    /// Its text.
    pub text: String,
}

/// A file of conventions.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ConventionBrief {
    /// Repository-relative path.
    pub path: String,
    /// Its text.
    pub text: String,
}
