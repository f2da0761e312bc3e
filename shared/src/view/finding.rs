//! Findings as commands show them. Their JSON is that of the domain's types; their words may be those of another build.

use serde::{Deserialize, Serialize};

use super::Word;
use crate::domain::{EarlierVerdict, FindingAnswer, Issue, Reproduced, Severity, VerdictOnEarlier};

/// `findings --json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct FindingView {
    /// By which it is answered and named later; issues have ids of their own.
    #[serde(default)]
    pub id: String,
    /// The unit's task.
    pub task_id: String,
    /// `review-<task>-<n>`.
    pub reviewer: String,
    /// Round, from 1.
    pub round: u32,
    /// How bad.
    pub severity: Word<Severity>,
    /// In a sentence.
    pub summary: String,
    /// At length.
    pub details: Option<String>,
    /// One by one.
    pub issues: Vec<IssueView>,
    /// What became of the findings of the round before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierView>,
    /// What the owner said to it and to its issues, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<FindingAnswer>,
}

/// One point of a finding.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct IssueView {
    /// Its name over all rounds; empty if it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What is wrong.
    pub description: String,
    /// How bad.
    pub severity: Word<Severity>,
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

impl From<&Issue> for IssueView {
    fn from(issue: &Issue) -> Self {
        let Issue { id, description, severity, file, line, reproduced } = issue.clone();
        Self { id, description, severity: severity.into(), file, line, reproduced }
    }
}

/// What a reviewer says of an earlier finding and the owner's answer to it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct EarlierView {
    /// The finding's or issue's id.
    pub id: String,
    /// What becomes of it.
    pub verdict: Word<VerdictOnEarlier>,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl From<&EarlierVerdict> for EarlierView {
    fn from(earlier: &EarlierVerdict) -> Self {
        let EarlierVerdict { id, verdict, note } = earlier.clone();
        Self { id, verdict: verdict.into(), note }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn points_and_verdicts_have_the_json_of_the_domain() {
        let bare =
            Issue { id: String::new(), description: "d".into(), severity: Severity::Minor, file: None, line: None, reproduced: None };
        let reproduced = Some(Reproduced { command: "make test".into(), exit_code: Some(2) });
        let whole = Issue { id: "i".into(), file: Some("f".into()), line: Some(7), reproduced, ..bare.clone() };
        for issue in [bare, whole] {
            assert_eq!(serde_json::to_string(&IssueView::from(&issue)).unwrap(), serde_json::to_string(&issue).unwrap());
        }
        for note in [None, Some("n".to_owned())] {
            let earlier = EarlierVerdict { id: "e".into(), verdict: VerdictOnEarlier::Kept, note };
            assert_eq!(serde_json::to_string(&EarlierView::from(&earlier)).unwrap(), serde_json::to_string(&earlier).unwrap());
        }
    }
}
