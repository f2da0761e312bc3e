//! Looking at a received outcome before the core judges it: is the commit here, what does it change against the base, can the answer be read. Facts
//! only; what they mean for the unit is the core's.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use roundtable_core::Core;
use roundtable_core::command::{Now, Report, RoleAnswer};
use roundtable_core::schedule::CHECK_BACKEND;
use roundtable_shared::answer::{AssignAnswer, OrchestrateAnswer, ReviewAnswer, WorkAnswer};
use roundtable_shared::limits::LEARNINGS_MAX;
use roundtable_shared::manifest::Manifest;
use roundtable_shared::spec::Plan as Outline;
use roundtable_shared::{AttemptFacts, AttemptKey, BUILT_IN_BACKENDS, BackendName, ChangedPath, CommitId, LeaseRef, Role, WorkerId};

use crate::driver::{Handle, HandleError};
use crate::repository::{Repository, RepositoryError};

/// Files of learnings of one attempt that are looked at.
const LEARNED_FILES_MAX: usize = 16;

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
    start: Option<CommitId>,
    outline: Arc<Outline>,
    manifest: Option<Manifest>,
    backends: Vec<BackendName>,
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
    let asked = handle
        .read(|core: &Core, now: Now| {
            let attempt = core.state.attempt(&lease.key)?;
            let run = core.state.run(&lease.key.run)?;
            let manifest = lease.key.unit.as_ref().and_then(|unit| run.unit(unit)).map(|unit| unit.assignment.manifest.clone());
            let backends = nameable_backends(core, now);
            Some(Asked {
                role: attempt.granted.role,
                base: attempt.granted.base.clone(),
                start: attempt.granted.start.named().cloned(),
                outline: Arc::clone(&run.origin.outline),
                manifest,
                backends,
            })
        })
        .ok_or_else(|| ReportError::Unbelievable(format!("there is no attempt {}", lease.key)))?;
    let changed = changed(repository, &lease, &asked, &facts).await?;
    let learned = learned(repository, &asked, &facts, &changed).await?;
    let answer = if facts.failure.is_some() { read_leniently(&asked, &facts) } else { read(&asked, &facts.answer) };
    Ok(Report { worker, lease, digest, facts, changed, learned, answer })
}

async fn changed(repository: &Repository, lease: &LeaseRef, asked: &Asked, facts: &AttemptFacts) -> Result<Vec<ChangedPath>, ReportError> {
    let Some(commit) = facts.commit.as_ref().filter(|_| asked.role.writes()) else { return Ok(Vec::new()) };
    match repository.attempt(&lease.key).await? {
        Some(kept) if kept == *commit => {
            comes_of_its_start(repository, &lease.key, asked.start.as_ref(), &asked.base, commit).await?;
            Ok(repository.changed(&asked.base, commit).await?)
        }
        Some(kept) => Err(ReportError::Unbelievable(format!("the outcome names commit {commit}, but {kept} was uploaded"))),
        None => Err(ReportError::Unbelievable(format!("commit {commit} was not uploaded"))),
    }
}

/// An attempt's commit comes of what its worktree was made of: what it changes is told against the base, and merged as if it came of that.
pub(crate) async fn comes_of_its_start(
    repository: &Repository,
    key: &AttemptKey,
    named: Option<&CommitId>,
    base: &CommitId,
    commit: &CommitId,
) -> Result<(), ReportError> {
    let start = match named {
        Some(start) => start.clone(),
        None => repository.start(key).await?.unwrap_or_else(|| base.clone()),
    };
    if repository.descends(commit, &start).await? || repository.descends(commit, base).await? {
        return Ok(());
    }
    Err(ReportError::Unbelievable(format!(
        "commit {commit} does not come of commit {start}, which attempt {key} began with: its history must lead there"
    )))
}

/// Lines the attempt added to `AGENTS.md` files that its manifest does not name.
async fn learned(
    repository: &Repository,
    asked: &Asked,
    facts: &AttemptFacts,
    changed: &[ChangedPath],
) -> Result<Vec<String>, ReportError> {
    let Some(commit) = &facts.commit else { return Ok(Vec::new()) };
    let is_learnings = |path: &str| {
        path.rsplit('/').next() == Some("AGENTS.md") && !asked.manifest.as_ref().is_some_and(|manifest| manifest.writes.covers(path))
    };
    let mut added = Vec::new();
    for path in changed.iter().map(|change| &change.path).filter(|path| is_learnings(path)).take(LEARNED_FILES_MAX) {
        let before = repository.read_file(&asked.base, path).await?.unwrap_or_default();
        let after = repository.read_file(commit, path).await?.unwrap_or_default();
        let (before, after) = (String::from_utf8_lossy(&before).into_owned(), String::from_utf8_lossy(&after).into_owned());
        let known: HashSet<&str> = before.lines().map(str::trim).collect();
        let new = after.lines().map(str::trim).filter(|line| !known.contains(line) && !line.starts_with('#'));
        let texts = new.map(|line| line.trim_start_matches(['-', '*', ' ']).to_owned()).filter(|text| !text.is_empty());
        added.extend(texts.take(LEARNINGS_MAX));
    }
    Ok(added)
}

fn read(asked: &Asked, answer: &str) -> Result<RoleAnswer, String> {
    match asked.role {
        Role::Implement | Role::Fix => WorkAnswer::parse(answer).map(RoleAnswer::Work).map_err(|error| error.to_string()),
        Role::Review => ReviewAnswer::parse(answer).map(RoleAnswer::Review).map_err(|error| error.to_string()),
        Role::Assign => {
            let parsed = AssignAnswer::parse(answer).map_err(|error| error.to_string())?;
            Ok(RoleAnswer::Assign(parsed.check(&asked.outline.units, &asked.backends)))
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

/// Backends an owner may be: those everybody knows, and those somebody offers now.
pub(crate) fn nameable_backends(core: &Core, now: Now) -> Vec<BackendName> {
    let here = core.fleet.workers.values().filter(|worker| worker.is_here(now));
    let offered = here.flat_map(|worker| worker.offers.keys());
    let owns = |name: &&BackendName| !BUILT_IN_BACKENDS.contains(&name.as_str()) && name.as_str() != CHECK_BACKEND;
    let offered: BTreeSet<BackendName> = offered.filter(owns).cloned().collect();
    BUILT_IN_BACKENDS.into_iter().map(BackendName::from).chain(offered).collect()
}
