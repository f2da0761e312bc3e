//! The other end of bare streams with certificates on both sides, in a process of its own, so that its memory can be told: the floor of a session.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::identity::{Ca, PeerIdentity};
use roundtable_runtime::open_files;
use roundtable_runtime::tls::{AcceptLimits, Admission, Incoming, ServerTls};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_stream::StreamExt;

/// More than anybody asks for.
const STREAMS_MAX: usize = 100_000;

/// Takes streams until its standard input ends. Says on standard output where.
pub fn serve(ca: &Path) -> anyhow::Result<()> {
    open_files::allow_most()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let tls = ServerTls::new(&Ca::open(ca)?.mint_coordinator("bare", &[], SystemClock.wall())?)?;
        let limits = AcceptLimits {
            connections_max: STREAMS_MAX,
            per_address_max: STREAMS_MAX,
            handshakes_max: STREAMS_MAX,
            handshakes_per_address_max: STREAMS_MAX,
            handshake_max: Duration::from_secs(300),
            ..AcceptLimits::default()
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?);
        let mut incoming = Incoming::start(listener, &tls, limits, Arc::new(|_: &PeerIdentity| Admission::Admitted));
        let mut open = Vec::new();
        let take = async {
            while let Some(Ok(mut connection)) = incoming.next().await {
                // A client has done its part before its certificate is looked at: it waits for this.
                if connection.write_all(b"!").await.is_ok() && connection.flush().await.is_ok() {
                    open.push(connection);
                }
            }
        };
        let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        tokio::select! {
            () = take => {}
            _ = ended => {}
        }
        Ok(())
    })
}
