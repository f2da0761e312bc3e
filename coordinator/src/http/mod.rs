//! Health and metrics over HTTP, for probes and scrapers: `/healthz`, `/readyz`, `/metrics`. Reads only; everything that changes something is gRPC's.
//! Plain on loopback; elsewhere over TLS, and figures only for who shows a viewer's certificate.

mod certificate;
mod metrics;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::request::Parts as Head;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use roundtable_runtime::identity::{PeerIdentity, PeerRole};
use roundtable_runtime::tls::{TlsError, page_peer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use certificate::Certificate;

use crate::audit;
use crate::driver::{Barred, Histogram};
use crate::parts::Parts;
use crate::serve::Running;

/// Connections at once; one more is closed at once.
const CONNECTIONS_MAX: usize = 64;
/// A request's line and headers.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// A handshake, or a request's headers, take no longer.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// A connection, which carries one request, lives no longer.
const REQUEST_WITHIN: Duration = Duration::from_secs(15);
/// The driver answers within this, or the coordinator is not ready.
const DRIVER_WITHIN: Duration = Duration::from_secs(2);

/// Where the figures are; also what their refusals are recorded as.
const METRICS: &str = "/metrics";

/// Where to listen, and with what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpOptions {
    /// Address; port 0 = any free one.
    pub listen: SocketAddr,
    /// Certificate chain, PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
}

/// Why it is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Plain text where others can listen.
    #[error(
        "--http {0} can be reached from other hosts, so it needs a certificate: give --http-cert FILE and --http-key FILE, or listen on 127.0.0.1:{port}",
        port = .0.port()
    )]
    Exposed(SocketAddr),
    /// One without the other.
    #[error("--http-cert and --http-key belong together: give both files, or neither")]
    Half,
    /// The address is not free.
    #[error("cannot listen on {address} for health and metrics: {source}; stop what listens there, or choose another with --http")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A file that cannot be read.
    #[error("{}: {source}; --http-cert and --http-key name PEM files that this user can read", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Files that are no certificate and its key.
    #[error("{} and its key cannot be used for --http: {source}", path.display())]
    Certificate {
        /// The certificate.
        path: PathBuf,
        /// Why.
        source: TlsError,
    },
}

impl HttpError {
    /// Whether the command line is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Exposed(_) | Self::Half)
    }
}

/// Listening, but not answering yet: who comes early waits until the coordinator serves.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    files: Option<(PathBuf, PathBuf)>,
}

/// Listens, if what was asked for may be.
pub async fn bind(options: HttpOptions) -> Result<Bound, HttpError> {
    let files = match (options.certificate, options.key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(HttpError::Half),
    };
    if files.is_none() && !options.listen.ip().to_canonical().is_loopback() {
        return Err(HttpError::Exposed(options.listen));
    }
    let refused = |source| HttpError::Listen { address: options.listen, source };
    let listener = TcpListener::bind(options.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok(Bound { listener, address, files })
}

impl Bound {
    /// Where it is, for people.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.files.is_some() { "https" } else { "http" }, self.address)
    }

    /// Answers from here on, until the coordinator stops.
    pub fn serve(self, running: &Running) -> Result<(), HttpError> {
        let parts = running.parts.clone();
        let certificate = self.files.map(|(chain, key)| Certificate::load(chain, key, Arc::clone(&parts.ca))).transpose()?;
        let page = Arc::new(Page { parts, commits: Arc::clone(&running.commits) });
        crate::tasks::spawn("http", accept(self.listener, page, certificate));
        Ok(())
    }
}

async fn accept(listener: TcpListener, page: Arc<Page>, mut certificate: Option<Certificate>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut stop = page.parts.stop.subscribe();
    loop {
        let accepted = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "a connection for health or metrics could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            debug!(%address, "refused: too many connections for health and metrics");
            continue;
        };
        let acceptor = certificate.as_mut().map(Certificate::acceptor);
        let page = Arc::clone(&page);
        tokio::spawn(async move {
            if tokio::time::timeout(REQUEST_WITHIN, connection(page, stream, address, acceptor)).await.is_err() {
                debug!(%address, "a request for health or metrics took too long");
            }
            drop(place);
        });
    }
}

async fn connection(page: Arc<Page>, stream: TcpStream, address: SocketAddr, acceptor: Option<TlsAcceptor>) {
    let Some(acceptor) = acceptor else { return talk(page, stream, Caller::Local).await };
    match tokio::time::timeout(HEADERS_WITHIN, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let caller = Caller::Remote { peer: page_peer(stream.get_ref().1), address };
            talk(page, stream, caller).await;
        }
        Ok(Err(error)) => debug!(%error, "a handshake for health or metrics failed"),
        Err(_) => debug!("a handshake for health or metrics took too long"),
    }
}

