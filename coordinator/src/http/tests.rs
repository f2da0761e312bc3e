//! The page as probes and scrapers see it: over a socket, plain and over TLS.
#![allow(clippy::unwrap_used)]

use roundtable_core::state::{self, Access};
use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::identity::{Ca, Lifetime, SERVER_NAME};
use roundtable_runtime::tls::client_config;
use roundtable_shared::time::WallMs;
use roundtable_shared::{AccessRole, PeerName};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::serve::{self, ServeOptions};

/// A served data directory and its page.
struct Served {
    running: Running,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

async fn running(dir: &tempfile::TempDir) -> Running {
    let options = ServeOptions { embedded: false, ..ServeOptions::embedded(&dir.path().join("data"), "a test") };
    serve::start(options).await.unwrap()
}

fn plain() -> HttpOptions {
    HttpOptions { listen: ([127, 0, 0, 1], 0).into(), certificate: None, key: None }
}

async fn served() -> Served {
    let dir = tempfile::tempdir().unwrap();
    let running = running(&dir).await;
    let bound = bind(plain()).await.unwrap();
    let address = bound.address;
    bound.serve(&running).unwrap();
    Served { running, address, dir }
}

/// Sends a request as it is written; all that comes back.
async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Whoever is refused early may find the connection reset behind the answer.
    let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.expect("it is closed in time");
    String::from_utf8(answer).unwrap()
}

impl Served {
    async fn ask(&self, request: &str) -> String {
        exchange(&mut TcpStream::connect(self.address).await.unwrap(), request).await
    }

    async fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost:1\r\n\r\n")).await
    }
}

#[tokio::test]
async fn health_readiness_and_figures_are_told_on_loopback() {
    let it = served().await;
    for path in ["/healthz", "/readyz"] {
        let answer = it.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    }
    let figures = it.get("/metrics").await;
    assert!(figures.contains("content-type: text/plain; version=0.0.4"), "{figures}");
    for (name, kind, _) in metrics::FAMILIES {
        assert!(figures.contains(&format!("# TYPE {name} {kind}\n")), "{name}: {figures}");
    }
    for line in ["roundtable_units{state=\"not_started\"} 0", "roundtable_workers{status=\"busy\"} 0", "roundtable_leases 0"] {
        assert!(figures.lines().any(|each| each == line), "{line}: {figures}");
    }
    let begin = it.ask("HEAD /metrics HTTP/1.0\r\n\r\n").await;
    assert!(begin.starts_with("HTTP/1.") && begin.contains(" 200 ") && !begin.contains("# TYPE"), "{begin}");
    it.running.stop().await.unwrap();
    drop(it.dir);
}

#[tokio::test]
async fn what_is_not_asked_as_it_should_be_is_refused() {
    let it = served().await;
    let many: String = (0..=HEADERS_MAX).map(|n| format!("X-{n}: y\r\n")).collect();
    let many = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    for (request, status) in [
        ("POST /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx", " 405 "),
        ("GET /metrics HTTP/1.1\r\nHost: rebound.example.org\r\n\r\n", " 421 "),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1:7421\r\n\r\n", " 404 "),
        (many.as_str(), " 431 "),
    ] {
        let answer = it.ask(request).await;
        assert!(answer.lines().next().unwrap_or_default().contains(status), "{status}: {answer}");
    }
    // Whoever says nothing takes a place; beyond those nobody gets one, until they are free again.
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        idle.push(TcpStream::connect(it.address).await.unwrap());
    }
    let mut one_more = TcpStream::connect(it.address).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(30), one_more.read(&mut [0; 1])).await.expect("it is closed at once");
    assert!(!matches!(closed, Ok(1..)), "{closed:?}");
    drop(idle);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let mut stream = TcpStream::connect(it.address).await.unwrap();
        let mut answer = Vec::new();
        // One that finds no place may be reset while it still sends.
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: [::1]:1\r\n\r\n").await;
        let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.expect("it is closed in time");
        if answer.starts_with(b"HTTP/1.1 200 ") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "places are not given back");
    }
    it.running.stop().await.unwrap();
}

