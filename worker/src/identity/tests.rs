//! Coming in and staying in, against a desk of this test behind real TLS.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex as Lock;

use roundtable_proto::convert::status_of;
use roundtable_proto::v1::admission_server::{Admission as Service, AdmissionServer};
use roundtable_runtime::identity::{Ca, CheckedRequest, JoinToken, PeerIdentity};
use roundtable_runtime::tls::{AcceptLimits, Admission, Incoming, ServerTls};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tonic::{Request, Response, Status};

use super::*;

const HOUR_MS: u64 = 3_600_000;

/// What the desk has seen and does.
#[derive(Default)]
struct Seen {
    joins: Vec<v1::JoinRequest>,
    renewals: usize,
    /// Answers to the next joins and renewals that are lost or refused.
    refuses: Vec<ErrorCode>,
    /// How long ago certificates are made.
    ago_ms: u64,
}

struct Desk {
    ca: Arc<Ca>,
    seen: Arc<Lock<Seen>>,
}

impl Desk {
    fn certificate(&self, csr_pem: &str, id: &str) -> Result<String, Status> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = seen.refuses.pop() {
            return Err(status_of(code, "no"));
        }
        let made_at = WallMs(SystemClock.wall().0 - seen.ago_ms);
        let request = CheckedRequest::read(csr_pem).unwrap();
        Ok(self.ca.sign(&request, PeerRole::Worker, id, made_at, None).unwrap())
    }
}

#[tonic::async_trait]
impl Service for Desk {
    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::JoinReply>, Status> {
        let request = request.into_inner();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).joins.push(request.clone());
        let id = format!("{}-given", request.name);
        let certificate_pem = self.certificate(&request.csr_pem, &id)?;
        Ok(Response::new(v1::JoinReply { certificate_pem, ca_pem: self.ca.certificate_pem(), id, role: "worker".to_owned() }))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewReply>, Status> {
        let info = request.extensions().get::<roundtable_runtime::tls::PeerInfo>().unwrap().clone();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).renewals += 1;
        let certificate_pem = self.certificate(&request.into_inner().csr_pem, &info.identity.unwrap().id)?;
        let now_ms = SystemClock.wall().0;
        Ok(Response::new(v1::RenewReply { certificate_pem, ca_pem: self.ca.certificate_pem(), now_ms }))
    }

    async fn manage(&self, _request: Request<v1::ManageRequest>) -> Result<Response<v1::ManageReply>, Status> {
        Err(status_of(ErrorCode::NotAuthorised, "no"))
    }
}

