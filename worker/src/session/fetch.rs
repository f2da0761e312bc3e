//! Bringing in what a lease needs before it can run: its start commit and the files under `copy`.

use std::collections::BTreeMap;

use bytes::Bytes;
use roundtable_proto::convert::message_of;
use roundtable_proto::v1;
use roundtable_proto::v1::fleet_client::FleetClient;
use roundtable_shared::Lease;
use roundtable_shared::limits::CHUNK_BYTES_MAX;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::transport::Channel;

use super::{Attachment, Runner, RunnerError};

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
    commit: &roundtable_shared::CommitId,
) -> Result<(), PutError> {
    let pieces = runner.pack(&lease.repository, commit, &lease.start).await.map_err(PutError::Runner)?;
    let header = v1::PutPackHeader { lease: Some((&lease.lease).into()), commit: commit.to_string() };
    let (frames, stream) = mpsc::channel(PIECES_MAX);
    let send = async move {
        let mut pieces = pieces;
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
    let mut client = client.clone();
    let put = client.put_pack(tokio_stream::wrappers::ReceiverStream::new(stream));
    let (sent, put): (Result<(), RunnerError>, _) = tokio::join!(send, put);
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
