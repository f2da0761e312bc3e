//! A coordinator with one run, as the figures of real processes need it, and what the run's events say.

use std::path::PathBuf;

use roundtable_shared::time::WallMs;
use roundtable_tests::harness::{Playbook, Process, Repository, Sandbox, SpecText};
use serde_json::Value;

pub struct Site {
    pub coordinator: Process,
    repository: Repository,
    spec: PathBuf,
    pub sandbox: Sandbox,
}

/// A lease as it was granted.
pub struct Grant {
    pub at_ms: u64,
    pub worker: String,
}

impl Site {
    pub fn new(spec: &SpecText) -> Self {
        let sandbox = Sandbox::new();
        let (repository, spec) = sandbox.project(spec);
        let coordinator = sandbox.serve();
        Self { coordinator, repository, spec, sandbox }
    }

    /// Has a worker of that name join, that plays this.
    pub fn worker(&self, name: &str, playbook: &Playbook) -> Process {
        let play = playbook.write(&self.sandbox.path("play.json"));
        self.sandbox.worker(["--backend", &format!("scripted:{}", play.display()), "--name", name])
    }

    /// The run, under way.
    pub fn run(&self) -> Process {
        let run = ["run", "--mode", "deterministic", "--yes", "--json", "--spec"];
        self.sandbox.orchctl(self.repository.path(), run).path(&self.spec).start()
    }

    /// The run's events so far; none before there is one.
    fn events(&self) -> Vec<Value> {
        let said = self.sandbox.orchctl(self.repository.path(), ["events", "--jsonl"]).run();
        if said.code == Some(0) { said.jsonl() } else { Vec::new() }
    }

    /// Leases of units that were granted so far.
    pub fn grants(&self) -> Vec<Grant> {
        let of_unit = |event: &Value| {
            (event["kind"] == "lease_granted" && event["unit"].is_string()).then_some(())?;
            let at_ms = WallMs::parse_rfc3339(event["at"].as_str()?)?.0;
            Some(Grant { at_ms, worker: event["worker"].as_str()?.to_owned() })
        };
        self.events().iter().filter_map(of_unit).collect()
    }

    /// Attempts of units whose agents have begun so far.
    pub fn started(&self) -> usize {
        self.events().iter().filter(|event| event["kind"] == "attempt_started" && event["unit"].is_string()).count()
    }
}

/// The time of day, as events are dated by it.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
