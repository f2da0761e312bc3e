//! Both sides over loopback: who gets in, who does not, and what handlers see.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use roundtable_shared::time::WallMs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::StreamExt;
use tonic::transport::server::Connected;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::identity::{Ca, Lifetime, PeerRole, RootStep};

struct Server {
    ca: Ca,
    address: SocketAddr,
    tls: ServerTls,
    connections: Connections,
    dir: tempfile::TempDir,
}

/// An authority and a loop that answers each connection's first bytes with the peer's name.
async fn serve(limits: AcceptLimits, admit: Admit) -> Server {
    serve_of(tempfile::tempdir().unwrap(), limits, admit).await
}

/// The same with the authority that is in a folder, or is made there.
async fn serve_of(dir: tempfile::TempDir, limits: AcceptLimits, admit: Admit) -> Server {
    let ca = Ca::open_or_create(dir.path(), SystemClock.wall()).unwrap();
    let tls = ServerTls::new(&ca.mint_coordinator("c", &[], SystemClock.wall()).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut incoming = Incoming::start(listener, &tls, limits, admit);
    let connections = incoming.connections();
    tokio::spawn(async move {
        while let Some(Ok(mut connection)) = incoming.next().await {
            tokio::spawn(async move {
                let peer = connection.connect_info();
                let who = peer.identity.map_or_else(|| "nobody".to_owned(), |identity| identity.to_string());
                let who = if peer.standing == Standing::Member { who } else { format!("{who} ({:?})", peer.standing) };
                let mut buffer = [0_u8; 64];
                while connection.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let _ = connection.write_all(who.as_bytes()).await;
                }
            });
        }
    });
    Server { ca, address, tls, connections, dir }
}

fn everyone() -> Admit {
    Arc::new(|_| Admission::Admitted)
}

fn nobodys_config(server: &Server) -> ClientConfig {
    joiner_config(&[server.ca.pin().unwrap()]).unwrap()
}

impl Server {
    fn credentials(&self, role: PeerRole, now: WallMs) -> Credentials {
        self.ca.mint_client(role, "me", now, Lifetime::CLIENT).unwrap()
    }

    async fn open(&self, config: ClientConfig) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tcp = TcpStream::connect(self.address).await?;
        let name = rustls::pki_types::ServerName::try_from(crate::identity::SERVER_NAME).unwrap();
        connector.connect(name, tcp).await
    }

    async fn greet(&self, config: ClientConfig) -> std::io::Result<String> {
        let mut stream = self.open(config).await?;
        stream.write_all(b"hello").await?;
        let mut buffer = [0_u8; 64];
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut buffer)).await.unwrap()?;
        Ok(String::from_utf8_lossy(&buffer[..read]).into_owned())
    }
}

#[tokio::test]
async fn a_peer_is_who_its_certificate_says() {
    let server = serve(AcceptLimits::default(), everyone()).await;
    for role in [PeerRole::Worker, PeerRole::Operator, PeerRole::Viewer, PeerRole::Admin] {
        let config = client_config(&server.credentials(role, SystemClock.wall())).unwrap();
        assert_eq!(server.greet(config).await.unwrap(), format!("{role} me"));
    }
    server.tls.renew(&server.ca.mint_coordinator("c", &[], SystemClock.wall()).unwrap()).unwrap();
    probe(&server.address.to_string(), &server.credentials(PeerRole::Viewer, SystemClock.wall())).await.unwrap();
}

/// As earlier releases made them: a root that says that none is below it, and certificates straight from it.
fn of_the_root(dir: &std::path::Path, cluster: &str, role: PeerRole) -> Credentials {
    let file = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    let root = rcgen::Issuer::from_ca_cert_pem(&file("ca.pem"), rcgen::KeyPair::from_pem(&file("ca.key")).unwrap()).unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = rcgen::CertificateParams::default();
    let uri = rcgen::string::Ia5String::try_from(format!("spiffe://{cluster}/{role}/old")).unwrap();
    params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate_pem = params.signed_by(&key, &root).unwrap().pem();
    Credentials { ca_pem: file("ca.pem"), certificate_pem, key_pem: key.serialize_pem() }
}

