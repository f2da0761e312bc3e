//! The processes of a benchmark run: started, watched for what they cost, ended; and the events they leave.

use roundtable_tests::harness::{Cost, Process, Sandbox};
use roundtable_tests::plans::Plan;
use roundtable_tests::workload::{Finished, Workload};

/// What a run left.
pub struct Ran {
    /// What is seen from outside.
    pub run: Finished,
    /// CPU of the coordinator itself, milliseconds.
    pub coordinator_ms: u64,
    /// CPU of the git processes it started.
    pub coordinator_children_ms: u64,
    /// CPU of workers and all below them.
    pub workers_ms: u64,
    /// Largest resident set of the coordinator, bytes.
    pub coordinator_rss_bytes: u64,
    /// Largest resident set of a worker, bytes.
    pub worker_rss_bytes: u64,
}

/// One run, from empty folders to the end of all processes. `show` prints what the processes said.
pub fn run(plan: &Plan, workers: usize, show: bool) -> anyhow::Result<Ran> {
    let sandbox = Sandbox::new();
    let workload = Workload::lay_out(&sandbox, plan)?;
    let coordinator = sandbox.serve();
    let backend = workload.backend();
    let fleet: Vec<Process> =
        (1..=workers).map(|number| sandbox.worker(["--backend", &backend, "--name", &format!("w{number}")])).collect();
    let run = workload.run(workers, || sandbox.program("orchctl"))?;
    let cost = Cost::of(&coordinator)?;
    let costs = fleet.iter().map(Cost::of).collect::<anyhow::Result<Vec<_>>>()?;
    if show {
        eprintln!("{}", coordinator.said());
        fleet.iter().for_each(|worker| eprintln!("{}", worker.said()));
    }
    Ok(Ran {
        run,
        coordinator_ms: cost.own_ms,
        coordinator_children_ms: cost.children_ms,
        workers_ms: costs.iter().map(|cost| cost.own_ms + cost.children_ms).sum(),
        coordinator_rss_bytes: cost.peak_bytes,
        worker_rss_bytes: costs.iter().map(|cost| cost.peak_bytes).max().unwrap_or(0),
    })
}
