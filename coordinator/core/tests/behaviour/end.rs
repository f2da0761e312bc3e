//! The end of a run.

use roundtable_shared::{Choice, FailureKind, UnitState};

use crate::table::{Table, options};

#[test]
fn an_aborted_run_leaves_nothing_in_progress() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n", options());
    table.join("w", &[("codex", 2)]);
    let mut grants = table.go();
    let mut failing = grants.remove(1);
    for turn in 1..=3 {
        table.breaks(&failing, FailureKind::TurnFailed);
        if turn < 3 {
            failing = table.go_one("2");
        }
    }
    table.decide("quarantine-2", Choice::Abort);
    assert!(table.run().is_ended());
    assert_eq!(table.unit("1").state(), UnitState::NotStarted);
}
