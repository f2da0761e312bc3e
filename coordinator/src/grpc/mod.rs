//! The services: convert, authorise, call the handle. No rule of the workflow and no git lives here.

mod admission_service;
mod authorise;
mod bounds;
mod collect;
mod control_service;
mod events;
mod fleet_service;
mod incoming;
mod lease;
mod packs;
mod recorded;
mod session;
mod watch;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use roundtable_proto::convert::status_of;
use roundtable_proto::v1;
use roundtable_proto::v1::admission_server::AdmissionServer;
use roundtable_proto::v1::control_server::ControlServer;
use roundtable_proto::v1::fleet_server::FleetServer;
use roundtable_runtime::identity::{PeerIdentity, PeerRole};
use roundtable_runtime::tls::PeerInfo;
use roundtable_shared::WorkerId;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::limits::{BULK_MESSAGE_BYTES_MAX, CONTROL_MESSAGE_BYTES_MAX};
use serde::de::DeserializeOwned;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Status};

use admission_service::AdmissionService;
pub use authorise::{Authorise, POLICY};
use collect::Turns;
use control_service::ControlService;
use fleet_service::FleetService;
use packs::Packs;
pub(crate) use session::frame;

use crate::disk::Measured;
use crate::driver::HandleError;
use crate::parts::Parts;
use crate::repository::{PackStream, Partials, RepositoryError, Sent};

/// Largest request at the door: whoever sends it has not come in yet.
const ADMISSION_REQUEST_BYTES_MAX: usize = 64 << 10;

/// Pieces of a body going out.
pub(crate) type ChunkStream = Pin<Box<dyn Stream<Item = Result<v1::Chunk, Status>> + Send>>;

/// The services over one set of parts.
pub(crate) struct Services {
    pub fleet: FleetServer<FleetService>,
    pub control: ControlServer<ControlService>,
    pub admission: AdmissionServer<AdmissionService>,
}

/// Makes them.
pub(crate) fn services(parts: &Parts) -> Services {
    let partials = Partials::new(parts.data_dir.join("incoming"), parts.limits.incoming_bytes);
    let fleet = FleetService {
        session: session::SessionParts {
            handle: parts.links.handle.clone(),
            sessions: parts.sessions.clone(),
            segments: parts.segments.clone(),
            store: parts.log.incarnation().to_string(),
        },
        handle: parts.links.handle.clone(),
        leases: parts.links.leases.clone(),
        repositories: parts.repositories.clone(),
        attachments: parts.attachments.clone(),
        packs: Packs {
            handle: parts.links.handle.clone(),
            leases: parts.links.leases.clone(),
            repositories: parts.repositories.clone(),
            partials: partials.clone(),
        },
        next_session: Arc::new(AtomicU64::new(parts.clock.wall().0)),
    };
    let control = ControlService { parts: parts.clone(), partials, turns: Turns::default(), measured: Measured::default() };
    let admission = AdmissionService { desk: parts.admissions.clone(), audit: parts.audit.clone(), clock: Arc::clone(&parts.clock) };
    let admission = AdmissionServer::new(admission)
        .max_decoding_message_size(ADMISSION_REQUEST_BYTES_MAX)
        .max_encoding_message_size(CONTROL_MESSAGE_BYTES_MAX);
    let fleet = FleetServer::new(fleet).max_decoding_message_size(BULK_MESSAGE_BYTES_MAX).max_encoding_message_size(BULK_MESSAGE_BYTES_MAX);
    let control =
        ControlServer::new(control).max_decoding_message_size(BULK_MESSAGE_BYTES_MAX).max_encoding_message_size(BULK_MESSAGE_BYTES_MAX);
    Services { fleet, control, admission }
}

/// Who calls, as its certificate says.
fn peer<T>(request: &Request<T>) -> Result<PeerIdentity, Status> {
    let identity = request.extensions().get::<PeerInfo>().and_then(|info| info.identity.clone());
    identity.ok_or_else(|| status_of(ErrorCode::NotAuthorised, "this connection has no identity"))
}

fn peer_worker<T>(request: &Request<T>) -> Result<WorkerId, Status> {
    let peer = peer(request)?;
    if peer.role == PeerRole::Worker {
        return Ok(WorkerId::new(peer.id));
    }
    Err(status_of(ErrorCode::NotAuthorised, "only workers speak here; join with `worker join`"))
}

fn status(error: &HandleError) -> Status {
    status_of(error.code(), error.to_string())
}

/// Internal text does not cross the wire; what a caller can act on does.
fn repository_status(error: &RepositoryError) -> Status {
    match error.code() {
        ErrorCode::Internal => {
            tracing::error!(%error, "a repository operation failed");
            status_of(ErrorCode::Internal, "the coordinator's repository failed; its log says why")
        }
        code => status_of(code, error.to_string()),
    }
}

fn stream_of_pack(pack: PackStream) -> ChunkStream {
    Box::pin(ReceiverStream::new(pack).map(|piece| match piece {
        Ok(data) => Ok(v1::Chunk { data: data.to_vec(), pack: String::new() }),
        Err(error) => Err(repository_status(&error)),
    }))
}

fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Status> {
    serde_json::from_str(text).map_err(|error| status_of(ErrorCode::InvalidInput, format!("the {what} cannot be read: {error}")))
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Status> {
    serde_json::to_string(value).map_err(|error| status_of(ErrorCode::Internal, error.to_string()))
}

/// The same, begun with the name by which its rest can be asked for after a cut; empty if it cannot.
fn stream_of_sent(sent: Sent) -> ChunkStream {
    if sent.name.is_empty() {
        return stream_of_pack(sent.pieces);
    }
    let name = Ok(v1::Chunk { data: Vec::new(), pack: sent.name });
    Box::pin(tokio_stream::once(name).chain(stream_of_pack(sent.pieces)))
}
