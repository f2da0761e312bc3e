//! A project with a playbook, and the commands on it that most tests begin with.

use std::path::PathBuf;

use roundtable_tests::harness::{Playbook, Process, Program, Repository, Sandbox, SpecText, wait_for};
use serde_json::Value;

/// Sandbox, repository, spec and playbook.
pub struct World {
    pub sandbox: Sandbox,
    pub repo: Repository,
    pub spec: PathBuf,
    pub play: PathBuf,
}

impl World {
    /// A committed spec, and agents that play this.
    pub fn new(spec: &SpecText, playbook: &Playbook) -> Self {
        let sandbox = Sandbox::new();
        let (repo, spec) = sandbox.project(spec);
        let play = playbook.write(&sandbox.path("play.json"));
        Self { sandbox, repo, spec, play }
    }

    /// `orchctl …` in the repository.
    pub fn orchctl(&self, args: &[&str]) -> Program {
        self.sandbox.orchctl(self.repo.path(), args.iter().copied())
    }

    /// `run` of the spec by the engine alone, with two scripted agents.
    pub fn run(&self, more: &[&str]) -> Program {
        self.run_without_workers(&["--mode", "deterministic"]).args(["--workers", &self.agents(2)]).args(more.iter().copied())
    }

    /// `run` of the spec, nothing else said.
    pub fn run_without_workers(&self, more: &[&str]) -> Program {
        self.orchctl(&["run", "--spec"]).path(&self.spec).args(more.iter().copied())
    }

    /// The playbook with slots, as `--workers` and `--backend` take it.
    pub fn agents(&self, slots: u32) -> String {
        format!("scripted:{}={slots}", self.play.display())
    }

    /// `status --json`.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.orchctl(&["status", "--json"]).run().expect(0).json()
    }

    /// Waits until the status is as wanted.
    #[track_caller]
    pub fn wait_for_status(&self, what: &str, process: &Process, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(
            what,
            || process.said(),
            || Some(self.orchctl(&["status", "--json"]).run()).filter(|out| out.code == Some(0)).map(|out| out.json()).filter(&wanted),
        )
    }

    /// `orchctl decisions --json`.
    #[track_caller]
    pub fn decisions(&self) -> Vec<Value> {
        self.orchctl(&["decisions", "--json"]).run().expect(0).json().as_array().expect("a list").clone()
    }
}

/// A unit of a status or summary.
#[track_caller]
pub fn unit<'v>(view: &'v Value, id: &str) -> &'v Value {
    let units = view["units"].as_array().unwrap_or_else(|| panic!("no units in {view}"));
    units.iter().find(|unit| unit["id"] == id).unwrap_or_else(|| panic!("no unit {id} in {view}"))
}

/// Whether an attempt of the unit is under way.
pub fn is_working(view: &Value, id: &str) -> bool {
    view["units"]
        .as_array()
        .is_some_and(|units| units.iter().any(|unit| unit["id"] == id && unit["status"] == "in_progress" && unit["worker"].is_string()))
}

/// Fails unless a text fits 80 columns and drives no terminal. Commands to copy are never cut.
#[track_caller]
pub fn expect_plain(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80 || line.starts_with("  orchctl "), "more than 80 columns: {line:?}");
        assert!(!line.contains('\u{1b}'), "coloured: {line:?}");
    }
}
