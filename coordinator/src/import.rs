//! Continuing from an `AGENT_STATE.json`, half-finished ones included: reads the file leniently and says, unit by unit of the plan, what it brings
//! along. What becomes of that is the core's; whether the tree has the finished work is the client's to check.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_core::command::{Imported, ImportedUnit};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::limits::{FIX_ATTEMPTS_MAX, SPEC_FILE_BYTES_MAX};
use roundtable_shared::spec::{Plan, Unit};
use roundtable_shared::{Criticality, Severity};

use crate::mirror::form::{AgentState, MirrorTask};

/// Words of the mirror's `status`.
const STATUSES: [&str; 8] =
    ["not_started", "in_progress", "pending_review", "under_review", "fix_required", "final_review", "completed", "blocked"];
/// Statuses of a subtask whose work is done; judging it is its unit's matter.
const WORK_DONE: [&str; 5] = ["completed", "pending_review", "under_review", "final_review", "fix_required"];

/// Why a state cannot be continued from.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImportError {
    /// It is too long.
    #[error("AGENT_STATE.json has {bytes} bytes, more than {SPEC_FILE_BYTES_MAX}; it cannot be imported")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// A field is missing, or of the wrong kind.
    #[error("AGENT_STATE.json: {field}: {what}; correct the field and import again")]
    Field {
        /// Where, as `tasks[3].status`.
        field: String,
        /// What is wrong.
        what: String,
    },
    /// It is about something else.
    #[error("AGENT_STATE.json is about another plan: none of its tasks ({}) is in tasks.md; give the spec it was made from", .ids.join(", "))]
    OtherPlan {
        /// The first ids it has.
        ids: Vec<String>,
    },
}

impl ImportError {
    /// The code this maps to at every edge.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::InvalidInput
    }

    fn field(field: String, what: impl Into<String>) -> Self {
        Self::Field { field, what: what.into() }
    }
}

/// Reads a state over the plan it belongs to. Tasks the plan does not have any more are left out.
pub fn parse(text: &str, plan: &Plan) -> Result<Imported, ImportError> {
    let state = read(text)?;
    let tasks = index(&state)?;
    let mut units = BTreeMap::new();
    for unit in &plan.units {
        if let Some(imported) = imported(unit, &state, &tasks)? {
            units.insert(unit.id.clone(), imported);
        }
    }
    if units.is_empty() && !state.tasks.is_empty() {
        return Err(ImportError::OtherPlan { ids: state.tasks.iter().take(5).map(|task| task.task_id.clone()).collect() });
    }
    Ok(Imported { units, session_name: Some(state.session_name).filter(|name| !name.is_empty()) })
}

/// The file as its form, whatever it means.
pub fn read(text: &str) -> Result<AgentState, ImportError> {
    if text.len() > SPEC_FILE_BYTES_MAX {
        return Err(ImportError::TooLong { bytes: text.len() });
    }
    let mut deserializer = serde_json::Deserializer::from_str(text.trim_start_matches('\u{feff}'));
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = match error.path().to_string() {
            path if path == "." || path == "?" => "the file".to_owned(),
            path => path,
        };
        ImportError::field(field, error.into_inner().to_string())
    })
}

/// A task with its place in the file, for messages.
type Tasks<'a> = BTreeMap<&'a str, (usize, &'a MirrorTask)>;

fn index(state: &AgentState) -> Result<Tasks<'_>, ImportError> {
    let mut tasks = Tasks::new();
    for (at, task) in state.tasks.iter().enumerate() {
        if task.task_id.is_empty() {
            return Err(ImportError::field(format!("tasks[{at}].task_id"), "it is missing"));
        }
        if !STATUSES.contains(&status(task).as_str()) {
            let what = format!("\"{}\" is no status; use one of {}", task.status, STATUSES.join(", "));
            return Err(ImportError::field(format!("tasks[{at}].status"), what));
        }
        if let Some((first, _)) = tasks.insert(&task.task_id, (at, task)) {
            return Err(ImportError::field(
                format!("tasks[{at}].task_id"),
                format!("{} is there already, in tasks[{first}]", task.task_id),
            ));
        }
    }
    Ok(tasks)
}

/// The status word as it is meant; none = not started.
fn status(task: &MirrorTask) -> String {
    match task.status.trim().to_ascii_lowercase().replace(['-', ' '], "_") {
        word if word.is_empty() => "not_started".to_owned(),
        word => word,
    }
}

