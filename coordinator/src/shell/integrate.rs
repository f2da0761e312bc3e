//! Effects that move or merge branches.

use roundtable_core::Core;
use roundtable_core::command::{Prepared, ShellAnswer};
use roundtable_core::effect::PrepareIntegration;
use roundtable_runtime::git::{GitError, Oid};
use roundtable_shared::{CommitId, RunId, TaskId, UnitId};
use tracing::{error, info};

use super::{ShellError, answer, repository_of};
use crate::lost;
use crate::parts::Parts;
use crate::repository::{CloseRequest, IntegrateRequest, Repository, RepositoryError};

/// What of a run its commits need.
struct RunPaths {
    dropped: Vec<String>,
    tick_path: Option<String>,
    date_ms: u64,
}

pub(super) async fn prepare(parts: Parts, asked: PrepareIntegration) {
    let (run, unit, tip, of) = (asked.run.clone(), asked.unit.clone(), asked.tip.clone(), asked.commit.clone());
    let ticks = asked.ticks.clone();
    let said = match prepared(&parts, asked).await {
        Ok(result) => ShellAnswer::IntegrationPrepared { run, unit, tip, of, ticks, result },
        Err(error) => failed(run, Some(unit), "the integration could not be prepared", &error),
    };
    conclude(&parts, said).await;
}

async fn prepared(parts: &Parts, asked: PrepareIntegration) -> Result<Prepared, ShellError> {
    let repository = repository_of(parts, &asked.run).await?;
    let paths = paths_of(parts, &asked.run)?;
    Ok(repository.prepare(&IntegrateRequest { asked, dropped: paths.dropped, tick_path: paths.tick_path }).await?)
}

pub(super) async fn move_branch(parts: Parts, run: RunId, old: CommitId, new: CommitId) {
    let moved = async {
        let repository = repository_of(&parts, &run).await?;
        moved(&parts, &repository, &run, &old, &new).await
    };
    let said = match moved.await {
        Ok(()) => {
            info!(%run, tip = %new, "the run's branch was moved");
            ShellAnswer::BranchMoved { run, tip: new }
        }
        Err(error) => failed(run, None, "the run's branch could not be moved", &error),
    };
    conclude(&parts, said).await;
}

/// Moves the run's branch. The log alone says where it was: one that somebody else has moved or deleted is moved from there all the same, and it is said.
async fn moved(parts: &Parts, repository: &Repository, run: &RunId, old: &CommitId, new: &CommitId) -> Result<(), ShellError> {
    let error = match repository.move_branch(run, old, new).await {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let RepositoryError::Git(GitError::RefMoved { found, .. }) = &error else { return Err(error.into()) };
    let found = found.as_ref().map(Oid::commit_id);
    // A redo that comes late finds the branch further on, and what is published too: the next move is begun once that of this one is.
    let tip = parts.links.handle.read(|core: &Core, _| core.state.run(run).map(|run| run.branch.tip.clone()));
    if tip.as_ref() != Some(old) || !repository.put_branch(run, found.as_ref(), new).await? {
        return Err(error.into());
    }
    lost::tell_restored(parts, run, lost::put_back(run, found.as_ref(), new)).await;
    Ok(())
}

pub(super) async fn merge_with_tip(parts: Parts, run: RunId, unit: UnitId, base: CommitId, commit: CommitId, tip: CommitId) {
    let merged = async {
        let repository = repository_of(&parts, &run).await?;
        Ok::<_, ShellError>(repository.merge_with_tip(&base, &commit, &tip).await?)
    };
    let said = match merged.await {
        Ok(result) => ShellAnswer::Merged { run, unit, tip, of: commit, result },
        Err(error) => failed(run, Some(unit), "the merge with the tip failed", &error),
    };
    conclude(&parts, said).await;
}

pub(super) async fn close(parts: Parts, run: RunId, tip: CommitId, ticks: Vec<TaskId>, learnings: Vec<(String, Vec<String>)>) {
    let closed = async {
        let repository = repository_of(&parts, &run).await?;
        let paths = paths_of(&parts, &run)?;
        let request = CloseRequest { tip: tip.clone(), tick_path: paths.tick_path, ticks, learnings, date_ms: paths.date_ms };
        let commit = repository.close(&request).await?;
        if let Some(commit) = &commit {
            moved(&parts, &repository, &run, &tip, commit).await?;
        }
        Ok::<_, ShellError>(commit)
    };
    let said = match closed.await {
        Ok(commit) => ShellAnswer::RunClosed { run, commit },
        Err(error) => failed(run, None, "the closing commit could not be made", &error),
    };
    conclude(&parts, said).await;
}

fn paths_of(parts: &Parts, run: &RunId) -> Result<RunPaths, ShellError> {
    let found = parts.links.handle.read(|core: &Core, _| {
        core.state.run(run).map(|run| RunPaths {
            dropped: run.origin.spec_paths.iter().chain(&run.origin.mirror_paths).cloned().collect(),
            tick_path: run.origin.tick_path.clone(),
            // From the record, so that a redo makes the same commit.
            date_ms: run.branch.integrations.last().map_or(run.origin.created_at, |last| last.at).0,
        })
    });
    found.ok_or_else(|| ShellError::Gone(format!("run {run} is not there any more")))
}

/// Tells what came of an effect; one that failed because the run has lost what it stands on is not tried again.
async fn conclude(parts: &Parts, said: ShellAnswer) {
    if let ShellAnswer::Failed { run, .. } = &said {
        if lost::is_lost(parts, run).await {
            return;
        }
        lost::mend(parts, run).await;
    }
    answer(&parts.links.handle, said).await;
}

fn failed(run: RunId, unit: Option<UnitId>, what: &str, error: &ShellError) -> ShellAnswer {
    error!(%run, unit = unit.as_ref().map_or("-", UnitId::as_str), %error, "{what}");
    ShellAnswer::Failed { run, unit, reason: format!("{what}: {error}") }
}
