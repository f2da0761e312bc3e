//! Worktrees: one folder per run, unit and seat, clean for each attempt. A note beside it says whose it is, so that what a crash left can be saved, and
//! what nobody owes any more can go. After delivery a few lie idle: cleaning one costs what the agent did, making one costs the size of the repository.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use roundtable_runtime::beneath::{self, BeneathError};
use roundtable_runtime::fsx;
use roundtable_runtime::git::{
    Checkout, CheckoutRequest, Git, GitError, Oid, RefName, Signature, SnapshotLimits, SnapshotRequest, Withheld,
};
use roundtable_runtime::sweep;
use roundtable_shared::{CommitId, FailureKind, Lease, LeftOut};

use super::cache::failed;
use super::yard::Yard;
use super::{Held, InUse};
use crate::session::{Attachment, RunnerError};

/// Says that a worktree holds all of its commit: what lacks it was never worked in. The agent cannot take it away.
const WHOLE: &str = "whole";
/// Names what was brought into a worktree, beside it.
const WITHHELD: &str = "withheld.json";
/// Longest such list, bytes.
const WITHHELD_BYTES_MAX: u64 = 16 << 20;

/// What of work in progress is committed, again and again: the whole is at the end.
const IN_PROGRESS_LIMITS: SnapshotLimits = SnapshotLimits { files_max: 50_000, bytes_max: 256 << 20 };

/// All worktrees of a host.
pub(super) struct Trees {
    root: PathBuf,
    in_use: InUse,
    held: Held,
    yard: Arc<Yard>,
}

/// One attempt's worktree.
pub(super) struct Tree {
    /// Where the agent works.
    pub dir: PathBuf,
    /// A private folder of the attempt (0700).
    pub scratch: PathBuf,
    pub(super) checkout: Checkout,
    /// Files that were brought in and are never committed.
    withheld: Vec<Withheld>,
    /// What those files hold that nothing may hold that is kept: each file as a whole, and the secrets in it.
    secrets: Vec<Vec<u8>>,
    /// Files that were to be brought in and were not, and why.
    pub not_brought: Vec<String>,
}

/// Why what an attempt left could not be committed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    /// The agent took its directory away, or put something else in its place.
    #[error("the agent removed the directory it worked in")]
    Gone,
    /// What is there cannot be committed, or is more than may be.
    #[error(transparent)]
    Content(GitError),
    /// The machine failed, or lost what it needs.
    #[error(transparent)]
    Machine(GitError),
}

impl CommitError {
    /// Whose fault it is.
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            Self::Gone | Self::Content(_) => FailureKind::TurnFailed,
            Self::Machine(_) => FailureKind::Disk,
        }
    }
}

impl Tree {
    /// Paths of the files that were brought in.
    pub(super) fn brought(&self) -> Vec<String> {
        self.withheld.iter().map(|file| file.path.clone()).collect()
    }

    /// Whether the folder around it is gone: an agent is given only what is in it.
    pub(super) fn is_lost(&self) -> bool {
        self.scratch.parent().is_none_or(|home| home.symlink_metadata().is_err())
    }

    /// What was brought in, as it may be found elsewhere.
    pub(super) fn secrets(&self) -> &[Vec<u8>] {
        &self.secrets
    }

    /// The same with digests of their contents.
    pub(super) fn digests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.withheld.iter().map(|file| (file.path.as_str(), file.digest.as_str()))
    }
}

