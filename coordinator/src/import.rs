//! Continuing from an `AGENT_STATE.json`, half-finished ones included: reads the file leniently and says, unit by unit of the plan, what it brings
//! along. What becomes of that is the core's; whether the tree has the finished work is the client's to check.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use roundtable_core::command::{Imported, ImportedUnit};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::limits::{FIX_ATTEMPTS_MAX, SPEC_FILE_BYTES_MAX};
use roundtable_shared::manifest::{PathSet, normalise_entry};
use roundtable_shared::spec::{Plan, Unit};
use roundtable_shared::time::WallMs;
use roundtable_shared::{Criticality, Severity, UnitId};

use crate::mirror::form::{AgentState, MirrorTask};

mod carried;

/// Words of the mirror's `status`.
const STATUSES: [&str; 8] =
    ["not_started", "in_progress", "pending_review", "under_review", "fix_required", "final_review", "completed", "blocked"];
/// Statuses of a subtask whose work is done; judging it is its unit's matter.
const WORK_DONE: [&str; 5] = ["completed", "pending_review", "under_review", "final_review", "fix_required"];

/// Files named in an error.
const FILES_NAMED_MAX: usize = 10;

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
    /// What it calls completed is not there.
    #[error(
        "AGENT_STATE.json says that unit {unit} is completed, but the tree the run would start from lacks files it changed: {}; commit them (or take them along with --include-dirty where they are uncommitted), or go by the state's word with --trust",
        .files.join(", ")
    )]
    Absent {
        /// The first such unit.
        unit: UnitId,
        /// The first of its files that are not there.
        files: Vec<String>,
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

/// Where the work lies, by which files a state names are known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// Real path of the repository's top folder; empty if unknown.
    pub top: String,
    /// Real path of the folder the run is started in.
    pub workdir: String,
}

impl Place {
    /// A file as a repository path. `None` for what is none.
    fn path(&self, text: &str) -> Option<String> {
        let text = text.trim();
        let below = |folder: &str| text.strip_prefix(folder).filter(|_| !folder.is_empty()).and_then(|rest| rest.strip_prefix('/'));
        normalise_entry(below(&self.top).or_else(|| below(&self.workdir)).unwrap_or(text)).ok()
    }

    /// The same seen from the folder the run is started in, where that is not the top.
    fn seen_from_workdir(&self, path: &str) -> Option<String> {
        let below = self.workdir.strip_prefix(&self.top).filter(|_| !self.top.is_empty())?.trim_matches('/');
        (!below.is_empty()).then(|| format!("{below}/{path}"))
    }

    /// Whether a file, or something in a folder of that name, is among those.
    fn is_among<'f>(&self, path: &str, files: &BTreeSet<&'f str>) -> Option<&'f str> {
        let among = |path: &str| {
            let folder = format!("{}/", path.trim_end_matches('/'));
            let below =
                files.range::<str, _>((Bound::Included(folder.as_str()), Bound::Unbounded)).next().filter(|file| file.starts_with(&folder));
            files.get::<str>(path).or(below).copied()
        };
        among(path).or_else(|| among(&self.seen_from_workdir(path)?))
    }
}

/// Reads a state over the plan it belongs to. Tasks the plan does not have any more are left out.
pub fn parse(text: &str, plan: &Plan, place: &Place) -> Result<Imported, ImportError> {
    let state = read(text)?;
    let tasks = index(&state)?;
    let mut units = BTreeMap::new();
    for unit in &plan.units {
        if let Some(imported) = imported(unit, &state, &tasks, place)? {
            units.insert(unit.id.clone(), imported);
        }
    }
    if units.is_empty() && !state.tasks.is_empty() {
        return Err(ImportError::OtherPlan { ids: state.tasks.iter().take(5).map(|task| task.task_id.clone()).collect() });
    }
    let mut notices = carried::assignments(&mut units, &state, plan, &tasks);
    let session_name = Some(state.session_name.clone()).filter(|name| !name.is_empty());
    let decisions = carried::decisions(&state, plan, &mut notices);
    Ok(Imported { units, session_name, deferred: carried::deferred(&state, plan), decisions, notices, digest: digest(text) })
}

/// Names a state by what it says, however it is written.
pub fn digest(text: &str) -> String {
    let text = text.trim_start_matches('\u{feff}');
    let plain = serde_json::from_str::<serde_json::Value>(text).map_or_else(|_| text.to_owned(), |value| value.to_string());
    blake3::hash(plain.as_bytes()).to_hex().to_string()
}

