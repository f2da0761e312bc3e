//! One bare object cache per repository: what leases start from and what attempts leave. Disposable: everything in it is at the coordinator, or owed by
//! the spool.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use roundtable_runtime::git::{Git, GitError, GitProgram, ObjectFormat, Oid, PackRequest, ReceiveLimits, RefName, Sender};
use roundtable_shared::CommitId;
use roundtable_shared::limits::CHUNK_BYTES_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::session::{Pieces, RunnerError};

/// Commits named to the coordinator as present.
const HAVES_MAX: usize = 64;
/// Pieces that wait for a slow link.
const PIECES_MAX: usize = 8;

pub(super) struct Caches {
    root: PathBuf,
    program: GitProgram,
    open: Mutex<HashMap<String, Git>>,
    /// One receive at a time: two leases of one repository often want the same objects.
    receiving: tokio::sync::Mutex<()>,
}

impl Caches {
    pub(super) fn new(root: PathBuf, program: GitProgram) -> Self {
        Self { root, program, open: Mutex::default(), receiving: tokio::sync::Mutex::default() }
    }

    /// The cache of a repository, made if it is not there.
    pub(super) async fn open(&self, repository: &str) -> Result<Git, RunnerError> {
        let known = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(repository).cloned();
        if let Some(git) = known {
            return Ok(git);
        }
        let key = Oid::parse(repository).map_err(failed)?;
        let format = if key.as_str().len() == 64 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
        // Losing the cache in a crash costs a fetch; syncing every object costs every attempt.
        let git = self.program.init_bare(self.root.join(format!("{key}.git")), format).await.map_err(failed)?.without_sync();
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(repository.to_owned(), git.clone());
        Ok(git)
    }

    pub(super) async fn has(&self, repository: &str, commit: &CommitId) -> Result<bool, RunnerError> {
        let git = self.open(repository).await?;
        let oid = Oid::try_from(commit).map_err(failed)?;
        // Present is not enough: only what a ref keeps is known to be whole.
        Ok(git.read_ref(&have_ref(&oid)?).await.map_err(failed)?.is_some())
    }

    pub(super) async fn haves(&self, repository: &str) -> Result<Vec<CommitId>, RunnerError> {
        let git = self.open(repository).await?;
        let refs = git.list_refs("refs/have/").await.map_err(failed)?;
        Ok(refs.into_iter().take(HAVES_MAX).map(|(_, oid)| oid.commit_id()).collect())
    }

    pub(super) async fn receive(&self, repository: &str, commit: &CommitId, mut pieces: Pieces) -> Result<(), RunnerError> {
        let _alone = self.receiving.lock().await;
        let git = self.open(repository).await?;
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
            let received = git.receive_pack(&mut reader, &tips, Sender::Owner, ReceiveLimits::default()).await?;
            received.keep().await
        };
        let (fed, taken): (Result<(), RunnerError>, Result<(), GitError>) = tokio::join!(feed, take);
        fed?;
        taken.map_err(failed)?;
        git.move_ref(&have_ref(&oid)?, None, &oid).await.map_err(failed)
    }

    pub(super) async fn pack(&self, repository: &str, commit: &CommitId, have: &CommitId) -> Result<Pieces, RunnerError> {
        let git = self.open(repository).await?;
        let wants = vec![Oid::try_from(commit).map_err(failed)?];
        let haves = vec![Oid::try_from(have).map_err(failed)?];
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
