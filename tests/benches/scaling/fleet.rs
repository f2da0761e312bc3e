//! The programs of one run: a coordinator and workers that share nothing with it but the network, and the run itself, from submission to its end.

use std::time::{Duration, Instant};

use anyhow::Context;
use roundtable_tests::harness::{Cost, Process, Program, Repository, Sandbox, SpecText, machine_ms};
use roundtable_tests::plans::Plan;

use crate::net::{Net, PORT};

/// A run that takes longer than so many times its ideal, and this, hangs.
const RUN_TIMES_MAX: u64 = 10;
const RUN_EXTRA_MS: u64 = 120_000;
/// Files of the repository the run works on.
const FILES: usize = 300;

/// What a run left.
pub struct Ran {
    /// `events --jsonl` of the run.
    pub events: String,
    /// How long `orchctl run` took.
    pub command_ms: u64,
    /// CPU of coordinator and workers, and of all below them.
    pub ours_ms: u64,
    /// CPU of the whole machine meanwhile.
    pub machine_ms: u64,
}

/// A coordinator and its hosts. Dropped in this order.
pub struct Fleet {
    workers: Vec<Process>,
    coordinator: Process,
    place: Place,
    repository: Repository,
    spec: std::path::PathBuf,
}

/// Where they run.
struct Place {
    net: Option<Net>,
    sandbox: Sandbox,
}

impl Fleet {
    /// A served coordinator, and so many hosts that have joined by one token.
    pub fn start(net: Option<Net>, plan: &Plan, hosts: usize) -> anyhow::Result<Self> {
        let place = Place { net, sandbox: Sandbox::new() };
        let sandbox = &place.sandbox;
        let repository = sandbox.repository("repo");
        for number in 0..FILES {
            repository.write(&format!("lib/part_{}/file_{number}.txt", number % 20), &format!("file {number}\n").repeat(40));
        }
        let spec = SpecText::of_tasks("plan", &plan.tasks_md()).write(&repository.path().join(".specs"));
        repository.commit("Begin");
        let playbook = sandbox.path("playbook.json");
        std::fs::write(&playbook, serde_json::to_vec(&plan.playbook())?)?;
        let coordinator = place.serve();
        let (uses, backend) = (hosts.to_string(), format!("scripted:{}", playbook.display()));
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
        Ok(Self { workers, coordinator, place, repository, spec })
    }

    /// The run, to the end of all its units.
    pub fn run(self, plan: &Plan, show: bool) -> anyhow::Result<Ran> {
        let before = machine_ms()?;
        let ideal_ms = plan.floor().with_slots(self.workers.len() as u64);
        let limit = Duration::from_millis(ideal_ms * RUN_TIMES_MAX + RUN_EXTRA_MS);
        let began = Instant::now();
        let run = self.orchctl(&["run", "--mode", "deterministic", "--yes", "--json", "--spec"]).path(&self.spec);
        run.start().wait_within(limit).expect(0);
        let command_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let whole_ms = machine_ms()?.saturating_sub(before);
        let events = self.orchctl(&["events", "--jsonl"]).run().expect(0).stdout;
        let costs = self.workers.iter().chain([&self.coordinator]).map(Cost::of).collect::<anyhow::Result<Vec<_>>>()?;
        if show {
            eprintln!("{}", self.coordinator.said());
            self.workers.iter().for_each(|worker| eprintln!("{}", worker.said()));
        }
        let ours_ms = costs.iter().map(|cost| cost.own_ms + cost.children_ms).sum();
        Ok(Ran { events, command_ms, ours_ms, machine_ms: whole_ms })
    }

    fn orchctl(&self, args: &[&str]) -> Program {
        self.place.near("orchctl").dir(self.repository.path()).args(args.iter().copied())
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
