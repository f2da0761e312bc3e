//! A worker without agents, in this process: the real link of one, with a certificate of its own, that says hello and sends heartbeats and wants nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use roundtable_proto::v1;
use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::identity::{Ca, Credentials, IdentityError, Lifetime, PeerRole};
use roundtable_runtime::tls::connect;
use roundtable_shared::{Introduction, Lease, LeaseRef, Origin, Reconciled};
use roundtable_worker::session::{Bulk, Dial, DialError, Fence, Frames, LinkEnd, keep};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// One of them.
pub struct Client {
    name: String,
    address: String,
    /// By which it comes in.
    pub credentials: Credentials,
    fence: Fence,
    /// How many of all are welcome at this moment.
    here: Arc<watch::Sender<usize>>,
}

/// So many, with certificates that the coordinator's own authority has made.
pub fn make(ca: &Ca, address: &str, count: usize) -> Result<Vec<Arc<Client>>, IdentityError> {
    let here = Arc::new(watch::channel(0).0);
    let client = |number: usize| {
        let name = format!("idle-{number}");
        let credentials = ca.mint_client(PeerRole::Worker, &name, SystemClock.wall(), Lifetime::WORKER)?;
        let (address, fence) = (address.to_owned(), Fence::new(Arc::new(SystemClock)));
        Ok(Arc::new(Client { name, address, credentials, fence, here: Arc::clone(&here) }))
    };
    (1..=count).map(client).collect()
}

impl Dial for Client {
    async fn dial(&self) -> Result<Channel, DialError> {
        connect(&self.address, &self.credentials).await.map_err(|error| DialError::Unreachable(error.to_string()))
    }
}

impl Frames for Client {
    fn introduce(&self) -> Introduction {
        Introduction {
            incarnation: 1,
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            labels: BTreeMap::new(),
            backends: Vec::new(),
            held: Vec::new(),
            repositories: Vec::new(),
            origin: Origin { workspace: self.name.clone(), life: "1".to_owned(), place: "a benchmark".to_owned() },
        }
    }

    fn welcome(&self, _worker: &str, _reconciled: Vec<Reconciled>, _bulk: Bulk, _out: mpsc::Sender<v1::WorkerFrame>) {
        self.here.send_modify(|count| *count += 1);
    }

    fn broken(&self) {
        self.here.send_modify(|count| *count = count.saturating_sub(1));
    }

    fn lease(&self, _lease: Lease) {}

    fn revoke(&self, _lease: LeaseRef, _reason: String) {}

    fn drained(&self, _is_drained: bool) {}

    fn held(&self) -> Vec<v1::HeldLease> {
        Vec::new()
    }

    fn want(&self) {}

    fn fence(&self) -> &Fence {
        &self.fence
    }

    fn store(&self) -> String {
        String::new()
    }

    async fn restored(&self, _store: &str) {}

    fn remember_store(&self, _store: &str) {}
}

/// All of them, keeping their links.
pub struct Crowd {
    clients: Vec<Arc<Client>>,
    tasks: JoinSet<()>,
    /// They go on for as long as this is there.
    stop: watch::Sender<bool>,
}

impl Crowd {
    /// Begins, all at once. To be called within a runtime.
    pub fn begin(clients: &[Arc<Client>]) -> Self {
        let mut crowd = Self { clients: clients.to_vec(), tasks: JoinSet::new(), stop: watch::channel(false).0 };
        crowd.dial();
        crowd
    }

    fn dial(&mut self) {
        for client in &self.clients {
            let (client, stop) = (Arc::clone(client), self.stop.subscribe());
            self.tasks.spawn(async move {
                // Who has never reached the coordinator gives up after a while: here it begins again.
                while let Err(LinkEnd::Unreachable(_)) = Box::pin(keep(&client, &*client, stop.clone(), None)).await {}
            });
        }
    }

    /// Cuts all links, and makes them anew.
    pub async fn come_again(&mut self) {
        self.tasks.shutdown().await;
        if let Some(client) = self.clients.first() {
            client.here.send_replace(0);
        }
        self.dial();
    }

    /// Returns once so many are welcome.
    pub async fn until(&self, wanted: impl FnMut(&usize) -> bool) {
        let Some(client) = self.clients.first() else { return };
        let mut here = client.here.subscribe();
        // The sender is the clients'.
        let _ = here.wait_for(wanted).await;
    }
}
