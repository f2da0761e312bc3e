//! A worker that is started again and again.

use roundtable_shared::{Origin, UnitState, WorkerId};

use crate::table::{Table, options};

#[test]
fn restarts_bar_no_worker_however_many_units_they_met() {
    let plan = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n- [ ] 3. Write c\n  - _writes: c.rs_\n";
    let mut table = Table::with(plan, options());
    let backends = [("codex", 3)];
    table.join("w", &backends);
    for start in 0..20 {
        assert_eq!(table.go().len(), 3, "at start {start}");
        table.hello("w", 100 + start, Origin::default(), &backends).expect("its next start");
    }
    assert_eq!(table.core.fleet.workers[&WorkerId::from("w")].cordoned, None);
    assert!(table.run().people.decisions.is_empty());
    assert!(table.run().units().all(|unit| unit.state() != UnitState::Blocked));
}
