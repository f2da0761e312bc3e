//! Whether the repositories still have what unfinished runs stand on. What a run's log refers to and nobody has any more cannot be worked on: saying so beats
//! failing at every unit.

use roundtable_core::Core;
use roundtable_core::command::{Command, ShellAnswer};
use roundtable_core::state::Run;
use roundtable_runtime::terminal::shell_word;
use roundtable_shared::{CommitId, RunId};
use tracing::error;

use crate::driver::HandleError;
use crate::parts::Parts;
use crate::repository::{Repositories, RepositoryError};

/// What a run stands on.
#[derive(Clone, Debug)]
pub(crate) struct Footing {
    run: RunId,
    repository: String,
    base: CommitId,
    /// Equal to the base while nothing is integrated.
    tip: CommitId,
    /// Work that is accepted and not integrated yet.
    accepted: Vec<CommitId>,
}

impl Footing {
    pub(crate) fn of(run: &Run) -> Self {
        let accepted = run.units().filter(|unit| !unit.state.is_terminal()).filter_map(|unit| unit.accepted.as_ref());
        Self {
            run: run.id.clone(),
            repository: run.source.repository.clone(),
            base: run.base.clone(),
            tip: run.tip.clone(),
            accepted: accepted.map(|work| work.commit.clone()).collect(),
        }
    }

    /// Why the run cannot go on, if its repository lacks something of it.
    pub(crate) async fn lost(&self, repositories: &Repositories) -> Result<Option<String>, RepositoryError> {
        let mut needed = vec![self.base.clone(), self.tip.clone()];
        needed.extend(self.accepted.iter().cloned());
        let lacking = repositories.lacking(&self.repository, &needed).await?;
        let Some(first) = lacking.first() else { return Ok(None) };
        let what = match first {
            first if *first == self.base => "the commit it began from",
            first if *first == self.tip => "what it has integrated",
            _ => "work it has accepted",
        };
        let only_base = lacking.iter().all(|commit| *commit == self.base);
        let way_out = if only_base {
            "run again where your repository has that commit, and it is sent again"
        } else {
            "restore `repos` from a backup, or begin anew with: orchctl run --spec DIR --fresh"
        };
        let root = repositories.root();
        let data_dir = shell_word(&root.parent().unwrap_or(root).to_string_lossy());
        Ok(Some(format!(
            "the repository of run {} in {} lacks {what} ({first}); see what else is missing with: coordinator verify --data-dir {data_dir}; {way_out}",
            self.run,
            root.display(),
        )))
    }

    /// Makes the run's branch anew where the repository was lost and what it stands on came again.
    pub(crate) async fn mend(&self, repositories: &Repositories) -> Result<(), RepositoryError> {
        let repository = repositories.open(&self.repository).await?;
        if repository.branch(&self.run).await?.is_none() {
            repository.begin_run(&self.run, &self.tip).await?;
        }
        Ok(())
    }
}

/// Halts the unfinished runs that have lost what they stand on.
pub(crate) async fn look(parts: &Parts) -> Result<(), HandleError> {
    let footings: Vec<Footing> = parts.links.handle.read(|core: &Core, _| core.state.unfinished().map(Footing::of).collect()).await?;
    for footing in footings {
        halt_if_lost(parts, &footing).await;
    }
    Ok(())
}

/// Halts a run that has lost what it stands on; whether it has.
pub(crate) async fn is_lost(parts: &Parts, run: &RunId) -> bool {
    let id = run.clone();
    match parts.links.handle.read(move |core: &Core, _| core.state.run(&id).map(Footing::of)).await {
        Ok(Some(footing)) => halt_if_lost(parts, &footing).await,
        _ => false,
    }
}

async fn halt_if_lost(parts: &Parts, footing: &Footing) -> bool {
    let run = footing.run.clone();
    let reason = match footing.lost(&parts.repositories).await {
        Ok(Some(reason)) => reason,
        Ok(None) => return false,
        Err(error) => {
            error!(%run, %error, "what the run stands on could not be looked for");
            return false;
        }
    };
    error!(%run, "{reason}");
    let answer = Command::Shell(ShellAnswer::RepositoryLost { run, reason });
    if let Err(error) = parts.links.handle.tell(answer).await {
        error!(%error, "the loss found no driver");
    }
    true
}
