//! Findings, final reports and what they are made of.

use serde::{Deserialize, Serialize};

use super::unit::enum_text;
use crate::ids::TaskId;
use crate::time::WallMs;

/// Severity of a finding; ordered, `Critical` greatest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing found.
    None,
    /// Worth noting; becomes a deferred fix.
    Minor,
    /// Must be fixed.
    Major,
    /// Must be fixed.
    Critical,
}

enum_text!(Severity { None => "none", Minor => "minor", Major => "major", Critical => "critical" });

impl Severity {
    /// An agent's word: case-insensitive, unknown = major (docs/rules.md, "What agents answer").
    pub fn from_agent(text: &str) -> Self {
        Self::parse(text).unwrap_or(Self::Major)
    }

    /// Whether it sends a unit back.
    pub fn must_fix(self) -> bool {
        self >= Self::Major
    }
}

/// One issue inside a review's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Issue {
    /// Its name over all rounds, `review-<task>-<n>.<k>`; empty in an answer that raises it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What is wrong.
    pub description: String,
    /// How bad.
    pub severity: Severity,
    /// Where, if named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line in that file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The command that shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproduced: Option<Reproduced>,
}

impl Issue {
    /// Whether it is more than an opinion: it was reproduced, or points at a line.
    pub fn is_grounded(&self) -> bool {
        self.reproduced.is_some() || (self.file.is_some() && self.line.is_some())
    }
}

/// A command by which an issue was seen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reproduced {
    /// The command line.
    pub command: String,
    /// How it exited, if that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
}

/// What the owner says to a finding: what it did, or why it did nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FindingAnswer {
    /// The finding's or issue's id.
    pub finding: String,
    /// How it was fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<String>,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// What a reviewer says of an earlier finding and the owner's answer to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EarlierVerdict {
    /// The finding's or issue's id.
    pub id: String,
    /// What becomes of it.
    pub verdict: VerdictOnEarlier,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What becomes of an earlier finding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictOnEarlier {
    /// It is fixed.
    Closed,
    /// The owner is right not to change anything.
    Accepted,
    /// It stays open.
    Kept,
}

enum_text!(VerdictOnEarlier { Closed => "closed", Accepted => "accepted", Kept => "kept" });

/// What one reviewer of one round said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The unit's task.
    pub task_id: TaskId,
    /// `review-<task>-<n>`, n counting over all rounds.
    pub reviewer: String,
    /// Round, from 1.
    pub round: u32,
    /// Overall: max of the answer's severity and its issues'.
    pub severity: Severity,
    /// In a sentence.
    pub summary: String,
    /// At length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// One by one.
    #[serde(default)]
    pub issues: Vec<Issue>,
    /// What became of the findings of the round before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierVerdict>,
    /// When.
    pub created_at: WallMs,
}

/// One thing to be closed: an issue, or a finding that lists none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point<'a> {
    /// Its id.
    pub id: &'a str,
    /// How bad.
    pub severity: Severity,
    /// What is wrong.
    pub text: &'a str,
}

impl Finding {
    /// Its id: each reviewer finds once.
    pub fn id(&self) -> &str {
        &self.reviewer
    }

    /// What is to be closed of it, one by one.
    pub fn points(&self) -> Vec<Point<'_>> {
        if self.issues.is_empty() {
            return vec![Point { id: self.id(), severity: self.severity, text: &self.summary }];
        }
        let mut points = Vec::new();
        for issue in self.issues.iter().filter(|issue| issue.severity != Severity::None) {
            // Issues of earlier builds have no id of their own.
            let id = if issue.id.is_empty() { self.id() } else { &issue.id };
            points.push(Point { id, severity: issue.severity, text: &issue.description });
        }
        points
    }
}

/// Consolidation of one round.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FinalReport {
    /// The unit's task.
    pub task_id: TaskId,
    /// Highest severity of the round.
    pub overall_severity: Severity,
    /// In a sentence.
    pub summary: String,
    /// Findings with a severity other than none.
    pub finding_count: u32,
    /// When.
    pub created_at: WallMs,
}

/// A round that sent the unit back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReviewHistoryEntry {
    /// 0 = first review, k = after fix k.
    pub attempt: u32,
    /// Highest severity of the round.
    pub severity: Severity,
    /// What was found.
    pub findings: Vec<HistoryFinding>,
    /// When.
    pub reviewed_at: WallMs,
}

/// A finding as history keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HistoryFinding {
    /// How bad.
    pub severity: Severity,
    /// In a sentence.
    pub summary: String,
    /// At length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

/// A unit that cannot go on by itself, as the mirror files show it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlockedItem {
    /// The unit's task.
    pub task_id: TaskId,
    /// Why.
    pub blocking_reason: String,
    /// What would help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_resolution: Option<String>,
    /// When.
    pub created_at: WallMs,
}

/// A minor issue left for later.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeferredFix {
    /// The unit's task.
    pub task_id: TaskId,
    /// What to do.
    pub description: String,
    /// How bad.
    pub severity: Severity,
    /// When.
    pub created_at: WallMs,
}
