//! What a reviewer answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::AnswerError;
use super::fields;
use crate::domain::{EarlierVerdict, Issue, Reproduced, Severity, VerdictOnEarlier};

const ISSUES_MAX: usize = 1000;

/// The final JSON of a review (docs/rules.md, "What agents answer").
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
    /// What becomes of the findings of the round before.
    #[serde(default)]
    pub earlier: Vec<EarlierVerdict>,
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
        let earlier = fields::list(&object, &["earlier"]).iter().take(ISSUES_MAX).filter_map(earlier).collect();
        Ok(Self { severity, summary, details: fields::meaningful(&object, &["details"]), issues, earlier })
    }
}

/// An issue without a severity of its own has the review's.
fn issue(item: &Value, stated: Severity) -> Option<Issue> {
    let plain = |description: String, severity: Severity| Issue {
        id: String::new(),
        description,
        severity,
        file: None,
        line: None,
        reproduced: None,
    };
    let Value::Object(object) = item else { return Some(plain(fields::text(item)?, stated)) };
    let description = fields::field(object, &["description", "summary", "title", "message", "details"])?;
    let severity = fields::field(object, &["severity"]).map_or(stated, |word| Severity::from_agent(&word));
    let file = fields::meaningful(object, &["file", "path"]);
    let line = fields::get(object, &["line", "line_start"]).and_then(fields::count).filter(|line| *line > 0);
    let id = fields::get(object, &["id"]).and_then(fields::finding_id).unwrap_or_default();
    let reproduced = fields::get(object, &["reproduced"]).and_then(reproduced);
    Some(Issue { id, file, line, reproduced, ..plain(description, severity) })
}

/// A command with its exit code; a lone text is the command.
fn reproduced(value: &Value) -> Option<Reproduced> {
    let Value::Object(object) = value else {
        let Value::String(command) = value else { return None };
        let command = command.trim().to_owned();
        return (!command.is_empty() && fields::says_something(&command)).then_some(Reproduced { command, exit_code: None });
    };
    let command = fields::meaningful(object, &["command", "cmd"])?;
    let exit_code =
        fields::get(object, &["exit_code", "exit"]).and_then(|code| code.as_i64().or_else(|| code.as_str()?.trim().parse().ok()));
    Some(Reproduced { command, exit_code })
}

/// A verdict in a word that is none of ours says nothing.
fn earlier(item: &Value) -> Option<EarlierVerdict> {
    let Value::Object(object) = item else { return None };
    let id = fields::get(object, &["id", "finding"]).and_then(fields::finding_id)?;
    let word = fields::field(object, &["verdict", "status"])?;
    let verdict = match word.trim().to_ascii_lowercase().as_str() {
        "fixed" | "resolved" | "close" => VerdictOnEarlier::Closed,
        "accept" | "withdrawn" => VerdictOnEarlier::Accepted,
        "open" | "keep" | "still_open" | "still open" => VerdictOnEarlier::Kept,
        word => VerdictOnEarlier::parse(word)?,
    };
    Some(EarlierVerdict { id, verdict, note: fields::meaningful(object, &["note", "why", "reason"]) })
}
