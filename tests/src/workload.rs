//! What benches have a fleet do: a generated plan, laid out in a repository of some hundred files, and its run by `orchctl` from submission to its end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::harness::{Program, Repository, Sandbox, SpecText, machine_ms};
use crate::plans::Plan;

/// A run that takes longer than so many times its floor, and this, hangs.
const RUN_TIMES_MAX: u64 = 10;
const RUN_EXTRA_MS: u64 = 120_000;
/// Files of the repository the run works on.
const FILES: usize = 300;

/// A plan that is ready to be run.
#[derive(Debug)]
pub struct Workload {
    plan: Plan,
    repository: Repository,
    spec: PathBuf,
    playbook: PathBuf,
}

/// A run that all units of a workload have come through.
#[derive(Debug)]
pub struct Finished {
    /// `events --jsonl` of the run.
    pub events: String,
    /// How long `orchctl run` took.
    pub command_ms: u64,
    /// CPU of the whole machine meanwhile.
    pub machine_ms: u64,
}

impl Workload {
    /// Writes repository, spec and playbook into the sandbox.
    ///
    /// # Errors
    /// What the file system says.
    pub fn lay_out(sandbox: &Sandbox, plan: &Plan) -> anyhow::Result<Self> {
        let repository = sandbox.repository("repo");
        for number in 0..FILES {
            repository.write(&format!("lib/part_{}/file_{number}.txt", number % 20), &format!("file {number}\n").repeat(40));
        }
        let spec = SpecText::of_tasks("plan", &plan.tasks_md()).write(&repository.path().join(".specs"));
        repository.commit("Begin");
        let playbook = sandbox.path("playbook.json");
        std::fs::write(&playbook, serde_json::to_vec(&plan.playbook())?)?;
        Ok(Self { plan: plan.clone(), repository, spec, playbook })
    }

    /// The backend that plays it, as `worker join --backend` takes it.
    pub fn backend(&self) -> String {
        format!("scripted:{}", self.playbook.display())
    }

    /// Runs it with `orchctl` as it is started where the run is steered, on so many slots in all; panics where it does not end well.
    ///
    /// # Errors
    /// Where this machine does not tell its CPU time.
    pub fn run(&self, slots: usize, orchctl: impl Fn() -> Program) -> anyhow::Result<Finished> {
        let here = |args: &[&str]| orchctl().dir(self.repository.path()).args(args.iter().copied());
        let before = machine_ms()?;
        let limit = Duration::from_millis(self.plan.floor().with_slots(slots as u64) * RUN_TIMES_MAX + RUN_EXTRA_MS);
        let began = Instant::now();
        let run = here(&["run", "--mode", "deterministic", "--yes", "--json", "--spec"]).path(&self.spec);
        run.start().wait_within(limit).expect(0);
        let command_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let machine_ms = machine_ms()?.saturating_sub(before);
        let events = here(&["events", "--jsonl"]).run().expect(0).stdout;
        Ok(Finished { events, command_ms, machine_ms })
    }
}
