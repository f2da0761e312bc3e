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
use roundtable_shared::view::AccessRequest;
use tonic::{Request, Response, Status};

use super::recorded::{self, caller, record};
use super::{from_json, peer, to_json};
use crate::admission::{AdmissionError, Admissions, Wish};
use crate::audit::{Act, Audit, access_words};

/// The service.
pub struct AdmissionService {
    pub(super) desk: Admissions,
    pub(super) audit: Audit,
    pub(super) clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl Admission for AdmissionService {
    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::JoinReply>, Status> {
        let from: Option<IpAddr> = request.extensions().get::<PeerInfo>().map(|info| info.address.ip());
        let from = from.ok_or_else(|| status_of(ErrorCode::NotAuthorised, "this connection has no address"))?;
        let who = caller(&request)?;
        let request = request.into_inner();
        let by = if request.token.is_empty() { "by its key".to_owned() } else { format!("by token {}", request.token) };
        let wish = Wish {
            token: (!request.token.is_empty()).then_some((request.token, request.secret)),
            csr_pem: request.csr_pem,
            name: request.name,
            is_exact: request.exact_name,
            now: WallMs(request.now_ms),
            is_worker: request.worker,
        };
        let given = match self.desk.join(wish, from.to_canonical()).await {
            Ok(given) => given,
            Err(error) => {
                // Who is told to wait was refused before.
                if error.code() == ErrorCode::NotAuthorised {
                    self.audit.denied(&who, "Admission/Join", &error.to_string()).await;
                }
                return Err(status(&error));
            }
        };
        self.audit.came_in(&who, "Admission/Join", &format!("came in as {} {by}", given.peer)).await;
        let (id, role) = (given.peer.id, given.peer.role.to_string());
        Ok(Response::new(v1::JoinReply { certificate_pem: given.certificate_pem, ca_pem: given.ca_pem, id, role }))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewReply>, Status> {
        let identity = peer(&request)?;
        let given = self.desk.renew(&identity, &request.into_inner().csr_pem).await.map_err(|error| status(&error))?;
        let now_ms = self.clock.wall().0;
        Ok(Response::new(v1::RenewReply { certificate_pem: given.certificate_pem, ca_pem: given.ca_pem, now_ms }))
    }

    async fn manage(&self, request: Request<v1::ManageRequest>) -> Result<Response<v1::ManageReply>, Status> {
        let who = caller(&request)?;
        let request: AccessRequest = from_json("request", &request.into_inner().request)?;
        let did = access_words(&request);
        let managed = async { self.desk.manage(request, who.name().to_owned()).await.map_err(|error| status(&error)) };
        let reply = match did {
            Some(did) => record(&self.audit, &who, Act { method: recorded::MANAGE, run: None, did }, managed).await?,
            None => managed.await?,
        };
        Ok(Response::new(v1::ManageReply { reply: to_json(&reply)? }))
    }
}

fn status(error: &AdmissionError) -> Status {
    status_of(error.code(), error.to_string())
}
