//! The programs of one run: a coordinator and workers that share nothing with it but the network, and the run itself, from submission to its end.

use std::path::Path;

use anyhow::Context;
use roundtable_tests::harness::{Cost, Process, Program, Sandbox};
use roundtable_tests::plans::Plan;
use roundtable_tests::workload::{Finished, Workload};

use crate::net::{Net, PORT};

/// What a run left.
pub struct Ran {
    /// What is seen from outside.
    pub run: Finished,
    /// CPU of coordinator and workers, and of all below them.
    pub ours_ms: u64,
}

/// A coordinator and its hosts. Dropped in this order.
pub struct Fleet {
    workers: Vec<Process>,
    coordinator: Process,
    place: Place,
    workload: Workload,
}

/// Where they run.
struct Place {
    net: Option<Net>,
    sandbox: Sandbox,
}

impl Fleet {
    /// A served coordinator, and so many hosts that have joined by one token.
    pub fn start(disk: Option<&Path>, net: Option<Net>, plan: &Plan, hosts: usize) -> anyhow::Result<Self> {
        let place = Place { net, sandbox: disk.map_or_else(Sandbox::new, Sandbox::within) };
        let workload = Workload::lay_out(&place.sandbox, plan)?;
        let coordinator = place.serve();
        let (uses, backend) = (hosts.to_string(), workload.backend());
        let token =
            place.near("coordinator").args(["token", "create", "--role", "worker", "--uses", &uses, "--json"]).run().expect(0).json();
        let text = |key: &str| token[key].as_str().map(str::to_owned).with_context(|| format!("the token that was made says no {key}"));
        let (secret, url) = (text("token")?, text("url")?);
        let started: Vec<Process> = (1..=hosts).map(|host| place.join(host, &secret, &url, &backend)).collect();
        let workers = started.into_iter().map(|mut worker| {
            worker.wait_for_stderr("joined");
            worker
        });
        let workers = workers.collect();
        Ok(Self { workers, coordinator, place, workload })
    }

    /// The run, to the end of all its units.
    pub fn run(self, show: bool) -> anyhow::Result<Ran> {
        let run = self.workload.run(self.workers.len(), || self.place.near("orchctl"))?;
        let costs = self.workers.iter().chain([&self.coordinator]).map(Cost::of).collect::<anyhow::Result<Vec<_>>>()?;
        if show {
            eprintln!("{}", self.coordinator.said());
            self.workers.iter().for_each(|worker| eprintln!("{}", worker.said()));
        }
        let ours_ms = costs.iter().map(|cost| cost.own_ms + cost.children_ms).sum();
        Ok(Ran { run, ours_ms })
    }
}

impl Place {
    /// A program on the coordinator's host.
    fn near(&self, name: &str) -> Program {
        match &self.net {
            Some(net) => net.on_coordinator(&self.sandbox, name),
            None => self.sandbox.program(name),
        }
    }

    fn serve(&self) -> Process {
        let serve = self.near("coordinator").args(["serve", "--listen"]);
        let serve = match &self.net {
            Some(net) => serve.args([format!("0.0.0.0:{PORT}").as_str(), "--advertise", &net.address()]),
            None => serve.args(["127.0.0.1:0"]),
        };
        let mut served = serve.start();
        served.wait_for_stderr("ready");
        served
    }

    /// A worker on a host of its own, about to join.
    fn join(&self, host: usize, secret: &str, url: &str, backend: &str) -> Process {
        let (program, url) = match &self.net {
            Some(net) => (net.on_host(&self.sandbox, host, "worker"), format!("https://{}", net.address())),
            None => (self.sandbox.program("worker"), url.to_owned()),
        };
        let (name, data) = (format!("w{host}"), self.sandbox.path(&format!("host-{host}")).display().to_string());
        let program = program.args(["join", &url, "--backend", backend, "--name", &name]);
        program.env("ROUNDTABLE_TOKEN", secret).env("ROUNDTABLE_DATA_DIR", &data).start()
    }
}
