//! Copies for readers: they share what did not change, and answer as the core does.

use std::fmt::Write as _;
use std::sync::Arc;

use roundtable_core::schedule::explain;
use roundtable_core::state::Run;
use roundtable_core::{Core, Publisher};

use crate::table::{Table, options, run_id};

/// Each writes a file of its own, but for every tenth, which writes that of the one before it.
fn many(units: usize) -> Table {
    let mut tasks = String::new();
    for n in 1..=units {
        let file = if n % 10 == 0 { n - 1 } else { n };
        let _ = writeln!(tasks, "- [ ] {n}. Do step {n}\n  - _writes: src/f{file}.rs_");
    }
    let mut table = Table::with(&tasks, options());
    table.join("w", &[("codex", 3)]);
    table
}

fn run(core: &Core) -> &Run {
    core.state.run(&run_id()).expect("the run is there")
}

#[test]
fn publishing_costs_what_has_changed() {
    for units in [100, 2_000] {
        let mut table = many(units);
        let mut publisher = Publisher::default();
        let first = publisher.start(&table.core);
        let place: *const Run = run(&table.core);
        let granted = table.go().len();
        assert_eq!(granted, 3);
        let second = publisher.publish(&table.core, [&run_id()]);
        let (before, after) = (run(&first), run(&second));
        let same = before.units().zip(after.units()).filter(|(one, other)| std::ptr::eq(*one, *other)).count();
        assert_eq!(same, units - granted, "units that did not change are shared");
        assert!(Arc::ptr_eq(&before.positions, &after.positions) && Arc::ptr_eq(&before.options, &after.options));
        assert!(Arc::ptr_eq(&before.plan.order, &after.plan.order) && Arc::ptr_eq(&before.plan.needs, &after.plan.needs));
        assert!(Arc::ptr_eq(&before.origin, &after.origin));
        assert!(Arc::ptr_eq(&first.state.access, &second.state.access) && Arc::ptr_eq(&first.state.learned, &second.state.learned));
        assert!(std::ptr::eq(place, run(&table.core)), "the core's own run is changed in place");
        assert!(before.units().all(|unit| unit.attempts.is_empty()), "a copy stays as it was");
        let third = publisher.publish(&table.core, []);
        assert!(std::ptr::eq(after, run(&third)), "a run without new facts is the same one");
    }
}

#[test]
fn a_copy_answers_as_the_core_does() {
    let mut table = many(40);
    table.go();
    let copy = Publisher::default().start(&table.core);
    assert_eq!(copy, table.core);
    let mut waiting = 0;
    for unit in run(&table.core).units() {
        let said = |core: &Core| explain(&core.state, &core.fleet, &run_id(), &unit.id, table.now);
        assert_eq!(said(&copy), said(&table.core), "unit {}", unit.id);
        waiting += usize::from(!said(&copy).is_empty());
    }
    assert_eq!(waiting, 40);
    let startable = |core: &Core| run(core).startable().map(|unit| unit.id.clone()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(startable(&copy), startable(&table.core));
    // A copy that is made the core goes on as the core does.
    let mut other = many(40);
    other.go();
    other.core = copy;
    other.join("v", &[("codex", 50)]);
    table.join("v", &[("codex", 50)]);
    let units = |grants: Vec<roundtable_core::effect::Grant>| grants.into_iter().map(|grant| grant.lease.key.unit).collect::<Vec<_>>();
    assert_eq!(units(other.go()), units(table.go()));
}