async fn talk(page: Arc<Page>, stream: impl AsyncRead + AsyncWrite + Unpin, caller: Caller) {
    let caller = Arc::new(caller);
    let service = service_fn(move |request: Request<Incoming>| {
        let (page, caller) = (Arc::clone(&page), Arc::clone(&caller));
        // Nothing here has a body that would be read.
        let (head, _) = request.into_parts();
        async move { Ok::<_, Infallible>(page.answer(&caller, &head).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .keep_alive(false)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        debug!(%error, "a request for health or metrics failed");
    }
}

/// Who asks.
enum Caller {
    /// Somebody on this host, over loopback without TLS.
    Local,
    /// Anybody over TLS.
    Remote {
        /// Who they are, if they have shown a certificate of ours.
        peer: Option<PeerIdentity>,
        /// From where.
        address: SocketAddr,
    },
}

impl Caller {
    /// Why the figures, and why something is not well, are not for them; `None` if they are. Who was revoked is nobody here too.
    fn refusal(&self, cluster: &str, barred: &Barred) -> Option<&'static str> {
        let Self::Remote { peer, .. } = self else { return None };
        match peer {
            None => Some("no certificate was shown"),
            Some(peer) if peer.cluster != cluster => Some("the certificate is of another cluster"),
            Some(peer) if barred.refuses(peer).is_some() => Some("the identity was revoked, or has ended"),
            Some(peer) if matches!(peer.role, PeerRole::Viewer | PeerRole::Operator | PeerRole::Admin) => None,
            Some(_) => Some("it takes the role viewer, operator or admin"),
        }
    }

    /// As the audit log names them.
    fn named(&self) -> audit::Caller {
        match self {
            Self::Local => audit::Caller::default(),
            Self::Remote { peer, address } => audit::Caller::at(peer.as_ref(), *address),
        }
    }
}

/// What is shown.
struct Page {
    parts: Parts,
    /// Commits of the log.
    commits: Arc<Histogram>,
}

impl Page {
    async fn answer(&self, caller: &Caller, request: &Head) -> Response<Full<Bytes>> {
        // A page in somebody's browser must not reach loopback under a name of its own.
        if matches!(caller, Caller::Local) && !request.headers.get(HOST).is_none_or(names_this_host) {
            return text(StatusCode::MISDIRECTED_REQUEST, "ask by address, or as localhost\n".to_owned());
        }
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n".to_owned());
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let refusal = caller.refusal(self.parts.ca.cluster(), &self.parts.links.barred);
        match (request.uri.path(), refusal) {
            ("/healthz", _) => said(self.health(), refusal.is_none()),
            ("/readyz", _) => said(self.readiness().await, refusal.is_none()),
            (METRICS, Some(why)) => {
                self.parts.audit.denied(&caller.named(), METRICS, why).await;
                text(StatusCode::FORBIDDEN, "figures are for viewers: show a certificate that `coordinator` has given out\n".to_owned())
            }
            (METRICS, None) => match metrics::gather(&self.parts).await {
                Ok(gauges) => text(StatusCode::OK, metrics::render(&self.parts, &self.commits, &gauges)),
                Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            },
            _ => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n".to_owned()),
        }
    }

    /// Whether the process does its work at all; a disk that refuses is no reason to start it anew.
    fn health(&self) -> Result<(), String> {
        if self.parts.links.handle.is_closed() { Err("the driver has ended".to_owned()) } else { Ok(()) }
    }

    /// Whether requests would be carried out now.
    async fn readiness(&self) -> Result<(), String> {
        if *self.parts.stop.borrow() || *self.parts.asked_to_end.borrow() {
            return Err("the coordinator is ending".to_owned());
        }
        let problems = self.parts.problems();
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        match tokio::time::timeout(DRIVER_WITHIN, self.parts.links.handle.next_batch()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("the driver has ended no batch within {} s", DRIVER_WITHIN.as_secs())),
        }
    }
}

/// `ok`, or why not as far as it is for the caller.
fn said(state: Result<(), String>, may_view: bool) -> Response<Full<Bytes>> {
    match state {
        Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
        Err(why) if may_view => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "not ready; the coordinator's log says why\n".to_owned()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Whether a `Host` header is an address or `localhost`, with or without a port.
fn names_this_host(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests;
