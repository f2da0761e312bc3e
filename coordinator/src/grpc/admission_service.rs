//! The Admission service: how peers come in and stay in. Thin: convert, call the desk.

use std::net::IpAddr;
use std::sync::Arc;

use roundtable_proto::convert::status_of;
use roundtable_proto::v1;
use roundtable_proto::v1::admission_server::Admission;
use roundtable_runtime::clock::Clock;
use roundtable_runtime::tls::PeerInfo;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::time::WallMs;
use tonic::{Request, Response, Status};

use super::{from_json, peer, to_json};
use crate::admission::{AdmissionError, Admissions, Wish};

/// The service.
pub struct AdmissionService {
    pub(super) desk: Admissions,
    pub(super) clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl Admission for AdmissionService {
    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::JoinReply>, Status> {
        let from: Option<IpAddr> = request.extensions().get::<PeerInfo>().map(|info| info.address.ip());
        let from = from.ok_or_else(|| status_of(ErrorCode::NotAuthorised, "this connection has no address"))?;
        let request = request.into_inner();
        let wish = Wish {
            token: (!request.token.is_empty()).then_some((request.token, request.secret)),
            csr_pem: request.csr_pem,
            name: request.name,
            is_exact: request.exact_name,
            now: WallMs(request.now_ms),
            is_worker: request.worker,
        };
        let given = self.desk.join(wish, from.to_canonical()).await.map_err(|error| status(&error))?;
        let (id, role) = (given.peer.id, given.peer.role.to_string());
        Ok(Response::new(v1::JoinReply { certificate_pem: given.certificate_pem, ca_pem: given.ca_pem, id, role }))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewReply>, Status> {
        let identity = peer(&request)?;
        let given = self.desk.renew(&identity, &request.into_inner().csr_pem).map_err(|error| status(&error))?;
        let now_ms = self.clock.wall().0;
        Ok(Response::new(v1::RenewReply { certificate_pem: given.certificate_pem, ca_pem: given.ca_pem, now_ms }))
    }

    async fn manage(&self, request: Request<v1::ManageRequest>) -> Result<Response<v1::ManageReply>, Status> {
        let by = peer(&request)?.id;
        let request = from_json("request", &request.into_inner().request)?;
        let reply = self.desk.manage(request, by).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::ManageReply { reply: to_json(&reply)? }))
    }
}

fn status(error: &AdmissionError) -> Status {
    status_of(error.code(), error.to_string())
}
