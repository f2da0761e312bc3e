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
    /// An agent's word: case-insensitive, unknown = major (SEMANTICS §6).
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
}

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
    /// When.
    pub created_at: WallMs,
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
