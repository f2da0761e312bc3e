//! Decisions: what only a person can settle. The word is never used for anything else.

use serde::{Deserialize, Serialize};

use super::unit::enum_text;
use crate::ids::{BackendName, CommitId, DecisionId, UnitId};
use crate::time::WallMs;

/// How urgent a decision is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Least.
    Low,
    /// Normal.
    Medium,
    /// Soon.
    High,
    /// Now.
    Critical,
}

enum_text!(Priority { Low => "low", Medium => "medium", High => "high", Critical => "critical" });

/// Why a person is asked; fixes the id's prefix and the options (docs/rules.md, "Decisions").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecisionKind {
    /// The third fix still has critical or major findings.
    HumanFallback,
    /// A subtask failed three times.
    FailedSubtask,
    /// Repeated failures of other kinds.
    Quarantine,
    /// A review seat failed three times.
    ReviewFailed,
    /// Twice outside the manifest.
    Breach,
    /// An imported fix has no owner.
    MissingOwnerAgent,
    /// Nobody offers a backend.
    NoWorker,
    /// The check command fails on the base commit.
    CheckRedOnBase,
    /// An imported state asked it, in its own words and under its own id.
    Imported,
}

enum_text!(DecisionKind {
    HumanFallback => "human-fallback",
    FailedSubtask => "failed-subtask",
    Quarantine => "quarantine",
    ReviewFailed => "review-failed",
    Breach => "breach",
    MissingOwnerAgent => "missing-owner-agent",
    NoWorker => "no-worker",
    CheckRedOnBase => "check-red-on-base",
    Imported => "imported",
});

impl DecisionKind {
    /// Those that are asked about a unit, under ids and with options of ours.
    pub const OF_UNITS: [Self; 6] =
        [Self::HumanFallback, Self::FailedSubtask, Self::Quarantine, Self::ReviewFailed, Self::Breach, Self::MissingOwnerAgent];

    /// Whether this is the id of a decision of this kind about a unit or a backend.
    pub fn is_of(self, id: &str) -> bool {
        id.strip_prefix(self.as_str()).is_some_and(|about| about.starts_with('-'))
    }

    /// The id of a decision about a unit, a backend, or (check-red-on-base) nothing further.
    pub fn id(self, about: Option<&str>) -> DecisionId {
        match about {
            Some(about) => DecisionId::new(format!("{}-{about}", self.as_str())),
            None => DecisionId::new(self.as_str()),
        }
    }
}

/// What a person chose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "choice")]
pub enum Choice {
    /// The person did it: the commit (the last attempt's if none is named) is merged with the tip and reviewed.
    Resume {
        /// A commit the coordinator already has.
        commit: Option<CommitId>,
    },
    /// The work seat again, counters at 0.
    Retry,
    /// Go on without it.
    Skip,
    /// End the run.
    Abort,
    /// Give it an owner.
    Assign {
        /// The owner.
        owner: BackendName,
    },
    /// Ask again in an hour.
    Wait,
    /// Use another backend instead.
    Use {
        /// That backend.
        backend: BackendName,
    },
    /// Go on although the base's check is red.
    GoOn,
    /// One of an imported decision's own options, in its words.
    Answer {
        /// The option.
        option: String,
    },
}

impl Choice {
    /// The keyword a person types.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Resume { .. } => "resume",
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Abort => "abort",
            Self::Assign { .. } => "assign",
            Self::Wait => "wait",
            Self::Use { .. } => "use",
            Self::GoOn => "go-on",
            Self::Answer { .. } => "answer",
        }
    }
}

/// What becomes of units that depend on a skipped one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Dependants {
    /// They go on without it.
    #[default]
    GoOn,
    /// They are skipped too.
    Skip,
}

enum_text!(Dependants { GoOn => "go-on", Skip => "skip" });

/// An open or answered decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// Unique within the run while open.
    pub id: DecisionId,
    /// Why a person is asked.
    pub kind: DecisionKind,
    /// The unit it is about, if one.
    pub unit: Option<UnitId>,
    /// The backend it is about, if one.
    pub backend: Option<BackendName>,
    /// The labels that a worker which offers it lacks; empty where none are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// How urgent.
    pub priority: Priority,
    /// What happened, for a person.
    pub context: String,
    /// The options in words, in order; keywords stand beside in `keywords`.
    pub options: Vec<String>,
    /// The keyword of each option, same order (`resume`, `retry`, `use:gemini`, …).
    pub keywords: Vec<String>,
    /// When.
    pub created_at: WallMs,
    /// The answer, once given.
    pub answer: Option<Answer>,
}

/// A person's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The choice.
    pub choice: Choice,
    /// What becomes of dependants, for `skip`.
    #[serde(default)]
    pub dependants: Dependants,
    /// A note for the record, and for the agents of the unit.
    #[serde(default)]
    pub note: Option<String>,
    /// Who answered (identity of the certificate).
    pub by: String,
    /// When.
    pub at: WallMs,
}
