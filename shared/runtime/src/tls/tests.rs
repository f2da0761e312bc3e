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
use crate::identity::{Ca, Lifetime, PeerRole};

struct Server {
    ca: Ca,
    address: SocketAddr,
    tls: ServerTls,
    _dir: tempfile::TempDir,
}

/// An authority and a loop that answers each connection's first bytes with the peer's name.
async fn serve(limits: AcceptLimits, admit: Admit) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let ca = Ca::open_or_create(dir.path(), SystemClock.wall()).unwrap();
    let tls = ServerTls::new(&ca.mint_coordinator("c", &[], SystemClock.wall()).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut incoming = Incoming::start(listener, &tls, limits, admit);
    tokio::spawn(async move {
        while let Some(Ok(mut connection)) = incoming.next().await {
            tokio::spawn(async move {
                let peer = connection.connect_info();
                let mut buffer = [0_u8; 64];
                while connection.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let _ = connection.write_all(peer.identity.to_string().as_bytes()).await;
                }
            });
        }
    });
    Server { ca, address, tls, _dir: dir }
}

fn everyone() -> Admit {
    Arc::new(|_| true)
}

impl Server {
    fn credentials(&self, role: PeerRole, now: WallMs) -> Credentials {
        self.ca.mint_client(role, "me", now, Lifetime::CLIENT).unwrap()
    }

    async fn greet(&self, config: ClientConfig) -> std::io::Result<String> {
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tcp = TcpStream::connect(self.address).await?;
        let name = rustls::pki_types::ServerName::try_from(crate::identity::SERVER_NAME).unwrap();
        let mut stream = connector.connect(name, tcp).await?;
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

#[tokio::test]
async fn certificates_of_others_expired_early_or_of_the_wrong_kind_do_not_get_in() {
    let server = serve(AcceptLimits::default(), everyone()).await;
    let address = server.address.to_string();
    let now = SystemClock.wall();
    let other_dir = tempfile::tempdir().unwrap();
    let other = Ca::open_or_create(other_dir.path(), now).unwrap();
    let stranger = other.mint_client(PeerRole::Admin, "me", now, Lifetime::CLIENT).unwrap();
    let smuggled = Credentials { ca_pem: server.ca.certificate_pem().to_owned(), ..stranger.clone() };
    let month_ms = 30 * 86_400_000;
    let expired = server.credentials(PeerRole::Worker, WallMs(now.0 - month_ms));
    let early = server.credentials(PeerRole::Worker, WallMs(now.0 + 3_600_000));
    let coordinator = server.ca.mint_coordinator("evil", &[], now).unwrap();
    for (what, credentials) in
        [("stranger", stranger), ("smuggled", smuggled), ("expired", expired), ("early", early), ("server's", coordinator)]
    {
        let refused = probe(&address, &credentials).await;
        assert!(matches!(refused, Err(ConnectError::NotTrusted { .. })), "{what}: {refused:?}");
    }
    let anonymous = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots(&server.credentials(PeerRole::Viewer, now)).unwrap())
        .with_no_client_auth();
    assert!(server.greet(anonymous).await.is_err());
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
async fn who_is_not_admitted_is_closed() {
    let admit: Admit = Arc::new(|peer| peer.role != PeerRole::Viewer);
    let server = serve(AcceptLimits::default(), admit).await;
    let address = server.address.to_string();
    let now = SystemClock.wall();
    assert!(matches!(probe(&address, &server.credentials(PeerRole::Viewer, now)).await, Err(ConnectError::NotTrusted { .. })));
    probe(&address, &server.credentials(PeerRole::Worker, now)).await.unwrap();
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

/// Without deadlines to help: whoever shakes hands gets in however many others on this host do not.
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
    connect(&server.address.to_string(), &credentials).await.unwrap();
}
