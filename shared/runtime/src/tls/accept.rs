//! The accept loop: bounded connections in all and per address, a deadline for handshakes, and the peer's identity on every connection that is let in.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use super::ServerTls;
use super::handshakes::Handshakes;
use crate::identity::{PeerIdentity, peer_identity};

/// How long a peer that is not admitted is given to take the goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Decides whether an authenticated peer is let in (revocation, for one).
pub type Admit = Arc<dyn Fn(&PeerIdentity) -> bool + Send + Sync>;

/// Bounds of the accept loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AcceptLimits {
    /// Connections at once, those shaking hands included.
    pub connections_max: usize,
    /// Of those, from one address. Loopback is exempt: a whole fleet may live on this host.
    pub per_address_max: usize,
    /// Handshakes at once. Beyond that the one that has taken longest gives way, of the address that has most.
    pub handshakes_max: usize,
    /// Of those, from one address, loopback too.
    pub handshakes_per_address_max: usize,
    /// Longest handshake.
    pub handshake_max: Duration,
}

impl Default for AcceptLimits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            per_address_max: 64,
            handshakes_max: 256,
            handshakes_per_address_max: 128,
            handshake_max: Duration::from_secs(5),
        }
    }
}

/// Who is at the other end; handlers find it in a request's extensions.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// From the certificate.
    pub identity: PeerIdentity,
    /// From the socket.
    pub address: SocketAddr,
}

/// Authenticated connections, for `serve_with_incoming_shutdown`. Dropped, the loop ends.
#[derive(Debug)]
pub struct Incoming {
    ready: mpsc::Receiver<TlsConnection>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Incoming {
    /// Starts accepting. `admit` is asked after each handshake.
    pub fn start(listener: TcpListener, tls: &ServerTls, limits: AcceptLimits, admit: Admit) -> Self {
        let (sender, ready) = mpsc::channel(64);
        let gate = Gate {
            acceptor: TlsAcceptor::from(tls.config()),
            limits,
            admit,
            connections: Arc::new(Semaphore::new(limits.connections_max)),
            handshakes: Handshakes::new(limits.handshakes_max, limits.handshakes_per_address_max),
            addresses: Arc::default(),
            sender,
        };
        Self { ready, accepting: tokio::spawn(gate.run(listener)) }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Stream for Incoming {
    type Item = io::Result<TlsConnection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(context).map(|connection| connection.map(Ok))
    }
}

struct Gate {
    acceptor: TlsAcceptor,
    limits: AcceptLimits,
    admit: Admit,
    connections: Arc<Semaphore>,
    handshakes: Handshakes,
    addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
    sender: mpsc::Sender<TlsConnection>,
}

impl Gate {
    async fn run(self, listener: TcpListener) {
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

    /// Starts a handshake, or closes the connection where a bound is reached. Waits for nobody: who is slow makes way.
    fn receive(&self, stream: TcpStream, address: SocketAddr) {
        let (handshake, made_way) = self.handshakes.begin(address.ip());
        let Ok(connection) = Arc::clone(&self.connections).try_acquire_owned() else {
            tracing::warn!(%address, "refused: too many connections");
            return;
        };
        let Some(slot) = AddressSlot::take(&self.addresses, address.ip(), self.limits.per_address_max) else {
            tracing::warn!(%address, "refused: too many connections from there");
            return;
        };
        let held = Held { _connection: connection, _slot: slot };
        let (acceptor, admit, sender, limit) =
            (self.acceptor.clone(), Arc::clone(&self.admit), self.sender.clone(), self.limits.handshake_max);
        tokio::spawn(async move {
            let shaken = tokio::select! {
                shaken = tokio::time::timeout(limit, shake_hands(&acceptor, stream, address)) => shaken,
                _ = made_way => return tracing::debug!(%address, "an unfinished handshake made way for another"),
            };
            drop(handshake);
            match shaken {
                Ok(Ok((stream, peer))) if admit(&peer.identity) => {
                    let _ = sender.send(TlsConnection { stream, peer, _held: held }).await;
                }
                Ok(Ok((stream, peer))) => {
                    tracing::warn!(%address, peer = %peer.identity, "refused: not admitted");
                    let _ = tokio::time::timeout(GOODBYE_MAX, close(stream)).await;
                }
                Ok(Err(error)) => tracing::debug!(%address, %error, "handshake failed"),
                Err(_) => tracing::debug!(%address, "handshake took too long"),
            }
        });
    }
}

async fn shake_hands(acceptor: &TlsAcceptor, stream: TcpStream, address: SocketAddr) -> io::Result<(TlsStream<TcpStream>, PeerInfo)> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate.ok_or_else(|| io::Error::new(io::ErrorKind::PermissionDenied, "no certificate"))?;
    let identity = peer_identity(certificate).map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error))?;
    Ok((stream, PeerInfo { identity, address }))
}

/// Closes in order, so that the peer can tell a refusal from a loss.
async fn close(mut stream: TlsStream<TcpStream>) -> io::Result<()> {
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

/// A connection of an authenticated peer.
#[derive(Debug)]
pub struct TlsConnection {
    stream: TlsStream<TcpStream>,
    peer: PeerInfo,
    _held: Held,
}

impl Connected for TlsConnection {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for TlsConnection {
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
