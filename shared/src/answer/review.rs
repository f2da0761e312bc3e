//! What a reviewer answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::AnswerError;
use super::fields;
use crate::domain::{Issue, Severity};

const ISSUES_MAX: usize = 1000;

/// The final JSON of a review (SEMANTICS §6).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReviewAnswer {
    /// The greatest of the severity stated and the issues'.
    pub severity: Severity,
    /// In a sentence.
    pub summary: String,
    /// At length.
    #[serde(default)]
    pub details: Option<String>,
    /// One by one.
    #[serde(default)]
    pub issues: Vec<Issue>,
}

impl ReviewAnswer {
    /// Reads the last object of an answer. Severity and summary must be there; an unknown severity is major.
    pub fn parse(text: &str) -> Result<Self, AnswerError> {
        let object = fields::object(text, &["severity"])?;
        let stated = fields::field(&object, &["severity"]).ok_or(AnswerError::Missing { key: "severity" })?;
        let stated = Severity::from_agent(&stated);
        let summary = fields::field(&object, &["summary"]).ok_or(AnswerError::Missing { key: "summary" })?;
        let issues: Vec<Issue> = match fields::get(&object, &["issues", "findings"]) {
            Some(Value::Array(items)) => items.iter().take(ISSUES_MAX).filter_map(|item| issue(item, stated)).collect(),
            _ => Vec::new(),
        };
        let severity = issues.iter().map(|issue| issue.severity).max().map_or(stated, |worst| worst.max(stated));
        Ok(Self { severity, summary, details: fields::meaningful(&object, &["details"]), issues })
    }
}

/// An issue without a severity of its own has the review's.
fn issue(item: &Value, stated: Severity) -> Option<Issue> {
    let Value::Object(object) = item else {
        return Some(Issue { description: fields::text(item)?, severity: stated, file: None, line: None });
    };
    let description = fields::field(object, &["description", "summary", "title", "message", "details"])?;
    let severity = fields::field(object, &["severity"]).map_or(stated, |word| Severity::from_agent(&word));
    let file = fields::meaningful(object, &["file", "path"]);
    let line = fields::get(object, &["line", "line_start"]).and_then(fields::count).filter(|line| *line > 0);
    Some(Issue { description, severity, file, line })
}
