//! A pack that is too large to be made and sent again after each cut: kept in a file without a name, with its digest, until it is delivered.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use roundtable_shared::limits::CHUNK_BYTES_MAX;
use tokio::sync::mpsc;

use super::{Pieces, RunnerError};

/// A pack that is no larger is made anew for each try, bytes.
const SMALL_BYTES: usize = 1 << 20;
/// Pieces that wait for the link.
const PIECES_MAX: usize = 8;

/// A large pack.
pub(super) struct LargePack {
    file: Arc<File>,
    /// Its size.
    pub(super) bytes: u64,
    /// blake3, hex.
    pub(super) digest: String,
}

/// What became of a pack that was made.
pub(super) enum Made {
    /// It is small: here it is.
    Small(Pieces),
    /// It is kept.
    Large(LargePack),
    /// It is large, and there is no place to keep it.
    Unkept(io::Error),
}

impl LargePack {
    /// Keeps a pack in that folder, unless it is small.
    pub(super) async fn unless_small(mut pieces: Pieces, dir: &Path) -> Result<Made, RunnerError> {
        let (mut head, mut bytes) = (Vec::new(), 0);
        while bytes <= SMALL_BYTES {
            let Some(piece) = pieces.recv().await else { return Ok(Made::Small(of(head))) };
            let piece = piece?;
            bytes += piece.len();
            head.push(piece);
        }
        let dir = dir.to_owned();
        match tokio::task::spawn_blocking(move || tempfile::tempfile_in(dir)).await.map_err(io::Error::other) {
            Ok(Ok(file)) => Self::fill(Arc::new(file), head, pieces).await,
            Ok(Err(error)) | Err(error) => Ok(Made::Unkept(error)),
        }
    }

    async fn fill(file: Arc<File>, head: Vec<Bytes>, mut pieces: Pieces) -> Result<Made, RunnerError> {
        let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0_u64);
        let mut head = head.into_iter();
        loop {
            let piece = match head.next() {
                Some(piece) => piece,
                None => match pieces.recv().await {
                    Some(piece) => piece?,
                    None => break,
                },
            };
            hasher.update(&piece);
            let (at, into) = (bytes, Arc::clone(&file));
            bytes += piece.len() as u64;
            match tokio::task::spawn_blocking(move || into.write_all_at(&piece, at)).await.map_err(io::Error::other) {
                Ok(Ok(())) => {}
                Ok(Err(error)) | Err(error) => return Ok(Made::Unkept(error)),
            }
        }
        Ok(Made::Large(Self { file, bytes, digest: hasher.finalize().to_hex().to_string() }))
    }

    /// Its bytes from there on.
    pub(super) fn pieces(&self, offset: u64) -> Pieces {
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let (file, end) = (Arc::clone(&self.file), self.bytes);
        tokio::spawn(async move {
            let mut at = offset;
            while at < end {
                let piece =
                    read(&file, at, end).await.map_err(|error| RunnerError(format!("a pack that was kept cannot be read: {error}")));
                at += piece.as_ref().map_or(0, |piece| piece.len() as u64);
                let failed = piece.is_err();
                // Whoever sends it may have gone.
                if sender.send(piece).await.is_err() || failed {
                    return;
                }
            }
        });
        pieces
    }
}

async fn read(file: &Arc<File>, at: u64, end: u64) -> io::Result<Bytes> {
    let count = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX);
    let file = Arc::clone(file);
    let read = tokio::task::spawn_blocking(move || {
        let mut block = vec![0; count];
        file.read_exact_at(&mut block, at)?;
        Ok::<_, io::Error>(Bytes::from(block))
    });
    read.await.map_err(io::Error::other)?
}

/// Pieces that are all here.
fn of(all: Vec<Bytes>) -> Pieces {
    let (sender, pieces) = mpsc::channel(all.len().max(1));
    for piece in all {
        // There is room for all.
        let _ = sender.try_send(Ok(piece));
    }
    pieces
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn all(mut pieces: Pieces) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.recv().await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        bytes
    }

    fn cut(bytes: &[u8]) -> Pieces {
        of(bytes.chunks(100_000).map(Bytes::copy_from_slice).collect())
    }

    #[tokio::test]
    async fn a_small_pack_passes_through() {
        let dir = tempfile::tempdir().unwrap();
        for count in [0, 1, SMALL_BYTES] {
            let pack = vec![7; count];
            let Made::Small(pieces) = LargePack::unless_small(cut(&pack), dir.path()).await.unwrap() else { panic!("{count}") };
            assert!(all(pieces).await == pack, "{count}");
        }
    }

    #[tokio::test]
    async fn a_large_pack_is_read_from_anywhere() {
        let dir = tempfile::tempdir().unwrap();
        let pack: Vec<u8> = (0..3 * SMALL_BYTES).map(|at| (at % 251) as u8).collect();
        let Made::Large(large) = LargePack::unless_small(cut(&pack), dir.path()).await.unwrap() else { panic!() };
        assert_eq!((large.bytes, large.digest.as_str()), (pack.len() as u64, blake3::hash(&pack).to_hex().as_str()));
        for offset in [0, 1, SMALL_BYTES, pack.len()] {
            assert!(all(large.pieces(offset as u64)).await == pack[offset..], "{offset}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing of it lies about");
    }

    #[tokio::test]
    async fn what_broke_in_its_making_is_no_pack() {
        let dir = tempfile::tempdir().unwrap();
        for before in [1, SMALL_BYTES + 1] {
            let (sender, pieces) = mpsc::channel(2);
            sender.try_send(Ok(Bytes::from(vec![0; before]))).unwrap();
            sender.try_send(Err(RunnerError("git broke".to_owned()))).unwrap();
            drop(sender);
            assert!(LargePack::unless_small(pieces, dir.path()).await.is_err());
        }
    }

    #[tokio::test]
    async fn without_a_place_it_is_told_that_there_is_none() {
        let gone = std::path::Path::new("/proc/none/such");
        let made = LargePack::unless_small(cut(&vec![0; 2 * SMALL_BYTES]), gone).await.unwrap();
        assert!(matches!(made, Made::Unkept(_)));
    }
}
