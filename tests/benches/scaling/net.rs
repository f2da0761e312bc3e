//! Hosts as network namespaces: one for the coordinator, one for each worker. Only the network is apart; what runs in them sees the same files and processes.

use roundtable_tests::chaos::net::{Network, Space};
use roundtable_tests::harness::{Program, Sandbox, binary};

/// Where the coordinator listens; the port is its namespace's own.
pub const PORT: u16 = 7420;
/// Most worker hosts.
pub const HOSTS_MAX: usize = 64;

/// The hosts of one run; gone when this is dropped.
pub struct Net {
    coordinator: Space,
    workers: Vec<Space>,
    _network: Network,
}

impl Net {
    /// Why hosts cannot be namespaces here.
    pub fn why_not() -> Option<String> {
        Network::why_not()
    }

    /// A host for the coordinator, and so many others.
    pub fn make(hosts: usize) -> Self {
        let network = Network::new();
        let coordinator = network.host("coordinator", 1);
        let numbers = (2..).take(hosts.min(HOSTS_MAX));
        let workers = numbers.map(|number| network.host(&format!("w{number}"), number)).collect();
        Self { coordinator, workers, _network: network }
    }

    /// A program on the coordinator's host.
    pub fn on_coordinator(&self, sandbox: &Sandbox, name: &str) -> Program {
        program(sandbox, &self.coordinator, name)
    }

    /// A program on a worker's, which count from 1.
    pub fn on_host(&self, sandbox: &Sandbox, host: usize, name: &str) -> Program {
        program(sandbox, &self.workers[host - 1], name)
    }

    /// `HOST:PORT` of the coordinator.
    pub fn address(&self) -> String {
        format!("{}:{PORT}", self.coordinator.address)
    }
}

fn program(sandbox: &Sandbox, space: &Space, name: &str) -> Program {
    // Not `ip netns exec`, which hides the cgroups that process trees are held by.
    let (nsenter, words) = space.enter();
    sandbox.foreign(&nsenter).args(words.iter().map(String::as_str)).path(&binary(name))
}
