//! Commits of attempts coming in: what an attempt left at its end, be it over more than one link, and what a running one has done so far.

use roundtable_core::Core;
use roundtable_core::command::Command;
use roundtable_core::state::Saved;
use roundtable_proto::convert::status_of;
use roundtable_proto::v1;
use roundtable_proto::v1::put_pack_frame::Frame;
use roundtable_runtime::git::Sender;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::text;
use roundtable_shared::{CommitId, LeaseRef, TaskId, WorkerId};
use tokio_stream::StreamExt;
use tonic::{Response, Status, Streaming};

use super::fleet_service::FleetService;
use super::{repository_status, status};
use crate::report::{self, ReportError};
use crate::repository::{Incoming, PartialError, Repository};

/// Largest pack of work in progress, bytes: it comes again and again, and the whole comes at the end.
const SAVED_PACK_BYTES_MAX: u64 = 256 << 20;

type Frames = Streaming<v1::PutPackFrame>;
type Put = Result<Response<v1::PutPackReply>, Status>;

/// What an attempt left. The same commit again is fine.
pub(super) async fn put(service: &FleetService, worker: WorkerId, mut frames: Frames) -> Put {
    let header = header(&mut frames).await?;
    let (lease, known) = service.known(&worker, header.lease)?;
    let commit = CommitId::from(header.commit);
    let refused = |error| repository_status(&error);
    let repository = service.repositories.open(&known.repository).await.map_err(refused)?;
    let whole = Whole { digest: header.digest, bytes: header.bytes, offset: header.offset };
    if whole.digest.is_empty() {
        take(repository.receive(&commit, Sender::Peer).map_err(refused)?, &mut frames).await?;
    } else {
        take_part(service, &name_of(&worker, &lease, &whole.digest), &whole, &mut frames, (&repository, &commit)).await?;
    }
    repository.keep_attempt(&lease.key, &commit).await.map_err(refused)?;
    // Of one that was lost, the next attempt may have begun with what was saved.
    let key = lease.key.clone();
    let saved = service.handle.read(move |core: &Core, _| core.state.attempt(&key).is_some_and(|attempt| attempt.saved.is_some()));
    if known.live
        && saved.await.map_err(|error| status(&error))?
        && let Err(error) = repository.drop_saved(&lease.key).await
    {
        tracing::warn!(lease = %lease.key, %error, "what was saved on the way stays beside the attempt's commit");
    }
    Ok(Response::new(v1::PutPackReply { commit: commit.to_string() }))
}

/// What a running attempt has done so far, in place of what it had done before.
pub(super) async fn save(service: &FleetService, worker: WorkerId, mut frames: Frames) -> Put {
    let header = header(&mut frames).await?;
    let (lease, known) = service.known(&worker, header.lease)?;
    if !known.live {
        return Err(status_of(ErrorCode::Stale, "the attempt is over"));
    }
    let commit = CommitId::from(header.commit);
    let refused = |error| repository_status(&error);
    let repository = service.repositories.open(&known.repository).await.map_err(refused)?;
    take(repository.receive_small(&commit, Sender::Peer, SAVED_PACK_BYTES_MAX).map_err(refused)?, &mut frames).await?;
    let key = lease.key.clone();
    let base = service.handle.read(move |core: &Core, _| core.state.attempt(&key).map(|attempt| attempt.base.clone()));
    let base = base.await.map_err(|error| status(&error))?;
    let base = base.ok_or_else(|| status_of(ErrorCode::Stale, format!("there is no attempt {}", lease.key)))?;
    report::comes_of_its_start(&repository, &lease.key, &base, &commit).await.map_err(|error| match error {
        ReportError::Unbelievable(why) => status_of(ErrorCode::InvalidInput, why),
        ReportError::Driver(error) => status(&error),
        ReportError::Repository(error) => repository_status(&error),
    })?;
    // The log names only what is here.
    repository.keep_saved(&lease.key, &commit).await.map_err(refused)?;
    let reply = v1::PutPackReply { commit: commit.to_string() };
    let saved = Saved { commit, done: header.done.into_iter().map(TaskId::new).collect() };
    service.handle.command(Command::WorkSaved { worker, lease, saved }).await.map_err(|error| status(&error))?;
    Ok(Response::new(reply))
}

