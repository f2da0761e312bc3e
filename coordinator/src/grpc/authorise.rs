//! Who may call what: one table, default deny, applied before any handler. A test checks that every method of the services has its row.

use std::task::{Context, Poll};

use roundtable_proto::convert::status_of;
use roundtable_runtime::identity::{PeerIdentity, PeerRole};
use roundtable_runtime::tls::PeerInfo;
use roundtable_shared::error::ErrorCode;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

use PeerRole::{Admin, Operator, Viewer, Worker};

/// Method and the roles that may call it.
pub const POLICY: [(&str, &[PeerRole]); 16] = [
    ("/roundtable.v1.Fleet/Session", &[Worker]),
    ("/roundtable.v1.Fleet/PutEvents", &[Worker]),
    ("/roundtable.v1.Fleet/FetchPack", &[Worker]),
    ("/roundtable.v1.Fleet/FetchAttachments", &[Worker]),
    ("/roundtable.v1.Fleet/PutPack", &[Worker]),
    ("/roundtable.v1.Fleet/Report", &[Worker]),
    ("/roundtable.v1.Control/Info", &[Viewer, Operator, Admin, Worker]),
    ("/roundtable.v1.Control/OpenRepository", &[Operator, Admin]),
    ("/roundtable.v1.Control/PutRepositoryPack", &[Operator, Admin]),
    ("/roundtable.v1.Control/Submit", &[Operator, Admin]),
    ("/roundtable.v1.Control/Query", &[Viewer, Operator, Admin]),
    ("/roundtable.v1.Control/Watch", &[Viewer, Operator, Admin]),
    ("/roundtable.v1.Control/Operate", &[Operator, Admin]),
    ("/roundtable.v1.Control/FetchRun", &[Operator, Admin]),
    ("/roundtable.v1.Control/EnrolWorker", &[Admin]),
    ("/roundtable.v1.Control/Shutdown", &[Admin]),
];

/// Whether a peer may call a method.
fn allowed(method: &str, peer: Option<&PeerIdentity>) -> Result<(), &'static str> {
    let Some(peer) = peer else { return Err("this connection has no identity") };
    let roles = POLICY.iter().find(|(name, _)| *name == method).map(|(_, roles)| *roles);
    match roles {
        Some(roles) if roles.contains(&peer.role) => Ok(()),
        Some(_) => Err("this certificate's role does not allow that"),
        None => Err("there is no such method"),
    }
}

/// Wraps the services.
#[derive(Clone, Copy, Default)]
pub struct Authorise;

impl<S> Layer<S> for Authorise {
    type Service = Authorised<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Authorised { inner }
    }
}

/// A service behind the table.
#[derive(Clone)]
pub struct Authorised<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Authorised<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let peer = request.extensions().get::<PeerInfo>().map(|info| info.identity.clone());
        let peer = peer.as_ref();
        match allowed(request.uri().path(), peer) {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(why) => {
                let who = peer.map_or("nobody", |peer| peer.id.as_str());
                tracing::warn!(method = request.uri().path(), who, why, "denied");
                let response = status_of(ErrorCode::NotAuthorised, why).into_http();
                Box::pin(std::future::ready(Ok(response)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(role: PeerRole) -> PeerIdentity {
        PeerIdentity { cluster: "c".into(), role, id: "x".into(), serial: "1".into(), not_before_s: 0 }
    }

    /// Method names out of the generated code's paths.
    fn methods() -> Vec<String> {
        let generated = include_str!("../../../proto/src/generated/roundtable.v1.rs");
        let mut methods: Vec<String> = generated
            .split('"')
            .filter(|text| text.starts_with("/roundtable.v1.") && text.matches('/').count() == 2)
            .map(str::to_owned)
            .collect();
        methods.sort_unstable();
        methods.dedup();
        methods
    }

    #[test]
    fn every_method_has_a_row_and_no_row_is_stale() {
        let mut rows: Vec<String> = POLICY.iter().map(|(name, _)| (*name).to_owned()).collect();
        rows.sort_unstable();
        assert_eq!(rows, methods());
    }

    #[test]
    fn what_is_not_in_the_table_is_denied() {
        let admin = peer(Admin);
        assert!(allowed("/roundtable.v1.Control/Nothing", Some(&admin)).is_err());
        assert!(allowed("", Some(&admin)).is_err());
        assert!(allowed("/roundtable.v1.Control/Query", None).is_err());
        assert!(allowed("/roundtable.v1.Control/Query", Some(&admin)).is_ok());
        let worker = peer(Worker);
        assert!(allowed("/roundtable.v1.Control/Operate", Some(&worker)).is_err());
    }
}
