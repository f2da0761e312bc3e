//! The figures as a table and as JSON.

use serde_json::{Value, json};

use crate::measure::Figures;

pub fn print(figures: &Figures, first: bool) {
    if first {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!("{cores} cores; every turn is a process that sleeps, so what is above 1.00 is ours");
    }
    println!(
        "\n{}: {} units on {} workers, {} attempts: makespan {} ms, floor {} ms (critical path {}, work {}): ratio {:.2}",
        figures.shape,
        figures.units,
        figures.workers,
        figures.attempts,
        figures.makespan_ms,
        figures.floor_ms,
        figures.floor.critical_path_ms,
        figures.floor.work_ms,
        figures.ratio
    );
    println!("  {:<44} {:>8} {:>8} {:>8}", "milliseconds", "p50", "p99", "max");
    for (name, spread) in &figures.spans {
        println!("  {name:<44} {:>8} {:>8} {:>8}", spread.p50, spread.p99, spread.max);
    }
    println!(
        "  coordinator {:.1} ms CPU a unit and {:.1} in git, workers {:.1} an attempt; peak {} and {} MiB; `orchctl run` {} ms; others used {:.0} % of the CPU",
        figures.coordinator_ms_per_unit,
        figures.coordinator_git_ms_per_unit,
        figures.worker_ms_per_attempt,
        figures.coordinator_rss_bytes >> 20,
        figures.worker_rss_bytes >> 20,
        figures.command_ms,
        figures.foreign * 100.0
    );
}

pub fn json(all: &[Figures]) -> Value {
    let one = |figures: &Figures| {
        let spans = figures
            .spans
            .iter()
            .map(|(name, spread)| (name.trim().to_owned(), json!({"p50_ms": spread.p50, "p99_ms": spread.p99, "max_ms": spread.max})));
        json!({
            "shape": figures.shape,
            "units": figures.units,
            "workers": figures.workers,
            "attempts": figures.attempts,
            "makespan_ms": figures.makespan_ms,
            "floor_ms": figures.floor_ms,
            "critical_path_ms": figures.floor.critical_path_ms,
            "work_ms": figures.floor.work_ms,
            "ratio": figures.ratio,
            "command_ms": figures.command_ms,
            "spans": Value::Object(spans.collect()),
            "coordinator_ms_per_unit": figures.coordinator_ms_per_unit,
            "coordinator_git_ms_per_unit": figures.coordinator_git_ms_per_unit,
            "worker_ms_per_attempt": figures.worker_ms_per_attempt,
            "coordinator_rss_bytes": figures.coordinator_rss_bytes,
            "worker_rss_bytes": figures.worker_rss_bytes,
            "foreign_share_of_cpu": figures.foreign,
        })
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({"cores": cores, "runs": all.iter().map(one).collect::<Vec<_>>()})
}
