//! Commits of attempts coming in: what an attempt left at its end, be it over more than one link, and what a running one has done so far.

use roundtable_core::Core;
use roundtable_core::command::Command;
use roundtable_core::state::Saved;
use roundtable_proto::convert::status_of;
use roundtable_proto::v1;
use roundtable_proto::v1::put_pack_frame::Frame;
use roundtable_runtime::git::Sender;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{CommitId, LeaseRef, TaskId, WorkerId};
use tokio_stream::{Stream, StreamExt};
use tonic::{Response, Status, Streaming};

use super::incoming::{self, Target, Whole};
use super::{lease, repository_status, status};
use crate::driver::{Handle, KnownLease, Leases};
use crate::report::{self, ReportError};
use crate::repository::{Claim, Partials, Repositories};

/// Largest pack of work in progress, bytes: it comes again and again, and the whole comes at the end.
const SAVED_PACK_BYTES_MAX: u64 = 256 << 20;

type Frames = Streaming<v1::PutPackFrame>;
type Put = Result<Response<v1::PutPackReply>, Status>;

/// What commits that come in go through: whose attempt it is, where they are kept, and who is told.
pub(super) struct Packs {
    pub(super) handle: Handle,
    pub(super) leases: Leases,
    pub(super) repositories: Repositories,
    pub(super) partials: Partials,
}

impl Packs {
    /// What an attempt left. The same commit again is fine.
    pub(super) async fn put(&self, worker: WorkerId, mut frames: Frames) -> Put {
        let header = header(&mut frames).await?;
        let (lease, known) = lease::known(&self.leases, &worker, header.lease.clone())?;
        let whole = whole(&worker, &lease, &header, Claim::Owed);
        let commit = CommitId::from(header.commit);
        let refused = |error| repository_status(&error);
        let repository = self.repositories.open(&known.repository).await.map_err(refused)?;
        let target = Target { repository: &repository, commit: &commit, sender: Sender::Peer, bytes_max: repository.pack_bytes_max() };
        incoming::take(&self.partials, &whole, target, &mut pieces_of(frames)).await?;
        // It may have taken long: a run that was removed meanwhile keeps nothing.
        lease::known(&self.leases, &worker, Some((&lease).into()))?;
        repository.keep_attempt(&lease.key, &commit).await.map_err(refused)?;
        // Of one that was lost, the next attempt may have begun with what was saved.
        let has_saved = |core: &Core, _| core.state.attempt(&lease.key).is_some_and(|attempt| attempt.saved.is_some());
        if known.live
            && self.handle.read(has_saved)
            && let Err(error) = repository.drop_saved(&lease.key).await
        {
            tracing::warn!(lease = %lease.key, %error, "what was saved on the way stays beside the attempt's commit");
        }
        Ok(Response::new(v1::PutPackReply { commit: commit.to_string() }))
    }

    /// What a running attempt has done so far, in place of what it had done before.
    pub(super) async fn save(&self, worker: WorkerId, mut frames: Frames) -> Put {
        let header = header(&mut frames).await?;
        let (lease, known) = lease::known(&self.leases, &worker, header.lease.clone())?;
        must_be_live(&known)?;
        let whole = whole(&worker, &lease, &header, Claim::GivesWay);
        let commit = CommitId::from(header.commit);
        let refused = |error| repository_status(&error);
        let repository = self.repositories.open(&known.repository).await.map_err(refused)?;
        let bytes_max = SAVED_PACK_BYTES_MAX.min(repository.pack_bytes_max());
        let target = Target { repository: &repository, commit: &commit, sender: Sender::Peer, bytes_max };
        incoming::take(&self.partials, &whole, target, &mut pieces_of(frames)).await?;
        let began = self.handle.read(|core: &Core, _| {
            let attempt = core.state.attempt(&lease.key)?;
            Some((attempt.granted.start.named().cloned(), attempt.granted.base.clone()))
        });
        let (start, base) = began.ok_or_else(|| status_of(ErrorCode::Stale, format!("there is no attempt {}", lease.key)))?;
        report::comes_of_its_start(&repository, &lease.key, start.as_ref(), &base, &commit).await.map_err(|error| match error {
            ReportError::Unbelievable(why) => status_of(ErrorCode::InvalidInput, why),
            ReportError::Driver(error) => status(&error),
            ReportError::Repository(error) => repository_status(&error),
        })?;
        // It may have ended while this came: what was saved of it has been let go of, or a newer attempt has begun with it.
        must_be_live(&lease::known(&self.leases, &worker, Some((&lease).into()))?.1)?;
        // The log names only what is here.
        repository.keep_saved(&lease.key, &commit).await.map_err(refused)?;
        let reply = v1::PutPackReply { commit: commit.to_string() };
        let saved = Saved { commit, done: header.done.into_iter().map(TaskId::new).collect() };
        self.handle.command(Command::WorkSaved { worker, lease, saved }).await.map_err(|error| status(&error))?;
        Ok(Response::new(reply))
    }

    /// How much of a large pack has come so far.
    pub(super) async fn received(
        &self,
        worker: &WorkerId,
        asked: v1::PackReceivedRequest,
    ) -> Result<Response<v1::PackReceivedReply>, Status> {
        let (lease, _) = lease::known(&self.leases, worker, asked.lease)?;
        let bytes = incoming::received(&self.partials, &name_of(worker, &lease, &asked.digest)).await?;
        Ok(Response::new(v1::PackReceivedReply { bytes }))
    }
}

/// Refuses what comes for an attempt that is over.
fn must_be_live(known: &KnownLease) -> Result<(), Status> {
    if known.live { Ok(()) } else { Err(status_of(ErrorCode::Stale, "the attempt is over")) }
}

/// What a header says of the pack that follows it.
fn whole(worker: &WorkerId, lease: &LeaseRef, header: &v1::PutPackHeader, claim: Claim) -> Whole {
    let v1::PutPackHeader { digest, bytes, offset, .. } = header;
    Whole { name: name_of(worker, lease, digest), digest: digest.clone(), bytes: *bytes, offset: *offset, claim }
}

fn name_of(worker: &WorkerId, lease: &LeaseRef, digest: &str) -> String {
    let what = format!("{worker}\0{}\0{}\0{digest}", lease.key, lease.lease_id);
    blake3::hash(what.as_bytes()).to_hex().to_string()
}

async fn header(frames: &mut Frames) -> Result<v1::PutPackHeader, Status> {
    match frames.next().await.transpose()?.and_then(|first| first.frame) {
        Some(Frame::Header(header)) => Ok(header),
        _ => Err(status_of(ErrorCode::InvalidInput, "the first frame must be the header")),
    }
}

/// What follows the header.
fn pieces_of(frames: Frames) -> impl Stream<Item = Result<Vec<u8>, Status>> + Unpin {
    frames.map(|frame| match frame?.frame {
        Some(Frame::Chunk(chunk)) => Ok(chunk.data),
        _ => Err(status_of(ErrorCode::InvalidInput, "only chunks follow the header")),
    })
}
