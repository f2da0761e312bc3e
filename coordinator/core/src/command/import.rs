//! What a state written by others brings along, unit by unit, and what it asks.

use std::collections::BTreeMap;

use roundtable_shared::answer::Proposal;
use roundtable_shared::limits::FIX_ATTEMPTS_MAX;
use roundtable_shared::time::WallMs;
use roundtable_shared::{DecisionId, DeferredFix, FinalReport, Priority, ReviewHistoryEntry, Severity, UnitId};
use serde::{Deserialize, Serialize};

use crate::state::WorkReport;

/// What `orchctl import` carries over from mirror files, per unit; the core turns it into transitions.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Imported {
    /// Per unit.
    pub units: BTreeMap<UnitId, ImportedUnit>,
    /// Session name.
    pub session_name: Option<String>,
    /// Minor issues left for later.
    #[serde(default)]
    pub deferred: Vec<DeferredFix>,
    /// What it asks a person.
    #[serde(default)]
    pub decisions: Vec<ImportedDecision>,
    /// What of the state could not be used, and why.
    #[serde(default)]
    pub notices: Vec<String>,
    /// Names the state, so that it is known when it comes again.
    #[serde(default)]
    pub digest: String,
}

/// A question an imported state asks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ImportedDecision {
    /// Its own id.
    pub id: DecisionId,
    /// The unit it is about, if one.
    pub unit: Option<UnitId>,
    /// How urgent.
    pub priority: Priority,
    /// What happened.
    pub context: String,
    /// Its own options.
    pub options: Vec<String>,
    /// When; the default if it is not known.
    pub created_at: WallMs,
}

/// One imported unit.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ImportedUnit {
    /// Mirror status word of the unit's task.
    pub status: String,
    /// Status words of its subtasks.
    pub subtasks: BTreeMap<String, String>,
    /// Owner, if it had one.
    pub owner_agent: Option<String>,
    /// Criticality word, if it had one.
    pub criticality: Option<String>,
    /// Window, if it had one.
    pub target_window: Option<String>,
    /// Fix attempts used.
    pub fix_attempts: u32,
    /// Whether it was escalated.
    pub escalated: bool,
    /// Owner before escalation.
    pub original_agent: Option<String>,
    /// Findings of its last round: severity word, summary, details.
    pub findings: Vec<(String, String, Option<String>)>,
    /// Why it was blocked.
    pub blocked_reason: Option<String>,
    /// Repository-relative paths of what it changed.
    pub files: Vec<String>,
    /// Those of them that the base does not have.
    pub missing: Vec<String>,
    /// What it was assigned beside owner and window, as far as it can be taken.
    pub assignment: Option<Proposal>,
    /// Rounds that sent it back.
    pub history: Vec<ReviewHistoryEntry>,
    /// Consolidations of its rounds.
    pub final_reports: Vec<FinalReport>,
    /// Severity of the last one.
    pub last_severity: Option<Severity>,
    /// What its agent last said of its work.
    pub report: Option<WorkReport>,
    /// When it was completed.
    pub completed_at: Option<WallMs>,
}

/// How blocked units say that a person must act; the word of the mirror files.
pub(crate) const HUMAN: &str = "human_intervention_required";

impl ImportedUnit {
    /// Whether the state says that its work was done, judged or not: the base must have it.
    pub fn has_work(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "pending_review" | "under_review" | "final_review" | "fix_required")
            || self.is_exhausted()
    }

    /// Whether a person was asked after the last fix.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.status == "blocked" && self.blocked_reason.as_deref() == Some(HUMAN) && self.fix_attempts >= FIX_ATTEMPTS_MAX
    }

    /// Whether its work has still to be judged and is nowhere to be found. What only deletes cannot be told from this; doing it again does no harm.
    pub(crate) fn is_lost(&self) -> bool {
        self.has_work() && self.status != "completed" && !self.files.is_empty() && self.missing.len() == self.files.len()
    }
}
