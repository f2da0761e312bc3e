//! Everything of one plan: hosts in a network of their own, a coordinator behind the proxy, workers that came in by a token, a person who is logged in from
//! elsewhere. Nothing is shared between them but the network.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::daemon::Daemon;
use super::host::Host;
use super::load::{Load, Work};
use super::net::{Network, Space};
use super::plan::{On, Plan};
use super::proxy::Proxy;
use crate::harness::{Sandbox, wait_for};

/// Where the coordinator listens, and the proxy before it.
const PORT: u16 = 7420;
/// Numbers of hosts in the network.
const COORDINATOR: u8 = 1;
const PROXY: u8 = 2;
const PERSON: u8 = 3;
const SPARE: u8 = 4;
const FIRST_WORKER: u8 = 11;

/// How large a world is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Size {
    /// Worker hosts.
    pub workers: usize,
    /// Agents of each at once.
    pub slots: usize,
    /// What they do.
    pub work: Work,
}

/// A world. Dropped, nothing of it is left.
#[derive(Debug)]
pub(super) struct World {
    pub(super) load: Load,
    pub(super) coordinator: Daemon,
    pub(super) workers: Vec<Daemon>,
    pub(super) spare: Arc<Host>,
    pub(super) proxy: Proxy,
    /// Where everybody finds the coordinator.
    pub(super) url: String,
    numbers: AtomicUsize,
    _proxy_space: Space,
    _network: Network,
    pub(super) sandbox: Sandbox,
}

impl World {
    /// Makes it and waits until all are there.
    pub(super) fn new(plan: &Plan, size: &Size) -> Self {
        let sandbox = Sandbox::new();
        let network = Network::new();
        let host = |name: &str, number: u8, on: Option<On>| {
            Arc::new(Host::new(&sandbox, &network, name, number, on.is_some_and(|on| plan.fills(on))))
        };
        let proxy_space = network.host("proxy", PROXY);
        let there = SocketAddr::from((proxy_space.address, PORT));
        let (coordinator, proxy) = coordinator(host("coordinator", COORDINATOR, Some(On::Coordinator)), &proxy_space, there);
        let url = format!("https://{there}");
        let load = person(&sandbox, host("person", PERSON, None), &coordinator, &url, size.work.clone(), plan.seed);
        let worker_token = token(&coordinator, "worker", size.workers);
        let workers: Vec<Daemon> = (0..size.workers)
            .map(|at| {
                let number = FIRST_WORKER + u8::try_from(at).expect("few hosts");
                let host = host(&format!("w{at}"), number, Some(On::Worker(at)));
                let args = join(&host, &load.playbook(), &url, size.slots, &format!("w{at}"));
                Daemon::new(host, "worker", args, vec![("ROUNDTABLE_TOKEN".to_owned(), worker_token.clone())])
            })
            .collect();
        for worker in &workers {
            worker.start(Vec::new());
        }
        for worker in &workers {
            wait_for("a worker to join", || worker.said(), || worker.has_said("joined").then_some(()));
        }
        let spare = host("spare", SPARE, None);
        let numbers = AtomicUsize::new(0);
        Self { load, coordinator, workers, spare, proxy, url, numbers, _proxy_space: proxy_space, _network: network, sandbox }
    }

    /// The program something happens to.
    pub(super) fn daemon(&self, on: On) -> &Daemon {
        match on {
            On::Worker(at) => &self.workers[at % self.workers.len()],
            On::Coordinator | On::Spare => &self.coordinator,
        }
    }

    /// All programs that are kept running.
    pub(super) fn daemons(&self) -> impl Iterator<Item = &Daemon> {
        std::iter::once(&self.coordinator).chain(&self.workers)
    }

    /// A number that nobody else of this world gets.
    pub(super) fn number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// What a worker that has never been here joins with: its name, arguments and environment.
    pub(super) fn newcomer(&self) -> (String, Vec<String>, Vec<(String, String)>) {
        let name = format!("new{}", self.number());
        let args = join(&self.spare, &self.load.playbook(), &self.url, 1, &name);
        (name, args, vec![("ROUNDTABLE_TOKEN".to_owned(), token(&self.coordinator, "worker", 1))])
    }

    /// All that its programs said, for a failure's text.
    pub(super) fn said(&self) -> String {
        self.daemons().map(|daemon| format!("==== {}\n{}\n", daemon.host.name, daemon.said())).collect()
    }
}

/// The peer that a host's connections come from.
pub(super) fn peer(daemon: &Daemon) -> Option<IpAddr> {
    Some(IpAddr::from(daemon.host.space.address))
}

fn coordinator(host: Arc<Host>, before: &Space, there: SocketAddr) -> (Daemon, Proxy) {
    let here = SocketAddr::from((host.space.address, PORT));
    let args = ["serve", "--listen", &format!("0.0.0.0:{PORT}"), "--advertise", &there.to_string()].map(str::to_owned).to_vec();
    let daemon = Daemon::new(host, "coordinator", args, Vec::new());
    daemon.start(Vec::new());
    wait_for("the coordinator to be ready", || daemon.said(), || daemon.has_said("ready").then_some(()));
    let proxy = Proxy::start(Some(&before.file()), there, here);
    (daemon, proxy.unwrap_or_else(|error| panic!("no proxy on {there}: {error}")))
}

/// A join token, made on the coordinator's host; that may take until a fault there has passed.
fn token(coordinator: &Daemon, role: &str, uses: usize) -> String {
    let uses = uses.to_string();
    let mut args = vec!["token", "create", "--role", role, "--json"];
    if role == "worker" {
        args.extend(["--uses", &uses]);
    }
    let made = || Some(coordinator.host.run("coordinator", &args, &[])).filter(|made| made.code == Some(0));
    let made = wait_for("a token to be made", || coordinator.said(), made).json();
    made["token"].as_str().expect("a token").to_owned()
}

/// The arguments of a worker, whose playbook lies on its own host.
fn join(host: &Host, playbook: &Value, url: &str, slots: usize, name: &str) -> Vec<String> {
    let file = host.path("play.json");
    std::fs::write(&file, playbook.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let backend = format!("scripted:{}={slots}", file.display());
    ["join", url, "--backend", &backend, "--name", name].map(str::to_owned).to_vec()
}

fn person(sandbox: &Sandbox, host: Arc<Host>, coordinator: &Daemon, url: &str, work: Work, seed: u64) -> Load {
    let token = token(coordinator, "operator", 1);
    let login = host.run("orchctl", &["login", url, "--json"], &[("ROUNDTABLE_TOKEN".to_owned(), token)]).expect(0).json();
    let profile = login["profile"].as_str().expect("a profile").to_owned();
    Load::new(host, sandbox.repository("person/repo"), profile, work, seed)
}