fn imported(unit: &Unit, state: &AgentState, tasks: &Tasks<'_>) -> Result<Option<ImportedUnit>, ImportError> {
    let own = tasks.get(unit.id.as_str()).copied();
    let parts: Vec<(&str, String)> = unit
        .subtasks()
        .iter()
        .filter(|task| task.subtasks.is_empty())
        .filter_map(|task| Some((task.id.as_str(), status(tasks.get(task.id.as_str())?.1))))
        .collect();
    if own.is_none() && parts.is_empty() {
        return Ok(None);
    }
    let needed: BTreeSet<&str> = unit.subtasks().iter().filter(|task| task.needed).map(|task| task.id.as_str()).collect();
    let status = unit_status(own.map(|(_, task)| status(task)), &parts, &needed);
    let subtasks = parts.iter().map(|(id, word)| ((*id).to_owned(), subtask_word(word).to_owned())).collect();
    let Some((at, task)) = own else {
        return Ok(Some(ImportedUnit { status, subtasks, ..ImportedUnit::default() }));
    };
    Ok(Some(ImportedUnit {
        status,
        subtasks,
        owner_agent: filled(&task.owner_agent),
        criticality: criticality(at, task)?,
        target_window: filled(&task.target_window).or_else(|| state.window_mapping.get(unit.id.as_str()).cloned()),
        fix_attempts: task.fix_attempts.min(FIX_ATTEMPTS_MAX),
        escalated: task.escalated,
        original_agent: filled(&task.original_agent),
        findings: findings(state, task),
        blocked_reason: filled(&task.blocked_reason),
    }))
}

/// Status of a unit. Its parts know better where they have been worked on and it has not heard of it: parents were derived, and said
/// `in_progress` while all their parts waited for a review.
fn unit_status(own: Option<String>, parts: &[(&str, String)], needed: &BTreeSet<&str>) -> String {
    let own = own.unwrap_or_else(|| "not_started".to_owned());
    let open: Vec<&str> = parts.iter().filter(|(id, _)| needed.contains(id)).map(|(_, word)| word.as_str()).collect();
    if !matches!(own.as_str(), "in_progress" | "not_started") || open.is_empty() || !open.iter().all(|word| WORK_DONE.contains(word)) {
        return own;
    }
    if open.iter().all(|word| *word == "completed") {
        // All parts done: reviewed if the unit says so, else the review is still to come.
        return if own == "not_started" { "completed".to_owned() } else { "pending_review".to_owned() };
    }
    let word = if open.contains(&"fix_required") { "fix_required" } else { "pending_review" };
    word.to_owned()
}

fn subtask_word(word: &str) -> &str {
    match word {
        word if WORK_DONE.contains(&word) => "completed",
        "blocked" => "blocked",
        _ => "not_started",
    }
}

fn filled(text: &Option<String>) -> Option<String> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn criticality(at: usize, task: &MirrorTask) -> Result<Option<String>, ImportError> {
    let Some(word) = filled(&task.criticality) else { return Ok(None) };
    match Criticality::parse(&word.replace('_', "-")) {
        Some(known) => Ok(Some(known.to_string())),
        None => {
            let what = format!("\"{word}\" is no criticality; use standard, complex or security-sensitive");
            Err(ImportError::field(format!("tasks[{at}].criticality"), what))
        }
    }
}

/// What the last round found: as the history keeps it, else the newest findings beside it.
fn findings(state: &AgentState, task: &MirrorTask) -> Vec<(String, String, Option<String>)> {
    if let Some(last) = task.review_history.last().filter(|entry| !entry.findings.is_empty()) {
        let kept = last.findings.iter().map(|finding| (severity(&finding.severity), finding.summary.clone(), filled(&finding.details)));
        return kept.collect();
    }
    let of_task: Vec<_> = state.review_findings.iter().filter(|finding| finding.task_id == task.task_id).collect();
    let round = of_task.iter().map(|finding| finding.round).max().unwrap_or(0);
    let newest = of_task.into_iter().filter(|finding| finding.round == round);
    newest.map(|finding| (severity(&finding.severity), finding.summary.clone(), filled(&Some(finding.details.clone())))).collect()
}

fn severity(word: &str) -> String {
    Severity::from_agent(word).to_string()
}

#[cfg(test)]
mod tests;