impl Trees {
    /// Those in that folder; what lies idle of them takes at most so much.
    pub(super) fn open(root: PathBuf, idle_bytes_max: u64) -> std::io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        Ok(Self { yard: Arc::new(Yard::new(root.clone(), idle_bytes_max)), root, in_use: InUse::default(), held: Mutex::default() })
    }

    /// What an earlier life left: the folders of `owed` stay, and are nobody else's until they are removed; all others go, in the background.
    pub(super) fn keep_only(&self, owed: &[Lease]) {
        let mut gone = Vec::new();
        for entry in std::fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let home = entry.path();
            let owner = owed.iter().find(|lease| self.homes(lease).contains(&home) && is_of(&home, lease));
            if let Some(lease) = owner {
                if let Some(claim) = self.in_use.claim(home) {
                    self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(lease.lease.clone(), claim);
                }
                continue;
            }
            // Aside at once, so that its name is free for the next attempt.
            gone.push(self.yard.aside(&home).unwrap_or(home));
        }
        let yard = Arc::clone(&self.yard);
        std::thread::spawn(move || gone.iter().for_each(|dir| yard.discard(dir)));
    }

    /// A clean worktree of the lease's start commit, with the files under `copy`.
    pub(super) async fn make(&self, git: &Git, lease: &Lease, attachments: Vec<Attachment>) -> Result<Tree, RunnerError> {
        let home = self.claim(lease).await?;
        let (dir, scratch, whole) = (home.join("tree"), home.join("scratch"), home.join(WHOLE));
        let checkout = match self.reuse(git, lease, &home).await {
            Some(checkout) => checkout,
            None => self.make_anew(git, lease, &home).await?,
        };
        blocking(move || std::fs::write(whole, "")).await?;
        let secrets = attachments.iter().flat_map(secrets_of).collect();
        let (into, note) = (dir.clone(), home.join(WITHHELD));
        let (withheld, not_brought) = blocking(move || bring(&into, &note, &attachments)).await?;
        Ok(Tree { dir, scratch, checkout, withheld, secrets, not_brought })
    }

    /// An idle worktree of the same repository, cleaned. `None` if there is none, or it could not be brought to a clean state.
    async fn reuse(&self, git: &Git, lease: &Lease, home: &Path) -> Option<Checkout> {
        let idle = self.yard.take(&lease.repository)?;
        let (old, goal, text) = (idle.clone(), home.to_owned(), lease.lease.lease_id.to_string());
        let moved = blocking(move || {
            std::fs::rename(&old, &goal)?;
            std::fs::DirBuilder::new().mode(0o700).create(goal.join("scratch"))?;
            std::fs::write(goal.join("lease"), text)
        });
        if let Err(error) = moved.await {
            tracing::debug!(lease = %lease.lease.key, error = %error.0, "an idle worktree was of no use");
            let yard = Arc::clone(&self.yard);
            tokio::task::spawn_blocking(move || yard.discard(&idle));
            return None;
        }
        match git.recheckout(&request(lease, home).ok()?).await {
            Ok(checkout) => Some(checkout),
            Err(error) => {
                tracing::debug!(lease = %lease.lease.key, %error, "an idle worktree was of no use");
                None
            }
        }
    }

    /// The commit of what is in the worktree now. Nothing may run in it any more.
    pub(super) async fn commit(&self, git: &Git, lease: &Lease, tree: &Tree) -> Result<(CommitId, LeftOut), CommitError> {
        if !tree.dir.symlink_metadata().is_ok_and(|facts| facts.is_dir()) {
            return Err(CommitError::Gone);
        }
        snapshot(git, lease, &tree.checkout, &tree.withheld).await
    }

    /// The commit of what an earlier life of this worker left for that lease, if anything.
    pub(super) async fn salvage(&self, git: &Git, lease: &Lease) -> Result<Option<CommitId>, RunnerError> {
        let Some((checkout, withheld)) = self.left_for(lease).await? else { return Ok(None) };
        let snapshot = snapshot(git, lease, &checkout, &withheld).await;
        snapshot.map(|(commit, _)| Some(commit)).map_err(|error| RunnerError(error.to_string()))
    }

    /// The commit of what is in the worktree while its agent works there; `None` if nothing is done yet.
    pub(super) async fn in_progress(&self, git: &Git, lease: &Lease) -> Result<Option<CommitId>, RunnerError> {
        let Some((checkout, withheld)) = self.left_for(lease).await? else { return Ok(None) };
        let (message, by, parents) = (message(lease), Signature::roundtable(0), [checkout.commit.clone()]);
        let request = SnapshotRequest {
            checkout: &checkout,
            withheld: &withheld,
            parents: &parents,
            by: &by,
            message: &message,
            limits: IN_PROGRESS_LIMITS,
        };
        Ok(git.glance(&request).await.map_err(failed)?.map(|commit| commit.commit_id()))
    }

    /// The worktree that was made for that lease, and what was brought into it.
    async fn left_for(&self, lease: &Lease) -> Result<Option<(Checkout, Vec<Withheld>)>, RunnerError> {
        let homes = self.homes(lease);
        let Some(home) = homes.into_iter().find(|home| is_of(home, lease) && home.join(WHOLE).exists()) else { return Ok(None) };
        let commit = Oid::try_from(&lease.start).map_err(failed)?;
        let checkout = Checkout { dir: home.join("tree"), private: home.join("private"), commit };
        let withheld = blocking(move || withheld_in(&home.join(WITHHELD))).await?;
        Ok(Some((checkout, withheld)))
    }

    /// The attempt has been delivered: its worktree lies idle for the next one of its repository, or, unless `may_lie`, goes.
    /// One that had files brought in goes, and is gone on return.
    pub(super) async fn remove(&self, lease: &Lease, may_lie: bool) {
        let claim = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&lease.lease);
        let Some(claim) = claim else { return };
        let (repository, yard) = (lease.repository.clone(), Arc::clone(&self.yard));
        let may_lie = may_lie && !lease.has_attachments;
        // Its name is free at once; removing the files takes longer than anyone needs to wait.
        let removal = tokio::task::spawn_blocking(move || {
            yard.discard_stuck();
            let aside = match yard.aside(&claim.path) {
                Ok(aside) => aside,
                Err(_) => return yard.discard(&claim.path),
            };
            drop(claim);
            if may_lie && lay_idle(&aside) { yard.put(repository, aside) } else { yard.discard(&aside) }
        });
        if lease.has_attachments
            && let Err(error) = removal.await
        {
            tracing::warn!(lease = %lease.lease.key, %error, "the removal of a worktree broke; the next start of this worker removes it");
        }
    }

    /// Removes what lies idle: its room is wanted.
    pub(super) async fn remove_idle(&self) {
        let yard = Arc::clone(&self.yard);
        let removed = blocking(move || {
            yard.empty();
            Ok(())
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "idle worktrees could not be removed");
        }
    }

    /// The folder of the unit's seat, or, while an older attempt is still being ended there or its remains cannot be taken away, one of its own.
    /// Nothing is there then.
    async fn claim(&self, lease: &Lease) -> Result<PathBuf, RunnerError> {
        let mut why = "it is in use".to_owned();
        for home in self.homes(lease) {
            let Some(claim) = self.in_use.claim(home.clone()) else { continue };
            match self.clear(&home).await {
                Ok(()) => {
                    self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(lease.lease.clone(), claim);
                    return Ok(home);
                }
                Err(error) => why = error.0,
            }
        }
        Err(RunnerError(format!("there is no place for the worktree of {}: {why}", lease.lease.key)))
    }

    /// Has nothing be at a path.
    async fn clear(&self, home: &Path) -> Result<(), RunnerError> {
        let (yard, home) = (Arc::clone(&self.yard), home.to_owned());
        blocking(move || {
            yard.discard(&home);
            match home.symlink_metadata() {
                Ok(_) => Err(std::io::Error::other(format!("{} cannot be taken away", home.display()))),
                Err(_) => Ok(()),
            }
        })
        .await
    }

    async fn make_anew(&self, git: &Git, lease: &Lease, home: &Path) -> Result<Checkout, RunnerError> {
        self.clear(home).await?;
        let (new, text) = (home.to_owned(), lease.lease.lease_id.to_string());
        blocking(move || {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&new)?;
            std::fs::DirBuilder::new().mode(0o700).create(new.join("scratch"))?;
            std::fs::write(new.join("lease"), text)
        })
        .await?;
        git.checkout(&request(lease, home).map_err(failed)?).await.map_err(failed)
    }

    /// Conversations of some CLIs belong to a folder, so a unit's seat gets the same one each time.
    fn homes(&self, lease: &Lease) -> [PathBuf; 3] {
        let key = &lease.lease.key;
        let unit = key.unit.as_ref().map_or("run", |unit| unit.as_str());
        let name = RefName::component(&format!("{}.{unit}.{}", key.run, lease.seat));
        let of_attempt = format!("{name}.{}", key.attempt);
        let of_lease = format!("{of_attempt}.{}", lease.lease.lease_id);
        [name, of_attempt, of_lease].map(|name| self.root.join(name))
    }
}

