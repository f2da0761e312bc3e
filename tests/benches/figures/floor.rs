//! What nothing beats: so many handshakes with certificates on both sides, all begun at once, of the same library and parameters as the programs', with
//! nothing behind them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::identity::{Ca, PeerIdentity, SERVER_NAME};
use roundtable_runtime::tls::{AcceptLimits, Admission, Incoming, ServerTls, client_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_stream::StreamExt;

use crate::client::Client;

/// How long it takes all of them to shake hands once, both ends in this process.
pub async fn handshakes(ca: &Ca, clients: &[Arc<Client>]) -> anyhow::Result<Duration> {
    let tls = ServerTls::new(&ca.mint_coordinator("floor", &[], SystemClock.wall())?)?;
    let all = clients.len().max(1);
    let limits = AcceptLimits {
        connections_max: all,
        per_address_max: all,
        handshakes_max: all,
        handshakes_per_address_max: all,
        handshake_max: Duration::from_secs(300),
        ..AcceptLimits::default()
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let mut incoming = Incoming::start(listener, &tls, limits, Arc::new(|_: &PeerIdentity| Admission::Admitted));
    let server = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Some(Ok(mut connection)) = incoming.next().await {
            // A client has done its part before its certificate is looked at: it waits for this.
            if connection.write_all(b"!").await.is_ok() && connection.flush().await.is_ok() {
                open.push(connection);
            }
        }
    });
    let mut connectors = Vec::with_capacity(all);
    for client in clients {
        connectors.push(TlsConnector::from(Arc::new(client_config(&client.credentials)?)));
    }
    let name = ServerName::try_from(SERVER_NAME)?;
    let began = Instant::now();
    let mut shaking = JoinSet::new();
    for connector in connectors {
        let name = name.clone();
        shaking.spawn(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut stream = connector.connect(name, stream).await?;
            stream.read_u8().await?;
            std::io::Result::Ok(stream)
        });
    }
    let mut open = Vec::with_capacity(all);
    while let Some(shaken) = shaking.join_next().await {
        open.push(shaken??);
    }
    let took = began.elapsed();
    server.abort();
    Ok(took)
}
