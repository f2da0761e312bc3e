//! Workers that keep the objects of a repository are preferred for it, and never waited for.

use roundtable_shared::WorkerId;

use crate::table::{Table, options};

const THREE: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n- [ ] 3. Write c\n  - _writes: c.rs_\n";

/// The run's repository.
const REPOSITORY: &str = "root";

fn joined(cold: u32, warm: u32) -> Table {
    let mut table = Table::with(THREE, options());
    table.join("cold", &[("codex", cold)]);
    table.kept = vec!["another".to_owned(), REPOSITORY.to_owned()];
    table.join("warm", &[("codex", warm)]);
    table
}

fn workers(table: &mut Table) -> Vec<String> {
    table.go().iter().map(|grant| grant.granted.worker.to_string()).collect()
}

#[test]
fn a_worker_that_keeps_the_repository_takes_the_first_unit() {
    // Without that, the one with more free slots would.
    assert_eq!(workers(&mut joined(3, 1)), ["warm", "cold", "cold"]);
}

#[test]
fn fetching_weighs_as_much_as_one_more_attempt() {
    assert_eq!(workers(&mut joined(3, 3)), ["warm", "warm", "cold"]);
}

#[test]
fn a_worker_that_keeps_it_is_not_waited_for() {
    assert_eq!(workers(&mut joined(2, 0)), ["cold", "cold"]);
}

#[test]
fn a_worker_keeps_what_it_has_run() {
    let mut table = joined(3, 0);
    let cold = WorkerId::from("cold");
    assert!(!table.core.fleet.workers[&cold].warm.contains(REPOSITORY));
    table.schedule();
    let granted = table.granted();
    assert!(!table.core.fleet.workers[&cold].warm.contains(REPOSITORY), "nothing has come yet");
    granted.iter().for_each(|grant| table.begin(grant));
    assert!(table.core.fleet.workers[&cold].warm.contains(REPOSITORY));
}
