//! Runs that are removed: their refs go at once, and the objects that only those kept once nobody can be counting on any of them. A file in the repository says
//! that there may be such objects, so that a crash forgets nothing.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use roundtable_runtime::git::{GitError, Oid, RefName, RefUpdate};
use roundtable_shared::{CommitId, RunId};
use tokio::sync::{RwLock, RwLockReadGuard};

use super::{Repositories, Repository, RepositoryError, person_ref};

/// What an upload brings is counted on by this time without a ref, and so is what its sender was told is here.
const QUIET: Duration = Duration::from_secs(30);
/// Says that refs were removed and objects not yet.
const MARK: &str = "roundtable-collect";
/// Refs deleted by one git process.
const REFS_AT_ONCE: usize = 1000;

/// Uploads under way, and the last that was. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Uploads {
    under_way: Arc<RwLock<()>>,
    last: Arc<Mutex<Option<Instant>>>,
}

impl Uploads {
    /// Somebody uploads, or is about to.
    pub(super) fn note(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// An upload, until the guard is dropped. Waits while objects are thrown away.
    pub(super) async fn begin(&self) -> RwLockReadGuard<'_, ()> {
        self.note();
        self.under_way.read().await
    }

    fn are_over(&self) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|last| last.elapsed() >= QUIET)
    }
}

fn failed(source: io::Error) -> GitError {
    GitError::Io { verb: "collect", source }
}

impl Repositories {
    /// Keys of the repositories that may hold objects nobody keeps.
    pub async fn to_collect(&self) -> io::Result<Vec<String>> {
        let root = self.root.clone();
        let marked = move || -> io::Result<Vec<String>> {
            let mut keys = Vec::new();
            let entries = match std::fs::read_dir(root) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(keys),
                entries => entries?,
            };
            for entry in entries {
                let path = entry?.path();
                let key = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".git"));
                keys.extend(key.filter(|_| path.join(MARK).is_file()).map(str::to_owned));
            }
            Ok(keys)
        };
        tokio::task::spawn_blocking(marked).await.map_err(io::Error::other)?
    }
}

impl Repository {
    /// Removes the refs of runs, and those that kept `persons`: what people uploaded for them. How many there were.
    pub async fn forget(&self, runs: &[RunId], persons: &[CommitId]) -> Result<usize, RepositoryError> {
        let branches: HashSet<&str> = runs.iter().map(RunId::as_str).collect();
        let folders: HashSet<String> = runs.iter().map(|run| RefName::component(run.as_str())).collect();
        let persons: HashSet<&str> = persons.iter().map(CommitId::as_str).collect();
        let is_theirs = |name: &str| {
            if let Some(run) = name.strip_prefix("refs/heads/roundtable/") {
                return branches.contains(run);
            }
            if let Some(commit) = name.strip_prefix("refs/roundtable-person/") {
                return persons.contains(commit);
            }
            // Whatever is kept of an attempt: `refs/roundtable…/<run>/<unit>/<attempt>`.
            let mut parts = name.strip_prefix("refs/roundtable").unwrap_or_default().split('/');
            parts.nth(1).is_some_and(|run| folders.contains(run))
        };
        let all = self.git.all_refs().await?;
        let theirs: Vec<RefUpdate> = all
            .into_iter()
            .filter(|(name, _)| is_theirs(name.as_str()))
            .map(|(name, oid)| RefUpdate { name, from: Some(oid), to: None })
            .collect();
        if theirs.is_empty() {
            return Ok(0);
        }
        // First the mark: a crash after the refs are gone must not leave their objects for ever.
        tokio::fs::write(self.git.git_dir().join(MARK), "").await.map_err(failed)?;
        for some in theirs.chunks(REFS_AT_ONCE) {
            self.git.update_refs(some).await?;
        }
        self.memo.clear();
        Ok(theirs.len())
    }

    /// Throws away what neither a ref nor one of `needed` reaches, unless somebody has lately uploaded something: then it is not done, and false. The caller knows
    /// that no run is under way here, whose merges and candidates have no refs.
    pub async fn collect(&self, needed: &[CommitId]) -> Result<bool, RepositoryError> {
        let Ok(_alone) = self.uploads.under_way.try_write() else { return Ok(false) };
        if !self.uploads.are_over() {
            return Ok(false);
        }
        self.memo.clear();
        self.keep_needed(needed).await?;
        let collected = self.git.collect().await;
        // Once more: somebody may have looked, meanwhile, at what is gone now.
        self.memo.clear();
        collected?;
        match tokio::fs::remove_file(self.git.git_dir().join(MARK)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error).into()),
            _ => Ok(true),
        }
    }

    /// Gives a ref to those of the commits that are here and have none: work that was merged with the tip, which no attempt handed in.
    async fn keep_needed(&self, needed: &[CommitId]) -> Result<(), RepositoryError> {
        let mut known: HashSet<Oid> = self.git.all_refs().await?.into_iter().map(|(_, oid)| oid).collect();
        let mut bare: Vec<Oid> = Vec::new();
        for commit in needed {
            let oid = Oid::try_from(commit)?;
            if known.insert(oid.clone()) {
                bare.push(oid);
            }
        }
        for some in bare.chunks(REFS_AT_ONCE) {
            let present = self.git.commits_present(some).await?;
            let mut refs = Vec::with_capacity(present.len());
            for oid in present {
                refs.push(RefUpdate { name: person_ref(&oid.commit_id())?, from: None, to: Some(oid) });
            }
            self.git.update_refs(&refs).await?;
        }
        Ok(())
    }
}
