//! Commits to and from a coordinator, as packs that carry only what the other side lacks.

use std::time::Duration;

use roundtable_proto::v1;
use roundtable_runtime::git::{Git, Oid, PackRequest, ReceiveLimits, Sender};
use roundtable_shared::limits::CHUNK_BYTES_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::live::Client;
use super::packed::Packed;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::workdir::refusal;

/// Chunks on their way at once.
const CHUNKS_MAX: usize = 16;
/// A pack that is no larger is sent whole again after a cut, bytes.
const SMALL_BYTES: u64 = 1 << 20;
/// Cuts in a row without a byte between them, after which the coordinator counts as gone.
const CUTS_MAX: u32 = 5;
/// Before the first try after a cut it is twice this, then twice as long each time.
const PAUSE: Duration = Duration::from_millis(50);

/// What was fetched.
pub struct Fetched {
    /// The run's tip, or the unit's last attempt.
    pub commit: Oid,
    /// For a unit: the commit its attempt is compared with.
    pub base: Option<Oid>,
}

/// Brings a commit with its history to the coordinator, unless it has it. A large pack goes on where a link was cut.
pub async fn upload(client: &Client, git: &Git, repository: &Oid, commit: &Oid) -> Result<()> {
    let tips = open(client, repository.as_str(), "").await?.tips;
    if tips.iter().any(|tip| tip == commit.as_str()) {
        return Ok(());
    }
    // A peer's words: ids that are none are as useless to us as commits we do not have.
    let haves = tips.iter().filter_map(|tip| Oid::parse(tip).ok()).collect();
    let request = PackRequest { wants: vec![commit.clone()], haves, history_max: None };
    let header = v1::PutRepositoryHeader {
        repository: repository.to_string(),
        commit: commit.to_string(),
        shallow: git.boundaries().await.map_err(refusal)?.iter().map(Oid::to_string).collect(),
        ..Default::default()
    };
    match Packed::make(git, &request).await? {
        Some(packed) => send_kept(client, header, packed).await,
        None => send_once(client, git, request, header).await,
    }
}

async fn open(client: &Client, repository: &str, digest: &str) -> Result<v1::OpenRepositoryReply> {
    let request = v1::OpenRepositoryRequest { repository: repository.to_owned(), digest: digest.to_owned() };
    Ok(client.control().open_repository(request).await.map_err(|status| client.refusal(status))?.into_inner())
}

/// Sends a pack, again where the link was cut, and a large one from where that was.
async fn send_kept(client: &Client, mut header: v1::PutRepositoryHeader, mut packed: Packed) -> Result<()> {
    let is_large = packed.bytes > SMALL_BYTES;
    if is_large {
        (header.digest, header.bytes) = (packed.digest.clone(), packed.bytes);
    }
    let mut cuts = 0;
    loop {
        let sent = async {
            if is_large {
                let received = open(client, &header.repository, &header.digest).await?.received.min(packed.bytes);
                if received > header.offset {
                    cuts = 0;
                }
                header.offset = received;
            }
            send_rest(client, &header, &mut packed).await
        };
        match sent.await {
            Err(failure) if failure.exit() == Exit::Unreachable && cuts < CUTS_MAX => {
                cuts += 1;
                tracing::debug!(what = failure.what(), cuts, "the repository is sent on once the coordinator answers again");
                tokio::time::sleep(PAUSE * 2_u32.pow(cuts)).await;
            }
            ended => return ended,
        }
    }
}

/// Sends the pack from the header's offset on.
async fn send_rest(client: &Client, header: &v1::PutRepositoryHeader, packed: &mut Packed) -> Result<()> {
    use v1::put_repository_frame::Frame;
    packed.seek(header.offset).await?;
    let (frames, stream) = mpsc::channel(CHUNKS_MAX);
    let sending = async move {
        let frame = |frame| v1::PutRepositoryFrame { frame: Some(frame) };
        // Whoever listens no more says why itself.
        if frames.send(frame(Frame::Header(header.clone()))).await.is_err() {
            return Ok::<(), Failure>(());
        }
        loop {
            let data = packed.piece().await?;
            if data.is_empty() || frames.send(frame(Frame::Chunk(v1::Chunk { data, pack: String::new() }))).await.is_err() {
                return Ok(());
            }
        }
    };
    let mut control = client.control();
    let (read, sent) = tokio::join!(sending, control.put_repository_pack(ReceiverStream::new(stream)));
    // Where our side stopped in the middle, what the other says of the rest is no word on the whole.
    read?;
    sent.map(drop).map_err(|status| client.refusal(status))
}

/// Sends a pack while it is made: there is no place to keep it.
async fn send_once(client: &Client, git: &Git, request: PackRequest, header: v1::PutRepositoryHeader) -> Result<()> {
    let (frames, stream) = mpsc::channel(CHUNKS_MAX);
    let call = async {
        let sent = client.control().put_repository_pack(ReceiverStream::new(stream)).await;
        sent.map(|_| ()).map_err(|status| client.refusal(status))
    };
    let (sent, packed) = tokio::join!(call, send_pack(git.clone(), request, header, frames));
    match (sent, packed) {
        // Git's own failure ends the stream early, which the coordinator then refuses: git's words say why.
        (_, Err(failure)) if failure.exit() != Exit::Unreachable => Err(failure),
        (Err(failure), _) => Err(failure),
        (Ok(()), packed) => packed,
    }
}