/// Takes from a folder what was its attempt's alone; false if it is not fit for another. What is in the tree is seen to when it is used again.
fn lay_idle(home: &Path) -> bool {
    let whole = std::fs::remove_file(home.join(WHOLE)).is_ok();
    let is_dir = home.join("tree").symlink_metadata().is_ok_and(|found| found.is_dir());
    // Brought files do not outlive their attempt, wherever the agent has put them.
    let plain = home.join(WITHHELD).symlink_metadata().is_err();
    whole && is_dir && plain && sweep::remove(&home.join("scratch")).is_ok() && std::fs::remove_file(home.join("lease")).is_ok()
}

async fn snapshot(git: &Git, lease: &Lease, checkout: &Checkout, withheld: &[Withheld]) -> Result<(CommitId, LeftOut), CommitError> {
    let key = &lease.lease.key;
    let message = message(lease);
    let by = Signature::roundtable(0);
    let parents = [checkout.commit.clone()];
    let request = SnapshotRequest { checkout, withheld, parents: &parents, by: &by, message: &message, limits: SnapshotLimits::default() };
    let snapshot = match git.snapshot(&request).await {
        Ok(snapshot) => snapshot,
        Err(error) if error.is_of_machine() || !is_there(git, &checkout.commit).await => return Err(CommitError::Machine(error)),
        Err(error) => return Err(CommitError::Content(error)),
    };
    if !snapshot.left_out.is_empty() {
        tracing::warn!(lease = %key, left_out = ?snapshot.left_out, "some files cannot be committed");
    }
    let files = snapshot.left_out.iter().map(ToString::to_string).collect();
    let left_out = LeftOut { files, count: u64::try_from(snapshot.left_out_count).unwrap_or(u64::MAX) };
    Ok((snapshot.commit.commit_id(), left_out))
}

