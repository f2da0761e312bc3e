//! The coordinator's bare repositories, one per root commit: what comes in, what goes out, and where attempts are kept. Merging and committing are in
//! `integrate` and `close`; what any of it means for a unit is the core's.

mod close;
mod facts;
mod forget;
mod health;
mod integrate;
mod memo;
mod outgoing;
mod partial;
mod refs;
mod saved;
mod transfer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use roundtable_runtime::git::{DiffText, EntryMode, Git, GitError, GitProgram, ObjectFormat, Oid, ReceiveLimits, RefName};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{AttemptKey, CommitId, RunId};

pub use close::CloseRequest;
use forget::Uploads;
pub use integrate::{IntegrateRequest, Start};
use memo::Memo;
use outgoing::Outgoing;
pub use outgoing::{Cut, Sent};
pub use partial::{Claim, PartialError, Partials};
pub use transfer::{Incoming, PackStream};

/// Packs received after which they are rolled up.
const PACKS_MAX: u32 = 40;
/// Largest file that is read for a prompt or a comparison, bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why a repository operation failed.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The key is no commit id.
    #[error("{0:?} is no key of a repository; it is the id of its root commit")]
    Key(String),
    /// What came is not what was announced, or breaks a bound.
    #[error("the upload was refused: {0}")]
    Refused(String),
    /// git, or the disk under it.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl RepositoryError {
    /// The code this maps to at every edge.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Key(_) | Self::Refused(_) | Self::Git(GitError::PackRefused { .. } | GitError::BadOid { .. }) => ErrorCode::InvalidInput,
            Self::Git(GitError::Missing { .. } | GitError::UnknownRevision { .. }) => ErrorCode::NotFound,
            Self::Git(_) => ErrorCode::Internal,
        }
    }
}

/// All repositories of a data directory. Cheap to clone.
#[derive(Clone)]
pub struct Repositories {
    root: PathBuf,
    program: GitProgram,
    open: Arc<Mutex<HashMap<String, Repository>>>,
    outgoing: Outgoing,
    /// Bounds of a pack that comes in.
    limits: ReceiveLimits,
    /// Nobody else works in them: what a killed git left locked may be removed. One at a time, or one's opening would meet the other's work.
    held: Option<Arc<tokio::sync::Mutex<()>>>,
}

impl Repositories {
    /// Those under `root` (`<data-dir>/repos`), which need not exist yet.
    pub fn new(root: PathBuf, program: GitProgram) -> Self {
        Self { root, program, open: Arc::default(), outgoing: Outgoing::default(), limits: ReceiveLimits::default(), held: None }
    }

    /// Those of a data directory whose lock this process holds.
    #[must_use]
    pub fn held(self) -> Self {
        Self { held: Some(Arc::default()), ..self }
    }

    /// The same with other bounds of packs that come in.
    #[must_use]
    pub fn within(self, limits: ReceiveLimits) -> Self {
        Self { limits, ..self }
    }

    /// The repository of that key, made if it is not there.
    pub async fn open(&self, key: &str) -> Result<Repository, RepositoryError> {
        let root = Oid::parse(key).map_err(|_| RepositoryError::Key(key.chars().take(80).collect()))?;
        if let Some(repository) = self.known(key) {
            return Ok(repository);
        }
        let _opening = match &self.held {
            Some(held) => Some(held.lock().await),
            None => None,
        };
        if let Some(repository) = self.known(key) {
            return Ok(repository);
        }
        let format = if root.as_str().len() == 64 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
        let git = self.program.init_bare(self.root.join(format!("{root}.git")), format).await?;
        if self.held.is_some() {
            for lock in git.clear_abandoned_locks().await? {
                tracing::warn!(lock = %lock.display(), "a git that was killed had left this lock; removed");
            }
        }
        let packs = Arc::new(AtomicU32::new(PACKS_MAX / 2));
        let (outgoing, uploads) = (self.outgoing.clone(), Uploads::default());
        let repository = Repository { git, memo: Memo::default(), packs, limits: self.limits, outgoing, uploads };
        // Two may have opened it at once: the first counts.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(open.entry(key.to_owned()).or_insert(repository).clone())
    }

    /// Where they lie.
    pub fn root(&self) -> &std::path::Path {
        &self.root
    }

    /// The data directory they are part of.
    pub fn data_dir(&self) -> &std::path::Path {
        self.root.parent().unwrap_or(&self.root)
    }

