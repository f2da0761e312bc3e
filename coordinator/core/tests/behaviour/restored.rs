//! A coordinator that goes on from yesterday's backup, and workers that know better.

use roundtable_shared::{AttemptNo, UnitId, UnitState};

use crate::table::{Table, options};

const ONE: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n";
const BACKENDS: [(&str, u32); 1] = [("codex", 1)];

#[test]
fn what_was_delivered_after_the_backup_counts_again() {
    let mut table = Table::with(ONE, options());
    table.join("w", &BACKENDS);
    let work = table.go_one("1");
    let backup = table.log.len();
    table.works(&work, &["a.rs"]);
    assert_eq!(table.unit("1").state(), UnitState::PendingReview);
    table.restore(backup);
    assert_eq!(table.unit("1").state(), UnitState::InProgress);
    table.comes_again_with("w", &BACKENDS, &[&work.lease]);
    table.works(&work, &["a.rs"]);
    assert_eq!((table.unit("1").state(), table.unit("1").attempts.len()), (UnitState::PendingReview, 1), "nobody does it twice");
}

#[test]
fn what_was_granted_after_the_backup_is_stale_and_done_again() {
    let mut table = Table::with(ONE, options());
    table.join("w", &BACKENDS);
    // Assigned, and nothing granted yet.
    table.schedule();
    let granted = table.log.iter().position(|row| row.kind() == "lease_granted").expect("it was granted");
    let mut grants = table.start();
    let before = grants.remove(0);
    table.works(&before, &["a.rs"]);
    table.restore(granted);
    table.comes_again_with("w", &BACKENDS, &[&before.lease]);
    table.works(&before, &["a.rs"]);
    assert!(table.unit("1").attempts.is_empty(), "its outcome is nobody's");
    let again = table.go_one("1");
    assert_eq!((again.lease.key.unit.clone(), again.lease.key.attempt), (Some(UnitId::from("1")), AttemptNo(1)));
    assert_ne!(again.lease.lease_id, before.lease.lease_id, "the number is used again, the lease is not");
    table.works(&again, &["a.rs"]);
    assert_eq!(table.unit("1").state(), UnitState::PendingReview);
}
