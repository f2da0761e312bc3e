//! What would run if there were slots for it.

use roundtable_core::schedule::{Demand, demand};
use roundtable_shared::{BackendName, FailureKind, UnitState};

use crate::table::{Table, options};

const PLAN: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n- [ ] 3. Write c\n  - _writes: c.rs_\n\
                    - [ ] 4. Write more of a\n  - _writes: a.rs_\n";

fn of(table: &Table) -> Demand {
    demand(&table.core.state, &table.core.fleet, table.now)
}

fn expect(table: &Table, ready_units: usize, slots: &[(&str, usize)]) {
    let slots = slots.iter().map(|(name, count)| (BackendName::from(*name), *count)).collect();
    assert_eq!(of(table), Demand { ready_units, slots });
}

#[test]
fn what_runs_and_what_is_ready_want_slots_and_what_waits_for_others_does_not() {
    let mut table = Table::with(PLAN, options());
    table.schedule();
    expect(&table, 3, &[("codex", 3)]);
    table.join("w", &[("codex", 1)]);
    let work = table.go_one("1");
    // One has the slot, two lack one, and the fourth comes after the first.
    expect(&table, 2, &[("codex", 3)]);
    table.works(&work, &["a.rs"]);
    table.join("reviewer", &[("codex-review", 1)]);
    table.go();
    let Demand { ready_units, slots } = of(&table);
    assert_eq!((ready_units, slots.get("codex"), slots.get("codex-review")), (1, Some(&2), Some(&1)));
}

#[test]
fn more_slots_of_what_a_provider_refuses_are_not_wanted() {
    let mut table = Table::with(PLAN, options());
    table.join("w", &[("codex", 1)]);
    let grant = table.go_one("1");
    table.breaks(&grant, FailureKind::RateLimit { retry_after_ms: Some(60_000) });
    table.schedule();
    let Demand { ready_units, slots } = of(&table);
    assert!(ready_units >= 2 && !slots.contains_key("codex"), "they are ready all the same: {ready_units} {slots:?}");
}

#[test]
fn what_is_to_be_done_over_is_ready_like_the_last_unit_that_is_to_be_begun() {
    let three: String = ["1", "2", "3"].map(|id| format!("- [ ] {id}. Write {id}\n  - _writes: {id}.rs_\n")).concat();
    let mut table = Table::with(&three, options());
    table.join("w", &[("codex", 2)]);
    let grants = table.go();
    table.works(&grants[0], &["1.rs"]);
    table.works_with(&grants[1], &[], r#"{"status":"failed","failed_subtask":"2","error":"no"}"#);
    assert_eq!(table.unit("2").state(), UnitState::Blocked);
    table.join("idle", &[("codex", 4)]);
    // The review of 1, for which codex stands in, and the work of 2 and 3.
    expect(&table, 3, &[("codex", 3)]);
}