    /// Those of the commits that the repository of that key lacks, looked for on the disk. Makes nothing; one that is gone is made anew when it is opened next.
    pub async fn lacking(&self, key: &str, commits: &[CommitId]) -> Result<Vec<CommitId>, RepositoryError> {
        let root = Oid::parse(key).map_err(|_| RepositoryError::Key(key.chars().take(80).collect()))?;
        let dir = self.root.join(format!("{root}.git"));
        if !tokio::fs::try_exists(dir.join("HEAD")).await.unwrap_or(false) {
            self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
            return Ok(commits.to_vec());
        }
        let oids = commits.iter().map(Oid::try_from).collect::<Result<Vec<_>, _>>()?;
        let present: Vec<CommitId> = self.program.own(dir)?.commits_present(&oids).await?.iter().map(Oid::commit_id).collect();
        Ok(commits.iter().filter(|commit| !present.contains(commit)).cloned().collect())
    }

    fn known(&self, key: &str) -> Option<Repository> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}

/// One bare repository. Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    git: Git,
    memo: Memo,
    /// Packs received since they were rolled up.
    packs: Arc<AtomicU32>,
    limits: ReceiveLimits,
    outgoing: Outgoing,
    uploads: Uploads,
}

impl Repository {
    /// Whether a commit is here.
    pub async fn has_commit(&self, commit: &CommitId) -> Result<bool, RepositoryError> {
        let oid = Oid::try_from(commit)?;
        Ok(!self.present(vec![oid]).await?.is_empty())
    }

    /// Those of the commits that are here. What was seen here is not looked for again.
    async fn present(&self, commits: Vec<Oid>) -> Result<Vec<Oid>, RepositoryError> {
        let (mut present, unknown): (Vec<Oid>, Vec<Oid>) = commits.into_iter().partition(|oid| self.memo.is_present(oid));
        if !unknown.is_empty() {
            let found = self.git.commits_present(&unknown).await?;
            found.iter().for_each(|oid| self.memo.note_present(oid));
            present.extend(found);
        }
        Ok(present)
    }

    /// Whether `commit` has `base` in its history, or is it.
    pub async fn descends(&self, commit: &CommitId, base: &CommitId) -> Result<bool, RepositoryError> {
        Ok(commit == base || self.git.is_ancestor(&Oid::try_from(base)?, &Oid::try_from(commit)?).await?)
    }

    /// The tree of a commit.
    async fn tree_of(&self, commit: &Oid) -> Result<Oid, RepositoryError> {
        if let Some(tree) = self.memo.tree(commit) {
            return Ok(tree);
        }
        let tree = self.git.tree_of(commit).await?;
        self.memo.note_tree(commit, &tree);
        Ok(tree)
    }

    /// Rolls small packs up in the background once many have come: each git process looks into every pack there is.
    fn received(&self) {
        if self.packs.fetch_add(1, Ordering::Relaxed) + 1 < PACKS_MAX {
            return;
        }
        self.packs.store(0, Ordering::Relaxed);
        let git = self.git.clone();
        crate::tasks::spawn("compact", async move {
            if let Err(error) = git.compact().await {
                tracing::warn!(%error, "a repository could not be compacted");
            }
        });
    }

    /// Commits a peer may count on, so that its upload can be thin: tips of runs, newest names last, at most 64.
    pub async fn tips(&self) -> Result<Vec<CommitId>, RepositoryError> {
        self.uploads.note();
        let mut tips: Vec<CommitId> = Vec::new();
        for (_, oid) in self.git.list_refs("refs/heads/roundtable/").await?.into_iter().rev().take(64) {
            let id = oid.commit_id();
            if !tips.contains(&id) {
                tips.push(id);
            }
        }
        Ok(tips)
    }

    /// A file of a commit; `None` if it is not there.
    pub async fn read_file(&self, commit: &CommitId, path: &str) -> Result<Option<Vec<u8>>, RepositoryError> {
        Ok(self.git.read_file(&Oid::try_from(commit)?, path, FILE_BYTES_MAX).await?)
    }

    /// Those of the paths that are files of a commit, with their content, in the order asked for.
    pub async fn read_files(&self, commit: &CommitId, paths: &[String]) -> Result<Vec<(String, Vec<u8>)>, RepositoryError> {
        let commit = Oid::try_from(commit)?;
        // Taken now: while the others are read, it may be forgotten for what comes of other commits.
        let (mut read, mut unknown): (HashMap<String, Vec<u8>>, Vec<String>) = (HashMap::new(), Vec::new());
        for path in paths {
            match self.memo.file(&commit, path) {
                Some(known) => read.extend(known.map(|bytes| (path.clone(), bytes))),
                None => unknown.push(path.clone()),
            }
        }
        for entry in self.git.entries(&commit, &unknown).await? {
            if entry.mode != EntryMode::Submodule {
                read.insert(entry.path, self.git.read_blob(&entry.oid, FILE_BYTES_MAX).await?);
            }
        }
        for path in &unknown {
            self.memo.note_file(&commit, path, read.get(path));
        }
        Ok(paths.iter().filter_map(|path| Some((path.clone(), read.get(path)?.clone()))).collect())
    }

