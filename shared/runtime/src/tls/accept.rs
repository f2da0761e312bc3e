//! The accept loop: bounded connections in all and per address, a deadline for handshakes, and the peer's identity on every connection that is let in.
//! Who may only join or renew gets a connection too, but few at once and for a few seconds; a member's lasts no longer than the certificate it has shown.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use super::ServerTls;
use super::admission::{Admission, Admit};
use super::connections::{Connections, Listed};
use super::handshakes::{Bounds, Handshakes};
use crate::addresses::source_of;
use crate::identity::{PeerIdentity, peer_identity};

/// Bytes with which a client of HTTP/2 begins.
const PREFACE_BYTES: usize = 24;

/// How long a peer that is not admitted is given to take the goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// A connection is cut so long before its certificate has ended: who calls at that moment finds none and shows a younger one, rather than be denied.
const CUT_BEFORE: Duration = Duration::from_millis(50);

/// What a peer's certificate is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It is good.
    Member,
    /// It has ended, a short while ago: it may be renewed.
    Expired,
    /// Its bearer was revoked.
    Revoked,
    /// There is none.
    Nobody,
}

/// Bounds of the accept loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AcceptLimits {
    /// Connections at once, those shaking hands included.
    pub connections_max: usize,
    /// Of those, from one address (of IPv6: one network of 64 bits). Loopback is exempt: a whole fleet may live on this host.
    pub per_address_max: usize,
    /// Handshakes at once. Who comes beyond that waits.
    pub handshakes_max: usize,
    /// Of those, from one address, loopback too.
    pub handshakes_per_address_max: usize,
    /// A handshake that has taken this long makes way for one that waits, the oldest first, of the address that has most.
    pub handshake_fair: Duration,
    /// How long a connection waits to begin its handshake.
    pub handshake_wait: Duration,
    /// Longest handshake.
    pub handshake_max: Duration,
    /// Longest wait after it for the bytes with which a client of HTTP/2 begins; from then on its keep-alive tells who is there.
    pub preface_max: Duration,
    /// Connections at once of those that are no members.
    pub guests_max: usize,
    /// How long each of those lasts.
    pub guest_max: Duration,
}

impl Default for AcceptLimits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            per_address_max: 64,
            handshakes_max: 256,
            handshakes_per_address_max: 128,
            handshake_fair: Duration::from_secs(1),
            handshake_wait: Duration::from_secs(3),
            handshake_max: Duration::from_secs(5),
            preface_max: Duration::from_secs(10),
            guests_max: 256,
            guest_max: Duration::from_secs(20),
        }
    }
}

/// Who is at the other end; handlers find it in a request's extensions.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// From the certificate, if there is one.
    pub identity: Option<PeerIdentity>,
    /// What that is worth, as of the handshake.
    pub standing: Standing,
    /// From the socket.
    pub address: SocketAddr,
}

/// Where connections come from: a socket of this host, or a network that is made up.
pub trait Listener: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin + 'static;

    /// The next connection, and whose it is.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Where it listens.
    fn address(&self) -> io::Result<SocketAddr>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = TcpListener::accept(self).await?;
        // One that is gone already fails its handshake.
        let _ = stream.set_nodelay(true);
        Ok((stream, address))
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

/// Authenticated connections, for `serve_with_incoming_shutdown`. Dropped, the loop ends.
#[derive(Debug)]
pub struct Incoming<S = TcpStream> {
    ready: mpsc::Receiver<TlsConnection<S>>,
    accepting: tokio::task::JoinHandle<()>,
    connections: Connections,
}

impl<S: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin + 'static> Incoming<S> {
    /// Starts accepting. `admit` is asked after each handshake.
    pub fn start(listener: impl Listener<Stream = S>, tls: &ServerTls, limits: AcceptLimits, admit: Admit) -> Self {
        let (sender, ready) = mpsc::channel(64);
        let connections = Connections::new(Arc::clone(&admit));
        let bounds = Bounds {
            max: limits.handshakes_max,
            per_address_max: limits.handshakes_per_address_max,
            fair: limits.handshake_fair,
            wait_max: limits.handshake_wait,
        };
        let gate = Gate {
            acceptor: TlsAcceptor::from(tls.config()),
            limits,
            admit,
            connections: Arc::new(Semaphore::new(limits.connections_max)),
            guests: Arc::new(Semaphore::new(limits.guests_max)),
            listed: connections.clone(),
            handshakes: Handshakes::new(bounds),
            addresses: Arc::default(),
            sender,
        };
        Self { ready, accepting: tokio::spawn(gate.run(listener)), connections }
    }

    /// The connections that are open.
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }
}

impl<S> Drop for Incoming<S> {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl<S> Stream for Incoming<S> {
    type Item = io::Result<TlsConnection<S>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(context).map(|connection| connection.map(Ok))
    }
}

