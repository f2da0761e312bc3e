//! A worker is killed in the middle of a unit and started again: what it held is granted anew as soon as it says that it has nothing of it.

use roundtable_tests::harness::{Playbook, SpecText, Turn, step, wait_for};

use crate::report::Report;
use crate::site::{Site, now_ms};

/// Longer than anybody waits.
const LONG_MS: u64 = 3_600_000;

pub fn run(report: &mut Report) {
    let rounds = if report.is_quick() { 2 } else { 5 };
    report.begin("requeue", &format!("a worker is killed in the middle of a unit and started again, {rounds} times"));
    let site = Site::new(&SpecText::parallel("requeue", 1));
    let endless = Playbook::new().unit("1", "implement", [Turn::new().steps([step::sleep_ms(LONG_MS)])]);
    let mut worker = site.worker("w", &endless);
    let run = site.run();
    let (mut joined_ms, mut granted_ms) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        wait_for("an agent to begin", || format!("{}\n{}", worker.said(), run.said()), || (site.started() >= round).then_some(()));
        worker.kill();
        let began_ms = now_ms();
        worker = site.worker("w", &endless);
        joined_ms.push(now_ms() - began_ms);
        let granted = wait_for("the unit to be granted again", || worker.said(), || site.grants().into_iter().nth(round));
        granted_ms.push(granted.at_ms.saturating_sub(began_ms));
    }
    let longest = |of: &[u64]| of.iter().copied().max().unwrap_or(0) as f64 / 1000.0;
    report.tell("from the start of its process until it has joined, at most", format!("{:.2} s", longest(&joined_ms)));
    report.measured("from the start of its process until its unit is granted again, at most", longest(&granted_ms), " s", 1.0);
}
