//! The mirror files as their readers know them: one set of forms for writing and for reading back. Writing fills every field; reading forgives what
//! is missing, null or a number where text is meant. What the words mean is in the neighbouring files.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// `TASKS_PARSED.json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TasksParsed {
    /// The spec's folder.
    #[serde(deserialize_with = "lenient")]
    pub spec_path: String,
    /// Units and descendants, in document order.
    pub tasks: Vec<ParsedTask>,
}

/// A task of `TASKS_PARSED.json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ParsedTask {
    /// Id as written.
    #[serde(deserialize_with = "text")]
    pub task_id: String,
    /// Title.
    #[serde(deserialize_with = "lenient")]
    pub description: String,
    /// `code`, `ui`, `review`.
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub task_type: String,
    /// Status word.
    #[serde(deserialize_with = "lenient")]
    pub status: String,
    /// Explicit dependencies.
    #[serde(deserialize_with = "texts")]
    pub dependencies: Vec<String>,
    /// Whether it is optional.
    #[serde(deserialize_with = "lenient")]
    pub is_optional: bool,
    /// Its parent.
    #[serde(deserialize_with = "maybe_text")]
    pub parent_id: Option<String>,
    /// Its children.
    #[serde(deserialize_with = "texts")]
    pub subtasks: Vec<String>,
    /// Lines below it.
    #[serde(deserialize_with = "texts")]
    pub details: Vec<String>,
    /// Paths it may write.
    #[serde(deserialize_with = "texts")]
    pub writes: Vec<String>,
    /// Paths it reads.
    #[serde(deserialize_with = "texts")]
    pub reads: Vec<String>,
    /// Fixes so far.
    #[serde(deserialize_with = "lenient")]
    pub fix_attempts: u32,
    /// Fixes at most.
    #[serde(deserialize_with = "lenient")]
    pub max_fix_attempts: u32,
    /// Whether a fix went elsewhere.
    #[serde(deserialize_with = "lenient")]
    pub escalated: bool,
    /// When.
    pub escalated_at: Option<String>,
    /// Owner before that.
    pub original_agent: Option<String>,
    /// Highest severity of the last round.
    pub last_review_severity: Option<String>,
    /// Rounds that sent it back.
    #[serde(deserialize_with = "lenient")]
    pub review_history: Vec<MirrorHistory>,
    /// Why it is blocked.
    pub blocked_reason: Option<String>,
    /// What blocks it.
    #[serde(deserialize_with = "maybe_text")]
    pub blocked_by: Option<String>,
}

/// `AGENT_STATE.json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct AgentState {
    /// The spec's folder.
    #[serde(default, deserialize_with = "lenient")]
    pub spec_path: String,
    /// Session name.
    #[serde(default, deserialize_with = "lenient")]
    pub session_name: String,
    /// Units and descendants, in document order.
    pub tasks: Vec<MirrorTask>,
    /// What reviewers found, oldest first.
    #[serde(default, deserialize_with = "lenient")]
    pub review_findings: Vec<MirrorFinding>,
    /// Consolidations, oldest first; consumers take the last of a task.
    #[serde(default, deserialize_with = "lenient")]
    pub final_reports: Vec<MirrorReport>,
    /// What cannot go on by itself.
    #[serde(default, deserialize_with = "lenient")]
    pub blocked_items: Vec<MirrorBlocked>,
    /// What a person is asked.
    #[serde(default, deserialize_with = "lenient")]
    pub pending_decisions: Vec<MirrorDecision>,
    /// Minor issues left for later.
    #[serde(default, deserialize_with = "lenient")]
    pub deferred_fixes: Vec<MirrorDeferred>,
    /// Window of each task.
    #[serde(default, deserialize_with = "lenient")]
    pub window_mapping: BTreeMap<String, String>,
    /// What only we know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roundtable: Option<MirrorExtra>,
}

