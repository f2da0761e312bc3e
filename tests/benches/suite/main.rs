//! What the coordinator itself costs, each part held against a floor that is measured in turn with it in the same run: `core` the state machine alone,
//! `memory` what waits, `control` the driver over a durable log with stub workers and a stub repository, `recovery` the way back after a kill, `sessions` a
//! thousand idle links.
//! `cargo bench -p roundtable-tests --bench suite -- control`, see `-- --help`.
#![allow(missing_docs)]

mod control;
#[path = "../../../coordinator/core/benches/control/fleet.rs"]
mod fleet;
mod memory;
mod pure;
mod recovery;
mod sessions;
#[path = "../../../coordinator/core/benches/control/shape.rs"]
mod shape;
#[path = "../../../coordinator/core/benches/control/stub.rs"]
mod stub;
mod table;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use table::Table;

/// What the coordinator itself costs
#[derive(Parser, Debug)]
struct Args {
    /// Which parts [default: all]
    #[arg(value_enum)]
    what: Vec<What>,
    /// Units of the plans
    #[arg(long, value_delimiter = ',', default_value = "1000")]
    units: Vec<usize>,
    /// Stub workers of four slots each
    #[arg(long, default_value_t = 4)]
    workers: u64,
    /// Idle sessions
    #[arg(long, default_value_t = 1_000)]
    sessions: usize,
    /// Each figure is the median of so many runs, taken in turn with those of its floor
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Where logs are written; a disk, or the figures are those of memory [default: the build output]
    #[arg(long, value_name = "DIR")]
    disk: Option<PathBuf>,
    /// Where the table goes as CSV [default: suite.csv beside the build output]
    #[arg(long)]
    csv: Option<PathBuf>,
    /// A minute's look whether it works: 100 units, 50 sessions, everything once
    #[arg(long)]
    quick: bool,
    /// Be the other end of bare streams, with the authority of that folder
    #[arg(long, hide = true, value_name = "DIR")]
    bare_streams: Option<PathBuf>,
    /// Take on a plan of that shape, number of units and wordiness, and say what it takes
    #[arg(long, hide = true, value_name = "PLAN")]
    waiting: Option<String>,
    /// As cargo passes it
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// The state machine alone
    Core,
    /// Units that wait
    Memory,
    /// Driver and durable log
    Control,
    /// From a kill to the first answer
    Recovery,
    /// Links that do nothing
    Sessions,
}

fn main() -> anyhow::Result<()> {
    let mut args = Args::parse();
    if let Some(ca) = &args.bare_streams {
        return sessions::serve_bare(ca);
    }
    if let Some(plan) = &args.waiting {
        return memory::wait(plan);
    }
    if args.quick {
        (args.units, args.sessions, args.repeats) = (vec![100], 50, 1);
    }
    let all = [What::Core, What::Memory, What::Control, What::Recovery, What::Sessions];
    let wanted = if args.what.is_empty() { all.to_vec() } else { args.what.clone() };
    let mut table = Table::new(args.repeats.max(1));
    let build_output = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let disk = args.disk.unwrap_or_else(|| build_output.clone());
    for what in wanted {
        let mut each =
            |run: &dyn Fn(&mut Table, usize) -> anyhow::Result<()>| args.units.iter().try_for_each(|&units| run(&mut table, units));
        match what {
            What::Core => each(&|table, units| pure::run(table, units, args.workers))?,
            What::Memory => each(&memory::run)?,
            What::Control => each(&|table, units| control::run(table, units, args.workers, &disk))?,
            What::Recovery => each(&|table, units| recovery::run(table, units, args.workers, &disk))?,
            What::Sessions => sessions::run(&mut table, args.sessions)?,
        }
    }
    let csv = args.csv.unwrap_or_else(|| build_output.join("suite.csv"));
    table.write(&csv)
}