/// How much of a large pack has come so far.
pub(super) async fn received(
    service: &FleetService,
    worker: &WorkerId,
    asked: v1::PackReceivedRequest,
) -> Result<Response<v1::PackReceivedReply>, Status> {
    let (lease, _) = service.known(worker, asked.lease)?;
    let bytes = service.partials.received(&name_of(worker, &lease, &asked.digest)).await;
    let bytes = bytes.map_err(|error| partial_status(&PartialError::Io(error)))?;
    Ok(Response::new(v1::PackReceivedReply { bytes }))
}

/// What a pack is as a whole that comes over more than one link.
struct Whole {
    digest: String,
    bytes: u64,
    offset: u64,
}

/// What such a pack is kept as: nobody can guess another's, and what is in it is no path.
fn name_of(worker: &WorkerId, lease: &LeaseRef, digest: &str) -> String {
    let what = format!("{worker}\0{}\0{}\0{digest}", lease.key, lease.lease_id);
    blake3::hash(what.as_bytes()).to_hex().to_string()
}

/// Takes what comes over this link, and the whole once it is here.
async fn take_part(
    service: &FleetService,
    name: &str,
    whole: &Whole,
    frames: &mut Frames,
    (repository, commit): (&Repository, &CommitId),
) -> Result<(), Status> {
    let bytes_max = repository.pack_bytes_max();
    if whole.bytes > bytes_max {
        let (found, max) = (text::bytes(whole.bytes), text::bytes(bytes_max));
        let why = format!("a pack of {found} is not taken; the coordinator takes {max} at most (`coordinator serve --pack-bytes`)");
        return Err(status_of(ErrorCode::InvalidInput, why));
    }
    let not_now = |error| partial_status(&error);
    let refused = |error| repository_status(&error);
    let mut part = service.partials.go_on(name, whole.offset, whole.bytes).await.map_err(not_now)?;
    while let Some(frame) = frames.next().await {
        match frame?.frame {
            Some(Frame::Chunk(chunk)) => part.push(&chunk.data).await.map_err(not_now)?,
            _ => return Err(status_of(ErrorCode::InvalidInput, "only chunks follow the header")),
        }
    }
    part.check(&whole.digest).await.map_err(not_now)?;
    let mut incoming = repository.receive(commit, Sender::Peer).map_err(refused)?;
    part.give(&mut incoming).await.map_err(|error| partial_status(&PartialError::Io(error)))?;
    match incoming.finish().await {
        Ok(()) => part.forget().await,
        Err(error) => {
            // What git says no to is no better the next time; what our machine failed at may be.
            if error.code() == ErrorCode::InvalidInput {
                part.forget().await;
            }
            return Err(repository_status(&error));
        }
    }
    Ok(())
}

fn partial_status(error: &PartialError) -> Status {
    if let PartialError::Io(error) = error {
        tracing::error!(%error, "a pack that comes in pieces could not be kept");
        return status_of(ErrorCode::Exhausted, "the coordinator's disk failed or is full; its log says why");
    }
    status_of(error.code(), error.to_string())
}

async fn header(frames: &mut Frames) -> Result<v1::PutPackHeader, Status> {
    match frames.next().await.transpose()?.and_then(|first| first.frame) {
        Some(Frame::Header(header)) => Ok(header),
        _ => Err(status_of(ErrorCode::InvalidInput, "the first frame must be the header")),
    }
}

async fn take(mut incoming: Incoming, frames: &mut Frames) -> Result<(), Status> {
    let refused = |error| repository_status(&error);
    while let Some(frame) = frames.next().await {
        match frame?.frame {
            Some(Frame::Chunk(chunk)) => incoming.push(&chunk.data).await.map_err(refused)?,
            _ => return Err(status_of(ErrorCode::InvalidInput, "only chunks follow the header")),
        }
    }
    incoming.finish().await.map_err(refused)
}
