//! The processes of a benchmark run: started, watched for what they cost, ended; and the events they leave.

use std::time::{Duration, Instant};

use roundtable_tests::harness::{Cost, Process, Sandbox, SpecText, machine_ms};
use roundtable_tests::plans::Plan;

/// A run that takes longer than so many times its floor, and this, hangs.
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
    /// CPU of the coordinator itself, milliseconds.
    pub coordinator_ms: u64,
    /// CPU of the git processes it started.
    pub coordinator_children_ms: u64,
    /// CPU of workers and all below them.
    pub workers_ms: u64,
    /// CPU of the whole machine meanwhile.
    pub machine_ms: u64,
    /// Largest resident set of the coordinator, bytes.
    pub coordinator_rss_bytes: u64,
    /// Largest resident set of a worker, bytes.
    pub worker_rss_bytes: u64,
}

/// One run, from empty folders to the end of all processes. `show` prints what the processes said.
pub fn run(plan: &Plan, workers: usize, show: bool) -> anyhow::Result<Ran> {
    let sandbox = Sandbox::new();
    let repository = sandbox.repository("repo");
    for number in 0..FILES {
        repository.write(&format!("lib/part_{}/file_{number}.txt", number % 20), &format!("file {number}\n").repeat(40));
    }
    let spec = SpecText::of_tasks("plan", &plan.tasks_md()).write(&repository.path().join(".specs"));
    repository.commit("Begin");
    let playbook = sandbox.path("playbook.json");
    std::fs::write(&playbook, serde_json::to_vec(&plan.playbook())?)?;
    let coordinator = sandbox.serve();
    let backend = format!("scripted:{}", playbook.display());
    let fleet: Vec<Process> =
        (1..=workers).map(|number| sandbox.worker(["--backend", &backend, "--name", &format!("w{number}")])).collect();
    let before = machine_ms()?;
    let limit = Duration::from_millis(plan.floor().with_slots(workers as u64) * RUN_TIMES_MAX + RUN_EXTRA_MS);
    let began = Instant::now();
    let run = sandbox.orchctl(repository.path(), ["run", "--mode", "deterministic", "--yes", "--json", "--spec"]).path(&spec);
    run.start().wait_within(limit).expect(0);
    let command_ms = ms(began.elapsed());
    let machine_ms = machine_ms()?.saturating_sub(before);
    let events = sandbox.orchctl(repository.path(), ["events", "--jsonl"]).run().expect(0).stdout;
    let cost = Cost::of(&coordinator)?;
    let costs = fleet.iter().map(Cost::of).collect::<anyhow::Result<Vec<_>>>()?;
    if show {
        eprintln!("{}", coordinator.said());
        fleet.iter().for_each(|worker| eprintln!("{}", worker.said()));
    }
    Ok(Ran {
        events,
        command_ms,
        coordinator_ms: cost.own_ms,
        coordinator_children_ms: cost.children_ms,
        workers_ms: costs.iter().map(|cost| cost.own_ms + cost.children_ms).sum(),
        machine_ms,
        coordinator_rss_bytes: cost.peak_bytes,
        worker_rss_bytes: costs.iter().map(|cost| cost.peak_bytes).max().unwrap_or(0),
    })
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
