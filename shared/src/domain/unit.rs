//! Units and their tasks: kinds and states.

use serde::{Deserialize, Serialize};

use crate::ids::{BackendName, UnitId};

/// State of a unit. `Skipped` and `Cancelled` are ours; mirror files show them as `blocked`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum UnitState {
    /// Waits for its first grant, or for another try from the start.
    #[default]
    NotStarted,
    /// Its work seat is granted.
    InProgress,
    /// Its work is accepted and waits for reviewers.
    PendingReview,
    /// At least one reviewer of the round is granted.
    UnderReview,
    /// All reviews of the round are in (or none is needed); consolidated, checked and integrated from here.
    FinalReview,
    /// Sent back; waits for a fix.
    FixRequired,
    /// Integrated, or accepted without change.
    Completed,
    /// Waits for a decision, or for its failed subtask to be resumed.
    Blocked,
    /// A person went on without it. Terminal.
    Skipped,
    /// A person ended it. Terminal.
    Cancelled,
}

impl UnitState {
    /// Whether nothing can change it any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Skipped | Self::Cancelled)
    }

    /// Whether a unit in this state holds its writes (docs/rules.md, "Manifests and holds").
    pub fn holds(self) -> bool {
        matches!(self, Self::InProgress | Self::PendingReview | Self::UnderReview | Self::FinalReview | Self::FixRequired)
    }
}

/// State of one subtask inside a unit; follows the agent's reports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum SubtaskState {
    /// Open.
    #[default]
    NotStarted,
    /// Done.
    Completed,
    /// Failed; the unit resumes here.
    Blocked,
}

/// What a unit produces; decides who plays its owner where that one is not offered (docs/rules.md, "A backend nobody offers").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum UnitType {
    /// Program text; the default.
    #[default]
    Code,
    /// User interface.
    Ui,
    /// Looks at what is there; may end without a change.
    Review,
}

/// How carefully a unit is reviewed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Criticality {
    /// One reviewer.
    #[default]
    Standard,
    /// Two reviewers.
    Complex,
    /// Two reviewers with a security brief.
    SecuritySensitive,
}

impl Criticality {
    /// Reviewers of a round (docs/rules.md, "Reviews").
    pub fn reviewers(self) -> u32 {
        match self {
            Self::Standard => 1,
            Self::Complex | Self::SecuritySensitive => 2,
        }
    }
}

/// What a unit was assigned: rules, spec, agent and operator merged, later sources winning field by field.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// The unit.
    pub unit: UnitId,
    /// Kind of work.
    #[serde(rename = "type")]
    pub unit_type: UnitType,
    /// Backend that implements it; `None` only in manual mode before `step assign`.
    pub owner_agent: Option<BackendName>,
    /// Window name of the mirror files; `None` only in manual mode before `step assign`.
    pub target_window: Option<String>,
    /// How carefully it is reviewed.
    pub criticality: Criticality,
    /// Paths it may write, normalised.
    pub writes: Vec<String>,
    /// Paths it reads, normalised.
    pub reads: Vec<String>,
    /// Dependencies beside those of the spec.
    #[serde(default)]
    pub depends_on: Vec<UnitId>,
}

macro_rules! enum_text {
    ($name:ident { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl $name {
            /// All of them, as they are declared.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word used in files, JSON, flags and output.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Reads that word, case-insensitively.
            pub fn parse(text: &str) -> Option<Self> {
                let text = text.trim().to_ascii_lowercase();
                match text.as_str() { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
pub(crate) use enum_text;

enum_text!(UnitState {
    NotStarted => "not_started",
    InProgress => "in_progress",
    PendingReview => "pending_review",
    UnderReview => "under_review",
    FinalReview => "final_review",
    FixRequired => "fix_required",
    Completed => "completed",
    Blocked => "blocked",
    Skipped => "skipped",
    Cancelled => "cancelled",
});
enum_text!(UnitType { Code => "code", Ui => "ui", Review => "review" });
enum_text!(Criticality { Standard => "standard", Complex => "complex", SecuritySensitive => "security-sensitive" });
enum_text!(SubtaskState { NotStarted => "not_started", Completed => "completed", Blocked => "blocked" });
