//! A pack that is ready to be sent: in a file without a name, so that it is made once and goes on where a link was cut.

use std::io::SeekFrom;

use roundtable_runtime::git::{Git, PackRequest};
use roundtable_shared::limits::CHUNK_BYTES_MAX;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, DuplexStream};

use crate::failure::{Failure, Result};
use crate::workdir::refusal;

/// The pack.
pub(super) struct Packed {
    file: File,
    /// Its size.
    pub(super) bytes: u64,
    /// blake3, hex.
    pub(super) digest: String,
}

impl Packed {
    /// Makes it; `None` where there is no place for it. Beside the objects it is made of, rather than in the system's temporary folder, which often lies in memory.
    pub(super) async fn make(git: &Git, request: &PackRequest) -> Result<Option<Self>> {
        let beside = git.git_dir().to_owned();
        let made = tokio::task::spawn_blocking(move || tempfile::tempfile_in(beside).or_else(|_| tempfile::tempfile())).await;
        let Ok(Ok(file)) = made else { return Ok(None) };
        let mut file = File::from_std(file);
        let (mut output, input) = tokio::io::duplex(CHUNK_BYTES_MAX);
        let packing = async {
            let packed = git.pack(request, &mut output).await;
            // Whoever reads is told that this was all.
            drop(output);
            packed
        };
        let keeping = async {
            let mut input = input;
            let kept = keep(&mut file, &mut input).await;
            // git must not wait for somebody who has given up.
            drop(input);
            kept
        };
        match tokio::join!(packing, keeping) {
            // A full disk here ends git's output too: it is sent as it is made instead.
            (_, Err(error)) => {
                tracing::debug!(%error, "the pack cannot be kept in a file");
                Ok(None)
            }
            (Err(error), Ok(_)) => Err(refusal(error)),
            (Ok(_), Ok((bytes, digest))) => Ok(Some(Self { file, bytes, digest })),
        }
    }

    /// The next piece begins there.
    pub(super) async fn seek(&mut self, offset: u64) -> Result<()> {
        self.file.seek(SeekFrom::Start(offset)).await.map(drop).map_err(unreadable)
    }

    /// The next piece; empty at the end.
    pub(super) async fn piece(&mut self) -> Result<Vec<u8>> {
        let mut block = vec![0_u8; CHUNK_BYTES_MAX];
        let read = self.file.read(&mut block).await.map_err(unreadable)?;
        block.truncate(read);
        Ok(block)
    }
}

/// Writes all that comes; how much it was, and its digest.
async fn keep(file: &mut File, input: &mut DuplexStream) -> std::io::Result<(u64, String)> {
    let (mut hasher, mut bytes, mut block) = (blake3::Hasher::new(), 0_u64, vec![0_u8; CHUNK_BYTES_MAX]);
    loop {
        let read = input.read(&mut block).await?;
        if read == 0 {
            file.flush().await?;
            return Ok((bytes, hasher.finalize().to_hex().to_string()));
        }
        hasher.update(&block[..read]);
        file.write_all(&block[..read]).await?;
        bytes += read as u64;
    }
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::failed("the repository was packed, and the pack cannot be read again").why(error)
}
