//! Packs on the wire: pieces in, pieces out, in bounded memory.

use bytes::Bytes;
use roundtable_runtime::git::{GitError, Oid, PackRequest, ReceiveLimits, Sender};
use roundtable_shared::CommitId;
use roundtable_shared::limits::CHUNK_BYTES_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use super::{Repository, RepositoryError};

/// Pieces that wait for a slow peer.
pub(super) const PIECES_MAX: usize = 8;

/// Pieces of a pack going out, or why it ended early.
pub type PackStream = mpsc::Receiver<Result<Bytes, RepositoryError>>;

/// A pack coming in: pieces are pushed, then it is finished. Dropped, it is gone.
pub struct Incoming {
    pipe: DuplexStream,
    received: tokio::task::JoinHandle<Result<(), RepositoryError>>,
    repository: Repository,
}

impl Repository {
    /// A thin pack that brings a peer this commit, given commits it has, with as much of its history as is here.
    pub fn send(&self, commit: &CommitId, haves: &[CommitId]) -> Result<PackStream, RepositoryError> {
        let wants = vec![Oid::try_from(commit)?];
        // What a peer claims to have is only an optimisation: words that are no ids are ignored.
        let haves: Vec<Oid> = haves.iter().filter_map(|have| Oid::try_from(have).ok()).collect();
        let (mut writer, mut reader) = tokio::io::duplex(CHUNK_BYTES_MAX);
        let (pieces, stream) = mpsc::channel(PIECES_MAX);
        let repository = self.clone();
        let failed = pieces.clone();
        crate::tasks::spawn("pack", async move {
            let packed = async {
                let request = PackRequest { wants, haves: repository.present(haves).await?, history_max: None };
                Ok::<_, RepositoryError>(repository.git.pack_known(&request, &mut writer).await?)
            };
            if let Err(error) = packed.await {
                // The receiver may have gone.
                let _ = failed.send(Err(error)).await;
            }
        });
        crate::tasks::spawn("pack-pieces", async move {
            let mut buffer = vec![0; CHUNK_BYTES_MAX];
            loop {
                match reader.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => {
                        if pieces.send(Ok(Bytes::copy_from_slice(&buffer[..count]))).await.is_err() {
                            break;
                        }
                    }
                }
            }
        });
        Ok(stream)
    }

    /// Largest pack that is taken, bytes.
    pub fn pack_bytes_max(&self) -> u64 {
        self.limits.pack_bytes_max
    }

    /// Begins to receive a pack that shall bring `commit`.
    pub fn receive(&self, commit: &CommitId, sender: Sender) -> Result<Incoming, RepositoryError> {
        self.receive_within(commit, sender, self.limits.pack_bytes_max)
    }

    /// The same, of at most so many bytes.
    pub fn receive_within(&self, commit: &CommitId, sender: Sender, bytes_max: u64) -> Result<Incoming, RepositoryError> {
        let limits = ReceiveLimits { pack_bytes_max: bytes_max, ..self.limits };
        let tips = [Oid::try_from(commit)?];
        let (pipe, mut reader) = tokio::io::duplex(CHUNK_BYTES_MAX);
        let (git, uploads) = (self.git.clone(), self.uploads.clone());
        let received = tokio::spawn(async move {
            let _under_way = uploads.begin().await;
            let received = git.receive_pack(&mut reader, &tips, sender, limits).await?;
            Ok(received.keep().await?)
        });
        Ok(Incoming { pipe, received, repository: self.clone() })
    }
}

impl Incoming {
    /// The next piece.
    pub async fn push(&mut self, piece: &[u8]) -> Result<(), RepositoryError> {
        // A closed pipe means that git has refused already; `finish` says why.
        let _ = self.pipe.write_all(piece).await;
        Ok(())
    }

    /// That was all: the objects are checked and kept.
    pub async fn finish(self) -> Result<(), RepositoryError> {
        drop(self.pipe);
        let broke = |error| RepositoryError::Git(GitError::Unexpected { verb: "index-pack", what: format!("receiving broke: {error}") });
        self.received.await.map_err(broke)??;
        self.repository.uploads.note();
        self.repository.received();
        Ok(())
    }
}