async fn send_pack(
    git: Git,
    request: PackRequest,
    header: v1::PutRepositoryHeader,
    frames: mpsc::Sender<v1::PutRepositoryFrame>,
) -> Result<()> {
    use v1::put_repository_frame::Frame;
    let frame = |frame| v1::PutRepositoryFrame { frame: Some(frame) };
    let gone = || Failure::unreachable("the coordinator stopped listening while the repository was sent");
    frames.send(frame(Frame::Header(header))).await.map_err(|_| gone())?;
    let (mut output, mut input) = tokio::io::duplex(CHUNK_BYTES_MAX);
    let packing = async {
        let packed = git.pack(&request, &mut output).await;
        let closed = output.shutdown().await;
        packed.map_err(refusal)?;
        closed.map_err(|error| Failure::failed("the repository could not be packed").why(error))
    };
    let sending = async {
        let mut block = vec![0_u8; CHUNK_BYTES_MAX];
        loop {
            let read = input.read(&mut block).await.map_err(|error| Failure::failed("the repository could not be packed").why(error))?;
            if read == 0 {
                return Ok(());
            }
            frames.send(frame(Frame::Chunk(v1::Chunk { data: block[..read].to_vec(), pack: String::new() }))).await.map_err(|_| gone())?;
        }
    };
    tokio::try_join!(packing, sending).map(|_| ())
}

/// Brings the run's tip (or a unit's last attempt) into a repository. No ref moves.
pub async fn fetch(client: &Client, git: &Git, run: &str, unit: Option<&str>, haves: &[Oid]) -> Result<Fetched> {
    use v1::fetch_run_frame::Frame;
    let request = v1::FetchRunRequest {
        run: run.to_owned(),
        unit: unit.unwrap_or_default().to_owned(),
        haves: haves.iter().map(Oid::to_string).collect(),
    };
    let mut frames = client.control().fetch_run(request).await.map_err(|status| client.refusal(status))?.into_inner();
    let malformed = || Failure::failed("the coordinator sent the commits in an unknown form").next("compare the versions: --version");
    let first = frames.next().await.transpose().map_err(|status| client.refusal(status))?;
    let Some(Frame::Header(header)) = first.and_then(|first| first.frame) else {
        return Err(malformed());
    };
    let commit = Oid::parse(&header.commit).map_err(refusal)?;
    let base = if header.base.is_empty() { None } else { Some(Oid::parse(&header.base).map_err(refusal)?) };
    let (mut output, mut input) = tokio::io::duplex(CHUNK_BYTES_MAX);
    let taking = async {
        while let Some(frame) = frames.next().await {
            match frame.map_err(|status| client.refusal(status))?.frame {
                Some(Frame::Chunk(chunk)) => {
                    // git may have had enough (a refused pack); it then says why.
                    if output.write_all(&chunk.data).await.is_err() {
                        return Ok(());
                    }
                }
                _ => return Err(malformed()),
            }
        }
        let _ = output.shutdown().await;
        drop(output);
        Ok(())
    };
    let tips = [commit.clone()];
    let receiving = async {
        let received = git.receive_pack(&mut input, &tips, Sender::Owner, ReceiveLimits::default()).await.map_err(refusal)?;
        received.keep().await.map_err(refusal)
    };
    tokio::try_join!(taking, receiving)?;
    Ok(Fetched { commit, base })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use roundtable_runtime::git::{GitProgram, Signature};

    use super::super::played::{Coordinator, serve};
    use super::*;

    /// Uploads a repository with a file of so many bytes that do not get smaller.
    async fn uploaded(coordinator: &Coordinator, bytes: usize) -> Result<()> {
        let home = tempfile::tempdir().unwrap();
        let mut content = vec![0_u8; bytes];
        blake3::Hasher::new().finalize_xof().fill(&mut content);
        std::fs::write(home.path().join("file"), content).unwrap();
        let program = GitProgram::find().await.unwrap();
        program.create_repository(home.path(), "main", &Signature::roundtable(1), "base\n").await.unwrap();
        let git = program.own(home.path().join(".git")).unwrap();
        let commit = git.resolve_commit("HEAD").await.unwrap();
        upload(&serve(coordinator).await, &git, &commit, &commit).await
    }

    #[tokio::test]
    async fn a_large_upload_goes_on_where_its_link_was_cut() {
        let coordinator = Coordinator::default();
        coordinator.script().cuts = [700_000, 0].into();
        uploaded(&coordinator, 2 << 20).await.unwrap();
        let script = coordinator.script();
        assert_eq!(script.headers.iter().map(|header| header.offset).collect::<Vec<_>>(), [0, 700_000, 700_000]);
        let whole = (blake3::hash(&script.received).to_hex().to_string(), script.received.len() as u64);
        assert!(whole.1 > 2 << 20 && script.headers.iter().all(|header| (header.digest.clone(), header.bytes) == whole));
    }

    #[tokio::test]
    async fn a_small_upload_comes_whole_again_and_one_that_never_passes_is_given_up() {
        let coordinator = Coordinator::default();
        coordinator.script().cuts = [100].into();
        uploaded(&coordinator, 4096).await.unwrap();
        {
            let script = coordinator.script();
            assert_eq!(script.headers.iter().map(|header| (header.offset, header.digest.as_str())).collect::<Vec<_>>(), [(0, ""), (0, "")]);
            assert!(script.received.starts_with(b"PACK"));
        }
        let coordinator = Coordinator::default();
        coordinator.script().cuts = vec![0; 100].into();
        assert_eq!(uploaded(&coordinator, 4096).await.unwrap_err().exit(), Exit::Unreachable);
        assert_eq!(coordinator.script().headers.len(), 6);
    }
}
