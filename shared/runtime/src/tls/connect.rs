//! Connecting to a coordinator: known by its authority, not by its address, so tunnels and port forwards work. What is called over it is the caller's.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use roundtable_shared::time::WallMs;
use rustls::CertificateError;
use rustls::pki_types::{ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::begun::Begun;
use super::{TlsError, client_config, joiner_config};
use crate::identity::{Credentials, PeerRole, Pin, SERVER_NAME, peer_identity};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Not an address.
    #[error("{address:?} is no address of a coordinator; write HOST:PORT or https://HOST:PORT")]
    BadAddress {
        /// As given.
        address: String,
    },
    /// Nobody answers there.
    #[error("no coordinator answers at {address}: {why}; is it running, and is the address right?")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// Somebody answers, but not the coordinator these credentials are for, or it refuses them.
    #[error("the coordinator at {address} and these credentials do not belong together: {why}; join or log in again")]
    NotTrusted {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// Somebody answers, but not with the authority whose digest is known. Nothing was told to it.
    #[error(
        "the coordinator at {address} is not the one that is meant: {why}; nothing was sent to it. Is the address right? If it has begun a new cluster since, \
         ask for a new token: `coordinator token create`"
    )]
    WrongAuthority {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// The clocks of both hosts are too far apart for its certificate to be believed. Nothing was told to it.
    #[error(
        "the coordinator at {address} cannot be believed yet: {why}. Nothing was sent to it, and what this host has to show stays good: try again then"
    )]
    ClocksApart {
        /// Where.
        address: String,
        /// By how much, and what to do.
        why: String,
    },
    /// The credentials are not usable.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Longest wait for TCP and TLS each.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A silent connection is probed after this.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// A probe without an answer in this ends the connection.
const KEEPALIVE_MAX: Duration = Duration::from_secs(5);

/// Longest wait for the credentials of a dial: those of the last one do while there are no younger ones.
const ASK_MAX: Duration = Duration::from_secs(10);

/// Asked for the credentials to show, at each dial: a channel may last longer than a certificate.
pub type Source = Arc<dyn Fn() -> Asked + Send + Sync>;

/// Its answer; `None`: there are none to be had now.
pub type Asked = std::pin::Pin<Box<dyn Future<Output = Option<Credentials>> + Send>>;

/// Connects once, now. The channel connects again by itself when it is used after a loss, with the same credentials.
pub async fn connect(address: &str, credentials: &Credentials) -> Result<Channel, ConnectError> {
    connect_over(tcp, address, credentials, None).await
}

/// The same for a channel that may last longer than its certificate: whenever it connects again, it shows what the source gives then.
pub async fn connect_asking(address: &str, credentials: &Credentials, source: Source) -> Result<Channel, ConnectError> {
    connect_over(tcp, address, credentials, Some(source)).await
}

/// The same over a network of the caller's, with a source or without one: `open` opens a connection to `HOST:PORT`.
pub async fn connect_over<O, F, S>(
    open: O,
    address: &str,
    credentials: &Credentials,
    source: Option<Source>,
) -> Result<Channel, ConnectError>
where
    O: Fn(String) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let authority = authority(address)?;
    let connector = TlsConnector::from(Arc::new(client_config(credentials)?));
    // A first connection of our own tells apart who does not answer and who is not trusted; the channel's errors do not. The channel goes on with it: where a
    // fleet comes back at once, each handshake counts.
    let begun = begin(&open, &connector, &authority, NOTHING).await?;
    channel(open, address, authority, Shown { connector: Mutex::new(connector), source }, Some(begun))
}

/// The same as [`connect`] without trying first, where another connection stands already. It is made when it is first used.
pub fn lazily(address: &str, credentials: &Credentials) -> Result<Channel, ConnectError> {
    lazily_over(tcp, address, credentials, None)
}

/// The same as [`connect_asking`] without trying first. The source is asked for the first connection too.
pub fn lazily_asking(address: &str, credentials: &Credentials, source: Source) -> Result<Channel, ConnectError> {
    lazily_over(tcp, address, credentials, Some(source))
}

/// The same as [`connect_over`] without trying first.
pub fn lazily_over<O, F, S>(open: O, address: &str, credentials: &Credentials, source: Option<Source>) -> Result<Channel, ConnectError>
where
    O: Fn(String) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connector = TlsConnector::from(Arc::new(client_config(credentials)?));
    channel(open, address, authority(address)?, Shown { connector: Mutex::new(connector), source }, None)
}