#[tokio::test]
async fn a_data_directory_of_before_the_intermediate_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "roundtable 0123456789abcdef");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    for (name, text) in
        [("cluster", "0123456789abcdef".to_owned()), ("ca.pem", params.self_signed(&key).unwrap().pem()), ("ca.key", key.serialize_pem())]
    {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let server = serve_of(dir, AcceptLimits::default(), everyone()).await;
    let old = of_the_root(server.dir.path(), server.ca.cluster(), PeerRole::Worker);
    assert_eq!(server.greet(client_config(&old).unwrap()).await.unwrap(), "worker old");
    let young = server.credentials(PeerRole::Worker, SystemClock.wall());
    assert_eq!(server.greet(client_config(&young).unwrap()).await.unwrap(), "worker me");
    let address = server.address.to_string();
    connect_pinned(&address, &[server.ca.pin().unwrap()]).await.expect("a token names the root");
    assert!(server.dir.path().join(crate::identity::INTERMEDIATE_FILE).is_file());
    // What lacks the intermediate leads nowhere.
    let end = "-----END CERTIFICATE-----\n";
    let alone = young.certificate_pem.split_inclusive(end).next().unwrap().to_owned();
    let refused = probe(&address, &Credentials { certificate_pem: alone, ..young }).await;
    assert!(matches!(refused, Err(ConnectError::NotTrusted { .. })), "{refused:?}");
}

#[tokio::test]
async fn certificates_of_others_expired_early_or_of_the_wrong_kind_do_not_get_in() {
    let server = serve(AcceptLimits::default(), everyone()).await;
    let address = server.address.to_string();
    let now = SystemClock.wall();
    let other_dir = tempfile::tempdir().unwrap();
    let other = Ca::open_or_create(other_dir.path(), now).unwrap();
    let stranger = other.mint_client(PeerRole::Admin, "me", now, Lifetime::CLIENT).unwrap();
    let smuggled = Credentials { ca_pem: server.ca.certificate_pem(), ..stranger.clone() };
    let day_ms = 86_400_000;
    let expired = server.credentials(PeerRole::Worker, WallMs(now.0 - 32 * day_ms));
    let early = server.credentials(PeerRole::Worker, WallMs(now.0 + 3_600_000));
    let coordinator = server.ca.mint_coordinator("evil", &[], now).unwrap();
    for (what, credentials) in
        [("stranger", stranger), ("smuggled", smuggled), ("expired", expired), ("early", early), ("server's", coordinator)]
    {
        let refused = probe(&address, &credentials).await;
        assert!(matches!(refused, Err(ConnectError::NotTrusted { .. })), "{what}: {refused:?}");
    }
    let (chain, key) = chain_and_key(&server.credentials(PeerRole::Viewer, now)).unwrap();
    let old = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots(&server.credentials(PeerRole::Viewer, now)).unwrap())
        .with_client_auth_cert(chain, key)
        .unwrap();
    assert!(server.greet(old).await.is_err(), "TLS 1.2");
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(30), plain.read_to_end(&mut answer)).await.unwrap();
    assert!(!answer.starts_with(b"\x00\x00"), "no plaintext");
}

