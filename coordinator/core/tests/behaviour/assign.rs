//! When the assignment agent is asked.

use roundtable_shared::{Mode, Role, RunOptions};

use crate::table::{Table, options};

const TWO: &str = "- [ ] 1. Write a\n- [ ] 2. Page b\n";

fn served() -> RunOptions {
    RunOptions { mode: Mode::Deterministic, embedded: false, ..options() }
}

/// Seconds that pass until it is asked.
fn asked_after(table: &mut Table) -> u64 {
    for second in 0..30 {
        if table.go().iter().any(|grant| grant.granted.role == Role::Assign) {
            return second;
        }
        table.pass(1_000);
    }
    panic!("the assignment agent is never asked");
}

#[test]
fn a_fleet_that_has_just_joined_is_waited_for() {
    let mut table = Table::with(TWO, served());
    table.join("w1", &[("codex", 1)]);
    assert!(table.go().is_empty(), "gemini may join in a moment");
    table.pass(2_000);
    table.join("w2", &[("gemini", 1)]);
    assert!(table.go().is_empty());
    assert_eq!(asked_after(&mut table), 3);
}

#[test]
fn a_fleet_that_has_been_there_is_asked_at_once() {
    let mut table = Table::new();
    table.join("w1", &[("codex", 1)]);
    table.pass(5_000);
    table.submit(TWO, served(), None);
    assert_eq!(asked_after(&mut table), 0);
}

#[test]
fn joining_without_end_delays_it_by_no_more_than_ten_seconds() {
    let mut table = Table::with(TWO, served());
    for second in 0..12 {
        table.join(&format!("w{second}"), &[("codex", 1)]);
        if table.go().iter().any(|grant| grant.granted.role == Role::Assign) {
            assert_eq!(second, 10);
            return;
        }
        table.pass(1_000);
    }
    panic!("the assignment agent is never asked");
}

/// A link that breaks and comes back brings nobody new.
#[test]
fn a_worker_that_comes_back_as_it_was_is_no_news() {
    let mut table = Table::with(TWO, served());
    table.join("w1", &[("codex", 1)]);
    table.pass(2_000);
    table.join("w1", &[("codex", 1)]);
    assert_eq!(asked_after(&mut table), 1);
}

/// The worker of an embedded run comes with the run; only others are waited for.
#[test]
fn one_machine_alone_loses_no_time() {
    let mut table = Table::with(TWO, RunOptions { embedded: true, ..served() });
    table.join("w1", &[("codex", 1)]);
    assert_eq!(asked_after(&mut table), 0);
    let mut table = Table::with(TWO, RunOptions { embedded: true, ..served() });
    table.join("w1", &[("codex", 1)]);
    table.join("w2", &[("gemini", 1)]);
    assert_eq!(asked_after(&mut table), 3);
}
