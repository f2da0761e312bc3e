//! What agents say of their own work. Kept for those who go on from it; facts beat it.

use roundtable_shared::answer::Evidence;
use roundtable_shared::{AttemptNo, FindingAnswer};
use serde::{Deserialize, Serialize};

/// What an agent says of its work; facts beat it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct WorkReport {
    /// The attempt.
    pub attempt: AttemptNo,
    /// In a sentence.
    pub summary: String,
    /// What it says it changed.
    pub files_changed: Vec<String>,
    /// Tests.
    pub tests_passed: Option<u64>,
    /// Tests.
    pub tests_failed: Option<u64>,
    /// As said.
    pub coverage: Option<String>,
    /// As a figure.
    pub coverage_num: Option<f64>,
    /// What went wrong.
    pub error: Option<String>,
    /// The CLI's exit code.
    pub exit_code: Option<i32>,
    /// Learnings, cut to their bounds; kept for the run when the unit is completed.
    pub learnings: Vec<String>,
    /// Commands it says it ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// What it says to findings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<FindingAnswer>,
}

/// The owner's answer to a finding.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OwnerAnswer {
    /// The attempt that gave it.
    pub attempt: AttemptNo,
    /// The answer.
    pub answer: FindingAnswer,
}

/// What the agent of an earlier attempt said it did, for those that go on from it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Said {
    /// The attempt.
    pub attempt: AttemptNo,
    /// In a sentence or two.
    pub summary: String,
}