#[tokio::test]
async fn the_connection_that_was_tried_is_the_channels_first() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tonic::codegen::http;
    use tower::ServiceExt;
    let (dir, now) = (tempfile::tempdir().unwrap(), SystemClock.wall());
    let ca = Ca::open_or_create(dir.path(), now).unwrap();
    let tls = ServerTls::new(&ca.mint_coordinator("c", &[], now).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    let incoming = Incoming::start(listener, &tls, AcceptLimits::default(), everyone()).map(move |connection| {
        count.fetch_add(1, Ordering::SeqCst);
        connection
    });
    let routes = tonic::service::Routes::default();
    tokio::spawn(tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming));
    let channel = connect(&address, &ca.mint_client(PeerRole::Worker, "me", now, Lifetime::WORKER).unwrap()).await.unwrap();
    for _ in 0..2 {
        let asked = http::Request::post(format!("http://{address}/nobody.Here/Ask")).body(tonic::body::Body::empty()).unwrap();
        let answered = channel.clone().oneshot(asked).await.unwrap();
        assert_eq!(answered.headers().get("grpc-status").and_then(|code| code.to_str().ok()), Some("12"), "nobody serves that");
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn each_dial_shows_the_credentials_that_there_are_then() {
    use tonic::codegen::http;
    use tower::ServiceExt;
    let (dir, now) = (tempfile::tempdir().unwrap(), SystemClock.wall());
    let ca = Ca::open_or_create(dir.path(), now).unwrap();
    let tls = ServerTls::new(&ca.mint_coordinator("c", &[], now).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut incoming = Incoming::start(listener, &tls, AcceptLimits::default(), everyone());
    let minted = |id: &str| ca.mint_client(PeerRole::Operator, id, now, Lifetime::CLIENT).unwrap();
    let given = Arc::new(std::sync::Mutex::new(None));
    let gives = Arc::clone(&given);
    let source: Source = Arc::new(move || -> Asked {
        let gives: Option<Credentials> = gives.lock().unwrap().clone();
        Box::pin(async move { gives })
    });
    let channel = lazily_asking(&address, &minted("first"), source).unwrap();
    // Without an answer, what was shown last is shown once more.
    for (gives, wanted) in [(None, "first"), (Some(minted("second")), "second"), (None, "second"), (Some(minted("third")), "third")] {
        *given.lock().unwrap() = gives;
        let calls = async {
            // Each is cut as it comes in, so that the next call dials again.
            for _ in 0..10_000 {
                let asked = http::Request::post(format!("http://{address}/nobody.Here/Ask")).body(tonic::body::Body::empty()).unwrap();
                let _ = channel.clone().oneshot(asked).await;
                tokio::task::yield_now().await;
            }
        };
        let connection = tokio::select! {
            connection = incoming.next() => connection.unwrap().unwrap(),
            () = calls => panic!("nobody dials"),
        };
        assert_eq!(connection.connect_info().identity.unwrap().id, wanted);
    }
}

#[tokio::test]
async fn a_worker_cannot_pose_as_coordinator() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemClock.wall();
    let ca = Ca::open_or_create(dir.path(), now).unwrap();
    let tls = ServerTls::new(&ca.mint_client(PeerRole::Worker, "evil", now, Lifetime::WORKER).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let _incoming = Incoming::start(listener, &tls, AcceptLimits::default(), everyone());
    let refused = probe(&address, &ca.mint_client(PeerRole::Operator, "me", now, Lifetime::CLIENT).unwrap()).await;
    assert!(matches!(refused, Err(ConnectError::NotTrusted { .. })), "{refused:?}");
}

#[tokio::test]
async fn who_may_only_join_or_renew_is_told_apart_and_not_for_long() {
    let limits = AcceptLimits { guests_max: 1, guest_max: Duration::from_millis(300), ..AcceptLimits::default() };
    let admit: Admit = Arc::new(|peer| if peer.role == PeerRole::Viewer { Admission::Revoked } else { Admission::Admitted });
    let server = serve(limits, admit).await;
    let now = SystemClock.wall();
    let expired = server.credentials(PeerRole::Worker, WallMs(now.0 - 29 * 86_400_000));
    let revoked = server.credentials(PeerRole::Viewer, now);
    let wanted = ["nobody (Nobody)", "worker me (Expired)", "viewer me (Revoked)"];
    for wanted in wanted {
        let config = || match wanted.split(' ').next() {
            Some("nobody") => nobodys_config(&server),
            Some("worker") => client_config(&expired).unwrap(),
            _ => client_config(&revoked).unwrap(),
        };
        // The one before it may hold the only place for a moment.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while !server.greet(config()).await.is_ok_and(|greeting| greeting == wanted) {
            assert!(tokio::time::Instant::now() < deadline, "{wanted}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let mut held = loop {
        let mut held = server.open(nobodys_config(&server)).await.unwrap();
        held.write_all(b"hello").await.unwrap();
        let mut buffer = [0_u8; 64];
        if held.read(&mut buffer).await.is_ok_and(|read| read > 0) {
            break held;
        }
        assert!(tokio::time::Instant::now() < deadline);
    };
    let mut rest = Vec::new();
    // Ended by the server, in whatever way.
    let _ = tokio::time::timeout(Duration::from_secs(30), held.read_to_end(&mut rest)).await.expect("it is cut");
    let member = client_config(&server.credentials(PeerRole::Worker, now)).unwrap();
    assert_eq!(server.greet(member).await.unwrap(), "worker me");
}

#[tokio::test]
async fn connections_of_whom_is_not_welcome_any_more_are_cut_and_no_others() {
    let barred = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let now_barred = Arc::clone(&barred);
    let admit: Admit = Arc::new(move |peer| {
        let is_barred = peer.role == PeerRole::Worker && now_barred.load(std::sync::atomic::Ordering::SeqCst);
        if is_barred { Admission::Revoked } else { Admission::Admitted }
    });
    let server = serve(AcceptLimits::default(), admit).await;
    let now = SystemClock.wall();
    let mut streams = Vec::new();
    for role in [PeerRole::Worker, PeerRole::Operator] {
        let mut stream = server.open(client_config(&server.credentials(role, now)).unwrap()).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut buffer = [0_u8; 64];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        streams.push(stream);
    }
    assert_eq!(server.connections.recheck(), 0);
    barred.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(server.connections.recheck(), 1);
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(30), streams[0].read_to_end(&mut rest)).await.expect("it is cut");
    streams[1].write_all(b"hello").await.unwrap();
    let mut buffer = [0_u8; 64];
    assert!(streams[1].read(&mut buffer).await.unwrap() > 0, "the other goes on");
}

#[tokio::test]
async fn a_connection_ends_with_its_certificate_and_no_other_does() {
    let server = serve(AcceptLimits::default(), everyone()).await;
    let now = SystemClock.wall();
    let short = server.ca.mint_client(PeerRole::Operator, "short", now, Lifetime(time::Duration::seconds(5))).unwrap();
    let mut streams = Vec::new();
    for credentials in [short, server.credentials(PeerRole::Operator, now)] {
        let mut stream = server.open(client_config(&credentials).unwrap()).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut buffer = [0_u8; 64];
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0 && !String::from_utf8_lossy(&buffer[..read]).contains("Expired"));
        streams.push(stream);
    }
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(30), streams[0].read_to_end(&mut rest)).await.expect("it is cut");
    streams[1].write_all(b"hello").await.unwrap();
    let mut buffer = [0_u8; 64];
    assert!(streams[1].read(&mut buffer).await.unwrap() > 0, "the other goes on");
}

