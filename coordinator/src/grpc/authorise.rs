//! Who may call what: one table, default deny, by the certificate alone, applied before any handler; who is denied is recorded. A test checks that every
//! method of the services has its row. Who may is held to the bounds of its method (`bounds.rs`).

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};

use roundtable_proto::convert::status_of;
use roundtable_runtime::clock::Clock;
use roundtable_runtime::identity::PeerRole;
use roundtable_runtime::tls::{PeerInfo, Standing};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::time::WallMs;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

use super::bounds::{Joins, answered, deadline};
use crate::admission;
use crate::audit::{Audit, Caller};
use crate::driver::{Barred, name_of};
use PeerRole::{Admin, Operator, Viewer, Worker};

/// The only method for those who have no certificate.
const JOIN: &str = "/roundtable.v1.Admission/Join";
/// The only one for those whose certificate has ended.
const RENEW: &str = "/roundtable.v1.Admission/Renew";

/// Method and the roles that may call it. What is not here is nobody's.
pub const POLICY: &[(&str, &[PeerRole])] = &[
    // Who has a certificate has no need to; a second one for the same host is asked for without the first.
    (JOIN, &[]),
    (RENEW, &[Viewer, Operator, Admin, Worker]),
    ("/roundtable.v1.Admission/Manage", &[Admin]),
    ("/roundtable.v1.Fleet/Session", &[Worker]),
    ("/roundtable.v1.Fleet/PutEvents", &[Worker]),
    ("/roundtable.v1.Fleet/FetchPack", &[Worker]),
    ("/roundtable.v1.Fleet/FetchAttachments", &[Worker]),
    ("/roundtable.v1.Fleet/PackReceived", &[Worker]),
    ("/roundtable.v1.Fleet/PutPack", &[Worker]),
    ("/roundtable.v1.Fleet/SaveWork", &[Worker]),
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

/// What is told to those.
const ENDED: &str = "this certificate has ended; it can still be renewed, and nothing else";

/// What a method is called that is not there. Its own name is the caller's to make up: recorded one by one, such names would push what others did out of
/// the audit log, and nobody would need a certificate for that.
const UNKNOWN: &str = "a method that is not there";

fn named(method: &str) -> &'static str {
    POLICY.iter().find(|(name, _)| *name == method).map_or(UNKNOWN, |(name, _)| *name)
}

/// Why a call is denied.
type Denial = (ErrorCode, Cow<'static, str>);

/// Whether a peer may call a method now: what was right at the handshake may have ended since.
fn allowed(method: &str, peer: Option<&PeerInfo>, barred: &Barred, now: WallMs) -> Result<(), Denial> {
    let denied = |why: &'static str| Err((ErrorCode::NotAuthorised, why.into()));
    let Some(peer) = peer else { return denied("this connection has no identity") };
    let Some(identity) = peer.identity.as_ref().filter(|_| peer.standing != Standing::Nobody) else {
        return if method == JOIN { Ok(()) } else { denied("this connection has no certificate; join with a token, or log in, first") };
    };
    if let (Some(how), Some(name)) = (barred.refuses(identity), name_of(identity)) {
        let told = admission::revoked(&name, how);
        // Whoever renews can tell the two apart and come in anew; a session is over either way.
        return Err((if method == RENEW { told.code } else { ErrorCode::NotAuthorised }, told.text.into()));
    }
    let has_ended = identity.not_after_s < i64::try_from(now.0 / 1000).unwrap_or(i64::MAX);
    match peer.standing {
        Standing::Member if has_ended && method != RENEW => return denied(ENDED),
        Standing::Revoked | Standing::Nobody => return denied("it was revoked"),
        Standing::Expired if method != RENEW => return denied(ENDED),
        Standing::Expired | Standing::Member => {}
    }
    let roles = POLICY.iter().find(|(name, _)| *name == method).map(|(_, roles)| *roles);
    match roles {
        Some(roles) if roles.contains(&identity.role) => Ok(()),
        Some([]) => denied("whoever has a certificate has come in already"),
        Some(roles) => {
            let takes: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            let why = format!("{identity} may not do that: it takes the role {}", takes.join(" or "));
            Err((ErrorCode::NotAuthorised, why.into()))
        }
        None => denied("there is no such method"),
    }
}

/// Wraps the services.
#[derive(Clone)]
pub struct Authorise {
    barred: Barred,
    audit: Audit,
    clock: Arc<dyn Clock>,
    joins: Joins,
}

impl Authorise {
    /// With the list of those who are refused, and the clock that certificates are made by; denials are recorded.
    pub fn new(barred: Barred, audit: Audit, clock: Arc<dyn Clock>) -> Self {
        Self { barred, audit, clock, joins: Joins::default() }
    }
}

impl<S> Layer<S> for Authorise {
    type Service = Authorised<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let (barred, audit, clock, joins) = (self.barred.clone(), self.audit.clone(), Arc::clone(&self.clock), self.joins.clone());
        Authorised { inner, barred, audit, clock, joins }
    }
}

