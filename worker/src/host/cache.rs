//! One bare object cache per repository: what leases start from and what attempts leave. Disposable: everything in it is at the coordinator, or owed by
//! the spool.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use roundtable_runtime::git::{Git, GitError, GitProgram, ObjectFormat, Oid, PackRequest, ReceiveLimits, RefName, Sender};
use roundtable_shared::limits::CHUNK_BYTES_MAX;
use roundtable_shared::{CommitId, LeaseRef};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::size::bytes_in;
use crate::session::{Pieces, RunnerError};

/// The file whose time says when a cache was last used.
const USED: &str = "roundtable-used";
/// What was used so lately is not removed.
const FRESH_FOR: Duration = Duration::from_secs(900);
/// Repositories named to the coordinator as present.
const REPOSITORIES_MAX: usize = 256;
/// Commits named to the coordinator as present.
const HAVES_MAX: usize = 64;
/// Packs received after which they are rolled up: each git process looks into every pack there is.
const PACKS_MAX: u32 = 40;
/// Pieces that wait for a slow link.
const PIECES_MAX: usize = 8;

pub(super) struct Caches {
    root: PathBuf,
    program: GitProgram,
    limits: ReceiveLimits,
    open: Mutex<HashMap<String, Arc<Cache>>>,
    /// Leases and the repositories they need.
    held: Mutex<BTreeMap<LeaseRef, String>>,
    /// One opening at a time: it clears what a killed git left locked, and must not meet another's work.
    opening: tokio::sync::Mutex<()>,
    /// One receive at a time: two leases of one repository often want the same objects.
    receiving: tokio::sync::Mutex<()>,
}

/// One repository's cache.
struct Cache {
    git: Git,
    /// Commits that are here with all they need, the newest last. Those that were received are kept by refs too; an attempt's own are known to this life.
    haves: Mutex<Vec<Oid>>,
    /// Packs received since they were rolled up.
    packs: AtomicU32,
}

impl Cache {
    fn has(&self, commit: &Oid) -> bool {
        self.haves.lock().unwrap_or_else(PoisonError::into_inner).contains(commit)
    }

    fn add(&self, commit: Oid) {
        let mut haves = self.haves.lock().unwrap_or_else(PoisonError::into_inner);
        if !haves.contains(&commit) {
            haves.push(commit);
        }
    }

    /// Rolls small packs up in the background once there are many.
    fn received(self: &Arc<Self>) {
        if self.packs.fetch_add(1, Ordering::Relaxed) + 1 < PACKS_MAX {
            return;
        }
        self.packs.store(0, Ordering::Relaxed);
        let git = self.git.clone();
        tokio::spawn(async move {
            if let Err(error) = git.compact().await {
                tracing::warn!(%error, "the object cache could not be compacted");
            }
        });
    }
}

impl Caches {
    pub(super) fn new(root: PathBuf, program: GitProgram, limits: ReceiveLimits) -> Self {
        Self {
            root,
            program,
            limits,
            open: Mutex::default(),
            held: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            receiving: tokio::sync::Mutex::default(),
        }
    }

