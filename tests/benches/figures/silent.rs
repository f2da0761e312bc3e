//! A worker that says nothing any more, and whose connection stays: it is frozen. Another one is there for its unit.

use roundtable_tests::harness::{Playbook, Signal, SpecText, Turn, step, wait_for};

use crate::report::Report;
use crate::site::{Site, now_ms};

/// Longer than anybody waits.
const LONG_MS: u64 = 3_600_000;

pub fn run(report: &mut Report) {
    report.begin("silent", "a worker is frozen in the middle of a unit; another one waits");
    let site = Site::new(&SpecText::parallel("silent", 1));
    let endless = Playbook::new().unit("1", "implement", [Turn::new().steps([step::sleep_ms(LONG_MS)])]);
    let first = site.worker("a", &endless);
    let run = site.run();
    wait_for("an agent to begin", || format!("{}\n{}", first.said(), run.said()), || (site.started() == 1).then_some(()));
    let second = site.worker("b", &endless);
    first.signal(Signal::STOP);
    let began_ms = now_ms();
    let granted = wait_for("the other to have it", || second.said(), || site.grants().into_iter().find(|grant| grant.worker == "b"));
    let took_s = granted.at_ms.saturating_sub(began_ms) as f64 / 1000.0;
    report.measured("from its last breath until another one has its unit", took_s, " s", 65.0);
}
