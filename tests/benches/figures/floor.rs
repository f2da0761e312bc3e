//! What nothing beats: so many handshakes with certificates on both sides, all begun at once, with nothing behind them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use roundtable_runtime::identity::Ca;
use roundtable_tests::links::bare;
use roundtable_tests::links::idle::Client;
use tokio::task::JoinSet;

/// How long it takes all of them to shake hands once, both ends in this process.
pub async fn handshakes(ca: &Ca, clients: &[Arc<Client>]) -> anyhow::Result<Duration> {
    let server = bare::Server::listen(ca, clients.len().max(1)).await?;
    let address = server.address;
    let server = tokio::spawn(server.serve());
    let connectors = clients.iter().map(|client| bare::connector(&client.credentials)).collect::<anyhow::Result<Vec<_>>>()?;
    let began = Instant::now();
    let mut shaking = JoinSet::new();
    for connector in connectors {
        shaking.spawn(async move { bare::stream(&connector, address).await });
    }
    let mut open = Vec::with_capacity(clients.len());
    while let Some(shaken) = shaking.join_next().await {
        open.push(shaken??);
    }
    let took = began.elapsed();
    server.abort();
    Ok(took)
}