/// A service behind the table.
#[derive(Clone)]
pub struct Authorised<S> {
    inner: S,
    barred: Barred,
    audit: Audit,
    clock: Arc<dyn Clock>,
    joins: Joins,
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
        let peer = request.extensions().get::<PeerInfo>();
        let method = request.uri().path();
        match allowed(method, peer, &self.barred, self.clock.wall()) {
            Ok(()) => {
                let joins = peer.filter(|_| method == JOIN).map(|peer| (self.joins.clone(), peer.address.ip()));
                let within = deadline(method);
                Box::pin(answered(self.inner.call(request), within, joins))
            }
            Err((code, why)) => {
                let (caller, method) = (peer.map(Caller::of).unwrap_or_default(), named(method));
                tracing::warn!(method, who = caller.name(), %why, "denied");
                let audit = self.audit.clone();
                Box::pin(async move {
                    audit.denied(&caller, method, &why).await;
                    Ok(status_of(code, why).into_http())
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::{Path, PathBuf};

    use roundtable_core::state::{Access, Barred as Entry};
    use roundtable_runtime::identity::PeerIdentity;
    use roundtable_shared::PeerName;

    use super::*;

    /// While the certificates of these tests are good.
    const NOW: WallMs = WallMs(15_000);

    fn peer(role: PeerRole, standing: Standing) -> PeerInfo {
        let identity = PeerIdentity { cluster: "c".into(), role, id: "x".into(), serial: "1".into(), not_before_s: 10, not_after_s: 20 };
        let identity = (standing != Standing::Nobody).then_some(identity);
        PeerInfo { identity, standing, address: ([127, 0, 0, 1], 1).into() }
    }

    fn may(method: &str, role: PeerRole, standing: Standing) -> bool {
        allowed(method, Some(&peer(role, standing)), &Barred::default(), NOW).is_ok()
    }

    /// Every method of every service, from the descriptors of all files there are.
    fn methods() -> Vec<String> {
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
        let files = std::fs::read_dir(proto.join("roundtable/v1")).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|extension| extension == "proto")).collect();
        let mut methods = Vec::new();
        for file in protox::compile(files, [proto]).unwrap().file {
            for service in &file.service {
                methods.extend(service.method.iter().map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())));
            }
        }
        methods.sort_unstable();
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
        assert!(!may("/roundtable.v1.Control/Nothing", Admin, Standing::Member));
        assert!(!may("", Admin, Standing::Member));
        assert!(allowed("/roundtable.v1.Control/Query", None, &Barred::default(), NOW).is_err());
        assert!(may("/roundtable.v1.Control/Query", Admin, Standing::Member));
        let worker = peer(Worker, Standing::Member);
        let (_, refused) = allowed("/roundtable.v1.Control/Operate", Some(&worker), &Barred::default(), NOW).unwrap_err();
        assert_eq!(refused, "worker x may not do that: it takes the role operator or admin");
    }

    #[test]
    fn names_that_callers_make_up_are_all_one() {
        assert_eq!((named("/x/1"), named("/roundtable.v1.Fleet/Reports")), (UNKNOWN, UNKNOWN));
        assert_eq!(named("/roundtable.v1.Fleet/Report"), "/roundtable.v1.Fleet/Report");
    }

    #[test]
    fn who_is_no_member_joins_or_renews_and_does_nothing_else() {
        for method in methods() {
            for role in [Worker, Viewer, Operator, Admin] {
                assert_eq!(may(&method, role, Standing::Nobody), method == JOIN, "{method}");
                assert_eq!(may(&method, role, Standing::Expired), method == RENEW, "{method} {role}");
                assert!(!may(&method, role, Standing::Revoked), "{method} {role}");
            }
            assert!(!may(&method, PeerRole::Coordinator, Standing::Member), "{method}");
        }
    }

    #[test]
    fn a_certificate_that_ends_under_way_is_good_for_renewing_alone() {
        for method in methods() {
            for role in [Worker, Viewer, Operator, Admin] {
                let at = |now: WallMs| allowed(&method, Some(&peer(role, Standing::Member)), &Barred::default(), now).is_ok();
                assert_eq!(at(WallMs(20_999)), may(&method, role, Standing::Member), "{method} {role}");
                assert_eq!(at(WallMs(21_000)), method == RENEW, "{method} {role}");
            }
        }
    }

    #[test]
    fn who_is_revoked_is_refused_at_the_next_call_and_told_so() {
        let (barred, mut access) = (Barred::default(), Access::default());
        access.barred.insert(PeerName::worker("x"), Entry { until: WallMs(11_000), by: String::new(), reason: String::new() });
        barred.publish(&access);
        let denied = |method: &str, barred: &Barred| allowed(method, Some(&peer(Worker, Standing::Member)), barred, NOW).unwrap_err();
        let (code, why) = denied("/roundtable.v1.Fleet/Report", &barred);
        assert!(code == ErrorCode::NotAuthorised && why.contains("was lent"), "{why}");
        assert_eq!(denied(RENEW, &barred).0, ErrorCode::Stale, "it may come in anew");
        access.barred.insert(PeerName::worker("x"), Entry { until: WallMs(11_000), by: "ada".into(), reason: String::new() });
        barred.publish(&access);
        let (code, why) = denied(RENEW, &barred);
        assert!(code == ErrorCode::NotAuthorised && why.contains("worker x was revoked"), "{why}");
    }
}
