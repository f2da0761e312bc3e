//! What an agent that implements or fixes answers.

use serde::{Deserialize, Serialize};

use super::AnswerError;
use super::fields::{self, Object};
use crate::domain::FindingAnswer;
use crate::ids::TaskId;
use crate::limits::{LEARNING_CHARS_MAX, LEARNINGS_MAX};

/// Longest coverage, as an agent puts it.
const COVERAGE_CHARS_MAX: usize = 100;
/// Commands of one answer that are kept.
const EVIDENCE_MAX: usize = 20;
/// Longest command that is kept, characters.
const COMMAND_CHARS_MAX: usize = 300;
/// Answers to findings that are read.
const ANSWERS_MAX: usize = 200;
/// Longest of them, characters.
const ANSWER_CHARS_MAX: usize = 2_000;

/// Whether the agent says it did everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkStatus {
    /// All steps asked for are done.
    Completed,
    /// It stopped at a step.
    Failed,
}

/// The final JSON of a work turn (docs/rules.md, "What agents answer"). What it claims is checked against facts elsewhere.
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
    /// Commands it says it ran, and how they ended.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// Why the unit as it is told cannot be done, as far as it says so; `error` has the words.
    #[serde(default)]
    pub refusal: Option<RefusalKind>,
    /// What was done about each finding, or why nothing was.
    #[serde(default)]
    pub answers: Vec<FindingAnswer>,
}

/// A command an agent says it ran.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// The command, in one line.
    pub command: String,
    /// How it ended, if that was said.
    #[serde(default)]
    pub exit_code: Option<i64>,
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.exit_code {
            Some(code) => write!(f, "{} (exit code {code})", self.command),
            None => f.write_str(&self.command),
        }
    }
}

/// Why an agent gives a unit back instead of guessing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// What is wanted cannot be told from the plan, its requirements and the code.
    Underspecified,
    /// It needs something that is not there: another unit's result, an account, a service.
    BlockedOn,
    /// It asks for what lies outside of this repository, or of what the agent may do.
    OutOfScope,
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
        let refusal = refusal(&object);
        let status = if failed_subtask.is_some() || refusal.is_some() { WorkStatus::Failed } else { status(&object)? };
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
            coverage: fields::meaningful(&object, &["coverage"]).map(|text| fields::cut(&text, COVERAGE_CHARS_MAX)),
            learnings: learnings(&object),
            evidence: evidence(&object),
            refusal,
            answers: answers(&object),
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

/// The kind alone, or an object that has it; a word that is none of them refuses nothing.
fn refusal(object: &Object) -> Option<RefusalKind> {
    let said = match fields::get(object, &["refusal"])? {
        serde_json::Value::Object(inner) => fields::field(inner, &["kind", "type", "refusal"])?,
        other => fields::text(other)?,
    };
    match said.trim().to_ascii_lowercase().replace(['-', ' '], "_").as_str() {
        "underspecified" => Some(RefusalKind::Underspecified),
        "blocked_on" | "blocked" => Some(RefusalKind::BlockedOn),
        "out_of_scope" => Some(RefusalKind::OutOfScope),
        _ => None,
    }
}

/// `{"command": "make test", "exit_code": 0}`, or the command alone.
fn evidence(object: &Object) -> Vec<Evidence> {
    let read = |item: &serde_json::Value| {
        let (command, exit_code) = match item {
            serde_json::Value::Object(entry) => {
                let code = fields::get(entry, &["exit_code", "code", "exit"]).and_then(fields::text);
                (fields::field(entry, &["command", "cmd"])?, code.and_then(|code| code.parse().ok()))
            }
            other => (fields::text(other)?, None),
        };
        let command = fields::cut(&command.split_whitespace().collect::<Vec<_>>().join(" "), COMMAND_CHARS_MAX);
        Some(Evidence { command, exit_code })
    };
    fields::list(object, &["evidence"]).iter().filter_map(read).take(EVIDENCE_MAX).collect()
}

/// Answers to findings; one that says neither what was done nor why not says nothing.
fn answers(object: &Object) -> Vec<FindingAnswer> {
    let text = |entry: &Object, keys: &[&str]| fields::meaningful(entry, keys).map(|text| fields::cut(&text, ANSWER_CHARS_MAX));
    let answer = |item: &serde_json::Value| {
        let entry = item.as_object()?;
        let finding = fields::get(entry, &["finding", "id"]).and_then(fields::finding_id)?;
        let why_not = text(entry, &["why_not"]);
        // `"fixed": true` and `"fixed": false` are words for it too.
        let fixed = match fields::get(entry, &["fixed"]) {
            Some(serde_json::Value::Bool(false)) => None,
            Some(serde_json::Value::Bool(true)) => Some("fixed".to_owned()),
            _ => text(entry, &["fixed"]),
        };
        (fixed.is_some() || why_not.is_some()).then_some(FindingAnswer { finding, fixed, why_not })
    };
    fields::list(object, &["answers"]).iter().take(ANSWERS_MAX).filter_map(answer).collect()
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
            other => (fields::text(other).filter(|text| fields::says_something(text)), None),
        };
        let Some(text) = text else { continue };
        let text = fields::cut(&text.split_whitespace().collect::<Vec<_>>().join(" "), LEARNING_CHARS_MAX);
        let known = out.iter().any(|learning| learning.text.to_lowercase() == text.to_lowercase());
        if !known && out.len() < LEARNINGS_MAX {
            let path = path.map(|path| path.lines().next().unwrap_or_default().trim_end().to_owned());
            out.push(Learning { text, path: path.filter(|path| fields::says_something(path)) });
        }
    }
    out
}
