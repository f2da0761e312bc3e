//! What the fleet promises in figures, each by a word: how soon work goes on after a worker was restarted or fell silent, whether bad links make anybody lose
//! work, what it takes to have a thousand workers back, how much memory a flood of output takes. What depends on the machine is held against a floor that is
//! measured in the same run. `cargo bench -p roundtable-tests --bench figures`, see `-- --help`.
#![allow(missing_docs)]

mod floor;
mod loss;
mod memory;
mod report;
mod requeue;
mod silent;
mod site;
mod storm;
mod wire;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use report::Report;

/// What the fleet promises in figures
#[derive(Parser, Debug)]
struct Args {
    /// Which of them [default: all]
    #[arg(value_enum)]
    what: Vec<What>,
    /// A minute's look whether they work: smaller, without `silent`; only what no machine can change counts
    #[arg(long)]
    quick: bool,
    /// What the simulated links follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// As cargo passes it
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// A worker is killed and started again: until its unit is granted again
    Requeue,
    /// A worker is frozen: until another one has its unit; takes a minute
    Silent,
    /// Links that lose every tenth packet, in virtual time: workers that are taken for lost
    Loss,
    /// A thousand workers: back after the coordinator was killed; dispatch while they come again and again
    Storm,
    /// An agent prints a gigabyte: what its worker's memory grows by
    Memory,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let all = [What::Requeue, What::Silent, What::Loss, What::Storm, What::Memory];
    let wanted = if args.what.is_empty() { all.to_vec() } else { args.what };
    let mut report = Report::new(args.quick);
    for what in wanted {
        match what {
            What::Requeue => requeue::run(&mut report),
            What::Silent if args.quick => println!("\nsilent: takes a minute, left out"),
            What::Silent => silent::run(&mut report),
            What::Loss => loss::run(&mut report, args.seed),
            What::Storm => storm::run(&mut report)?,
            What::Memory => memory::run(&mut report)?,
        }
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