/// A coordinator of another authority hears nothing but a handshake that fails.
#[tokio::test]
async fn who_joins_looks_at_the_authority_before_it_speaks() {
    let server = serve(AcceptLimits::default(), everyone()).await;
    let address = server.address.to_string();
    connect_pinned(&address, &[server.ca.pin().unwrap()]).await.unwrap();
    let now = SystemClock.wall();
    let dir = tempfile::tempdir().unwrap();
    let evil = Ca::open_or_create(dir.path(), now).unwrap();
    let pins = [evil.pin().unwrap()];
    let refused = connect_pinned(&address, &pins).await;
    assert!(
        matches!(&refused, Err(error @ ConnectError::WrongAuthority { .. }) if error.to_string().contains("another authority")),
        "{refused:?}"
    );
    connect_pinned(&address, &[evil.pin().unwrap(), server.ca.pin().unwrap()]).await.expect("one of two");
    // The right authority shown behind a certificate it did not make.
    let made = evil.mint_coordinator("c", &[], now).unwrap();
    let chain = format!("{}{}", made.certificate_pem, server.ca.certificate_pem());
    server.tls.renew(&Credentials { certificate_pem: chain, ..made }).unwrap();
    assert!(matches!(connect_pinned(&address, &[server.ca.pin().unwrap()]).await, Err(ConnectError::WrongAuthority { .. })));
    // A worker's certificate is none of a coordinator's.
    let worker = server.ca.mint_client(PeerRole::Worker, "w", now, Lifetime::WORKER).unwrap();
    let chain = format!("{}{}", worker.certificate_pem, server.ca.certificate_pem());
    server.tls.renew(&Credentials { certificate_pem: chain, ..worker }).unwrap();
    assert!(matches!(connect_pinned(&address, &[server.ca.pin().unwrap()]).await, Err(ConnectError::WrongAuthority { .. })));
    // Clocks that are too far apart are named.
    let early = server.ca.mint_coordinator("c", &[], WallMs(now.0 + 600_000)).unwrap();
    server.tls.renew(&early).unwrap();
    let mine = server.ca.mint_client(PeerRole::Worker, "w", now, Lifetime::WORKER).unwrap();
    for refused in [connect_pinned(&address, &[server.ca.pin().unwrap()]).await, connect(&address, &mine).await] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, ConnectError::ClocksApart { .. }), "{refused}");
        let refused = refused.to_string();
        assert!(refused.contains("clock of this host") && refused.contains("more than 5 minutes"), "{refused}");
        assert!(!refused.contains("token") && !refused.contains("join"), "neither helps: {refused}");
    }
}