struct Gate<S> {
    acceptor: TlsAcceptor,
    limits: AcceptLimits,
    admit: Admit,
    connections: Arc<Semaphore>,
    guests: Arc<Semaphore>,
    listed: Connections,
    handshakes: Handshakes,
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
    sender: mpsc::Sender<TlsConnection<S>>,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Gate<S> {
    async fn run(self, listener: impl Listener<Stream = S>) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => self.receive(stream, address),
                Err(error) => {
                    // Out of file descriptors, or a connection that was gone at once: the listener itself is sound.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Has a handshake begin as soon as there is room for it, or closes the connection where a bound is reached. Nobody else waits for it.
    fn receive(&self, stream: S, address: SocketAddr) {
        let Ok(connection) = Arc::clone(&self.connections).try_acquire_owned() else {
            tracing::warn!(%address, "refused: too many connections");
            return;
        };
        let source = source_of(address.ip());
        let Some(slot) = AddressSlot::take(&self.addresses, source, self.limits.per_address_max) else {
            tracing::warn!(%address, "refused: too many connections from there");
            return;
        };
        let held = Held { _connection: connection, _slot: slot };
        let (acceptor, handshakes, limit) = (self.acceptor.clone(), self.handshakes.clone(), self.limits.handshake_max);
        let desk = Desk {
            admit: Arc::clone(&self.admit),
            guests: Arc::clone(&self.guests),
            guest_max: self.limits.guest_max,
            preface_max: self.limits.preface_max,
            listed: self.listed.clone(),
            sender: self.sender.clone(),
        };
        tokio::spawn(async move {
            let Some((handshake, made_way)) = handshakes.begin(source).await else {
                return tracing::debug!(%address, "no room for another handshake came free in time");
            };
            let shaken = tokio::select! {
                shaken = tokio::time::timeout(limit, shake_hands(&acceptor, stream)) => shaken,
                _ = made_way => return tracing::debug!(%address, "an unfinished handshake made way for another"),
            };
            drop(handshake);
            match shaken {
                Ok(Ok((stream, identity))) => desk.receive(stream, identity, address, held).await,
                Ok(Err(error)) => tracing::debug!(%address, %error, "handshake failed"),
                Err(_) => tracing::debug!(%address, "handshake took too long"),
            }
        });
    }
}

async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    acceptor: &TlsAcceptor,
    stream: S,
) -> io::Result<(TlsStream<S>, Option<PeerIdentity>)> {
    let stream = acceptor.accept(stream).await?;
    let identity = match stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()) {
        Some(certificate) => Some(peer_identity(certificate).map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error))?),
        None => None,
    };
    Ok((stream, identity))
}

