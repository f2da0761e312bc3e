//! What an agent that implements or fixes answers.

use serde::{Deserialize, Serialize};

use super::AnswerError;
use super::fields::{self, Object};
use crate::ids::TaskId;
use crate::limits::{LEARNING_CHARS_MAX, LEARNINGS_MAX};

/// Longest coverage, as an agent puts it.
const COVERAGE_CHARS_MAX: usize = 100;

/// Whether the agent says it did everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkStatus {
    /// All steps asked for are done.
    Completed,
    /// It stopped at a step.
    Failed,
}

/// The final JSON of a work turn (SEMANTICS §5). What it claims is checked against facts elsewhere.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WorkAnswer {
    /// Whether everything is done; `Failed` whenever a failed subtask is named.
    pub status: WorkStatus,
    /// Steps done; empty together with `Completed` means all.
    #[serde(default)]
    pub completed_subtasks: Vec<TaskId>,
    /// The step at which it stopped.
    #[serde(default)]
    pub failed_subtask: Option<TaskId>,
    /// Why it stopped.
    #[serde(default)]
    pub error: Option<String>,
    /// What was done.
    #[serde(default)]
    pub summary: String,
    /// Files it says it changed.
    #[serde(default)]
    pub files_changed: Vec<String>,
    /// Tests it says passed.
    #[serde(default)]
    pub tests_passed: Option<u64>,
    /// Tests it says failed.
    #[serde(default)]
    pub tests_failed: Option<u64>,
    /// Coverage as it puts it.
    #[serde(default)]
    pub coverage: Option<String>,
    /// What others should know, at most as many and as long as a run keeps.
    #[serde(default)]
    pub learnings: Vec<Learning>,
}

/// Something reusable that was learnt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Learning {
    /// In a sentence.
    pub text: String,
    /// The file or folder it is about, if it was named.
    #[serde(default)]
    pub path: Option<String>,
}

impl WorkAnswer {
    /// Reads the last object of an answer.
    pub fn parse(text: &str) -> Result<Self, AnswerError> {
        let object = fields::object(text, &["status", "completed_subtasks"])?;
        let failed_subtask = fields::get(&object, &["failed_subtask"])
            .and_then(fields::task_id)
            .filter(|id| !["none", "null", "n/a", "-"].iter().any(|word| id.as_str().eq_ignore_ascii_case(word)));
        let status = if failed_subtask.is_some() { WorkStatus::Failed } else { status(&object)? };
        let mut completed: Vec<TaskId> = Vec::new();
        for id in fields::list(&object, &["completed_subtasks"]).iter().filter_map(fields::task_id) {
            if !completed.contains(&id) {
                completed.push(id);
            }
        }
        Ok(Self {
            status,
            completed_subtasks: completed,
            failed_subtask,
            error: fields::meaningful(&object, &["error"]),
            summary: fields::field(&object, &["summary", "message"]).unwrap_or_default(),
            files_changed: fields::texts(&object, &["files_changed"]),
            tests_passed: fields::get(&object, &["tests_passed"]).and_then(fields::count),
            tests_failed: fields::get(&object, &["tests_failed"]).and_then(fields::count),
            coverage: fields::meaningful(&object, &["coverage"]).map(|text| text.chars().take(COVERAGE_CHARS_MAX).collect()),
            learnings: learnings(&object),
        })
    }

    /// Coverage in per cent, if its text begins with a number.
    pub fn coverage_num(&self) -> Option<f64> {
        let text = self.coverage.as_deref()?.trim();
        let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        digits.parse::<f64>().ok().filter(|per_cent| (0.0..=100.0).contains(per_cent))
    }
}

fn status(object: &Object) -> Result<WorkStatus, AnswerError> {
    let value = fields::get(object, &["status"]).ok_or(AnswerError::Missing { key: "status" })?;
    let word = fields::text(value).unwrap_or_default().to_ascii_lowercase();
    match word.as_str() {
        "completed" | "complete" | "success" | "succeeded" | "successful" | "done" | "ok" | "passed" => Ok(WorkStatus::Completed),
        "failed" | "failure" | "fail" | "error" | "blocked" | "incomplete" | "partial" | "partially_completed" | "in_progress" => {
            Ok(WorkStatus::Failed)
        }
        _ => Err(AnswerError::Unusable { key: "status", found: fields::shown(value), wanted: "`completed` or `failed`" }),
    }
}

fn learnings(object: &Object) -> Vec<Learning> {
    let items = match fields::get(object, &["learnings"]) {
        Some(serde_json::Value::String(text)) => vec![serde_json::Value::String(text.clone())],
        _ => fields::list(object, &["learnings"]),
    };
    let mut out: Vec<Learning> = Vec::new();
    for item in &items {
        let (text, path) = match item {
            serde_json::Value::Object(entry) => {
                (fields::meaningful(entry, &["text", "learning", "description"]), fields::meaningful(entry, &["path", "file", "files"]))
            }
            other => (fields::text(other), None),
        };
        let Some(text) = text else { continue };
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LEARNING_CHARS_MAX).collect();
        let known = out.iter().any(|learning| learning.text.to_lowercase() == text.to_lowercase());
        if !known && out.len() < LEARNINGS_MAX {
            out.push(Learning { text, path: path.map(|path| path.lines().next().unwrap_or_default().to_owned()) });
        }
    }
    out
}