    /// Paths of a commit's files, at most so many, and whether there are more.
    pub async fn files(&self, commit: &CommitId, files_max: usize) -> Result<(Vec<String>, bool), RepositoryError> {
        let listing = self.git.list_tree(&Oid::try_from(commit)?, None, files_max).await?;
        Ok((listing.entries.into_iter().map(|entry| entry.path).collect(), listing.truncated))
    }

    /// The unified diff between two commits, cut after `bytes_max`.
    pub async fn diff(&self, before: &CommitId, after: &CommitId, bytes_max: usize) -> Result<DiffText, RepositoryError> {
        Ok(self.git.diff_text(&Oid::try_from(before)?, &Oid::try_from(after)?, &[], bytes_max).await?)
    }

    /// Makes the run's branch at its base, unless it is there already.
    pub async fn begin_run(&self, run: &RunId, base: &CommitId) -> Result<(), RepositoryError> {
        Ok(self.git.move_ref(&branch_of(run)?, None, &Oid::try_from(base)?).await?)
    }

    /// Moves the run's branch, only from where it is believed to be; being there already is fine (a redo after a crash).
    pub async fn move_branch(&self, run: &RunId, old: &CommitId, new: &CommitId) -> Result<(), RepositoryError> {
        Ok(self.git.move_ref(&branch_of(run)?, Some(&Oid::try_from(old)?), &Oid::try_from(new)?).await?)
    }

    /// Where the run's branch is.
    pub async fn branch(&self, run: &RunId) -> Result<Option<CommitId>, RepositoryError> {
        Ok(self.git.read_ref(&branch_of(run)?).await?.map(|oid| oid.commit_id()))
    }

    /// Keeps an attempt's commit under its ref; the same again is fine, another is refused.
    pub async fn keep_attempt(&self, key: &AttemptKey, commit: &CommitId) -> Result<(), RepositoryError> {
        self.keep_under(attempt_ref("roundtable", key)?, commit).await?;
        self.memo.note_attempt(key, commit);
        self.memo.note_present(&Oid::try_from(commit)?);
        Ok(())
    }

    /// The commit of an attempt, if it came.
    pub async fn attempt(&self, key: &AttemptKey) -> Result<Option<CommitId>, RepositoryError> {
        if let Some(kept) = self.memo.attempt(key) {
            return Ok(Some(kept));
        }
        let kept = self.git.read_ref(&attempt_ref("roundtable", key)?).await?.map(|oid| oid.commit_id());
        if let Some(kept) = &kept {
            self.memo.note_attempt(key, kept);
        }
        Ok(kept)
    }

    /// Keeps what an attempt's worktree is made of, so that its worker can fetch it and its result connects to it.
    pub async fn keep_start(&self, key: &AttemptKey, commit: &CommitId) -> Result<(), RepositoryError> {
        self.keep_under(attempt_ref("roundtable-start", key)?, commit).await
    }

    /// What an attempt's worktree is made of.
    pub async fn start(&self, key: &AttemptKey) -> Result<Option<CommitId>, RepositoryError> {
        Ok(self.git.read_ref(&attempt_ref("roundtable-start", key)?).await?.map(|oid| oid.commit_id()))
    }

    /// Keeps a person's commit, so that it is not lost before it is used.
    pub async fn keep_person(&self, commit: &CommitId) -> Result<(), RepositoryError> {
        self.keep_under(person_ref(commit)?, commit).await
    }

    async fn keep_under(&self, name: RefName, commit: &CommitId) -> Result<(), RepositoryError> {
        match self.git.move_ref(&name, None, &Oid::try_from(commit)?).await {
            Ok(()) => Ok(()),
            Err(GitError::RefMoved { found: Some(found), .. }) => {
                Err(RepositoryError::Refused(format!("{name} is {found} already; another commit for the same attempt is not taken")))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn branch_of(run: &RunId) -> Result<RefName, RepositoryError> {
    Ok(RefName::branch(&format!("roundtable/{run}"))?)
}

/// Keeps a commit that is no attempt's: a person's, or one made of an attempt's and the tip.
fn person_ref(commit: &CommitId) -> Result<RefName, RepositoryError> {
    Ok(RefName::parse(&format!("refs/roundtable-person/{commit}"))?)
}

/// `refs/<space>/<run>/<unit or ->/<attempt>`.
fn attempt_ref(space: &str, key: &AttemptKey) -> Result<RefName, RepositoryError> {
    Ok(RefName::parse(&format!("refs/{space}/{}", attempt_path(key)))?)
}

/// How refs name an attempt: `<run>/<unit or ->/<attempt>`, odd characters escaped.
pub(crate) fn attempt_path(key: &AttemptKey) -> String {
    let unit = key.unit.as_ref().map_or_else(|| "-".to_owned(), |unit| RefName::component(unit.as_str()));
    format!("{}/{unit}/{}", RefName::component(key.run.as_str()), key.attempt)
}

#[cfg(test)]
mod tests;
