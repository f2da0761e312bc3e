//! What more hosts bring: one plan of disjoint units with turns of one length, run on 1, 2, 4 and 8 worker hosts of one slot each, and how near each run
//! comes to what its turns and slots allow. Hosts are network namespaces where they can be made, else processes that meet on loopback; either way they share
//! no data directory, come in by a token and speak mTLS. `cargo bench -p roundtable-tests --bench scaling`, see `-- --help`.
#![allow(missing_docs)]

mod disk;
mod fleet;
mod measure;
mod net;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Parser;
use roundtable_tests::plans::{Plan, Shape};

use fleet::Fleet;
use net::Net;

/// One plan on more and more hosts
#[derive(Parser, Debug)]
struct Args {
    /// Units of the plan; each has one implement and one review turn
    #[arg(long, default_value_t = 64)]
    units: usize,
    /// Length of a turn, milliseconds
    #[arg(long, default_value_t = 2_000)]
    turn_ms: u64,
    /// Numbers of worker hosts, each with one slot
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    hosts: Vec<usize>,
    /// Fail unless every run comes so near to what turns and slots allow
    #[arg(long, value_name = "RATIO")]
    at_least: Option<f64>,
    /// Hosts are processes on loopback, also where namespaces could be made
    #[arg(long)]
    loopback: bool,
    /// Where hosts keep their files [default: in memory, where there is room: on one disk each would wait for all others' files]
    #[arg(long, value_name = "DIR")]
    disk: Option<PathBuf>,
    /// A minute's look whether it works: 8 units, turns of 300 ms, 1 and 2 hosts
    #[arg(long)]
    quick: bool,
    /// Where the table goes as CSV [default: scaling.csv beside the build output]
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Show what coordinator and workers said
    #[arg(long)]
    show: bool,
    /// As cargo passes it
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let mut args = Args::parse();
    if args.quick {
        (args.units, args.turn_ms, args.hosts) = (8, 300, vec![1, 2]);
    }
    ensure!(args.units > 0 && args.turn_ms > 0, "a plan has units, and their turns take time");
    ensure!(args.hosts.iter().all(|hosts| (1..=net::HOSTS_MAX).contains(hosts)), "1 to {} hosts", net::HOSTS_MAX);
    let plan = Plan::generate(Shape::Disjoint, args.units, &(args.turn_ms..=args.turn_ms), 1);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{} disjoint units, {} turns of {} ms, one slot a host, {cores} cores", args.units, 2 * args.units, args.turn_ms);
    let why_not = if args.loopback { Some("as asked".to_owned()) } else { Net::why_not() };
    match &why_not {
        Some(why) => println!("hosts are processes that meet on loopback: {why}"),
        None => println!("hosts are network namespaces, joined by links of their own to one switch"),
    }
    let disk = args.disk.or_else(disk::in_memory);
    match &disk {
        Some(disk) => println!("their files lie in {}", disk.display()),
        None => println!("their files lie on one disk: there is no room in memory"),
    }
    println!("{}", measure::heading());
    let mut all = Vec::new();
    for hosts in &args.hosts {
        let net = if why_not.is_some() { None } else { Some(Net::make(*hosts)) };
        let ran = Fleet::start(disk.as_deref(), net, &plan, *hosts)?.run(args.show).with_context(|| format!("{hosts} hosts"))?;
        let figures = measure::measure(&plan, *hosts, &ran)?;
        println!("{}", figures.row());
        all.push(figures);
    }
    let csv = args.csv.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("scaling.csv"));
    std::fs::write(&csv, measure::csv(&all)).with_context(|| csv.display().to_string())?;
    println!("\nwritten to {}", csv.display());
    let least = all.iter().map(|figures| figures.ratio).fold(1.0, f64::min);
    if let Some(wanted) = args.at_least {
        ensure!(least >= wanted, "{least:.3} of what turns and slots allow; wanted were {wanted}");
    }
    Ok(())
}