/// A connection over this host's network.
async fn tcp(authority: String) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects without a certificate, to the coordinator whose authority has one of these digests: that is looked at before anything is said, at each connection.
pub async fn connect_pinned(address: &str, pins: &[Pin]) -> Result<Channel, ConnectError> {
    let authority = authority(address)?;
    let connector = TlsConnector::from(Arc::new(joiner_config(pins)?));
    match dial(&tcp, &connector, &authority).await {
        Ok(_) => {}
        Err(DialError::Tcp(error)) => return Err(ConnectError::Unreachable { address: authority, why: error.to_string() }),
        Err(DialError::Tls(error)) if is_loss(&error) => {
            return Err(ConnectError::Unreachable { address: authority, why: error.to_string() });
        }
        Err(DialError::Tls(error)) => {
            return Err(mistrusted(authority, &error, |address, why| ConnectError::WrongAuthority { address, why }));
        }
    }
    channel(tcp, address, authority, Shown { connector: Mutex::new(connector), source: None }, None)
}

/// What a channel shows of itself.
struct Shown {
    /// At the last dial.
    connector: Mutex<TlsConnector>,
    /// Asked before the next.
    source: Option<Source>,
}

impl Shown {
    async fn now(&self) -> TlsConnector {
        if let Some(source) = &self.source
            && let Ok(Some(credentials)) = tokio::time::timeout(ASK_MAX, source()).await
        {
            match client_config(&credentials) {
                Ok(config) => *self.last() = TlsConnector::from(Arc::new(config)),
                Err(error) => tracing::warn!(%error, "the credentials of before are shown once more"),
            }
        }
        self.last().clone()
    }

    fn last(&self) -> std::sync::MutexGuard<'_, TlsConnector> {
        self.connector.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A channel, perhaps with a connection to begin with.
fn channel<O, F, S>(open: O, address: &str, authority: String, shown: Shown, begun: Option<Begun<S>>) -> Result<Channel, ConnectError>
where
    O: Fn(String) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let bad_address = |_| ConnectError::BadAddress { address: address.to_owned() };
    let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(bad_address)?;
    let (shown, begun) = (Arc::new(shown), Arc::new(Mutex::new(begun)));
    let dial = tower::service_fn(move |_: Uri| {
        let (open, shown, authority) = (open.clone(), Arc::clone(&shown), authority.clone());
        let begun = begun.lock().unwrap_or_else(PoisonError::into_inner).take().filter(Begun::is_fresh);
        async move {
            if let Some(begun) = begun {
                return Ok(TokioIo::new(begun));
            }
            let connector = shown.now().await;
            dial(&open, &connector, &authority).await.map(|stream| TokioIo::new(Begun::new(stream))).map_err(DialError::into_io)
        }
    });
    let endpoint = endpoint
        .connect_timeout(CONNECT_MAX * 2 + ASK_MAX)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_MAX)
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_with_connector_lazy(dial))
}

/// What a failed handshake comes of: the clocks, or what `otherwise` makes of it.
fn mistrusted(address: String, error: &io::Error, otherwise: impl FnOnce(String, String) -> ConnectError) -> ConnectError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let at = |time: &UnixTime| WallMs(time.as_secs().saturating_mul(1000)).rfc3339();
    let why = match inner {
        Some(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before })) => format!(
            "it is {} by the clock of this host, and the coordinator's certificate begins at {}: one of the two clocks is wrong by more than 5 minutes; set it",
            at(time),
            at(not_before)
        ),
        Some(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after })) => format!(
            "it is {} by the clock of this host, and the coordinator's certificate ended at {}, though it renews that in time: one of the two clocks is wrong; set it",
            at(time),
            at(not_after)
        ),
        // The library's words do not say what is wrong.
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            return otherwise(address, "its certificate is of another authority".to_owned());
        }
        _ => return otherwise(address, error.to_string()),
    };
    ConnectError::ClocksApart { address, why }
}

/// Whether this can be a coordinator's address at all.
pub fn check_address(address: &str) -> Result<(), ConnectError> {
    authority(address).map(|_| ())
}

/// Whether anybody listens there, for whoever has no credentials to be trusted with.
pub async fn reach(address: &str) -> Result<(), ConnectError> {
    let authority = authority(address)?;
    let why = match tokio::time::timeout(CONNECT_MAX, TcpStream::connect(&authority)).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => late("connecting").to_string(),
    };
    Err(ConnectError::Unreachable { address: authority, why })
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} took longer than {} s", CONNECT_MAX.as_secs()))
}

/// The client's preface of HTTP/2 and an empty SETTINGS frame.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
/// A server of HTTP/2 sends its settings without being asked.
const NOTHING: &[u8] = b"";

/// Tries whether the coordinator is there and trusts these credentials.
pub async fn probe(address: &str, credentials: &Credentials) -> Result<(), ConnectError> {
    let authority = authority(address)?;
    let connector = TlsConnector::from(Arc::new(client_config(credentials)?));
    begin(&tcp, &connector, &authority, HELLO).await.map(drop)
}

