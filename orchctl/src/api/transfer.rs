//! Commits to and from a coordinator, as packs that carry only what the other side lacks.

use roundtable_proto::v1;
use roundtable_runtime::git::{Git, Oid, PackRequest, ReceiveLimits, Sender};
use roundtable_shared::limits::CHUNK_BYTES_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::live::Client;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::workdir::refusal;

/// Chunks on their way at once.
const CHUNKS_MAX: usize = 16;

/// What was fetched.
pub struct Fetched {
    /// The run's tip, or the unit's last attempt.
    pub commit: Oid,
    /// For a unit: the commit its attempt is compared with.
    pub base: Option<Oid>,
}

/// Brings a commit with its history to the coordinator, unless it has it.
pub async fn upload(client: &Client, git: &Git, repository: &Oid, commit: &Oid) -> Result<()> {
    let request = v1::OpenRepositoryRequest { repository: repository.to_string() };
    let tips = client.control().open_repository(request).await.map_err(|status| client.refusal(status))?.into_inner().tips;
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
    };
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