/// Decides what becomes of a connection whose handshake is done.
struct Desk<S> {
    admit: Admit,
    guests: Arc<Semaphore>,
    guest_max: Duration,
    preface_max: Duration,
    listed: Connections,
    sender: mpsc::Sender<TlsConnection<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Desk<S> {
    async fn receive(self, stream: TlsStream<S>, identity: Option<PeerIdentity>, address: SocketAddr, held: Held) {
        // Listed before it is judged: who is revoked in between is cut.
        let listing = identity.clone().map(|identity| self.listed.list(identity));
        let standing = match &identity {
            None => Standing::Nobody,
            Some(identity) => match (self.admit)(identity) {
                Admission::Stranger => {
                    tracing::warn!(%address, peer = %identity, "refused: not admitted");
                    let _ = tokio::time::timeout(GOODBYE_MAX, close(stream)).await;
                    return;
                }
                Admission::Revoked => Standing::Revoked,
                Admission::Admitted if identity.not_after_s < now_s() => Standing::Expired,
                Admission::Admitted => Standing::Member,
            },
        };
        let lives = match (standing, listing) {
            (Standing::Member, Some((listed, cut))) => {
                let rest = identity.as_ref().map_or(Duration::ZERO, |identity| until_end(identity.not_after_s, now()));
                Lives::UntilCut { cut, end: Box::pin(tokio::time::sleep(rest)), _listed: listed }
            }
            _ => match self.guests.try_acquire_owned() {
                Ok(guest) => Lives::Briefly { end: Box::pin(tokio::time::sleep(self.guest_max)), _guest: guest },
                // Without a goodbye: that would say that the peer has no business here, and it is only to come again.
                Err(_) => return tracing::warn!(%address, "refused: too many that want to join or renew at once"),
            },
        };
        let peer = PeerInfo { identity, standing, address };
        let preface = Some(Preface { left: PREFACE_BYTES, by: Box::pin(tokio::time::sleep(self.preface_max)) });
        let _ = self.sender.send(TlsConnection { stream, peer, lives, preface, _held: held }).await;
    }
}

fn now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

fn now_s() -> i64 {
    i64::try_from(now().as_secs()).unwrap_or(i64::MAX)
}

/// How long a connection lasts that was begun with a certificate, by the clock that this is measured with: it is made here, and whoever sets this host's clock
/// ends no connections.
fn until_end(not_after_s: i64, now: Duration) -> Duration {
    // It is good for all of its last second.
    let end = Duration::from_secs(u64::try_from(not_after_s).unwrap_or(0).saturating_add(1));
    end.saturating_sub(now).saturating_sub(CUT_BEFORE)
}

/// Closes in order, so that the peer can tell a refusal from a loss.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(mut stream: TlsStream<S>) -> io::Result<()> {
    stream.shutdown().await?;
    // What it has sent meanwhile must be read: else the kernel resets the connection, and what we said may be lost.
    let mut rest = [0_u8; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// What a connection takes from the bounds, given back when it ends.
#[derive(Debug)]
struct Held {
    _connection: OwnedSemaphorePermit,
    _slot: AddressSlot,
}

#[derive(Debug)]
struct AddressSlot {
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl AddressSlot {
    fn take(addresses: &Arc<Mutex<HashMap<IpAddr, usize>>>, address: IpAddr, max: usize) -> Option<Self> {
        let mut counts = addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= max && !address.to_canonical().is_loopback() {
            return None;
        }
        *count += 1;
        Some(Self { addresses: Arc::clone(addresses), address })
    }
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        let mut counts = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// How long a connection may live.
#[derive(Debug)]
enum Lives {
    /// A member's: until it is not one any more, or its certificate has ended.
    UntilCut { cut: oneshot::Receiver<()>, end: Pin<Box<Sleep>>, _listed: Listed },
    /// A guest's.
    Briefly { end: Pin<Box<Sleep>>, _guest: OwnedSemaphorePermit },
    /// It is over.
    Over,
}

impl Lives {
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let ended = match self {
            Self::UntilCut { cut, end, .. } => match Pin::new(cut).poll(context) {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => end.as_mut().poll(context),
            },
            Self::Briefly { end, .. } => end.as_mut().poll(context),
            Self::Over => return Poll::Ready(()),
        };
        if ended.is_ready() {
            *self = Self::Over;
        }
        ended
    }
}

/// What a client has to say before anything else, and by when.
#[derive(Debug)]
struct Preface {
    left: usize,
    by: Pin<Box<Sleep>>,
}

/// A connection with what is known of the peer.
#[derive(Debug)]
pub struct TlsConnection<S = TcpStream> {
    stream: TlsStream<S>,
    peer: PeerInfo,
    lives: Lives,
    /// Until it is there.
    preface: Option<Preface>,
    _held: Held,
}

impl<S> TlsConnection<S> {
    /// Whether it was cut. HTTP/2 always reads, so it is noticed at once.
    fn poll_cut(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.lives.poll_end(context) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection is cut")),
            Poll::Pending => Ok(()),
        }
    }

    /// Counts what has come, and ends a connection that has not even begun in time, however slowly it goes on.
    fn poll_preface(&mut self, context: &mut Context<'_>, came: usize) -> io::Result<()> {
        let Some(preface) = &mut self.preface else { return Ok(()) };
        preface.left = preface.left.saturating_sub(came);
        if preface.left == 0 {
            self.preface = None;
            return Ok(());
        }
        match preface.by.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, "the peer has not begun to speak HTTP/2")),
            Poll::Pending => Ok(()),
        }
    }
}

impl<S> Connected for TlsConnection<S> {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsConnection<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_cut(context)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.poll_preface(context, buffer.filled().len() - before)?;
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsConnection<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_cut_before_calls_are_denied_and_hardly_earlier() {
        for now in [0, 1, 400, 999, 9_000, 20_940].map(Duration::from_millis) {
            let cut = now + until_end(20, now);
            assert!((Duration::from_millis(20_900)..Duration::from_secs(21)).contains(&cut), "{now:?}: {cut:?}");
        }
        assert_eq!(until_end(20, Duration::from_secs(30)), Duration::ZERO);
    }

    #[test]
    fn slots_per_address_come_back_and_loopback_is_exempt() {
        let addresses = Arc::default();
        let far: IpAddr = [10, 0, 0, 1].into();
        let one = AddressSlot::take(&addresses, far, 1);
        assert!(one.is_some() && AddressSlot::take(&addresses, far, 1).is_none());
        assert!(AddressSlot::take(&addresses, [10, 0, 0, 2].into(), 1).is_some());
        let near: IpAddr = [127, 0, 0, 1].into();
        let many: Vec<_> = (0..3).map(|_| AddressSlot::take(&addresses, near, 1)).collect();
        assert!(many.iter().all(Option::is_some));
        drop(one);
        assert!(AddressSlot::take(&addresses, far, 1).is_some());
        drop(many);
        assert!(addresses.lock().is_ok_and(|counts| counts.is_empty()));
    }
}
