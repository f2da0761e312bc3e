//! Workers whose disk or tools are broken, beside others that are well.

use roundtable_core::command::Command;
use roundtable_core::effect::Grant;
use roundtable_shared::{FailureKind, Origin, RunOptions, Severity, UnitState, WorkerId};

use crate::table::{Table, options};

const TWO: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n";

fn served() -> RunOptions {
    RunOptions { embedded: false, ..options() }
}

/// The worker cannot even prepare what it was given.
fn cannot_prepare(table: &mut Table, grant: &Grant) {
    let (worker, lease) = (grant.granted.worker.clone(), grant.lease.clone());
    table.send(Command::LeaseAccepted { worker: worker.clone(), lease: lease.clone() });
    table.send(Command::HandBack { worker, lease, reason: "no such directory".to_owned(), fault: true });
    table.want(grant);
}

/// Everything granted to the broken worker fails before it runs, the rest starts; what was started.
fn go_beside(table: &mut Table, broken: &str) -> Vec<Grant> {
    for _ in 0..10 {
        table.schedule();
        let (bad, good): (Vec<Grant>, Vec<Grant>) = table.granted().into_iter().partition(|grant| grant.granted.worker.as_str() == broken);
        good.iter().for_each(|grant| table.begin(grant));
        bad.iter().for_each(|grant| cannot_prepare(table, grant));
        if bad.is_empty() || !good.is_empty() {
            return good;
        }
    }
    panic!("the broken worker is given one attempt after the other");
}

fn is_cordoned(table: &Table, worker: &str) -> bool {
    table.core.fleet.workers[&WorkerId::from(worker)].cordoned.is_some()
}

#[test]
fn a_review_does_not_go_back_to_the_worker_that_broke_under_it_while_another_is_there() {
    let mut table = Table::with(TWO, served());
    table.join("well", &[("codex", 1), ("codex-review", 1)]);
    table.schedule();
    let first = table.granted().remove(0);
    table.begin(&first);
    // A reviewer that is not the author is better, as long as it works.
    table.join("broken", &[("codex-review", 1)]);
    table.works(&first, &["a.rs"]);
    for _ in 0..30 {
        let good = go_beside(&mut table, "broken");
        for grant in good {
            if grant.granted.role.writes() { table.works(&grant, &["b.rs"]) } else { table.reviews(&grant, Severity::None) }
        }
        table.integrate();
        table.pass(1_000);
    }
    for unit in ["1", "2"] {
        assert_eq!(table.unit(unit).state(), UnitState::Completed, "{:?}", table.run().people.decisions);
        let reviews_there = table.unit(unit).attempts.iter().filter(|attempt| attempt.granted.worker.as_str() == "broken").count();
        assert!(reviews_there <= 1, "unit {unit} failed {reviews_there} times on the broken worker");
    }
}

#[test]
fn a_unit_waits_for_the_slot_of_a_worker_that_is_well_rather_than_fail_again_on_a_broken_one() {
    let mut table = Table::with(TWO, served());
    table.join("broken", &[("codex", 1)]);
    table.schedule();
    let first = table.granted().remove(0);
    table.join("well", &[("codex", 1)]);
    let other = table.go_one("2");
    cannot_prepare(&mut table, &first);
    table.pass(600_000);
    assert!(table.go().is_empty(), "unit 1 waits for the worker that is well");
    table.works(&other, &["b.rs"]);
    assert_eq!(table.go_one("1").granted.worker.as_str(), "well");
}

#[test]
fn two_failures_in_a_row_before_the_agent_runs_bar_a_worker_for_a_while() {
    let mut table = Table::with(TWO, served());
    table.join("w", &[("codex", 1)]);
    let fail = |table: &mut Table| {
        table.schedule();
        let granted = table.granted();
        granted.iter().for_each(|grant| cannot_prepare(table, grant));
        granted.len()
    };
    assert_eq!((fail(&mut table), fail(&mut table), fail(&mut table)), (1, 1, 0));
    assert!(is_cordoned(&table, "w"));
    let said = |table: &Table, text: &str| table.run().people.notices.iter().filter(|notice| notice.text.contains(text)).count();
    assert_eq!(said(&table, "worker w gets nothing more: 2 attempts in a row failed there before their agent ran"), 1);
    // It is tried again after 5 min, and then barred for longer.
    table.pass(301_000);
    assert_eq!((said(&table, "worker w is back"), fail(&mut table), fail(&mut table)), (1, 1, 0));
    table.pass(301_000);
    assert!(is_cordoned(&table, "w"));
    // A new start of it is a new beginning.
    table.hello("w", 100, Origin::default(), &[("codex", 1)]).expect("its next start");
    assert!(!is_cordoned(&table, "w"));
    assert!(table.run().people.decisions.is_empty(), "no unit pays: {:?}", table.run().people.decisions);
    table.schedule();
    let granted = table.granted();
    granted.iter().for_each(|grant| table.begin(grant));
    assert_eq!(granted.len(), 1);
}

#[test]
fn a_worker_that_mended_itself_is_let_in_at_once() {
    let mut table = Table::with(TWO, served());
    table.join("w", &[("codex", 1)]);
    for _ in 0..2 {
        table.schedule();
        let granted = table.granted();
        granted.iter().for_each(|grant| cannot_prepare(&mut table, grant));
    }
    assert!(is_cordoned(&table, "w"));
    table.offers_again("w", "codex");
    assert!(!is_cordoned(&table, "w"));
}

#[test]
fn what_no_worker_can_prepare_is_the_units_fault_and_bars_nobody() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n", served());
    table.join("a", &[("codex", 1)]);
    table.join("b", &[("codex", 1)]);
    for _ in 0..200 {
        table.schedule();
        let granted = table.granted();
        granted.iter().for_each(|grant| cannot_prepare(&mut table, grant));
        table.pass(5_000);
    }
    assert!(table.run().people.decisions.keys().any(|id| id.as_str() == "quarantine-1"), "{:?}", table.run().people.decisions);
    assert_eq!(table.unit("1").attempts.len(), 5);
    assert!(!is_cordoned(&table, "a") && !is_cordoned(&table, "b"));
}

#[test]
fn a_full_disk_under_three_units_bars_the_worker_and_none_of_them() {
    let plan = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n- [ ] 3. Write c\n  - _writes: c.rs_\n";
    let mut table = Table::with(plan, served());
    table.join("broken", &[("codex", 3)]);
    let grants = table.go();
    grants.iter().for_each(|grant| table.breaks(grant, FailureKind::Disk));
    assert!(is_cordoned(&table, "broken"));
    table.join("well", &[("codex", 3)]);
    assert!(table.go().iter().all(|grant| grant.granted.worker.as_str() == "well"));
    assert!(table.run().people.decisions.is_empty());
}
