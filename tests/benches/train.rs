//! How long ready units take to be integrated where each is checked by a slow command: all good, and with one that is red and two that are red only
//! together. `cargo bench -p roundtable-tests --bench train`, see `-- --help`.
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Parser;
use roundtable_tests::harness::{Playbook, Sandbox, SpecText, Turn, step};
use serde_json::Value;

/// A run that takes longer than so many checks one after the other, and this, hangs.
const RUN_EXTRA_MS: u64 = 120_000;

#[derive(Parser, Debug)]
struct Args {
    /// Units, each with a file of its own
    #[arg(long, default_value_t = 12)]
    units: usize,
    /// How long a check takes, milliseconds
    #[arg(long, default_value_t = 20_000)]
    check_ms: u64,
    /// Checks at a time
    #[arg(long, default_value_t = 4)]
    slots: usize,
    /// As cargo passes it
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    ensure!(args.units >= 6, "the units that are red are 3, 2 and 6: at least 6 units");
    let (units, check_s, slots) = (args.units, args.check_ms / 1000, args.slots);
    println!("{units} ready units, a check of {check_s} s, {slots} check slots; one after the other: {} s", (units as u64 + 1) * check_s);
    measure("all good", &args, Playbook::new(), "true")?;
    let writes = |unit: &str, text: &str| [Turn::new().steps([step::write(&format!("part-{unit}.txt"), text)])];
    let mut playbook = Playbook::new().unit("3", "implement", writes("3", "wrong\n")).unit("3", "fix", writes("3", "right\n"));
    for unit in ["2", "6"] {
        playbook = playbook.unit(unit, "implement", writes(unit, "half a pair\n")).unit(unit, "fix", writes(unit, "mended\n"));
    }
    let pair = "{ grep -q half part-2.txt 2>/dev/null && grep -q half part-6.txt 2>/dev/null; }";
    measure("3 is red, 2 and 6 are red together", &args, playbook, &format!("! grep -q wrong part-3.txt 2>/dev/null && ! {pair}"))
}

/// One run, from the command to its end.
fn measure(name: &str, args: &Args, playbook: Playbook, good: &str) -> anyhow::Result<()> {
    let sandbox = Sandbox::new();
    let (repository, spec) = sandbox.project(&SpecText::parallel("plan", args.units));
    let play = playbook.write(&sandbox.path("play.json"));
    let check = format!("sleep {}; {good}", args.check_ms as f64 / 1000.0);
    let workers = format!("scripted:{}={},check={}", play.display(), args.units, args.slots);
    let began = Instant::now();
    let run = ["run", "--mode", "deterministic", "--yes", "--json", "--check", &check, "--workers", &workers, "--spec"];
    let limit = Duration::from_millis(4 * args.units as u64 * args.check_ms + RUN_EXTRA_MS);
    let summary = sandbox.orchctl(repository.path(), run).path(&spec).start().wait_within(limit).expect(0).json();
    println!("\n{name}: all integrated after {:.1} s", began.elapsed().as_secs_f64());
    let events = sandbox.orchctl(repository.path(), ["events", "--jsonl"]).run().expect(0).jsonl();
    let count = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
    let checks = events.iter().filter(|event| event["kind"] == "lease_granted" && event["seat"] == "check").count();
    println!("  {} units integrated in {} moves of the branch, {checks} checks", count("integrated"), count("integration_intended"));
    ensure!(summary["counts"]["completed"] == args.units, "not all are completed: {summary:#}");
    let findings = sandbox.orchctl(repository.path(), ["findings", "--json"]).run().expect(0).json();
    let of_checks = |finding: &&Value| finding["reviewer"].as_str().is_some_and(|name| name.starts_with("check-"));
    for finding in findings.as_array().into_iter().flatten().filter(of_checks) {
        println!("  unit {}: {}", finding["task_id"].as_str().unwrap_or_default(), finding["summary"].as_str().unwrap_or_default());
    }
    Ok(())
}
