//! Questions: answered from the last published state, and for diffs from the repository. The read models themselves are built in `view`.

use roundtable_core::Core;
use roundtable_core::command::Now;
use roundtable_core::state::{Attempt, Run, State, Unit};
use roundtable_runtime::terminal::shell_word;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::view::{DiffView, PromptView, Query, RunSelector};
use roundtable_shared::{AttemptKey, CommitId, Role, UnitId};

use crate::disk::{self, Measured};
use crate::driver::{Handle, HandleError};
use crate::repository::{Repositories, RepositoryError};
use crate::told::Told;
use crate::view::{self, SelectError, ViewError};

/// Longest diff that is answered, bytes.
const DIFF_BYTES_MAX: usize = 8 << 20;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// No such run, or more than one.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The read model cannot be built.
    #[error(transparent)]
    View(#[from] ViewError),
    /// There is nothing of that kind (yet).
    #[error("{0}")]
    NotFound(String),
    /// git, or the disk under it.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The driver has stopped.
    #[error(transparent)]
    Driver(#[from] HandleError),
    /// The disk.
    #[error("the data directory cannot be measured: {0}")]
    Disk(#[from] std::io::Error),
    /// A bug here.
    #[error("the answer cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl QueryError {
    /// The code this maps to at every edge.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Select(error) => error.code(),
            Self::View(error) => error.code(),
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::Repository(error) => error.code(),
            Self::Driver(error) => error.code(),
            Self::Disk(_) | Self::Json(_) => ErrorCode::Internal,
        }
    }
}

/// Two commits of a run and where they are.
pub struct Commits {
    /// Key of the repository.
    pub repository: String,
    /// From.
    pub base: CommitId,
    /// To.
    pub commit: CommitId,
}

/// Answers a question of a served coordinator, which has `problems` of its own now.
pub async fn answer(
    handle: &Handle,
    repositories: &Repositories,
    told: &Told,
    measured: &Measured,
    problems: Vec<String>,
    query: Query,
) -> Result<serde_json::Value, QueryError> {
    if let Query::Prompt { run, unit, attempt } = query {
        let asked = handle.read(|core: &Core, _| find_prompt(&core.state, &run, &unit, attempt))?;
        return prompt(told, asked).await;
    }
    if let Query::Diff { run, unit } = query {
        let commits = handle.read(|core: &Core, _| find_commits(&core.state, &run, unit.as_deref()))?;
        return diff(repositories, commits).await;
    }
    if matches!(query, Query::Disk) {
        let runs = handle.view(|core: &Core, _| disk::RunFacts::of(&core.state)).await?;
        return Ok(serde_json::to_value(measured.view(repositories.data_dir(), runs).await?)?);
    }
    let has_problems = matches!(query, Query::Status { .. }) && !problems.is_empty();
    let mut answer = handle.view(move |core: &Core, now| view::answer(core, now, &query)).await??;
    if has_problems {
        answer["problems"] = problems.into();
    }
    Ok(answer)
}

/// The same question about a state that nobody serves.
pub async fn answer_offline(
    core: &Core,
    now: Now,
    repositories: &Repositories,
    told: &Told,
    query: Query,
) -> Result<serde_json::Value, QueryError> {
    if let Query::Prompt { run, unit, attempt } = &query {
        return prompt(told, find_prompt(&core.state, run, unit, *attempt)?).await;
    }
    if let Query::Diff { run, unit } = &query {
        return diff(repositories, find_commits(&core.state, run, unit.as_deref())?).await;
    }
    if matches!(query, Query::Disk) {
        return Ok(serde_json::to_value(disk::measure(repositories.data_dir(), disk::RunFacts::of(&core.state)).await?)?);
    }
    Ok(view::answer(core, now, &query)?)
}

/// Commits of a run (its branch) or of a unit (its last attempt).
pub fn commits_of(handle: &Handle, run: String, unit: Option<String>) -> Result<Commits, QueryError> {
    let selector = RunSelector { run: Some(run), git_dir: None };
    handle.read(|core: &Core, _| find_commits(&core.state, &selector, unit.as_deref()))
}

async fn diff(repositories: &Repositories, commits: Commits) -> Result<serde_json::Value, QueryError> {
    let repository = repositories.open(&commits.repository).await?;
    let diff = repository.diff(&commits.base, &commits.commit, DIFF_BYTES_MAX).await?;
    let view = DiffView { base: commits.base.to_string(), commit: commits.commit.to_string(), text: diff.text, truncated: diff.truncated };
    Ok(serde_json::to_value(view)?)
}