/// Roots overlap: whoever has renewed while the next one was made known goes on over the switch, and comes with a certificate of the former one; so does
/// whoever was away, because the former one vouches for the next.
#[tokio::test]
async fn a_fleet_goes_over_to_another_root() {
    let server = serve(AcceptLimits::default(), everyone()).await;
    let address = server.address.to_string();
    let now = SystemClock.wall();
    let remint = || server.tls.renew(&server.ca.mint_coordinator("c", &[], now).unwrap()).unwrap();
    let unaware = server.credentials(PeerRole::Worker, now);
    server.ca.step(RootStep::Next, now).unwrap();
    remint();
    let pins = server.ca.pins().unwrap();
    let aware = server.credentials(PeerRole::Worker, now);
    for credentials in [&unaware, &aware] {
        probe(&address, credentials).await.unwrap();
    }
    server.ca.step(RootStep::Switch { early: true }, now).unwrap();
    remint();
    probe(&address, &aware).await.unwrap();
    connect_pinned(&address, &pins).await.expect("a token made before the switch");
    connect_pinned(&address, &pins[..1]).await.expect("a pin of before the rotation");
    probe(&address, &unaware).await.expect("the root that it knows vouches for the new one");
    let young = server.credentials(PeerRole::Worker, now);
    server.ca.step(RootStep::Drop { early: true }, now).unwrap();
    remint();
    assert!(matches!(probe(&address, &unaware).await, Err(ConnectError::NotTrusted { .. })), "nobody vouches for it any more");
    assert!(matches!(probe(&address, &aware).await, Err(ConnectError::NotTrusted { .. })), "its certificate is of a root that is gone");
    probe(&address, &young).await.unwrap();
}

/// Neither who says nothing after the handshake, nor who says it one byte at a time; who has begun may be silent for as long as it likes.
#[tokio::test]
async fn who_does_not_begin_to_speak_in_time_is_cut() {
    let limits = AcceptLimits { preface_max: Duration::from_secs(1), ..AcceptLimits::default() };
    let server = serve(limits, everyone()).await;
    let open = || async {
        let member = client_config(&server.credentials(PeerRole::Worker, SystemClock.wall())).unwrap();
        server.open(member).await.unwrap()
    };
    let (mut silent, mut slow, mut speaks) = (open().await, open().await, open().await);
    speaks.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut buffer = [0_u8; 64];
    assert!(speaks.read(&mut buffer).await.unwrap() > 0);
    let ends = async |stream: &mut tokio_rustls::client::TlsStream<TcpStream>, says: &[u8]| {
        let began = tokio::time::Instant::now();
        while stream.write_all(says).await.is_ok() {
            let mut buffer = [0_u8; 64];
            let reads = async { while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
            if tokio::time::timeout(Duration::from_millis(100), reads).await.is_ok() {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "it is still there");
        }
    };
    ends(&mut silent, b"").await;
    ends(&mut slow, b"P").await;
    speaks.write_all(b"hello").await.unwrap();
    assert!(speaks.read(&mut buffer).await.unwrap() > 0, "the one that has begun is");
}

#[tokio::test]
async fn who_is_not_admitted_is_closed() {
    let admit: Admit = Arc::new(|peer| if peer.role == PeerRole::Viewer { Admission::Stranger } else { Admission::Admitted });
    let server = serve(AcceptLimits::default(), admit).await;
    let address = server.address.to_string();
    let now = SystemClock.wall();
    assert!(matches!(probe(&address, &server.credentials(PeerRole::Viewer, now)).await, Err(ConnectError::NotTrusted { .. })));
    probe(&address, &server.credentials(PeerRole::Worker, now)).await.unwrap();
}

#[tokio::test]
async fn who_may_only_renew_and_finds_no_room_is_to_come_again() {
    let server = serve(AcceptLimits { guests_max: 0, ..AcceptLimits::default() }, everyone()).await;
    let expired = server.credentials(PeerRole::Worker, WallMs(SystemClock.wall().0 - 29 * 86_400_000));
    let refused = probe(&server.address.to_string(), &expired).await;
    assert!(matches!(refused, Err(ConnectError::Unreachable { .. })), "{refused:?}");
}

#[tokio::test]
async fn idle_connections_are_ended_and_do_not_keep_others_out() {
    let limits = AcceptLimits { handshakes_max: 2, handshake_max: Duration::from_millis(200), ..AcceptLimits::default() };
    let server = serve(limits, everyone()).await;
    let mut idle = Vec::new();
    for _ in 0..8 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    let config = client_config(&server.credentials(PeerRole::Viewer, SystemClock.wall())).unwrap();
    assert_eq!(server.greet(config).await.unwrap(), "viewer me");
    for mut stream in idle {
        let mut buffer = [0_u8; 16];
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut buffer)).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)), "closed by the server");
    }
}