    /// A lease needs the cache of its repository from now on.
    pub(super) fn hold(&self, lease: &LeaseRef, repository: &str) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(lease.clone(), repository.to_owned());
        self.touch(repository);
    }

    /// It needs it no more.
    pub(super) fn release(&self, lease: &LeaseRef) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(lease);
    }

    /// It is used now. Its time is all that counts; without it the cache is merely among the first to go.
    fn touch(&self, repository: &str) {
        let _ = std::fs::write(self.dir_of(repository).join(USED), "");
    }

    /// Removes the caches that were not used for longest until all together are within a bound; those that leases need, or that were used a moment ago,
    /// stay.
    pub(super) fn keep_within(&self, bytes_max: u64) {
        // Nothing comes into a cache meanwhile; where something does already, the next look will do.
        let Ok(_alone) = self.receiving.try_lock() else { return };
        let held: Vec<PathBuf> =
            self.held.lock().unwrap_or_else(PoisonError::into_inner).values().map(|repository| self.dir_of(repository)).collect();
        let mut caches: Vec<(SystemTime, PathBuf, u64)> = Vec::new();
        for entry in std::fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let dir = entry.path();
            let used = dir.join(USED).metadata().and_then(|facts| facts.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            caches.push((used, dir.clone(), bytes_in(&dir)));
        }
        caches.sort();
        let mut bytes = caches.iter().map(|cache| cache.2).fold(0, u64::saturating_add);
        for (used, dir, size) in caches {
            if bytes <= bytes_max {
                return;
            }
            // A lease that is just being prepared holds nothing yet.
            let is_fresh = used.elapsed().is_ok_and(|age| age < FRESH_FOR);
            if !is_fresh && !held.contains(&dir) {
                tracing::info!(dir = %dir.display(), size, "an object cache that was not used for long is removed");
                match std::fs::remove_dir_all(&dir) {
                    Ok(()) => bytes = bytes.saturating_sub(size),
                    Err(error) => tracing::warn!(dir = %dir.display(), %error, "an object cache could not be removed"),
                }
            }
        }
    }

    /// Keys of the repositories that have a cache with something in it, in no order.
    pub(super) fn repositories(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        let has_packs = |dir: &Path| std::fs::read_dir(dir.join("objects/pack")).is_ok_and(|mut packs| packs.next().is_some());
        let filled = entries.filter(|entry| has_packs(&entry.path()));
        let named = filled.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".git")?.to_owned()));
        named.take(REPOSITORIES_MAX).collect()
    }

    fn dir_of(&self, repository: &str) -> PathBuf {
        self.root.join(format!("{repository}.git"))
    }

    /// The cache of a repository, made if it is not there.
    pub(super) async fn open(&self, repository: &str) -> Result<Git, RunnerError> {
        Ok(self.cache(repository).await?.git.clone())
    }

    async fn cache(&self, repository: &str) -> Result<Arc<Cache>, RunnerError> {
        if let Some(cache) = self.known(repository) {
            return Ok(cache);
        }
        let _opening = self.opening.lock().await;
        if let Some(cache) = self.known(repository) {
            return Ok(cache);
        }
        let key = Oid::parse(repository).map_err(failed)?;
        let format = if key.as_str().len() == 64 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
        // Losing the cache in a crash costs a fetch; syncing every object costs every attempt.
        let git = self.program.init_bare(self.root.join(format!("{key}.git")), format).await.map_err(failed)?.without_sync();
        for lock in git.clear_abandoned_locks().await.map_err(failed)? {
            tracing::warn!(lock = %lock.display(), "a git that was killed had left this lock; removed");
        }
        self.touch(key.as_str());
        // Present is not enough: only what a ref keeps is known to be whole.
        let haves = git.list_refs("refs/have/").await.map_err(failed)?.into_iter().map(|(_, oid)| oid).collect();
        let cache = Arc::new(Cache { git, haves: Mutex::new(haves), packs: AtomicU32::new(PACKS_MAX / 2) });
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(repository.to_owned(), Arc::clone(&cache));
        Ok(cache)
    }

    fn known(&self, repository: &str) -> Option<Arc<Cache>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was taken away is made anew.
        if open.get(repository).is_some_and(|cache| !cache.git.git_dir().join("HEAD").is_file()) {
            tracing::warn!(repository, "the object cache is gone");
            open.remove(repository);
        }
        open.get(repository).cloned()
    }

    /// A worktree could not be made of what is here: what turns out to be missing is fetched again.
    pub(super) async fn doubt(&self, repository: &str) {
        let Some(cache) = self.known(repository) else { return };
        let haves = cache.haves.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Where not even that can be told, nothing here is to be relied on.
        let present = cache.git.commits_present(&haves).await.unwrap_or_default();
        cache.haves.lock().unwrap_or_else(PoisonError::into_inner).retain(|have| present.contains(have));
    }

    pub(super) async fn has(&self, repository: &str, commit: &CommitId) -> Result<bool, RunnerError> {
        let cache = self.cache(repository).await?;
        self.touch(repository);
        Ok(cache.has(&Oid::try_from(commit).map_err(failed)?))
    }

    /// A commit that was made here, on top of one that is whole.
    pub(super) async fn made(&self, repository: &str, commit: &CommitId) -> Result<(), RunnerError> {
        self.cache(repository).await?.add(Oid::try_from(commit).map_err(failed)?);
        Ok(())
    }

    pub(super) async fn haves(&self, repository: &str) -> Result<Vec<CommitId>, RunnerError> {
        let cache = self.cache(repository).await?;
        let haves = cache.haves.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(haves.iter().rev().take(HAVES_MAX).map(Oid::commit_id).collect())
    }

    pub(super) async fn receive(&self, repository: &str, commit: &CommitId, mut pieces: Pieces) -> Result<(), RunnerError> {
        let _alone = self.receiving.lock().await;
        let cache = self.cache(repository).await?;
        let git = &cache.git;
        let oid = Oid::try_from(commit).map_err(failed)?;
        let (mut writer, mut reader) = tokio::io::duplex(CHUNK_BYTES_MAX);
        let feed = async move {
            while let Some(piece) = pieces.recv().await {
                // A closed pipe means that git has refused already and says why itself.
                if writer.write_all(&piece?).await.is_err() {
                    break;
                }
            }
            Ok::<(), RunnerError>(())
        };
        let tips = [oid.clone()];
        let take = async {
            let received = git.receive_pack(&mut reader, &tips, Sender::Coordinator, self.limits).await?;
            received.keep().await
        };
        let (fed, taken): (Result<(), RunnerError>, Result<(), GitError>) = tokio::join!(feed, take);
        fed?;
        taken.map_err(failed)?;
        cache.add(oid.clone());
        cache.received();
        // For the next life of this worker: the attempt does not wait for it, and nothing goes meanwhile that no ref reaches.
        let (git, name) = (git.clone(), have_ref(&oid)?);
        tokio::spawn(async move {
            if let Err(error) = git.move_ref(&name, None, &oid).await {
                tracing::warn!(commit = %oid, %error, "what was fetched cannot be remembered; it is fetched again after the next start");
            }
        });
        Ok(())
    }

    pub(super) async fn pack(&self, repository: &str, commit: &CommitId, haves: &[CommitId]) -> Result<Pieces, RunnerError> {
        let git = self.open(repository).await?;
        let wants = vec![Oid::try_from(commit).map_err(failed)?];
        let haves = haves.iter().map(Oid::try_from).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let (mut writer, mut reader) = tokio::io::duplex(CHUNK_BYTES_MAX);
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let refused = sender.clone();
        tokio::spawn(async move {
            let request = PackRequest { wants, haves, history_max: None };
            if let Err(error) = git.pack(&request, &mut writer).await {
                // Whoever wanted it may have gone.
                let _ = refused.send(Err(failed(error))).await;
            }
        });
        tokio::spawn(async move {
            let mut buffer = vec![0; CHUNK_BYTES_MAX];
            while let Ok(count @ 1..) = reader.read(&mut buffer).await {
                if sender.send(Ok(Bytes::copy_from_slice(&buffer[..count]))).await.is_err() {
                    break;
                }
            }
        });
        Ok(pieces)
    }
}