/// A task of `AGENT_STATE.json`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorTask {
    /// Id as written.
    #[serde(deserialize_with = "text")]
    pub task_id: String,
    /// Title.
    #[serde(deserialize_with = "lenient")]
    pub description: String,
    /// `code`, `ui`, `review`.
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub task_type: String,
    /// Status word.
    #[serde(deserialize_with = "lenient")]
    pub status: String,
    /// Explicit dependencies.
    #[serde(deserialize_with = "texts")]
    pub dependencies: Vec<String>,
    /// Whether it is optional.
    #[serde(deserialize_with = "lenient")]
    pub is_optional: bool,
    /// Its parent.
    #[serde(deserialize_with = "maybe_text")]
    pub parent_id: Option<String>,
    /// Its children.
    #[serde(deserialize_with = "texts")]
    pub subtasks: Vec<String>,
    /// Lines below it.
    #[serde(deserialize_with = "texts")]
    pub details: Vec<String>,
    /// Paths it may write.
    #[serde(deserialize_with = "texts")]
    pub writes: Vec<String>,
    /// Paths it reads.
    #[serde(deserialize_with = "texts")]
    pub reads: Vec<String>,
    /// Fixes so far.
    #[serde(deserialize_with = "lenient")]
    pub fix_attempts: u32,
    /// Fixes at most.
    #[serde(deserialize_with = "lenient")]
    pub max_fix_attempts: u32,
    /// Whether a fix went elsewhere.
    #[serde(deserialize_with = "lenient")]
    pub escalated: bool,
    /// When.
    pub escalated_at: Option<String>,
    /// Owner before that.
    pub original_agent: Option<String>,
    /// Highest severity of the last round.
    pub last_review_severity: Option<String>,
    /// Rounds that sent it back.
    #[serde(deserialize_with = "lenient")]
    pub review_history: Vec<MirrorHistory>,
    /// Why it is blocked.
    pub blocked_reason: Option<String>,
    /// What blocks it.
    #[serde(deserialize_with = "maybe_text")]
    pub blocked_by: Option<String>,
    /// Backend that does it.
    pub owner_agent: Option<String>,
    /// `standard`, `complex`, `security-sensitive`.
    pub criticality: Option<String>,
    /// Exit code of the last attempt.
    pub exit_code: Option<i64>,
    /// What the agent said of its work.
    pub output: Option<String>,
    /// What went wrong last.
    pub error: Option<String>,
    /// What it changed.
    #[serde(deserialize_with = "texts")]
    pub files_changed: Vec<String>,
    /// As said.
    #[serde(deserialize_with = "maybe_text")]
    pub coverage: Option<String>,
    /// As a figure.
    pub coverage_num: Option<f64>,
    /// Tests.
    pub tests_passed: Option<u64>,
    /// Tests.
    pub tests_failed: Option<u64>,
    /// Null without tmux.
    #[serde(deserialize_with = "maybe_text")]
    pub window_id: Option<String>,
    /// Null without tmux.
    #[serde(deserialize_with = "maybe_text")]
    pub pane_id: Option<String>,
    /// Window name.
    pub target_window: Option<String>,
    /// RFC 3339.
    pub created_at: Option<String>,
    /// RFC 3339.
    pub completed_at: Option<String>,
}

impl From<&MirrorTask> for ParsedTask {
    fn from(task: &MirrorTask) -> Self {
        let task = task.clone();
        Self {
            task_id: task.task_id,
            description: task.description,
            task_type: task.task_type,
            status: task.status,
            dependencies: task.dependencies,
            is_optional: task.is_optional,
            parent_id: task.parent_id,
            subtasks: task.subtasks,
            details: task.details,
            writes: task.writes,
            reads: task.reads,
            fix_attempts: task.fix_attempts,
            max_fix_attempts: task.max_fix_attempts,
            escalated: task.escalated,
            escalated_at: task.escalated_at,
            original_agent: task.original_agent,
            last_review_severity: task.last_review_severity,
            review_history: task.review_history,
            blocked_reason: task.blocked_reason,
            blocked_by: task.blocked_by,
        }
    }
}

/// A round that sent a task back.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorHistory {
    /// 0 = first review, k = after fix k.
    #[serde(deserialize_with = "lenient")]
    pub attempt: u32,
    /// Highest severity.
    #[serde(deserialize_with = "lenient")]
    pub severity: String,
    /// What was found.
    #[serde(deserialize_with = "lenient")]
    pub findings: Vec<MirrorHistoryFinding>,
    /// RFC 3339.
    pub reviewed_at: Option<String>,
}

/// A finding as history keeps it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorHistoryFinding {
    /// Severity word.
    #[serde(deserialize_with = "lenient")]
    pub severity: String,
    /// In a sentence.
    #[serde(deserialize_with = "lenient")]
    pub summary: String,
    /// At length.
    pub details: Option<String>,
}