/// A connection on which the other side has spoken.
async fn begin<O, F, S>(open: &O, connector: &TlsConnector, authority: &str, hello: &[u8]) -> Result<Begun<S>, ConnectError>
where
    O: Fn(String) -> F,
    F: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let unreachable = |error: io::Error| ConnectError::Unreachable { address: authority.to_owned(), why: error.to_string() };
    let refused = |why: String| ConnectError::NotTrusted { address: authority.to_owned(), why };
    let mut stream = match dial(open, connector, authority).await {
        Ok(stream) => stream,
        Err(DialError::Tcp(error)) => return Err(unreachable(error)),
        Err(DialError::Tls(error)) if is_loss(&error) => return Err(unreachable(error)),
        Err(DialError::Tls(error)) => {
            return Err(mistrusted(authority.to_owned(), &error, |address, why| ConnectError::NotTrusted { address, why }));
        }
    };
    // In TLS 1.3 the server's refusal of our certificate comes after the handshake: its first bytes are settings or an alert.
    match tokio::time::timeout(CONNECT_MAX, first_byte(&mut stream, hello)).await {
        Ok(Ok(Some(first))) => Ok(Begun::after(first, stream)),
        Ok(Ok(None)) => Err(refused("it closed the connection".to_owned())),
        Ok(Err(error)) if is_loss(&error) => Err(unreachable(error)),
        Ok(Err(error)) => Err(refused(error.to_string())),
        Err(_) => Err(unreachable(io::Error::other("it does not speak"))),
    }
}

/// Whether the connection was lost rather than refused: a peer that hangs or is killed says nothing about our credentials; one that refuses them
/// sends an alert.
fn is_loss(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof)
}

/// Says something and waits for whatever comes back.
async fn first_byte<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut TlsStream<S>, hello: &[u8]) -> io::Result<Option<u8>> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let said = stream.write_all(hello).await;
    // Whoever refused us may have closed already; what it said is still there to read.
    let mut first = [0_u8; 1];
    match (stream.read(&mut first).await, said) {
        (Ok(read), _) => Ok((read == 1).then_some(first[0])),
        (Err(error), Ok(())) => Err(error),
        (Err(read), Err(written)) => Err(if is_loss(&read) { written } else { read }),
    }
}

enum DialError {
    Tcp(io::Error),
    Tls(io::Error),
}

impl DialError {
    fn into_io(self) -> io::Error {
        match self {
            Self::Tcp(error) | Self::Tls(error) => error,
        }
    }
}

async fn dial<O, F, S>(open: &O, connector: &TlsConnector, authority: &str) -> Result<TlsStream<S>, DialError>
where
    O: Fn(String) -> F,
    F: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let opened = tokio::time::timeout(CONNECT_MAX, open(authority.to_owned())).await;
    let opened = opened.map_err(|_| DialError::Tcp(late("connecting")))?.map_err(DialError::Tcp)?;
    let name = ServerName::try_from(SERVER_NAME).map_err(|error| DialError::Tls(io::Error::other(error)))?;
    let tls = tokio::time::timeout(CONNECT_MAX, connector.connect(name, opened)).await;
    let stream = tls.map_err(|_| DialError::Tls(late("the TLS handshake")))?.map_err(DialError::Tls)?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let is_coordinator = certificate.is_some_and(|c| peer_identity(c).is_ok_and(|identity| identity.role == PeerRole::Coordinator));
    if is_coordinator {
        Ok(stream)
    } else {
        Err(DialError::Tls(io::Error::new(io::ErrorKind::PermissionDenied, "the peer is no coordinator")))
    }
}

/// `HOST:PORT` of an address with or without `https://`.
pub fn authority(address: &str) -> Result<String, ConnectError> {
    let bad = || ConnectError::BadAddress { address: address.to_owned() };
    let rest = address.strip_prefix("https://").unwrap_or(address).trim_end_matches('/');
    if rest.contains("://") || rest.contains('/') || rest.contains('@') {
        return Err(bad());
    }
    let authority: tonic::codegen::http::uri::Authority = rest.parse().map_err(|_| bad())?;
    if authority.host().is_empty() || authority.port_u16().is_none_or(|port| port == 0) { Err(bad()) } else { Ok(authority.to_string()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_lost_connection_is_no_refusal() {
        for kind in [io::ErrorKind::TimedOut, io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof] {
            assert!(is_loss(&io::Error::from(kind)));
        }
        assert!(!is_loss(&io::Error::other("an alert")) && !is_loss(&io::Error::from(io::ErrorKind::InvalidData)));
    }

    #[test]
    fn addresses_are_host_and_port() {
        for (address, wanted) in
            [("127.0.0.1:7420", "127.0.0.1:7420"), ("https://host.example:1/", "host.example:1"), ("[::1]:7420", "[::1]:7420")]
        {
            assert_eq!(authority(address).unwrap(), wanted);
        }
        for bad in ["", "host", "http://host:1", "https://host", "host:0", "host:99999", "u@host:1", "host:1/path", "a b:1"] {
            assert!(matches!(authority(bad), Err(ConnectError::BadAddress { .. })), "{bad:?}");
        }
    }
}
