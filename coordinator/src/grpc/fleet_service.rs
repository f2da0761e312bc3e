//! The Fleet service: what workers call. Thin: convert, check that the lease is this worker's, call the handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use roundtable_core::command::{Command, Report};
use roundtable_core::{Reply, Verdict as Judged};
use roundtable_proto::convert::{facts_of, status_of};
use roundtable_proto::v1;
use roundtable_proto::v1::fleet_server::Fleet;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::limits::CHUNK_BYTES_MAX;
use roundtable_shared::{AttemptFacts, CommitId, LeaseRef};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::packs::Packs;
use super::session::{self, SessionParts};
use super::{events, lease, peer_worker, status, stream_of_sent};
use crate::attachments::Attachments;
use crate::driver::{Handle, KnownLease, Leases};
use crate::report::{self, ReportError};
use crate::repository::{Cut, Repositories, Repository};

/// What the service is made of.
pub struct FleetService {
    pub(super) session: SessionParts,
    pub(super) handle: Handle,
    pub(super) leases: Leases,
    pub(super) repositories: Repositories,
    pub(super) attachments: Attachments,
    pub(super) packs: Packs,
    /// Number of the next stream; a clock's milliseconds at the start, so that numbers grow across restarts.
    pub(super) next_session: Arc<AtomicU64>,
}

impl FleetService {
    /// What a lease's worktree is made of: named by the grant, or the merge that was made for it.
    async fn start_of(lease: &LeaseRef, known: KnownLease, repository: &Repository) -> Result<CommitId, Status> {
        if let Some(commit) = known.start {
            return Ok(commit);
        }
        let merged = repository.start(&lease.key).await.map_err(|error| super::repository_status(&error))?;
        merged.ok_or_else(|| status_of(ErrorCode::NotFound, format!("the start of {} is not made yet", lease.key)))
    }
}

#[tonic::async_trait]
impl Fleet for FleetService {
    type SessionStream = ReceiverStream<Result<v1::CoordinatorFrame, Status>>;
    type PutEventsStream = ReceiverStream<Result<v1::EventAck, Status>>;
    type FetchPackStream = super::ChunkStream;
    type FetchAttachmentsStream = ReceiverStream<Result<v1::Attachment, Status>>;