async fn prompt(told: &Told, asked: (AttemptKey, Role)) -> Result<serde_json::Value, QueryError> {
    let (key, role) = asked;
    let kept = told.read(&key).await.map_err(|error| QueryError::NotFound(format!("the prompt of {key} cannot be read: {error}")))?;
    let text = kept.ok_or_else(|| {
        QueryError::NotFound(format!("the prompt of {key} is not kept: it was sent by an earlier release, or made room for later ones"))
    })?;
    let unit = key.unit.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    Ok(serde_json::to_value(PromptView { run: key.run.to_string(), unit, attempt: key.attempt.0, role: role.into(), prompt: text })?)
}

/// The attempt whose prompt is asked for: the one named, else the unit's last that had one.
fn find_prompt(state: &State, selector: &RunSelector, unit: &str, no: Option<u32>) -> Result<(AttemptKey, Role), QueryError> {
    let id = view::select_run(state, selector)?;
    let not_found = |text: String| QueryError::NotFound(text);
    let run = state.run(&id).ok_or_else(|| not_found(format!("there is no run {id}")))?;
    unless_removed(run)?;
    let (unit, attempts) = if unit == "-" {
        (None, run.attempts.iter().collect::<Vec<_>>())
    } else {
        let outlined = run.origin.outline.units.iter().find(|each| each.task(unit).is_some());
        let known = outlined.and_then(|each| run.unit(&each.id)).ok_or_else(|| not_found(format!("run {id} has no unit {unit}")))?;
        (Some(known.id.clone()), known.attempts.iter().collect())
    };
    let (whose, name) = match &unit {
        Some(unit) => (format!("unit {unit} of {id}"), unit.as_str()),
        None => (format!("run {id} itself"), "-"),
    };
    let found = match no {
        Some(no) => attempts.iter().find(|attempt| attempt.granted.attempt.0 == no),
        None => attempts.iter().rev().find(|attempt| attempt.granted.role != Role::Check),
    };
    let attempt = found.ok_or_else(|| match no {
        Some(no) => {
            let attempts = format!("orchctl attempts {} {}", shell_word(id.as_str()), shell_word(name));
            not_found(format!("{whose} has no attempt {no}; `{attempts}` lists them"))
        }
        None => not_found(format!("no agent was told anything for {whose} yet")),
    })?;
    if attempt.granted.role == Role::Check {
        return Err(not_found(format!(
            "attempt {} of {whose} is a check: it runs a command, no agent is told anything",
            attempt.granted.attempt
        )));
    }
    Ok((AttemptKey { run: id, unit, attempt: attempt.granted.attempt }, attempt.granted.role))
}

/// Why a unit has nothing to show.
fn why_none(unit: &Unit) -> &'static str {
    let mut work = unit.attempts.iter().filter(|attempt| attempt.granted.role.writes()).peekable();
    if work.peek().is_none() {
        "no attempt has begun"
    } else if work.any(Attempt::is_live) {
        "its attempt still runs"
    } else {
        "no attempt has handed anything in; one that was ended does so when its worker has stopped it"
    }
}

/// Its commits and prompts are gone; what the log says is not.
fn unless_removed(run: &Run) -> Result<(), QueryError> {
    match &run.life.removed {
        None => Ok(()),
        Some(removed) => {
            let (id, at, by) = (&run.id, removed.at.rfc3339(), &removed.by);
            let text = format!("the files of run {id} were removed at {at} by {by}; `orchctl summary {id}` tells what is kept");
            Err(QueryError::NotFound(text))
        }
    }
}

fn find_commits(state: &State, selector: &RunSelector, unit: Option<&str>) -> Result<Commits, QueryError> {
    let id = view::select_run(state, selector)?;
    let run = state.run(&id).ok_or_else(|| QueryError::NotFound(format!("there is no run {id}")))?;
    unless_removed(run)?;
    let repository = run.origin.source.repository.clone();
    let Some(unit) = unit else {
        return Ok(Commits { repository, base: run.origin.base.clone(), commit: run.branch.tip.clone() });
    };
    let unit = run.unit(&UnitId::from(unit)).ok_or_else(|| QueryError::NotFound(format!("run {id} has no unit {unit}")))?;
    let last = unit.attempts.iter().rev().find(|attempt| attempt.granted.role.writes() && attempt.commit().is_some());
    let found = last.and_then(|attempt| Some((attempt.granted.base.clone(), attempt.commit().cloned()?)));
    let accepted = unit.work.accepted.as_ref().or(unit.work.last.as_ref()).map(|work| (work.base.clone(), work.commit.clone()));
    let (base, commit) = found
        .or(accepted)
        .ok_or_else(|| QueryError::NotFound(format!("unit {} of {id} has no commit yet: {}", unit.id, why_none(unit))))?;
    Ok(Commits { repository, base, commit })
}
