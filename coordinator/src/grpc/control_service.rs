//! The Control service: what users' commands call. Thin: convert, call the handle or the parts.

use roundtable_proto::convert::status_of;
use roundtable_proto::v1::control_server::Control;
use roundtable_proto::{PROTOCOL, v1};
use roundtable_runtime::git::Sender;
use roundtable_runtime::identity::PeerIdentity;
use roundtable_shared::CommitId;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::limits::CHUNK_BYTES_MAX;
use roundtable_shared::view::{Operation, Query, SubmitRequest};
use tokio_stream::StreamExt;
use tonic::{Request, Response, Status, Streaming};

use super::collect::Turns;
use super::incoming::{self, Target, Whole};
use super::recorded::{self, caller, record};
use super::{ChunkStream, from_json, peer, repository_status, stream_of_pack, to_json, watch};
use crate::audit::{Act, operation_words};
use crate::disk::Measured;
use crate::parts::Parts;
use crate::query;
use crate::removal;
use crate::repository::{Claim, Partials};
use crate::told::Told;

/// The service.
pub struct ControlService {
    pub(super) parts: Parts,
    pub(super) partials: Partials,
    pub(super) turns: Turns,
    pub(super) measured: Measured,
}

type FrameStream<T> = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Control for ControlService {
    type QueryStream = ChunkStream;
    type WatchStream = FrameStream<v1::WatchFrame>;
    type FetchRunStream = FrameStream<v1::FetchRunFrame>;

    async fn info(&self, request: Request<v1::InfoRequest>) -> Result<Response<v1::InfoReply>, Status> {
        let peer = peer(&request)?;
        Ok(Response::new(v1::InfoReply {
            version: crate::VERSION_LONG.to_owned(),
            protocol_min: *PROTOCOL.start(),
            protocol_max: *PROTOCOL.end(),
            pid: std::process::id(),
            data_dir: self.parts.data_dir.to_string_lossy().into_owned(),
            embedded: self.parts.embedded,
            role: peer.role.to_string(),
        }))
    }

    async fn open_repository(&self, request: Request<v1::OpenRepositoryRequest>) -> Result<Response<v1::OpenRepositoryReply>, Status> {
        let who = peer(&request)?;
        let v1::OpenRepositoryRequest { repository: key, digest } = request.into_inner();
        let repository = self.parts.repositories.open(&key).await.map_err(|error| repository_status(&error))?;
        let tips = repository.tips().await.map_err(|error| repository_status(&error))?;
        let received = if digest.is_empty() { 0 } else { incoming::received(&self.partials, &name_of(&who, &key, &digest)).await? };
        Ok(Response::new(v1::OpenRepositoryReply { tips: tips.into_iter().map(|tip| tip.to_string()).collect(), received }))
    }

    async fn put_repository_pack(
        &self,
        request: Request<Streaming<v1::PutRepositoryFrame>>,
    ) -> Result<Response<v1::PutRepositoryReply>, Status> {
        use v1::put_repository_frame::Frame;
        let (who, peer) = (caller(&request)?, peer(&request)?);
        let mut frames = request.into_inner();
        let Some(Frame::Header(header)) = frames.next().await.transpose()?.and_then(|first| first.frame) else {
            return Err(status_of(ErrorCode::InvalidInput, "the first frame must be the header"));
        };
        let did = format!("upload commit={} repository={}", header.commit, header.repository);
        let act = Act { method: recorded::UPLOAD, run: None, did };
        let commit = record(&self.parts.audit, &who, act, self.receive(&peer, header, frames)).await?;
        Ok(Response::new(v1::PutRepositoryReply { commit: commit.to_string() }))
    }

    async fn submit(&self, request: Request<Streaming<v1::SubmitFrame>>) -> Result<Response<v1::SubmitReply>, Status> {
        let who = caller(&request)?;
        let (submission, _turn) = self.turns.collect(request.into_inner(), who.name().to_owned()).await?;
        let SubmitRequest { dry_run, spec_path, base, fresh, .. } = &submission.request;
        let is_look = *dry_run;
        let did = format!("submit spec={spec_path} base={base}{}", if *fresh { " fresh" } else { "" });
        let submitter = self.parts.submitter();
        let submitted = Box::pin(async { submitter.submit(submission).await.map_err(|error| status_of(error.code(), error.to_string())) });
        let reply = if is_look {
            submitted.await?
        } else {
            record(&self.parts.audit, &who, Act { method: recorded::SUBMIT, run: None, did }, submitted).await?
        };
        Ok(Response::new(v1::SubmitReply { reply: to_json(&reply)? }))
    }

    async fn query(&self, request: Request<v1::QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        let query: Query = from_json("query", &request.into_inner().query)?;
        let told = Told::new(&self.parts.data_dir);
        let answer =
            query::answer(&self.parts.links.handle, &self.parts.repositories, &told, &self.measured, self.parts.problems(), query).await;
        let text = answer.map_err(|error| status_of(error.code(), error.to_string()))?.to_string();
        let pieces: Vec<Result<v1::Chunk, Status>> =
            text.into_bytes().chunks(CHUNK_BYTES_MAX).map(|piece| Ok(v1::Chunk { data: piece.to_vec(), pack: String::new() })).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(Box::pin(watch::start(self.parts.clone(), request.into_inner())?)))
    }

    async fn operate(&self, request: Request<v1::OperateRequest>) -> Result<Response<v1::OperateReply>, Status> {
        let who = caller(&request)?;
        let operation: Operation = from_json("operation", &request.into_inner().operation)?;
        let act = Act { method: recorded::OPERATE, run: operation.run.run.clone(), did: operation_words(&operation) };
        let by = who.name().to_owned();
        let operated = async {
            let operated = removal::operate(&self.parts, operation, by).await;
            operated.map_err(|error| status_of(error.code(), error.to_string()))
        };
        let reply = record(&self.parts.audit, &who, act, operated).await?;
        Ok(Response::new(v1::OperateReply { reply: to_json(&reply)? }))
    }

    async fn fetch_run(&self, request: Request<v1::FetchRunRequest>) -> Result<Response<Self::FetchRunStream>, Status> {
        let request = request.into_inner();
        let unit = (!request.unit.is_empty()).then_some(request.unit);
        let found = query::commits_of(&self.parts.links.handle, request.run, unit);
        let found = found.map_err(|error| status_of(error.code(), error.to_string()))?;
        let repository = self.parts.repositories.open(&found.repository).await.map_err(|error| repository_status(&error))?;
        let haves: Vec<CommitId> = request.haves.into_iter().map(CommitId::from).collect();
        let pack = repository.send(&found.commit, &haves).map_err(|error| repository_status(&error))?;
        let header = v1::FetchRunHeader { commit: found.commit.to_string(), base: found.base.to_string() };
        let header = v1::FetchRunFrame { frame: Some(v1::fetch_run_frame::Frame::Header(header)) };
        let chunks = stream_of_pack(pack)
            .map(|chunk| chunk.map(|chunk| v1::FetchRunFrame { frame: Some(v1::fetch_run_frame::Frame::Chunk(chunk)) }));
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(header)).chain(chunks))))
    }

    async fn enrol_worker(&self, request: Request<v1::EnrolWorkerRequest>) -> Result<Response<v1::EnrolWorkerReply>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let act = Act { method: recorded::ENROL_WORKER, run: None, did: format!("enrol worker={}", request.name) };
        let enrolled = async {
            let given = self.parts.admissions.enrol_own(&request.name, &request.csr_pem).await;
            given.map_err(|error| status_of(error.code(), error.to_string()))
        };
        let given = record(&self.parts.audit, &who, act, enrolled).await?;
        Ok(Response::new(v1::EnrolWorkerReply { certificate_pem: given.certificate_pem, ca_pem: given.ca_pem, worker: given.peer.id }))
    }

    async fn shutdown(&self, request: Request<v1::ShutdownRequest>) -> Result<Response<v1::ShutdownReply>, Status> {
        let who = caller(&request)?;
        let act = Act { method: recorded::SHUTDOWN, run: None, did: "end the coordinator".to_owned() };
        let asked = async {
            self.parts.asked_to_end.send_replace(true);
            Ok(v1::ShutdownReply {})
        };
        Ok(Response::new(record(&self.parts.audit, &who, act, asked).await?))
    }
}

