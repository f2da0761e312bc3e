//! The duration of a run is the time it could work: what it waited for is told apart.

use roundtable_core::Fact;
use roundtable_core::command::Act;
use roundtable_core::state::Rest;
use roundtable_shared::{Choice, FailureKind, Severity};

use crate::table::{Table, options};

const ONE: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n";

/// With a worker of one slot.
fn table() -> Table {
    let mut table = Table::with(ONE, options());
    table.join("w", &[("codex", 1)]);
    table
}

/// It is looked for what can be granted, then once a second.
fn pass(table: &mut Table, seconds: u64) {
    table.schedule();
    for _ in 0..seconds {
        table.pass(1_000);
        table.schedule();
    }
}

/// Seconds for people, providers, machines, and those in which it could work.
fn seconds(table: &Table) -> [u64; 4] {
    let (now, run) = (table.now.wall, table.run());
    let waited = run.waited(now);
    [waited.people_ms, waited.provider_ms, waited.machines_ms, run.worked_ms(now)].map(|ms| ms / 1_000)
}

/// What was said of rests.
fn told(table: &Table) -> Vec<Option<Rest>> {
    let said = table.log.iter().filter_map(|each| if let Fact::RunRests { on, .. } = each.fact { Some(on) } else { None });
    said.collect()
}

/// Works for 30 s, then asks a person, who takes a minute.
fn asked() -> Table {
    let mut table = table();
    for _ in 0..3 {
        let work = table.go_one("1");
        pass(&mut table, 10);
        table.breaks(&work, FailureKind::TurnFailed);
    }
    pass(&mut table, 60);
    table
}

#[test]
fn the_time_a_person_takes_to_decide_is_no_time_of_the_run() {
    let mut table = asked();
    assert_eq!((seconds(&table), told(&table)), ([60, 0, 0, 30], vec![Some(Rest::People)]), "also while it goes on");
    table.decide("quarantine-1", Choice::Retry);
    table.go_one("1");
    pass(&mut table, 5);
    assert_eq!((seconds(&table), told(&table)), ([60, 0, 0, 35], vec![Some(Rest::People), None]));
}

#[test]
fn the_end_of_a_run_ends_its_rest() {
    let mut table = asked();
    table.decide("quarantine-1", Choice::Abort);
    assert!(table.run().is_ended());
    pass(&mut table, 20);
    assert_eq!((seconds(&table), told(&table)), ([60, 0, 0, 30], vec![Some(Rest::People)]));
}

#[test]
fn a_rest_goes_on_over_a_restart() {
    let mut table = asked();
    table.restart();
    pass(&mut table, 10);
    assert_eq!((seconds(&table), told(&table)), ([70, 0, 0, 30], vec![Some(Rest::People)]));
}

#[test]
fn a_provider_that_refuses_is_waited_for_on_its_own_account() {
    let mut table = table();
    let work = table.go_one("1");
    table.breaks(&work, FailureKind::RateLimit { retry_after_ms: Some(40_000) });
    pass(&mut table, 39);
    assert_eq!((seconds(&table), told(&table)), ([0, 39, 0, 0], vec![Some(Rest::Provider)]));
    pass(&mut table, 1);
    assert_eq!(table.start().len(), 1, "the provider named that time");
    pass(&mut table, 5);
    assert_eq!((seconds(&table), told(&table)), ([0, 40, 0, 5], vec![Some(Rest::Provider), None]));
}

#[test]
fn a_run_nobody_works_on_waits_for_machines_and_once_a_person_is_asked_for_people() {
    let mut table = Table::with(ONE, options());
    pass(&mut table, 20);
    assert_eq!((seconds(&table), told(&table)), ([0, 0, 20, 0], vec![Some(Rest::Machines)]));
    pass(&mut table, 20);
    assert_eq!(told(&table), [Some(Rest::Machines), Some(Rest::People)]);
    table.join("w", &[("codex", 1)]);
    table.go_one("1");
    pass(&mut table, 5);
    assert_eq!((seconds(&table), told(&table).last()), ([10, 0, 30, 5], Some(&None)));
}

#[test]
fn a_paused_run_works_until_its_agents_have_ended() {
    let mut table = table();
    let work = table.go_one("1");
    table.act(Act::Pause { note: None });
    pass(&mut table, 30);
    assert_eq!((seconds(&table), told(&table)), ([0, 0, 0, 30], vec![]));
    table.works(&work, &["a.rs"]);
    pass(&mut table, 10);
    assert_eq!((seconds(&table), told(&table)), ([10, 0, 0, 30], vec![Some(Rest::People)]));
    table.act(Act::Resume);
    table.go_one("1");
    pass(&mut table, 5);
    assert_eq!((seconds(&table), told(&table)), ([10, 0, 0, 35], vec![Some(Rest::People), None]));
}

/// Its coordinator goes with the command that was interrupted, and comes again with the next one.
#[test]
fn an_interrupted_run_rests_until_it_is_run_again() {
    let mut table = table();
    let work = table.go_one("1");
    pass(&mut table, 5);
    table.act(Act::Halt { reason: "interrupted".to_owned() });
    table.gives_back(&work);
    table.schedule();
    assert_eq!(told(&table), [Some(Rest::People)]);
    (table.now.wall.0, table.now.mono_ms) = (table.now.wall.0 + 3_600_000, 1_000);
    table.restart();
    table.act(Act::Attach { options: Box::new(options()), mode: None });
    table.join("w", &[("codex", 1)]);
    table.go_one("1");
    pass(&mut table, 5);
    assert_eq!(seconds(&table), [3_600, 0, 0, 10]);
}

#[test]
fn a_run_that_is_not_kept_waiting_says_nothing_of_rests() {
    let mut table = table();
    let work = table.go_one("1");
    pass(&mut table, 5);
    table.works(&work, &["a.rs"]);
    let review = table.go_one("1");
    pass(&mut table, 5);
    table.reviews(&review, Severity::None);
    table.integrate();
    assert!(table.run().is_ended());
    assert_eq!((seconds(&table), told(&table)), ([0, 0, 0, 10], vec![]));
}
