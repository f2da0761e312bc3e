//! Agents that serve a run as a whole: the one that assigns, and the orchestrator.

use std::collections::BTreeSet;

use roundtable_shared::answer::Proposal;
use roundtable_shared::time::WallMs;
use roundtable_shared::{BackendName, UnitId};
use serde::{Deserialize, Serialize};

use super::step::Phase;

/// Agents that serve a run as a whole.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Agents {
    /// Who assigned owners.
    pub plan_source: Option<PlanSource>,
    /// The assignment agent's seat.
    pub assigning: Assigning,
    /// What it answered, for the cache.
    pub assign_answer: Option<AssignAnswer>,
    /// The orchestrator agent.
    pub orchestrator: Orchestrator,
}

/// Who assigned owners and manifests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanSource {
    /// Keyword rules and the spec's own lines.
    Rules,
    /// The assignment agent, over those.
    Agent,
    /// An earlier answer to the same question.
    Cache,
    /// Nobody yet (manual mode).
    Manual,
}

/// The assignment agent's seat.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Assigning {
    /// Answers that could not be used whole, or failures of class unit.
    pub failures: u32,
    /// Ends for other reasons.
    pub lost: u32,
    /// Providers that refused: another backend is asked meanwhile.
    pub refused: u32,
    /// Why the last answer was refused; told when asked again.
    pub problems: Vec<String>,
    /// Units that are to be assigned anew while others are at work; nothing waits for that.
    pub again: Vec<UnitId>,
}

/// What an assignment agent answered, as far as it could be taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AssignAnswer {
    /// Who was asked.
    pub backend: BackendName,
    /// With which model; empty = the backend's own.
    pub model: String,
    /// The answer.
    pub proposals: Vec<Proposal>,
}

/// The orchestrator agent of llm mode.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Orchestrator {
    /// Whether it is consulted at all.
    pub enabled: bool,
    /// A consultation is due.
    pub wanted: Option<Wanted>,
    /// The one under way.
    pub current: Option<Wanted>,
    /// Consultations answered.
    pub answers: u32,
    /// The last answer could not be read: asked again once.
    pub asked_again: bool,
    /// Failed in a row.
    pub failures: u32,
    /// Answers in a row without any unit changing state.
    pub idle_answers: u32,
    /// `Run::moves` when it was last asked, if it has answered that.
    pub moves_seen: u64,
    /// `Run::moves` when it was asked what it has not answered yet: what happens meanwhile it has not seen.
    pub moves_asked: u64,
    /// Phases that wait.
    pub held: Option<HeldPhases>,
    /// It was heard before the end.
    pub heard_at_end: bool,
    /// What it last said.
    pub notes: String,
}

/// A consultation that is due.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wanted {
    /// Since when: collected for a while.
    pub since: WallMs,
    /// Why.
    pub why: String,
    /// It is the one before the end.
    pub at_end: bool,
}

/// Phases the orchestrator asked to hold back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeldPhases {
    /// Which.
    pub phases: BTreeSet<Phase>,
    /// At most until then.
    pub until: WallMs,
}
