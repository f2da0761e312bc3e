//! Paths that others hold: waiting must never be for ever, and costs no fix.

use roundtable_core::command::Act;
use roundtable_shared::{Role, Severity, UnitState};

use crate::table::{Table, options};

const TWO: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n";

#[test]
fn a_person_s_retry_does_not_wait_for_paths() {
    let mut table = Table::with(TWO, options());
    table.join("w", &[("codex", 4), ("codex-review", 4)]);
    let grants = table.go();
    table.works(&grants[1], &["b.rs", "a.rs"]);
    assert_eq!(table.unit("2").state(), UnitState::FixRequired, "unit 2 waits for a.rs");
    table.act(Act::Retry { unit: "2".into() });
    let again = table.go_one("2");
    assert_eq!((again.granted.role, table.unit("2").contended().len()), (Role::Implement, 0));
}

/// Two units, the second with `fixes` fixes behind it, the first waiting for the second's path.
fn second_would_close_a_cycle_in_fix(fix: u32) -> (Table, roundtable_core::effect::Grant) {
    let mut table = Table::with(TWO, options());
    table.join("w", &[("codex", 4), ("codex-review", 4)]);
    let grants = table.go();
    table.works(&grants[1], &["b.rs"]);
    for round in 1..=fix {
        let review = table.go_one("2");
        table.reviews(&review, Severity::Major);
        let turn = table.go_one("2");
        assert_eq!((turn.granted.role, table.unit("2").counters.fix_attempts), (Role::Fix, round - 1));
        if round == fix {
            table.works(&grants[0], &["a.rs", "b.rs"]);
            assert_eq!(table.unit("1").state(), UnitState::FixRequired, "unit 1 waits for b.rs");
            return (table, turn);
        }
        table.works(&turn, &["b.rs"]);
    }
    unreachable!("there is at least one fix")
}

#[test]
fn a_fix_that_would_wait_for_ever_is_repeated_and_not_counted() {
    let (mut table, fix) = second_would_close_a_cycle_in_fix(3);
    table.works(&fix, &["b.rs", "a.rs"]);
    assert_eq!(table.unit("2").counters.fix_attempts, 2, "the turn is repeated, so it was no fix");
    let again = table.go_one("2");
    assert_eq!((again.granted.role, again.granted.escalated), (Role::Fix, true));
}

#[test]
fn a_cycle_found_after_the_last_fix_is_a_person_s() {
    let mut table = Table::with(TWO, options());
    table.join("w", &[("codex", 4), ("codex-review", 4)]);
    let grants = table.go();
    table.works(&grants[1], &["b.rs"]);
    for _ in 0..2 {
        let review = table.go_one("2");
        table.reviews(&review, Severity::Major);
        let fix = table.go_one("2");
        table.works(&fix, &["b.rs"]);
    }
    let review = table.go_one("2");
    table.reviews(&review, Severity::Major);
    let last = table.go_one("2");
    table.works(&last, &["b.rs", "a.rs"]);
    assert_eq!(table.unit("2").counters.fix_attempts, 3, "it waits for unit 1, and that was the third");
    table.works(&grants[0], &["a.rs", "b.rs"]);
    assert_eq!(table.unit("2").state(), UnitState::Blocked, "no fourth fix repeats it");
    assert!(table.run().people.decisions.keys().any(|id| id.as_str() == "breach-2"));
    table.schedule();
}
