//! Looking at a received outcome before the core judges it: is the commit here, what does it change against the base, can the answer be read. Facts
//! only; what they mean for the unit is the core's.

use roundtable_core::command::{Report, RoleAnswer};
use roundtable_core::{Core, Now};
use roundtable_shared::answer::{AssignAnswer, OrchestrateAnswer, ReviewAnswer, WorkAnswer};
use roundtable_shared::{AttemptFacts, ChangedPath, CommitId, LeaseRef, Role, WorkerId};

use crate::driver::{Handle, HandleError};
use crate::repository::{Repository, RepositoryError};

/// Why an outcome could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It contradicts what is here.
    #[error("{0}")]
    Unbelievable(String),
    /// The driver has stopped.
    #[error(transparent)]
    Driver(#[from] HandleError),
    /// git, or the disk under it.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// What the attempt is, as far as looking needs it.
struct Asked {
    role: Role,
    base: CommitId,
    tasks: String,
}

/// Looks at an outcome.
pub async fn examine(
    handle: &Handle,
    repository: &Repository,
    worker: WorkerId,
    lease: LeaseRef,
    digest: String,
    facts: AttemptFacts,
) -> Result<Report, ReportError> {
    let key = lease.key.clone();
    let asked = handle
        .read(move |core: &Core, _: Now| {
            let attempt = core.state.attempt(&key)?;
            let run = core.state.run(&key.run)?;
            Some(Asked { role: attempt.role, base: attempt.base.clone(), tasks: run.spec.tasks.clone() })
        })
        .await?
        .ok_or_else(|| ReportError::Unbelievable(format!("there is no attempt {}", lease.key)))?;
    let changed = changed(repository, &lease, &asked, &facts).await?;
    let answer = if facts.failure.is_some() { read_leniently(&asked, &facts) } else { read(&asked, &facts.answer) };
    Ok(Report { worker, lease, digest, facts, changed, answer })
}

async fn changed(repository: &Repository, lease: &LeaseRef, asked: &Asked, facts: &AttemptFacts) -> Result<Vec<ChangedPath>, ReportError> {
    let Some(commit) = facts.commit.as_ref().filter(|_| asked.role.writes()) else { return Ok(Vec::new()) };
    match repository.attempt(&lease.key).await? {
        Some(kept) if kept == *commit => Ok(repository.changed(&asked.base, commit).await?),
        Some(kept) => Err(ReportError::Unbelievable(format!("the outcome names commit {commit}, but {kept} was uploaded"))),
        None => Err(ReportError::Unbelievable(format!("commit {commit} was not uploaded"))),
    }
}

fn read(asked: &Asked, answer: &str) -> Result<RoleAnswer, String> {
    match asked.role {
        Role::Implement | Role::Fix => WorkAnswer::parse(answer).map(RoleAnswer::Work).map_err(|error| error.to_string()),
        Role::Review => ReviewAnswer::parse(answer).map(RoleAnswer::Review).map_err(|error| error.to_string()),
        Role::Assign => {
            let plan = roundtable_shared::spec::parse_tasks(asked.tasks.as_bytes(), "tasks.md");
            AssignAnswer::parse(answer, &plan.units).map(RoleAnswer::Assign).map_err(|error| error.to_string())
        }
        Role::Orchestrate => OrchestrateAnswer::parse(answer).map(RoleAnswer::Orchestrate).map_err(|error| error.to_string()),
        Role::Check => Ok(RoleAnswer::None),
    }
}

/// A failed turn may still have said which subtasks it completed; nothing else of it counts.
fn read_leniently(asked: &Asked, facts: &AttemptFacts) -> Result<RoleAnswer, String> {
    match asked.role {
        Role::Implement | Role::Fix => read(asked, &facts.answer),
        _ => Ok(RoleAnswer::None),
    }
}