/// Without deadlines to help: whoever shakes hands gets in, after a moment, however many others on this host do not.
#[tokio::test]
async fn unfinished_handshakes_make_way_from_loopback_too() {
    let long = Duration::from_secs(600);
    let limits = AcceptLimits { handshakes_max: 8, handshakes_per_address_max: 4, handshake_max: long, ..AcceptLimits::default() };
    let server = serve(limits, everyone()).await;
    let mut idle = Vec::new();
    for _ in 0..32 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    let config = client_config(&server.credentials(PeerRole::Viewer, SystemClock.wall())).unwrap();
    let greeting = tokio::time::timeout(Duration::from_secs(30), server.greet(config)).await.expect("it gets in").unwrap();
    assert_eq!(greeting, "viewer me");
    // The first ones had to go.
    let mut buffer = [0_u8; 16];
    let read = tokio::time::timeout(Duration::from_secs(30), idle[0].read(&mut buffer)).await.expect("it was closed");
    assert!(matches!(read, Ok(0) | Err(_)));
}

/// A fleet after a restart: nobody's handshake is given up for another's.
#[tokio::test]
async fn many_that_come_at_once_all_get_in_at_the_first_try() {
    let long = Duration::from_secs(600);
    let limits = AcceptLimits {
        handshakes_per_address_max: 4,
        handshake_fair: long,
        handshake_wait: long,
        handshake_max: long,
        ..AcceptLimits::default()
    };
    let server = Arc::new(serve(limits, everyone()).await);
    let config = client_config(&server.credentials(PeerRole::Worker, SystemClock.wall())).unwrap();
    let mut coming = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (server, config) = (Arc::clone(&server), config.clone());
        coming.spawn(async move { server.greet(config).await });
    }
    while let Some(greeted) = coming.join_next().await {
        assert_eq!(greeted.unwrap().unwrap(), "worker me");
    }
}

#[tokio::test]
async fn connections_are_bounded_and_come_free_again() {
    let limits = AcceptLimits { connections_max: 1, ..AcceptLimits::default() };
    let server = serve(limits, everyone()).await;
    let credentials = server.credentials(PeerRole::Viewer, SystemClock.wall());
    let first = TcpStream::connect(server.address).await.unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    let mut buffer = [0_u8; 1];
    assert!(matches!(tokio::time::timeout(Duration::from_secs(30), second.read(&mut buffer)).await.unwrap(), Ok(0) | Err(_)));
    drop(first);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        match server.greet(client_config(&credentials).unwrap()).await {
            Ok(greeting) if greeting == "viewer me" => break,
            other => assert!(tokio::time::Instant::now() < deadline, "{other:?}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nobody_there_is_told_apart() {
    let server = serve(AcceptLimits::default(), everyone()).await;
    let credentials = server.credentials(PeerRole::Viewer, SystemClock.wall());
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    assert!(matches!(connect(&address, &credentials).await, Err(ConnectError::Unreachable { .. })));
    probe(&server.address.to_string(), &credentials).await.unwrap();
}