/// What a reviewer found.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorFinding {
    /// The task.
    #[serde(deserialize_with = "text")]
    pub task_id: String,
    /// `review-<task>-<n>`.
    #[serde(deserialize_with = "lenient")]
    pub reviewer: String,
    /// Severity word.
    #[serde(deserialize_with = "lenient")]
    pub severity: String,
    /// In a sentence.
    #[serde(deserialize_with = "lenient")]
    pub summary: String,
    /// At length; empty if there is no more to say.
    #[serde(deserialize_with = "lenient")]
    pub details: String,
    /// RFC 3339.
    pub created_at: Option<String>,
    /// Our own: review round, from 1; 0 where it is not known.
    #[serde(deserialize_with = "lenient")]
    pub round: u32,
    /// Our own: one by one.
    #[serde(deserialize_with = "lenient")]
    pub issues: Vec<MirrorIssue>,
}

/// One issue of a finding.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorIssue {
    /// What.
    #[serde(deserialize_with = "lenient")]
    pub description: String,
    /// Severity word.
    #[serde(deserialize_with = "lenient")]
    pub severity: String,
    /// Where.
    pub file: Option<String>,
    /// Where.
    pub line: Option<u64>,
}

/// A consolidation.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorReport {
    /// The task.
    #[serde(deserialize_with = "text")]
    pub task_id: String,
    /// Severity word.
    #[serde(deserialize_with = "lenient")]
    pub overall_severity: String,
    /// In a sentence.
    #[serde(deserialize_with = "lenient")]
    pub summary: String,
    /// Findings.
    #[serde(deserialize_with = "lenient")]
    pub finding_count: u32,
    /// RFC 3339.
    pub created_at: Option<String>,
}

/// Something that cannot go on by itself.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorBlocked {
    /// The task.
    #[serde(deserialize_with = "text")]
    pub task_id: String,
    /// Why.
    #[serde(deserialize_with = "lenient")]
    pub blocking_reason: String,
    /// Tasks that wait for it.
    #[serde(deserialize_with = "texts")]
    pub dependent_tasks: Vec<String>,
    /// What would help.
    pub required_resolution: Option<String>,
    /// RFC 3339.
    pub created_at: Option<String>,
}

/// A question to a person.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorDecision {
    /// Its id.
    #[serde(deserialize_with = "text")]
    pub id: String,
    /// The task.
    #[serde(deserialize_with = "text")]
    pub task_id: String,
    /// `critical`, `high`, `medium`, `low`.
    #[serde(deserialize_with = "lenient")]
    pub priority: String,
    /// What happened.
    #[serde(deserialize_with = "lenient")]
    pub context: String,
    /// Options in words.
    #[serde(deserialize_with = "texts")]
    pub options: Vec<String>,
    /// RFC 3339.
    pub created_at: Option<String>,
}

/// A minor issue left for later.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorDeferred {
    /// The task.
    #[serde(deserialize_with = "text")]
    pub task_id: String,
    /// What to do.
    #[serde(deserialize_with = "lenient")]
    pub description: String,
    /// Severity word.
    #[serde(deserialize_with = "lenient")]
    pub severity: String,
    /// RFC 3339.
    pub created_at: Option<String>,
}

/// What the original never had, in one object.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorExtra {
    /// Run id.
    pub run: String,
    /// As in `status --json`.
    pub status: String,
    /// Mode word.
    pub mode: String,
    /// The run's branch.
    pub branch: String,
    /// Base commit.
    pub base: String,
    /// Tip of the branch.
    pub head: String,
    /// Exit code it ended with.
    pub exit: Option<u8>,
    /// Units a person went on without.
    pub skipped: Vec<String>,
    /// Units a person ended.
    pub cancelled: Vec<String>,
    /// Units that do not run, with why they do not count.
    pub not_running: Vec<String>,
    /// Integrated commit of each unit that has one.
    pub commits: BTreeMap<String, String>,
    /// Labels that a unit asks of its worker: of each that does, or for which the plan did.
    pub requires: BTreeMap<String, Vec<String>>,
}

/// Null and missing are the default.
fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Text, or a number or truth value where text is meant.
#[derive(Deserialize)]
#[serde(untagged, expecting = "text or a number")]
enum Textual {
    Words(String),
    Whole(i64),
    Figure(f64),
}

impl From<Textual> for String {
    fn from(text: Textual) -> Self {
        match text {
            Textual::Words(text) => text,
            Textual::Whole(number) => number.to_string(),
            Textual::Figure(number) => number.to_string(),
        }
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(maybe_text(deserializer)?.unwrap_or_default())
}

fn maybe_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Textual>::deserialize(deserializer)?.map(String::from))
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let items: Vec<Textual> = lenient(deserializer)?;
    Ok(items.into_iter().map(String::from).collect())
}