/// What a commit of an attempt's work says.
fn message(lease: &Lease) -> String {
    let key = &lease.lease.key;
    let unit = key.unit.as_ref().map_or("-", |unit| unit.as_str());
    format!("{} {unit}, attempt {}\n", lease.role, key.attempt)
}

/// Whether the cache still has what the worktree was made of; what fails without that says nothing about the worktree.
async fn is_there(git: &Git, commit: &Oid) -> bool {
    git.commits_present(std::slice::from_ref(commit)).await.is_ok_and(|present| !present.is_empty())
}

/// What an attempt is to find in its folder.
fn request(lease: &Lease, home: &Path) -> Result<CheckoutRequest, GitError> {
    let commit = Oid::try_from(&lease.start)?;
    Ok(CheckoutRequest { dir: home.join("tree"), private: home.join("private"), commit, branch: branch(lease) })
}

/// What the agent's branch is called.
fn branch(lease: &Lease) -> String {
    let unit = lease.lease.key.unit.as_ref().map_or("run", |unit| unit.as_str());
    format!("roundtable/{}", RefName::component(unit))
}

/// Whether a folder was made for that lease.
fn is_of(home: &Path, lease: &Lease) -> bool {
    let note = fsx::read_bounded(&home.join("lease"), 64).ok().flatten();
    note.is_some_and(|note| note == lease.lease.lease_id.to_string().as_bytes())
}

/// Puts the files under `copy` into a worktree; says which are withheld from commits, and which were not brought and why. Which they are is durable
/// first: whoever commits what is there, later or after a crash, must know.
fn bring(dir: &Path, note: &Path, files: &[Attachment]) -> std::io::Result<(Vec<Withheld>, Vec<String>)> {
    let (mut brought, mut refused) = (Vec::new(), Vec::new());
    for file in files {
        match may_be_brought(dir, &file.path) {
            Ok(true) => brought.push(file),
            Ok(false) => {}
            Err(why) => refused.push(why),
        }
    }
    if brought.is_empty() {
        return Ok((Vec::new(), refused));
    }
    let withheld: Vec<Withheld> = brought.iter().map(|file| Withheld::new(file.path.to_string_lossy(), &file.data)).collect();
    fsx::write_atomic(note, &serde_json::to_vec(&withheld)?, fsx::PRIVATE)?;
    for file in brought {
        match beneath::write_new(dir, &file.path, &file.data, fsx::PRIVATE) {
            Ok(_) => {}
            Err(BeneathError::Io { source, .. }) => return Err(source),
            // Two of them in each other's way.
            Err(error) => refused.push(error.to_string()),
        }
    }
    Ok((withheld, refused))
}

/// What of a brought file may turn up elsewhere: its secrets and its beginning. Too little says nothing about where it came from.
fn secrets_of(file: &Attachment) -> Vec<Vec<u8>> {
    const BYTES_MIN: usize = 8;
    const BEGINNING_BYTES: usize = 1024;
    let parts = crate::process::secrets::of_file(&file.data).into_iter().map(String::into_bytes);
    let content = file.data.trim_ascii();
    let beginning = content[..content.len().min(BEGINNING_BYTES)].to_vec();
    parts.chain([beginning]).filter(|secret| secret.len() >= BYTES_MIN).collect()
}

/// False if the commit has something at that place; an error if the commit leads that place elsewhere.
fn may_be_brought(dir: &Path, path: &Path) -> Result<bool, String> {
    if path.components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git")) {
        return Err(format!("{} belongs to git", path.display()));
    }
    beneath::is_there(dir, path).map(|there| !there).map_err(|error| error.to_string())
}

/// What was brought into a worktree, as it was noted before.
fn withheld_in(note: &Path) -> std::io::Result<Vec<Withheld>> {
    match fsx::read_bounded(note, WITHHELD_BYTES_MAX)? {
        // Without the note nothing had been brought yet.
        None => Ok(Vec::new()),
        Some(text) => Ok(serde_json::from_slice(&text)?),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, RunnerError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(RunnerError(error.to_string())),
        Err(error) => Err(RunnerError(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