struct Rig {
    ca: Arc<Ca>,
    seen: Arc<Lock<Seen>>,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Rig {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = Arc::new(Ca::open_or_create(&dir.path().join("ca"), SystemClock.wall()).unwrap());
        let tls = ServerTls::new(&ca.mint_coordinator("c", &[], SystemClock.wall()).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = Incoming::start(listener, &tls, AcceptLimits::default(), Arc::new(|_: &PeerIdentity| Admission::Admitted));
        let seen: Arc<Lock<Seen>> = Arc::default();
        let desk = Desk { ca: Arc::clone(&ca), seen: Arc::clone(&seen) };
        tokio::spawn(tonic::transport::Server::builder().add_service(AdmissionServer::new(desk)).serve_with_incoming(incoming));
        std::fs::create_dir(dir.path().join("workspace")).unwrap();
        Self { ca, seen, address, dir }
    }

    fn options(&self, entry: Option<Entry>) -> JoinOptions {
        JoinOptions {
            coordinator: Some(format!("https://{}", self.address)),
            data_dir: self.dir.path().join("data"),
            entry,
            workspace: None,
            name: None,
            labels: std::collections::BTreeMap::new(),
            backends: Vec::new(),
            host: Arc::new(crate::backend::Host::current(Default::default(), Default::default()).unwrap()),
            once: false,
            max_idle: None,
            patience: None,
            park_probe: Duration::from_secs(1),
            keep: Default::default(),
            quotas: Default::default(),
            on_partition: Default::default(),
            tmux: None,
        }
    }

    fn token(&self) -> Entry {
        Entry::Token(JoinToken::draw(vec![self.ca.pin().unwrap()]).unwrap())
    }

    async fn find(&self, entry: Option<Entry>) -> Result<Identity, JoinError> {
        Identity::find(&self.options(entry), "host-1", &self.dir.path().join("workspace")).await
    }

    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[tokio::test]
async fn what_a_token_wins_is_kept_and_goes_before_another_token() {
    let rig = Rig::new().await;
    let entry = rig.token();
    let identity = rig.find(Some(entry.clone())).await.unwrap();
    assert_eq!(identity.name, "host-1-given", "the coordinator gives the name");
    assert_eq!(identity.coordinator().await, Some(format!("https://{}", rig.address)));
    let Entry::Token(token) = entry else { panic!("a token") };
    rig.seen(|seen| {
        let asked = &seen.joins[0];
        assert_eq!((asked.token.as_str(), asked.secret.as_str(), asked.worker), (token.id.as_str(), token.secret(), true));
    });
    assert!(!rig.dir.path().join("workspace/joining.json").exists());
    // Without a token, and without an address; with another token it is asked whether the identity is still good.
    let options = JoinOptions { coordinator: None, ..rig.options(None) };
    let again = Identity::find(&options, "host-1", &rig.dir.path().join("workspace")).await.unwrap();
    assert_eq!(again.credentials().await.unwrap(), identity.credentials().await.unwrap());
    assert_eq!(rig.find(Some(rig.token())).await.unwrap().name, "host-1-given");
    assert_eq!(rig.seen(|seen| (seen.joins.len(), seen.renewals)), (1, 1));
    let elsewhere = Ca::open_or_create(&rig.dir.path().join("other"), SystemClock.wall()).unwrap();
    let entry = Entry::Token(JoinToken::draw(vec![elsewhere.pin().unwrap()]).unwrap());
    let Err(JoinError::Refused(why)) = rig.find(Some(entry)).await else { panic!("refused") };
    assert!(why.contains("another cluster") && why.contains("identity.json"), "{why}");
}

#[tokio::test]
async fn a_lost_reply_is_asked_for_again_with_the_same_key_also_by_the_next_start() {
    let rig = Rig::new().await;
    let entry = rig.token();
    rig.seen(|seen| seen.refuses = vec![ErrorCode::Internal, ErrorCode::Exhausted, ErrorCode::Unreachable]);
    assert!(matches!(rig.find(Some(entry.clone())).await, Err(JoinError::Refused(_))), "after one that was lost, and one that was put off");
    rig.find(Some(entry)).await.unwrap();
    let keys = rig.seen(|seen| {
        let key = |request: &v1::JoinRequest| CheckedRequest::read(&request.csr_pem).unwrap().fingerprint();
        seen.joins.iter().map(key).collect::<Vec<_>>()
    });
    assert!(keys.len() == 4 && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn nothing_is_said_to_another_authority() {
    let rig = Rig::new().await;
    let elsewhere = Ca::open_or_create(&rig.dir.path().join("other"), SystemClock.wall()).unwrap();
    let entry = Entry::Token(JoinToken::draw(vec![elsewhere.pin().unwrap()]).unwrap());
    let Err(JoinError::Refused(why)) = rig.find(Some(entry)).await else { panic!("refused") };
    assert!(why.contains("nothing was sent"), "{why}");
    assert_eq!(rig.seen(|seen| seen.joins.len()), 0);
    let nowhere = JoinOptions { coordinator: None, ..rig.options(Some(rig.token())) };
    assert!(matches!(Identity::find(&nowhere, "w", &rig.dir.path().join("workspace")).await, Err(JoinError::Usage(_))));
}

/// One that shows the right authority behind a certificate which that did not make. Whatever is said to it, it can read.
#[tokio::test]
async fn not_a_byte_is_said_to_who_poses_as_the_coordinator() {
    let rig = Rig::new().await;
    let evil = Ca::open_or_create(&rig.dir.path().join("evil"), SystemClock.wall()).unwrap();
    let made = evil.mint_coordinator("c", &[], SystemClock.wall()).unwrap();
    let chain = format!("{}{}{}", made.certificate_pem, rig.ca.certificate_pem(), evil.certificate_pem());
    let tls = ServerTls::new(&Credentials { certificate_pem: chain, ..made }).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let mut incoming = Incoming::start(listener, &tls, AcceptLimits::default(), Arc::new(|_: &PeerIdentity| Admission::Admitted));
    let (shaken, mut hands) = tokio::sync::watch::channel((0, Vec::new()));
    tokio::spawn(async move {
        while let Some(Ok(mut connection)) = incoming.next().await {
            shaken.send_modify(|(hands, _)| *hands += 1);
            let mut heard = Vec::new();
            let _ = connection.read_to_end(&mut heard).await;
            shaken.send_modify(|(_, all)| all.extend(heard));
        }
    });
    let options = JoinOptions { coordinator: Some(address.clone()), ..rig.options(Some(rig.token())) };
    let Err(JoinError::Refused(why)) = Identity::find(&options, "host-1", &rig.dir.path().join("workspace")).await else {
        panic!("refused")
    };
    assert!(why.contains("is not the one that is meant") && why.contains("nothing was sent"), "{why}");
    // Whoever means this one shakes hands with it: the first that does.
    let _meant = connect_pinned(&address, &[evil.pin().unwrap()]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), hands.wait_for(|(hands, _)| *hands > 0)).await.unwrap().unwrap();
    assert_eq!(*hands.borrow(), (1, Vec::<u8>::new()));
}

#[tokio::test]
async fn a_certificate_is_renewed_with_a_new_key_also_after_its_end() {
    let rig = Rig::new().await;
    for ago_hours in [15, 24 + 29 * 24] {
        rig.seen(|seen| seen.ago_ms = ago_hours * HOUR_MS);
        let _ = std::fs::remove_file(rig.dir.path().join("workspace/identity.json"));
        let identity = rig.find(Some(rig.token())).await.unwrap();
        let old = identity.kept.lock().await.credentials.clone();
        rig.seen(|seen| seen.ago_ms = 0);
        let source = identity.source();
        assert_eq!(source().await, Some(old.clone()));
        let (outlived, young) = tokio::join!(tokio::time::timeout(Duration::from_secs(20), identity.outlived()), identity.credentials());
        outlived.expect("connections made before are to be made anew");
        let young = young.unwrap();
        assert_eq!(source().await.as_ref(), Some(&young));
        assert!(young.key_pem != old.key_pem && !young.is_past_half(SystemClock.wall()).unwrap());
        assert_eq!(identity.credentials().await.unwrap(), young, "it is young");
        assert_eq!(rig.find(None).await.unwrap().credentials().await.unwrap(), young, "and kept");
    }
    assert_eq!(rig.seen(|seen| seen.renewals), 2);
}

#[tokio::test]
async fn one_that_cannot_be_renewed_now_is_used_as_long_as_it_is_good() {
    let rig = Rig::new().await;
    rig.seen(|seen| seen.ago_ms = 20 * HOUR_MS);
    let identity = rig.find(Some(rig.token())).await.unwrap();
    let old = identity.kept.lock().await.credentials.clone();
    rig.seen(|seen| seen.refuses = vec![ErrorCode::Unreachable]);
    assert_eq!(identity.credentials().await.unwrap(), old);
    let _ = std::fs::remove_file(rig.dir.path().join("workspace/identity.json"));
    rig.seen(|seen| seen.ago_ms = 30 * HOUR_MS);
    let identity = rig.find(Some(rig.token())).await.unwrap();
    rig.seen(|seen| seen.refuses = vec![ErrorCode::NotAuthorised]);
    assert!(matches!(identity.credentials().await, Err(JoinError::Refused(_))));
}

#[tokio::test]
async fn an_identity_that_was_lent_is_won_anew_and_one_that_was_revoked_is_not() {
    let rig = Rig::new().await;
    rig.find(Some(rig.token())).await.unwrap();
    rig.seen(|seen| seen.refuses = vec![ErrorCode::NotAuthorised]);
    let Err(JoinError::Refused(why)) = rig.find(Some(rig.token())).await else { panic!("refused") };
    assert!(why.contains("identity.json"), "{why}");
    rig.seen(|seen| seen.refuses = vec![ErrorCode::Stale]);
    rig.find(Some(rig.token())).await.unwrap();
    assert_eq!(rig.seen(|seen| seen.joins.len()), 2);
}

#[tokio::test]
async fn a_key_that_was_made_here_is_shown_instead_of_a_secret() {
    let rig = Rig::new().await;
    let data = rig.dir.path().join("data");
    let entry = Entry::Key(rig.ca.pin().unwrap());
    let Err(JoinError::Usage(why)) = rig.find(Some(entry.clone())).await else { panic!("there is no key") };
    assert!(why.contains("worker keygen"), "{why}");
    let fingerprint = keygen(&data).unwrap();
    assert_eq!(keygen(&data).unwrap(), fingerprint, "the same again");
    rig.find(Some(entry)).await.unwrap();
    rig.seen(|seen| {
        let asked = &seen.joins[0];
        assert!(asked.token.is_empty() && asked.secret.is_empty());
        assert_eq!(CheckedRequest::read(&asked.csr_pem).unwrap().fingerprint(), fingerprint);
    });
    // A second worker of this host is told before it is taken for the first, and has a key of its own.
    let second = rig.dir.path().join("second");
    std::fs::create_dir(&second).unwrap();
    let find = async || Identity::find(&rig.options(Some(Entry::Key(rig.ca.pin().unwrap()))), "host-2", &second).await;
    let Err(JoinError::Usage(why)) = find().await else { panic!("the key is the first one's") };
    assert!(why.contains("worker keygen --workspace") && why.contains("second"), "{why}");
    let own = keygen(&second).unwrap();
    assert_ne!(own, fingerprint);
    find().await.unwrap();
    rig.seen(|seen| assert_eq!(CheckedRequest::read(&seen.joins[1].csr_pem).unwrap().fingerprint(), own));
    // Whose workspace is gone shows it no more.
    std::fs::remove_file(rig.dir.path().join("workspace/identity.json")).unwrap();
    std::fs::remove_file(second.join("identity.json")).unwrap();
    std::fs::remove_file(second.join("worker-key.json")).unwrap();
    find().await.unwrap();
    rig.seen(|seen| assert_eq!(CheckedRequest::read(&seen.joins[2].csr_pem).unwrap().fingerprint(), fingerprint));
}

#[test]
fn a_connection_that_breaks_is_no_refusal() {
    for broke in [tonic::Status::unknown("transport error"), tonic::Status::unavailable("closed"), tonic::Status::cancelled("cut")] {
        assert!(matches!(refusal(&broke), JoinError::Unreachable(_)), "{broke:?}");
    }
    assert!(matches!(refusal(&status_of(ErrorCode::Internal, "a bug")), JoinError::Refused(_)));
    assert!(matches!(refusal(&status_of(ErrorCode::NotAuthorised, "no")), JoinError::Refused(_)));
}