/// The run a state says it is of.
pub fn run_of(text: &str) -> Option<String> {
    read(text).ok()?.roundtable.map(|extra| extra.run).filter(|run| !run.is_empty())
}

/// Notes which files of units the base does not have.
pub fn find_missing(imported: &mut Imported, base: &[String], place: &Place) {
    let base: BTreeSet<&str> = base.iter().map(String::as_str).collect();
    for unit in imported.units.values_mut() {
        unit.missing = unit.files.iter().filter(|file| place.is_among(file, &base).is_none()).cloned().collect();
    }
}

/// Refuses a state that calls units completed whose files the base does not have.
pub fn refuse_absent(imported: &Imported) -> Result<(), ImportError> {
    let absent = imported.units.iter().find(|(_, unit)| unit.status == "completed" && !unit.missing.is_empty());
    let Some((id, unit)) = absent else { return Ok(()) };
    let mut files: Vec<String> = unit.missing.iter().take(FILES_NAMED_MAX).cloned().collect();
    if unit.missing.len() > FILES_NAMED_MAX {
        files.push(format!("and {} more", unit.missing.len() - FILES_NAMED_MAX));
    }
    Err(ImportError::Absent { unit: id.clone(), files })
}

/// Work that only the working tree has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsaved {
    /// The unit.
    pub unit: UnitId,
    /// Its status word.
    pub status: String,
    /// Uncommitted files that are, or may be, its work.
    pub files: Vec<String>,
}

/// The first unit whose state says that work was done while that work, or what may be it, is not committed: files it has changed; where none are
/// recorded, what it may write; where it names nothing, anything.
pub fn unsaved(text: &str, plan: &Plan, place: &Place, uncommitted: &[String], ignore_case: bool) -> Result<Option<Unsaved>, ImportError> {
    let imported = parse(text, plan, place)?;
    let dirty: BTreeSet<&str> = uncommitted.iter().map(String::as_str).collect();
    let worked = plan.units.iter().filter_map(|unit| Some((unit, imported.units.get(&unit.id)?))).filter(|(_, from)| from.has_work());
    for (unit, from) in worked {
        let files: Vec<String> = if from.files.is_empty() {
            let own = from.assignment.as_ref().and_then(|assignment| assignment.writes.as_ref()).unwrap_or(&unit.writes);
            let writes = PathSet::new(own, ignore_case).unwrap_or_default();
            uncommitted.iter().filter(|file| writes.is_empty() || writes.covers(file)).cloned().collect()
        } else {
            from.files.iter().filter_map(|file| place.is_among(file, &dirty)).map(str::to_owned).collect()
        };
        if !files.is_empty() {
            return Ok(Some(Unsaved { unit: unit.id.clone(), status: from.status.clone(), files }));
        }
    }
    Ok(None)
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

fn imported(unit: &Unit, state: &AgentState, tasks: &Tasks<'_>, place: &Place) -> Result<Option<ImportedUnit>, ImportError> {
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
    let status =
        carried::ended_by_person(state, &unit.id).unwrap_or_else(|| unit_status(own.map(|(_, task)| status(task)), &parts, &needed));
    let subtasks = parts.iter().map(|(id, word)| ((*id).to_owned(), subtask_word(word).to_owned())).collect();
    let files = carried::files(unit, tasks, place);
    let Some((at, task)) = own else {
        return Ok(Some(ImportedUnit { status, subtasks, files, ..ImportedUnit::default() }));
    };
    Ok(Some(ImportedUnit {
        owner_agent: filled(&task.owner_agent),
        criticality: criticality(at, task)?,
        target_window: filled(&task.target_window).or_else(|| state.window_mapping.get(unit.id.as_str()).cloned()),
        fix_attempts: task.fix_attempts.min(FIX_ATTEMPTS_MAX),
        escalated: task.escalated,
        original_agent: filled(&task.original_agent),
        findings: findings(state, task),
        blocked_reason: filled(&task.blocked_reason).map(|reason| carried::without_prefix(&reason, &status)),
        status,
        subtasks,
        files,
        missing: Vec::new(),
        assignment: None,
        history: carried::history(task),
        final_reports: carried::final_reports(state, unit),
        last_severity: filled(&task.last_review_severity).map(|word| Severity::from_agent(&word)),
        report: carried::report(task),
        completed_at: time(&task.completed_at),
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

fn time(text: &Option<String>) -> Option<WallMs> {
    text.as_deref().and_then(WallMs::parse_rfc3339)
}

fn severity(word: &str) -> String {
    Severity::from_agent(word).to_string()
}

#[cfg(test)]
mod tests;
