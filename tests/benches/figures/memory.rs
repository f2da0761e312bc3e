//! What a worker's memory grows by while its agent prints a gigabyte. An earlier unit has had it reach the size it has anyway.

use std::time::{Duration, Instant};

use roundtable_tests::harness::{Cost, Playbook, SpecText, Turn, Unit, step, wait_for};

use crate::report::Report;
use crate::site::Site;

/// The longest such an agent may take.
const WITHIN: Duration = Duration::from_secs(900);

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    let bytes: u64 = if report.is_quick() { 64 << 20 } else { 1 << 30 };
    report.begin("memory", &format!("an agent prints {} MiB", bytes >> 20));
    let unit = |id: &str| Unit::new(id, &format!("Part {id}")).writes(&format!("part-{id}.txt"));
    let site = Site::new(&SpecText::new("memory", [unit("1"), unit("2").depends("1")]));
    let flood = Turn::new().steps([step::sleep_ms(500), step::fault(&format!("spew:{bytes}")), step::write("part-2.txt", "done\n")]);
    let worker = site.worker("w", &Playbook::new().unit("2", "implement", [flood]));
    let run = site.run();
    let begun = || worker.stderr().contains("/2/1 role=implement").then_some(());
    wait_for("the flood to be about to begin", || format!("{}\n{}", worker.said(), run.said()), begun);
    let (before, began) = (Cost::of(&worker)?.peak_bytes, Instant::now());
    run.wait_within(WITHIN).expect(0);
    let grown = Cost::of(&worker)?.peak_bytes.saturating_sub(before);
    let rate = bytes as f64 / 1e6 / began.elapsed().as_secs_f64();
    report.tell("the worker's largest resident set before it", format!("{:.1} MiB", mib(before)));
    report.tell("read, kept as far as it is kept, and the unit reviewed and integrated", format!("{rate:.0} MB/s"));
    report.measured("the worker's largest resident set has grown by", mib(grown), " MiB", 32.0);
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
