//! Questions: answered from the state between two batches, and for diffs from the repository. The read models themselves are built in `view`.

use roundtable_core::Core;
use roundtable_core::command::Now;
use roundtable_core::state::{Attempt, State, Unit};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::view::{DiffView, Query, RunSelector};
use roundtable_shared::{CommitId, UnitId};

use crate::driver::{Handle, HandleError};
use crate::repository::{Repositories, RepositoryError};
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
            Self::Json(_) => ErrorCode::Internal,
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
    problems: Vec<String>,
    query: Query,
) -> Result<serde_json::Value, QueryError> {
    if let Query::Diff { run, unit } = query {
        let commits = handle.read(move |core: &Core, _| find_commits(&core.state, &run, unit.as_deref())).await??;
        return diff(repositories, commits).await;
    }
    let has_problems = matches!(query, Query::Status { .. }) && !problems.is_empty();
    let mut answer = handle.read(move |core: &Core, now| view::answer(core, now, &query)).await??;
    if has_problems {
        answer["problems"] = problems.into();
    }
    Ok(answer)
}

/// The same question about a state that nobody serves.
pub async fn answer_offline(core: &Core, now: Now, repositories: &Repositories, query: Query) -> Result<serde_json::Value, QueryError> {
    if let Query::Diff { run, unit } = &query {
        return diff(repositories, find_commits(&core.state, run, unit.as_deref())?).await;
    }
    Ok(view::answer(core, now, &query)?)
}

/// Commits of a run (its branch) or of a unit (its last attempt).
pub async fn commits_of(handle: &Handle, run: String, unit: Option<String>) -> Result<Commits, QueryError> {
    let selector = RunSelector { run: Some(run), git_dir: None };
    handle.read(move |core: &Core, _| find_commits(&core.state, &selector, unit.as_deref())).await?
}

async fn diff(repositories: &Repositories, commits: Commits) -> Result<serde_json::Value, QueryError> {
    let repository = repositories.open(&commits.repository).await?;
    let diff = repository.diff(&commits.base, &commits.commit, DIFF_BYTES_MAX).await?;
    let view = DiffView { base: commits.base.to_string(), commit: commits.commit.to_string(), text: diff.text, truncated: diff.truncated };
    Ok(serde_json::to_value(view)?)
}

/// Why a unit has nothing to show.
fn why_none(unit: &Unit) -> &'static str {
    let mut work = unit.attempts.iter().filter(|attempt| attempt.role.writes()).peekable();
    if work.peek().is_none() {
        "no attempt has begun"
    } else if work.any(Attempt::is_live) {
        "its attempt still runs"
    } else {
        "no attempt has handed anything in; one that was ended does so when its worker has stopped it"
    }
}

fn find_commits(state: &State, selector: &RunSelector, unit: Option<&str>) -> Result<Commits, QueryError> {
    let id = view::select_run(state, selector)?;
    let run = state.run(&id).ok_or_else(|| QueryError::NotFound(format!("there is no run {id}")))?;
    let repository = run.source.repository.clone();
    let Some(unit) = unit else {
        return Ok(Commits { repository, base: run.base.clone(), commit: run.tip.clone() });
    };
    let unit = run.unit(&UnitId::from(unit)).ok_or_else(|| QueryError::NotFound(format!("run {id} has no unit {unit}")))?;
    let last = unit.attempts.iter().rev().find(|attempt| attempt.role.writes() && attempt.commit.is_some());
    let found = last.and_then(|attempt| Some((attempt.base.clone(), attempt.commit.clone()?)));
    let accepted = unit.accepted.as_ref().or(unit.last.as_ref()).map(|work| (work.base.clone(), work.commit.clone()));
    let (base, commit) = found
        .or(accepted)
        .ok_or_else(|| QueryError::NotFound(format!("unit {} of {id} has no commit yet: {}", unit.id, why_none(unit))))?;
    Ok(Commits { repository, base, commit })
}
