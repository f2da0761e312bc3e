//! Whether the repositories still have what unfinished runs stand on. Refs follow from the log and are put back; objects that a run's log refers to and nobody
//! has any more cannot be worked with: saying so beats failing at every unit.

use roundtable_core::Core;
use roundtable_core::command::{Command, Now, ShellAnswer};
use roundtable_core::state::{Attempt, Run, Stage, Unit};
use roundtable_runtime::terminal::shell_word;
use roundtable_shared::{AttemptKey, CommitId, RunId, UnitId};
use tracing::{error, warn};

use crate::driver::{Handle, HandleError};
use crate::parts::Parts;
use crate::repository::{Repositories, Repository, RepositoryError};

/// Why refs could not be looked after.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MendError {
    #[error(transparent)]
    Driver(#[from] HandleError),
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// Where the log has a run's branch.
#[derive(Clone, Debug)]
pub(crate) struct Belongs {
    /// Equal to the base while nothing is integrated.
    pub(crate) tip: CommitId,
    /// What it is being moved to.
    pub(crate) intended: Option<CommitId>,
    /// The closing commit is being made: which it is, the log hears once the branch is there.
    pub(crate) is_closing: bool,
}

impl Belongs {
    pub(crate) fn of(run: &Run) -> Self {
        Self { tip: run.branch.tip.clone(), intended: run.branch.train.destination().cloned(), is_closing: run.stage() == Stage::Closing }
    }

    /// Whether the branch, found there, is where it belongs, or where a move of ours has brought it that the log does not tell of yet.
    pub(crate) async fn has(&self, repository: &Repository, found: &CommitId) -> Result<bool, RepositoryError> {
        if *found == self.tip || self.intended.as_ref() == Some(found) {
            return Ok(true);
        }
        Ok(self.is_closing && repository.goes_on_from(&self.tip, found).await?)
    }
}

/// What a run stands on.
#[derive(Clone, Debug)]
pub(crate) struct Footing {
    run: RunId,
    repository: String,
    base: CommitId,
    branch: Belongs,
    /// Work that is accepted and not integrated yet.
    accepted: Vec<CommitId>,
    /// What its attempts left.
    attempts: Vec<(AttemptKey, CommitId)>,
    /// What lost attempts had handed in on the way, where the next ones begin with it.
    saved: Vec<(AttemptKey, CommitId)>,
}

impl Footing {
    pub(crate) fn of(run: &Run) -> Self {
        let accepted = run.units().filter(|unit| !unit.state().is_terminal()).filter_map(|unit| unit.work.accepted.as_ref());
        Self {
            run: run.id.clone(),
            repository: run.origin.source.repository.clone(),
            base: run.origin.base.clone(),
            branch: Belongs::of(run),
            accepted: accepted.map(|work| work.commit.clone()).collect(),
            attempts: attempts(run),
            saved: saved(run),
        }
    }

    /// Why the run cannot go on, if its repository lacks something of it.
    pub(crate) async fn lost(&self, repositories: &Repositories) -> Result<Option<String>, RepositoryError> {
        let Belongs { tip, intended, .. } = &self.branch;
        let mut needed = vec![self.base.clone(), tip.clone()];
        needed.extend(self.accepted.iter().chain(intended).cloned());
        let lacking = repositories.lacking(&self.repository, &needed).await?;
        let Some(first) = lacking.first() else { return Ok(None) };
        let what = match first {
            first if *first == self.base => "the commit it began from",
            first if first == tip => "what it has integrated",
            first if intended.as_ref() == Some(first) => "what it is about to integrate",
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

    /// Puts the run's branch, found there, and the refs of its attempts where the log has them. What was done to the branch, if it was not there.
    async fn mend(&self, repositories: &Repositories, found: Option<&CommitId>) -> Result<Option<String>, RepositoryError> {
        let repository = repositories.open(&self.repository).await?;
        let put = repository.put_attempts(&self.run, &self.attempts).await? + repository.put_saved(&self.saved).await?;
        if put > 0 {
            warn!(run = %self.run, refs = put, "refs of attempts were gone or elsewhere; put back");
        }
        if let Some(found) = found
            && self.branch.has(&repository, found).await?
        {
            return Ok(None);
        }
        let tip = &self.branch.tip;
        let is_put = repository.put_branch(&self.run, found, tip).await?;
        Ok(is_put.then(|| put_back(&self.run, found, tip)))
    }
}

fn attempts(run: &Run) -> Vec<(AttemptKey, CommitId)> {
    let of = |unit: Option<&UnitId>, attempt: &Attempt| {
        let key = AttemptKey { run: run.id.clone(), unit: unit.cloned(), attempt: attempt.granted.attempt };
        Some((key, attempt.commit().cloned()?))
    };
    let of_units = run.units().flat_map(|unit| unit.attempts.iter().filter_map(move |attempt| of(Some(&unit.id), attempt)));
    of_units.chain(run.attempts.iter().filter_map(|attempt| of(None, attempt))).collect()
}

fn saved(run: &Run) -> Vec<(AttemptKey, CommitId)> {
    let of = |unit: &Unit| {
        let last = unit.work.last.as_ref()?;
        let attempt = unit.attempt(last.attempt).filter(|attempt| !attempt.is_live())?;
        let saved = attempt.saved.as_ref().filter(|saved| saved.commit == last.commit)?;
        let key = AttemptKey { run: run.id.clone(), unit: Some(unit.id.clone()), attempt: attempt.granted.attempt };
        Some((key, saved.commit.clone()))
    };
    run.units().filter(|unit| !unit.state().is_terminal()).filter_map(of).collect()
}

/// What a person hears of a branch that was put back.
pub(crate) fn put_back(run: &RunId, found: Option<&CommitId>, to: &CommitId) -> String {
    let was = found.map_or_else(|| "was deleted".to_owned(), |found| format!("was moved to {found}"));
    format!("the branch roundtable/{run} {was} in the coordinator's repository, by somebody else; it was put back to {to}")
}

/// Puts the refs of an unfinished run back where its log has them.
pub(crate) async fn mend(parts: &Parts, run: &RunId) {
    match restore(&parts.links.handle, &parts.repositories, run).await {
        Ok(Some(text)) => tell_restored(parts, run, text).await,
        Ok(None) => {}
        Err(error) => error!(%run, %error, "the refs of the run could not be looked after"),
    }
}

/// The same for whoever has no more than these. What was done to the branch, if it was not where it belongs.
pub(crate) async fn restore(handle: &Handle, repositories: &Repositories, run: &RunId) -> Result<Option<String>, MendError> {
    let footing = || handle.view(footing_of(run));
    let Some(before) = footing().await? else { return Ok(None) };
    let found = repositories.open(&before.repository).await?.branch(run).await?;
    // Asked again after the look: what the branch was moved to meanwhile is known then, since a move is begun once its intent is published, and where it
    // was is no longer where it is.
    let Some(now) = footing().await? else { return Ok(None) };
    Ok(now.mend(repositories, found.as_ref()).await?)
}

/// Reads what a run stands on; looks at all its units.
pub(crate) fn footing_of(run: &RunId) -> impl FnOnce(&Core, Now) -> Option<Footing> + Send + 'static {
    let run = run.clone();
    move |core, _| core.state.run(&run).map(Footing::of)
}

/// Tells the run's user.
pub(crate) async fn tell_restored(parts: &Parts, run: &RunId, text: String) {
    warn!(%run, "{text}");
    let answer = Command::Shell(ShellAnswer::RefsRestored { run: run.clone(), text });
    if let Err(error) = parts.links.handle.tell(answer).await {
        error!(%error, "what was put back found no driver");
    }
}

/// Halts the unfinished runs that have lost what they stand on, and puts the refs of the others back.
pub(crate) async fn look(parts: &Parts) -> Result<(), HandleError> {
    let footings: Vec<Footing> = parts.links.handle.view(|core: &Core, _| core.state.unfinished().map(Footing::of).collect()).await?;
    for footing in footings {
        if !halt_if_lost(parts, &footing).await {
            mend(parts, &footing.run).await;
        }
    }
    Ok(())
}

/// Halts a run that has lost what it stands on; whether it has.
pub(crate) async fn is_lost(parts: &Parts, run: &RunId) -> bool {
    match parts.links.handle.view(footing_of(run)).await {
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