#[tokio::test]
async fn who_is_ending_is_healthy_and_not_ready() {
    let it = served().await;
    it.running.parts.asked_to_end.send_replace(true);
    assert!(it.get("/healthz").await.starts_with("HTTP/1.1 200 "));
    let answer = it.get("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("ending"), "{answer}");
    it.running.stop().await.unwrap();
}

#[test]
fn who_was_revoked_sees_no_figures() {
    let barred = Barred::default();
    let peer = |not_before_s| {
        let (cluster, id, serial) = ("c".to_owned(), "me".to_owned(), "1".to_owned());
        let peer = Some(PeerIdentity { cluster, role: PeerRole::Viewer, id, serial, not_before_s, not_after_s: i64::MAX });
        Caller::Remote { peer, address: ([10, 0, 0, 1], 1).into() }
    };
    assert_eq!(peer(9).refusal("c", &barred), None);
    assert_eq!(peer(9).refusal("other", &barred), Some("the certificate is of another cluster"));
    let mut access = Access::default();
    let entry = state::Barred { until: WallMs(10_000), by: "ada".to_owned(), reason: String::new() };
    access.barred.insert(PeerName { role: AccessRole::Viewer, id: "me".to_owned() }, entry);
    barred.publish(&access);
    assert_eq!(peer(9).refusal("c", &barred), Some("the identity was revoked, or has ended"));
    assert_eq!(peer(10).refusal("c", &barred), None, "who came in anew does");
}

/// Shows nothing.
#[derive(Debug)]
struct Nobody;

impl ResolvesClientCert for Nobody {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn off_loopback_it_takes_a_certificate_to_see_figures_and_none_to_see_health() {
    for (certificate, key) in [(None, None), (Some("a".into()), None), (None, Some("b".into()))] {
        let error = bind(HttpOptions { listen: ([0, 0, 0, 0], 0).into(), certificate, key }).await.unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("--http-key"), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let running = running(&dir).await;
    let (chain, key) = (dir.path().join("page.pem"), dir.path().join("page.key"));
    let options = || HttpOptions { certificate: Some(chain.clone()), key: Some(key.clone()), ..plain() };
    let missing = bind(options()).await.unwrap().serve(&running).unwrap_err();
    assert!(!missing.is_usage() && missing.to_string().contains("page.pem"), "{missing}");
    let now = SystemClock.wall();
    let shown = running.parts.ca.mint_coordinator("page", &[], now).unwrap();
    std::fs::write(&chain, &shown.certificate_pem).unwrap();
    std::fs::write(&key, &shown.key_pem).unwrap();
    let bound = bind(options()).await.unwrap();
    assert!(bound.url().starts_with("https://127.0.0.1:"));
    let address = bound.address;
    bound.serve(&running).unwrap();
    let config = |role: PeerRole| {
        let credentials = running.parts.ca.mint_client(role, "me", now, Lifetime::CLIENT).unwrap();
        let mut config = client_config(&credentials).unwrap();
        config.alpn_protocols.clear();
        config
    };
    let mut anonymous = config(PeerRole::Viewer);
    anonymous.client_auth_cert_resolver = Arc::new(Nobody);
    let connect = async |config: rustls::ClientConfig| {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(SERVER_NAME).unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let ask = async |config: rustls::ClientConfig, path: &str| {
        let mut stream = connect(config).await.unwrap();
        let answer = exchange(&mut stream, &format!("GET {path} HTTP/1.1\r\nHost: coordinator.example.org\r\n\r\n")).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(ask(anonymous.clone(), "/healthz").await, "200");
    assert_eq!(ask(anonymous.clone(), "/readyz").await, "200");
    assert_eq!(ask(anonymous.clone(), "/metrics").await, "403");
    assert_eq!(ask(config(PeerRole::Worker), "/metrics").await, "403", "a worker's figures are its own");
    for role in [PeerRole::Viewer, PeerRole::Operator, PeerRole::Admin] {
        assert_eq!(ask(config(role), "/metrics").await, "200");
    }
    // Each refusal is in the audit log when it is told; looks are not.
    let mut told = Vec::new();
    audit::show(&dir.path().join("data"), audit::Form::Json, false, &mut told).await.unwrap();
    let told: Vec<serde_json::Value> = serde_json::from_slice(&told).unwrap();
    let told: Vec<[&str; 4]> =
        told.iter().map(|entry| ["kind", "method", "role", "why"].map(|key| entry[key].as_str().unwrap_or_default())).collect();
    let denied = |role, why| ["denied", "/metrics", role, why];
    assert_eq!(told, [denied("", "no certificate was shown"), denied("worker", "it takes the role viewer, operator or admin")]);
    // Renewed by whoever renews it: no restart. Files that cannot be used change nothing.
    std::fs::write(&chain, "no certificate").unwrap();
    assert_eq!(ask(anonymous.clone(), "/healthz").await, "200");
    let other = Ca::open_or_create(&dir.path().join("other"), now).unwrap().mint_coordinator("page", &[], now).unwrap();
    std::fs::write(&key, &other.key_pem).unwrap();
    std::fs::write(&chain, &other.certificate_pem).unwrap();
    assert!(connect(anonymous).await.is_err(), "the new one is shown, of an authority that this client does not know");
    running.stop().await.unwrap();
}