impl ControlService {
    /// Takes what is in the pack.
    async fn receive(
        &self,
        peer: &PeerIdentity,
        header: v1::PutRepositoryHeader,
        frames: Streaming<v1::PutRepositoryFrame>,
    ) -> Result<CommitId, Status> {
        use v1::put_repository_frame::Frame;
        let refused = |error| repository_status(&error);
        let name = name_of(peer, &header.repository, &header.digest);
        let whole = Whole { name, digest: header.digest, bytes: header.bytes, offset: header.offset, claim: Claim::GivesWay };
        let commit = CommitId::from(header.commit);
        let repository = self.parts.repositories.open(&header.repository).await.map_err(refused)?;
        let target = Target { repository: &repository, commit: &commit, sender: Sender::Owner, bytes_max: repository.pack_bytes_max() };
        let mut pieces = frames.map(|frame| match frame?.frame {
            Some(Frame::Chunk(chunk)) => Ok(chunk.data),
            _ => Err(status_of(ErrorCode::InvalidInput, "only chunks follow the header")),
        });
        incoming::take(&self.partials, &whole, target, &mut pieces).await?;
        repository.keep_person(&commit).await.map_err(refused)?;
        Ok(commit)
    }
}

/// What a person's upload is kept as while it comes.
fn name_of(peer: &PeerIdentity, repository: &str, digest: &str) -> String {
    let what = format!("{}\0{}\0{repository}\0{digest}", peer.role, peer.id);
    blake3::hash(what.as_bytes()).to_hex().to_string()
}
