//! Bare streams with certificates on both sides, of the same library and parameters as the programs', with nothing behind them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::identity::{Ca, Credentials, PeerIdentity, SERVER_NAME};
use roundtable_runtime::tls::{AcceptLimits, Admission, Incoming, ServerTls, client_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_stream::StreamExt;

/// The end that takes them.
pub struct Server {
    /// Where, on loopback.
    pub address: SocketAddr,
    incoming: Incoming,
}

impl Server {
    /// Listens, with a certificate of that authority, for at most so many. To be called within a runtime.
    pub async fn listen(ca: &Ca, most: usize) -> anyhow::Result<Self> {
        let tls = ServerTls::new(&ca.mint_coordinator("bare", &[], SystemClock.wall())?)?;
        let limits = AcceptLimits {
            connections_max: most,
            per_address_max: most,
            handshakes_max: most,
            handshakes_per_address_max: most,
            handshake_max: Duration::from_secs(300),
            ..AcceptLimits::default()
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let incoming = Incoming::start(listener, &tls, limits, Arc::new(|_: &PeerIdentity| Admission::Admitted));
        Ok(Self { address, incoming })
    }

    /// Takes streams and keeps them open, until it is dropped.
    pub async fn serve(mut self) {
        let mut open = Vec::new();
        while let Some(Ok(mut connection)) = self.incoming.next().await {
            // A client has done its part before its certificate is looked at: it waits for this.
            if connection.write_all(b"!").await.is_ok() && connection.flush().await.is_ok() {
                open.push(connection);
            }
        }
    }
}

/// What shakes hands as a client.
pub fn connector(credentials: &Credentials) -> anyhow::Result<TlsConnector> {
    Ok(TlsConnector::from(Arc::new(client_config(credentials)?)))
}

/// One stream; it has been taken once this returns.
pub async fn stream(connector: &TlsConnector, address: SocketAddr) -> anyhow::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = connector.connect(ServerName::try_from(SERVER_NAME)?, stream).await?;
    stream.read_u8().await?;
    Ok(stream)
}
