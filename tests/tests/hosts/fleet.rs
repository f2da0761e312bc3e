//! A coordinator on a host of a network, with its user's project, and other hosts that join it by the line it prints.

use std::path::{Path, PathBuf};

use roundtable_tests::harness::{Host, Network, Output, Playbook, Process, Program, Repository, Signal, SpecText};
use serde_json::Value;

/// Where the coordinator says it is reached.
pub const URL: &str = "https://10.79.0.1:7420";

/// The hosts, the first of which coordinates.
pub struct Fleet {
    pub network: Network,
    /// The user's repository, on the first.
    pub repo: Repository,
    spec: PathBuf,
    served: Process,
}

impl Fleet {
    /// Hosts of these names, a project on the first, and a coordinator for all of them; `fill` adds to the project before its first commit counts.
    pub fn new<const N: usize>(names: [&str; N], spec: &SpecText, fill: impl FnOnce(&Repository)) -> Self {
        let network = Network::new(names);
        let first = network.host(names[0]);
        ["coordinator", "orchctl"].into_iter().for_each(|program| first.install(program));
        names[1..].iter().for_each(|name| network.host(name).install("worker"));
        let (repo, spec) = first.project(spec);
        fill(&repo);
        repo.commit("Add more");
        let mut served = first.types("coordinator serve --listen 0.0.0.0:7420").start();
        served.wait_for_stderr("ready");
        Self { network, repo, spec, served }
    }

    pub fn host(&self, name: &str) -> &Host {
        self.network.host(name)
    }

    /// A line typed on the first host, in the project.
    pub fn types(&self, line: &str) -> Output {
        self.host("first").types_in(self.repo.path(), line).run()
    }

    /// The line that is printed for somebody who is to come in.
    pub fn line(&self, wanted: &str) -> String {
        let printed = self.types(&format!("coordinator token create {wanted}")).expect(0).stdout;
        assert_eq!(printed.lines().count(), 1, "and nothing else: {printed}");
        printed.trim_end().to_owned()
    }

    /// The line pasted into a shell of a host whose `codex` plays this.
    pub fn paste(&self, host: &str, line: &str, playbook: &Playbook) -> Program {
        let play = playbook.write(&self.host(host).path("play.json"));
        self.host(host).types(line).env("ROUNDTABLE_JOIN_BACKEND_PATH", &format!("codex=scripted:{}", play.display()))
    }

    /// The same, once it has joined.
    pub fn join(&self, host: &str, line: &str, playbook: &Playbook) -> Process {
        let mut worker = self.paste(host, line, playbook).start();
        worker.wait_for_stderr("joined");
        worker
    }

    /// `orchctl run` of the project.
    pub fn run(&self) -> Process {
        let run = self.host("first").program_in(self.repo.path(), "orchctl");
        run.args(["run", "--mode", "deterministic", "--json", "--spec"]).path(&self.spec).start()
    }

    /// The run; empty while there is none.
    pub fn run_id(&self) -> String {
        self.types("orchctl status --json").json()["run"].as_str().unwrap_or_default().to_owned()
    }

    /// The attempts of a unit so far.
    pub fn attempts(&self, unit: &str) -> Vec<Value> {
        let run = self.run_id();
        if run.is_empty() {
            return Vec::new();
        }
        self.types(&format!("orchctl attempts {run} {unit} --json")).json().as_array().expect("a list").clone()
    }

    /// Its work alone, as far as it has begun.
    pub fn works(&self, unit: &str) -> Vec<Value> {
        self.attempts(unit).into_iter().filter(|each| each["seat"] == "work" && !each["started_at"].is_null()).collect()
    }

    /// The events of the run.
    pub fn events(&self) -> String {
        self.types(&format!("orchctl events {} --jsonl", self.run_id())).stdout
    }

    /// A file below a host's own folder is made: what a playbook waits for.
    pub fn touch(file: &Path) {
        std::fs::write(file, "").unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// Ends the coordinator in order.
    pub fn stop(self) {
        self.host("first").signal(&self.served, Signal::TERM);
        self.served.wait().expect(0);
    }

    /// What the coordinator said.
    pub fn said(&self) -> String {
        self.served.said()
    }
}

/// Ends a worker of that host in order.
pub fn end(host: &Host, worker: Process) {
    host.signal(&worker, Signal::TERM);
    worker.wait().expect(0);
}
