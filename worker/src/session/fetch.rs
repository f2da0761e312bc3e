//! What a lease needs before it can run (its start commit, the files under `copy`) comes in; what it makes goes out.

use std::collections::BTreeMap;

use bytes::Bytes;
use roundtable_proto::convert::message_of;
use roundtable_proto::v1;
use roundtable_proto::v1::fleet_client::FleetClient;
use roundtable_shared::limits::CHUNK_BYTES_MAX;
use roundtable_shared::{CommitId, Lease};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::{Attachment, Pieces, Runner, RunnerError};

/// Pieces that wait for git.
const PIECES_MAX: usize = 8;
/// Most bytes of files under `copy`; the coordinator keeps no more.
const ATTACHED_BYTES_MAX: usize = 64 << 20;

/// Makes sure that the start commit is in the object cache.
pub(super) async fn start_commit(client: &FleetClient<Channel>, runner: &impl Runner, lease: &Lease) -> Result<(), RunnerError> {
    if runner.has(&lease.repository, &lease.start).await? {
        return Ok(());
    }
    let haves = runner.haves(&lease.repository).await?.into_iter().map(|have| have.to_string()).collect();
    let request = v1::FetchPackRequest { lease: Some((&lease.lease).into()), haves };
    let mut chunks = client.clone().fetch_pack(request).await.map_err(|status| RunnerError(message_of(&status)))?.into_inner();
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let forward = async move {
        while let Some(chunk) = chunks.next().await {
            let piece = match chunk {
                Ok(chunk) => Ok(Bytes::from(chunk.data)),
                Err(status) => Err(RunnerError(message_of(&status))),
            };
            let failed = piece.is_err();
            if sender.send(piece).await.is_err() || failed {
                break;
            }
        }
    };
    let (received, ()) = tokio::join!(runner.receive(&lease.repository, &lease.start, pieces), forward);
    received
}

/// The files under `copy`.
pub(super) async fn attachments(client: &FleetClient<Channel>, lease: &Lease) -> Result<Vec<Attachment>, RunnerError> {
    if !lease.has_attachments {
        return Ok(Vec::new());
    }
    let request = v1::LeaseRef::from(&lease.lease);
    let mut pieces = client.clone().fetch_attachments(request).await.map_err(|status| RunnerError(message_of(&status)))?.into_inner();
    let mut files: BTreeMap<String, Attachment> = BTreeMap::new();
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        let mut piece = piece.map_err(|status| RunnerError(message_of(&status)))?;
        bytes += piece.data.len();
        if bytes > ATTACHED_BYTES_MAX {
            return Err(RunnerError("the files under `copy` are larger than 64 MiB together".to_owned()));
        }
        let file = files.entry(piece.path.clone());
        let file = file.or_insert_with(|| Attachment { path: piece.path.into(), mode: piece.mode, data: Vec::new() });
        file.data.append(&mut piece.data);
    }
    Ok(files.into_values().collect())
}

/// Sends an attempt's commit.
pub(super) async fn put_pack(
    client: &FleetClient<Channel>,
    runner: &impl Runner,
    lease: &Lease,
    commit: &CommitId,
) -> Result<(), PutError> {
    let pieces = runner.pack(&lease.repository, commit, std::slice::from_ref(&lease.start)).await.map_err(PutError::Runner)?;
    let header = v1::PutPackHeader { lease: Some((&lease.lease).into()), commit: commit.to_string(), done: Vec::new() };
    let (frames, stream) = mpsc::channel(PIECES_MAX);
    let mut client = client.clone();
    put(client.put_pack(ReceiverStream::new(stream)), header, pieces, frames).await
}

/// Sends what an attempt has done so far, to a coordinator that has `before` of it.
pub(super) async fn save_work(
    client: &FleetClient<Channel>,
    runner: &impl Runner,
    lease: &Lease,
    commit: &CommitId,
    done: Vec<String>,
    before: Option<&CommitId>,
) -> Result<(), PutError> {
    let haves: Vec<CommitId> = before.into_iter().chain([&lease.start]).cloned().collect();
    let pieces = runner.pack(&lease.repository, commit, &haves).await.map_err(PutError::Runner)?;
    let header = v1::PutPackHeader { lease: Some((&lease.lease).into()), commit: commit.to_string(), done };
    let (frames, stream) = mpsc::channel(PIECES_MAX);
    let mut client = client.clone();
    put(client.save_work(ReceiverStream::new(stream)), header, pieces, frames).await
}

/// Sends the header and the pieces while the call is being answered.
async fn put(
    call: impl Future<Output = Result<tonic::Response<v1::PutPackReply>, tonic::Status>>,
    header: v1::PutPackHeader,
    mut pieces: Pieces,
    frames: mpsc::Sender<v1::PutPackFrame>,
) -> Result<(), PutError> {
    let send = async move {
        let header = v1::PutPackFrame { frame: Some(v1::put_pack_frame::Frame::Header(header)) };
        if frames.send(header).await.is_err() {
            return Ok(());
        }
        while let Some(piece) = pieces.recv().await {
            for part in piece?.chunks(CHUNK_BYTES_MAX) {
                let chunk = v1::Chunk { data: part.to_vec() };
                let frame = v1::PutPackFrame { frame: Some(v1::put_pack_frame::Frame::Chunk(chunk)) };
                if frames.send(frame).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    };
    let (sent, put): (Result<(), RunnerError>, _) = tokio::join!(send, call);
    // Where our side stopped in the middle, what the other says of the rest is no word on the whole.
    sent.map_err(PutError::Runner)?;
    put.map_err(PutError::Status)?;
    Ok(())
}

/// Why a commit could not be sent.
#[derive(Debug)]
pub(super) enum PutError {
    /// Our side.
    Runner(RunnerError),
    /// The coordinator, or the way to it.
    Status(tonic::Status),
}