fn have_ref(oid: &Oid) -> Result<RefName, RunnerError> {
    RefName::parse(&format!("refs/have/{oid}")).map_err(failed)
}

pub(super) fn failed(error: GitError) -> RunnerError {
    RunnerError(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use roundtable_shared::{AttemptKey, AttemptNo, LeaseId};

    use super::*;

    #[tokio::test]
    async fn the_caches_unused_for_longest_go_first() {
        let home = tempfile::tempdir().unwrap();
        let caches = Caches::new(home.path().to_owned(), GitProgram::find().await.unwrap(), ReceiveLimits::default());
        let names: Vec<String> = ["a1", "b2", "c3"].iter().map(|part| part.repeat(20)).collect();
        for (age_s, name) in [(3_000, &names[0]), (1_000, &names[1]), (2_000, &names[2])] {
            let git = caches.open(name).await.unwrap();
            std::fs::write(git.git_dir().join("objects/big"), vec![0; 1 << 20]).unwrap();
            let used = std::fs::File::options().write(true).open(git.git_dir().join(USED)).unwrap();
            used.set_modified(SystemTime::now() - std::time::Duration::from_secs(age_s)).unwrap();
        }
        let left = || names.iter().map(|name| home.path().join(format!("{name}.git")).is_dir()).collect::<Vec<_>>();
        caches.keep_within(4 << 20);
        assert_eq!(left(), [true, true, true]);
        caches.keep_within(5 << 19);
        assert_eq!(left(), [false, true, true]);
        caches.keep_within(3 << 19);
        assert_eq!(left(), [false, true, false]);
        assert!(caches.repositories().is_empty(), "nothing has been received");
        std::fs::write(home.path().join(format!("{}.git/objects/pack/one.pack", names[1])), "").unwrap();
        assert_eq!(caches.repositories(), [names[1].clone()]);
    }
    #[tokio::test]
    async fn what_a_lease_needs_and_what_was_used_a_moment_ago_stays() {
        let home = tempfile::tempdir().unwrap();
        let caches = Caches::new(home.path().to_owned(), GitProgram::find().await.unwrap(), ReceiveLimits::default());
        let names: Vec<String> = ["a1", "b2"].iter().map(|part| part.repeat(20)).collect();
        let age = |name: &str| {
            let used = std::fs::File::options().write(true).open(home.path().join(format!("{name}.git")).join(USED)).unwrap();
            used.set_modified(SystemTime::now() - 2 * FRESH_FOR).unwrap();
        };
        for name in &names {
            caches.open(name).await.unwrap();
        }
        let left = || names.iter().map(|name| home.path().join(format!("{name}.git")).is_dir()).collect::<Vec<_>>();
        caches.keep_within(0);
        assert_eq!(left(), [true, true], "they were opened a moment ago");
        let key = AttemptKey { run: "demo-abcdef".into(), unit: Some("1".into()), attempt: AttemptNo(1) };
        let lease = LeaseRef { key, lease_id: LeaseId(7) };
        caches.hold(&lease, &names[0]);
        names.iter().for_each(|name| age(name));
        caches.keep_within(0);
        assert_eq!(left(), [true, false]);
        caches.release(&lease);
        caches.keep_within(0);
        assert_eq!(left(), [false, false]);
        assert!(caches.open(&names[0]).await.is_ok(), "one that is gone is made anew");
    }
}
