//! A run's branch: what moved it, what is about to, and the check of what it started from.

use roundtable_shared::time::WallMs;
use roundtable_shared::{CommitId, UnitId};
use serde::{Deserialize, Serialize};

use super::train::Train;
use crate::shared::List;

/// A run's branch and what comes onto it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Branch {
    /// Tip of its branch.
    pub tip: CommitId,
    /// What moved the branch, oldest first.
    pub integrations: List<Integration>,
    /// Integrations under way.
    pub train: Train,
    /// Units completed whose box no commit has ticked yet.
    pub unticked: Vec<UnitId>,
    /// The check of the base.
    pub base_check: BaseCheck,
    /// What goes to `AGENTS.md` in the end.
    pub learnings: List<Learning>,
}

impl Branch {
    /// A branch that nothing has moved.
    pub(crate) fn at(tip: CommitId) -> Self {
        Self {
            tip,
            integrations: List::new(),
            train: Train::default(),
            unticked: Vec::new(),
            base_check: BaseCheck::None,
            learnings: List::new(),
        }
    }
}

/// Something reusable an agent learned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Learning {
    /// The unit it comes from.
    pub unit: UnitId,
    /// The text.
    pub text: String,
    /// Files it concerns: what the unit changed.
    pub paths: Vec<String>,
}

/// One move of the run's branch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Integration {
    /// The unit; `None` for the closing commit.
    pub unit: Option<UnitId>,
    /// The commit.
    pub commit: CommitId,
    /// What it changed.
    pub changed: Vec<String>,
    /// When.
    pub at: WallMs,
}

/// The check of the base, before any integration.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum BaseCheck {
    /// No check is configured.
    #[default]
    None,
    /// Not run yet.
    Wanted {
        /// Times it was red (one retry).
        red: u32,
        /// Times it could not be run.
        lost: u32,
        /// Not before.
        retry_at: Option<WallMs>,
    },
    /// Green: checks hold.
    Green,
    /// Red; a decision is open.
    Red {
        /// The end of its output.
        evidence: String,
    },
    /// Red and waived: checks are reported but held against nobody until one is green.
    Waived,
}
