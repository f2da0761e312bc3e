//! How near a run comes to what no schedule can beat: generated specs on real processes (coordinator, workers, `orchctl run`, scripted agents), makespan
//! as a ratio to the longer of critical path and work per slot, and for each attempt the time from when nothing stood in its way to its agent's first word.
//! `cargo bench -p roundtable-tests --bench makespan`, see `-- --help`. Times of one machine say little; the ratios carry over.
#![allow(missing_docs)]

mod fleet;
mod measure;
mod report;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use roundtable_tests::plans::{Plan, Shape};

/// Makespan against its floor, and how long a unit that may start takes to start.
#[derive(Parser, Debug)]
struct Args {
    /// Shapes, of: overlap chain disjoint conflict
    #[arg(long, value_delimiter = ',', default_value = "overlap,chain,disjoint,conflict", value_parser = shape)]
    shapes: Vec<(String, Shape)>,
    /// Units of overlap and disjoint
    #[arg(long, default_value_t = 200)]
    units: usize,
    /// Units of chain and conflict, where nothing runs side by side
    #[arg(long, default_value_t = 40)]
    serial_units: usize,
    /// Workers, with one slot each
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// Length of a turn, milliseconds, drawn between the two
    #[arg(long, default_value = "200..600", value_parser = range)]
    turn_ms: RangeInclusive<u64>,
    /// What the specs follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs of each shape; the one with the median makespan is told
    #[arg(long, default_value_t = 1)]
    repeats: usize,
    /// Where the results go as JSON [default: makespan.json beside the build output]
    #[arg(long)]
    json: Option<PathBuf>,
    /// Show what coordinator and workers said
    #[arg(long)]
    show: bool,
    /// As cargo passes it
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut all = Vec::new();
    for (name, shape) in &args.shapes {
        let units = if matches!(shape, Shape::Chain | Shape::Conflict) { args.serial_units } else { args.units };
        let plan = Plan::generate(*shape, units, &args.turn_ms, args.seed);
        let mut runs = Vec::new();
        for _ in 0..args.repeats.max(1) {
            let ran = fleet::run(&plan, args.workers, args.show).with_context(|| format!("shape {name}"))?;
            runs.push(measure::measure(name, &plan, args.workers, &ran)?);
        }
        runs.sort_by(|one, other| one.ratio.total_cmp(&other.ratio));
        let median = runs.swap_remove(runs.len() / 2);
        report::print(&median, all.is_empty());
        all.push(median);
    }
    let json = args.json.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("makespan.json"));
    std::fs::write(&json, serde_json::to_vec_pretty(&report::json(&all))?).with_context(|| json.display().to_string())?;
    println!("\nwritten to {}", json.display());
    Ok(())
}

fn shape(text: &str) -> Result<(String, Shape), String> {
    let shape = match text {
        "overlap" => Shape::Overlap,
        "chain" => Shape::Chain,
        "disjoint" => Shape::Disjoint,
        "conflict" => Shape::Conflict,
        _ => return Err("one of: overlap chain disjoint conflict".to_owned()),
    };
    Ok((text.to_owned(), shape))
}

fn range(text: &str) -> Result<RangeInclusive<u64>, String> {
    let bad = || "like 200..600".to_owned();
    let (from, to) = text.split_once("..").ok_or_else(bad)?;
    let (from, to): (u64, u64) = (from.parse().map_err(|_| bad())?, to.parse().map_err(|_| bad())?);
    if from > to || to == 0 { Err(bad()) } else { Ok(from..=to) }
}