    async fn session(&self, request: Request<Streaming<v1::WorkerFrame>>) -> Result<Response<Self::SessionStream>, Status> {
        let worker = peer_worker(&request)?;
        let number = self.next_session.fetch_add(1, Ordering::Relaxed);
        let outgoing = session::open(self.session.clone(), worker, number, request.into_inner()).await?;
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn put_events(&self, request: Request<Streaming<v1::EventChunk>>) -> Result<Response<Self::PutEventsStream>, Status> {
        let worker = peer_worker(&request)?;
        let SessionParts { handle, segments, .. } = self.session.clone();
        let acks = events::receive(segments, self.leases.clone(), Some(handle), worker, request.into_inner());
        Ok(Response::new(ReceiverStream::new(acks)))
    }

    async fn fetch_pack(&self, request: Request<v1::FetchPackRequest>) -> Result<Response<Self::FetchPackStream>, Status> {
        let worker = peer_worker(&request)?;
        let request = request.into_inner();
        let (lease, known) = lease::known(&self.leases, &worker, request.lease)?;
        let repository = self.repositories.open(&known.repository).await.map_err(|error| super::repository_status(&error))?;
        let start = Self::start_of(&lease, known, &repository).await?;
        let haves: Vec<CommitId> = request.haves.into_iter().map(CommitId::from).collect();
        let cut = (!request.pack.is_empty()).then_some(Cut { pack: request.pack, offset: request.offset });
        let sent = repository.send_kept(&start, &haves, cut).await.map_err(|error| super::repository_status(&error))?;
        Ok(Response::new(stream_of_sent(sent)))
    }

    async fn fetch_attachments(&self, request: Request<v1::LeaseRef>) -> Result<Response<Self::FetchAttachmentsStream>, Status> {
        let worker = peer_worker(&request)?;
        let (lease, known) = lease::known(&self.leases, &worker, Some(request.into_inner()))?;
        if !known.live {
            return Err(status_of(ErrorCode::Stale, "the attempt is over"));
        }
        let files = self.attachments.read(&lease.key.run).await.map_err(|error| status_of(ErrorCode::Internal, error.to_string()))?;
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        crate::tasks::spawn("attachments", async move {
            for file in files {
                // An empty file is one empty piece.
                let mut pieces: Vec<&[u8]> = file.data.chunks(CHUNK_BYTES_MAX).collect();
                if pieces.is_empty() {
                    pieces.push(&[]);
                }
                for piece in pieces {
                    let piece = v1::Attachment { path: file.path.clone(), data: piece.to_vec(), mode: file.mode };
                    if sender.send(Ok(piece)).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn pack_received(&self, request: Request<v1::PackReceivedRequest>) -> Result<Response<v1::PackReceivedReply>, Status> {
        let worker = peer_worker(&request)?;
        self.packs.received(&worker, request.into_inner()).await
    }

    async fn put_pack(&self, request: Request<Streaming<v1::PutPackFrame>>) -> Result<Response<v1::PutPackReply>, Status> {
        let worker = peer_worker(&request)?;
        self.packs.put(worker, request.into_inner()).await
    }

    async fn save_work(&self, request: Request<Streaming<v1::PutPackFrame>>) -> Result<Response<v1::PutPackReply>, Status> {
        let worker = peer_worker(&request)?;
        self.packs.save(worker, request.into_inner()).await
    }

    async fn report(&self, request: Request<v1::OutcomeReport>) -> Result<Response<v1::Verdict>, Status> {
        let worker = peer_worker(&request)?;
        let mut outcome = request.into_inner();
        let (lease, known) = lease::known(&self.leases, &worker, outcome.lease.take())?;
        let rejected = |reason: String| Ok(Response::new(v1::Verdict { kind: v1::verdict::Kind::Rejected.into(), reason }));
        let digest = outcome.digest.clone();
        let mut facts = match facts_of(outcome) {
            Ok(facts) => AttemptFacts { usage: facts.usage.believable(), ..facts },
            Err(error) => return rejected(error.to_string()),
        };
        let said = facts.last_event_seq;
        // What the log counts must be here, and for good: `verify` holds the segments to it.
        facts.last_event_seq = events::durable_of(&self.session.segments, &lease.key, said).await?;
        let is_whole = facts.last_event_seq == said;
        let key = lease.key.clone();
        let repository = self.repositories.open(&known.repository).await.map_err(|error| super::repository_status(&error))?;
        let report: Report = match report::examine(&self.handle, &repository, worker, lease, digest, facts).await {
            Ok(report) => report,
            Err(ReportError::Unbelievable(reason)) => return rejected(reason),
            Err(ReportError::Driver(error)) => return Err(status(&error)),
            Err(ReportError::Repository(error)) => return Err(super::repository_status(&error)),
        };
        let reply = self.handle.command(Command::Report(Box::new(report))).await.map_err(|error| status(&error))?;
        let (kind, reason) = match reply {
            Reply::Verdict(Judged::Accepted) => (v1::verdict::Kind::Accepted, String::new()),
            Reply::Verdict(Judged::Stale { reason }) => (v1::verdict::Kind::Stale, reason),
            Reply::Verdict(Judged::Rejected { reason }) => (v1::verdict::Kind::Rejected, reason),
            _ => (v1::verdict::Kind::RetryLater, "the report got an answer of another kind".to_owned()),
        };
        if is_whole && kind != v1::verdict::Kind::RetryLater {
            events::end(&self.session.segments, key);
        }
        Ok(Response::new(v1::Verdict { kind: kind.into(), reason }))
    }
}
