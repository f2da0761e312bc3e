//! Workers that a person has drained: nothing more comes to them, whatever they do.

use roundtable_core::command::{Act, Command};
use roundtable_core::effect::Effect;
use roundtable_core::state::{AttemptEnd, LostCause};
use roundtable_shared::{DecisionId, Origin, RunOptions, Severity, UnitState, WorkerId};

use crate::table::{Table, options};

const TWO: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n";

fn served() -> RunOptions {
    RunOptions { embedded: false, ..options() }
}

fn drain(table: &mut Table, worker: &str) {
    table.act(Act::Drain { worker: WorkerId::from(worker) });
}

fn undrain(table: &mut Table, worker: &str) {
    table.act(Act::Undrain { worker: WorkerId::from(worker) });
}

#[test]
fn what_runs_ends_there_and_nothing_more_comes_until_it_is_taken_back() {
    let mut table = Table::with(TWO, served());
    table.join("w", &[("codex", 1), ("codex-review", 1)]);
    let first = table.go_one("1");
    drain(&mut table, "w");
    table.works(&first, &["a.rs"]);
    table.pass(60_000);
    assert_eq!(table.unit("1").state(), UnitState::PendingReview, "its work counts");
    assert!(table.go().is_empty(), "nothing more comes");
    undrain(&mut table, "w");
    table.want(&first);
    assert!(!table.go().is_empty(), "it comes again");
}

#[test]
fn what_has_not_started_is_taken_back_and_goes_elsewhere_at_no_cost() {
    let mut table = Table::with(TWO, served());
    table.join("w", &[("codex", 1)]);
    table.schedule();
    let granted = table.granted().remove(0);
    table.join("other", &[("codex", 2)]);
    drain(&mut table, "w");
    let revoked = table.effects.iter().any(|effect| matches!(effect, Effect::Revoke { lease, .. } if *lease == granted.lease));
    assert!(revoked, "it is told, if it listens");
    assert_eq!(table.unit("1").attempts[0].end(), Some(AttemptEnd::Lost(LostCause::Revoked)));
    let again = table.go();
    assert_eq!(again.iter().filter(|grant| grant.granted.worker.as_str() == "other").count(), 2);
    let counters = &table.unit("1").counters;
    assert_eq!((counters.infra, counters.unit_failures), (0, 0));
    // The lease reaches it all the same: it is not current any more.
    table.send(Command::LeaseStarted { worker: granted.granted.worker.clone(), lease: granted.lease });
    assert_eq!(table.unit("1").live_attempts().count(), 1);
}

#[test]
fn a_start_of_either_side_does_not_end_it() {
    let mut table = Table::with(TWO, served());
    table.join("w", &[("codex", 1)]);
    drain(&mut table, "w");
    table.hello("w", 50, Origin::default(), &[("codex", 1)]).expect("its next start");
    assert!(table.go().is_empty(), "it was started again");
    table.restart();
    table.hello("w", 51, Origin::default(), &[("codex", 1)]).expect("it comes back");
    assert!(table.go().is_empty(), "the coordinator was started again");
    undrain(&mut table, "w");
    assert_eq!(table.go().len(), 1);
}

#[test]
fn a_silent_worker_is_drained_like_any_other_and_what_it_ran_is_lost_as_always() {
    let mut table = Table::with(TWO, served());
    table.join("w", &[("codex", 1)]);
    let first = table.go_one("1");
    table.now.mono_ms += 1_000;
    table.send(Command::Tick);
    drain(&mut table, "w");
    for _ in 0..70 {
        table.now.mono_ms += 1_000;
        table.now.wall.0 += 1_000;
        table.send(Command::Tick);
    }
    assert_eq!(table.unit("1").attempts[0].end(), Some(AttemptEnd::Lost(LostCause::Silent)));
    table.join("other", &[("codex", 1)]);
    let again = table.go_one("1");
    assert_eq!((again.granted.worker.as_str(), again.lease.key.attempt.0), ("other", first.lease.key.attempt.0 + 1));
}

#[test]
fn after_an_hour_what_still_runs_is_taken_back() {
    let mut table = Table::with(TWO, served());
    table.join("w", &[("codex", 1)]);
    table.go_one("1");
    drain(&mut table, "w");
    table.pass(3_590_000);
    assert_eq!(table.unit("1").state(), UnitState::InProgress, "it may end");
    table.pass(20_000);
    assert_eq!(table.unit("1").state(), UnitState::NotStarted);
    assert_eq!(table.unit("1").attempts[0].end(), Some(AttemptEnd::Lost(LostCause::Revoked)));
    assert_eq!(table.unit("1").counters.infra, 0, "nobody pays");
}

#[test]
fn how_long_it_may_go_on_is_for_whoever_serves_to_say() {
    let mut table = Table::with(TWO, served());
    table.core.fleet.waits.drain_ms = 120_000;
    table.join("w", &[("codex", 1)]);
    table.go_one("1");
    drain(&mut table, "w");
    table.pass(110_000);
    assert_eq!(table.unit("1").state(), UnitState::InProgress);
    table.pass(20_000);
    assert_eq!(table.unit("1").state(), UnitState::NotStarted);
}

#[test]
fn a_backend_of_drained_workers_counts_as_not_offered() {
    let mut table = Table::with(TWO, served());
    table.join("w", &[("codex", 1)]);
    table.schedule();
    drain(&mut table, "w");
    table.schedule();
    let limit = table.run().options.limits.no_worker_ms;
    table.pass(limit + 2_000);
    table.schedule();
    let asked = DecisionId::from("no-worker-codex");
    let context = table.run().people.decisions.get(&asked).map(|decision| decision.context.clone()).expect("a person is asked");
    assert!(context.contains("worker w is drained"), "{context}");
    undrain(&mut table, "w");
    table.schedule();
    assert!(!table.run().people.decisions.contains_key(&asked), "nothing is left to ask");
}

#[test]
fn names_that_nobody_knows_are_refused_and_a_second_word_changes_nothing() {
    let mut table = Table::with(TWO, served());
    table.join("w", &[("codex", 1)]);
    let unknown = table.try_act(Act::Drain { worker: WorkerId::from("v") }).expect_err("nobody is called that");
    assert_eq!(unknown.text, "no worker is called v; known are: w");
    assert!(table.try_act(Act::Undrain { worker: WorkerId::from("v") }).is_err());
    drain(&mut table, "w");
    let rows = table.log.len();
    drain(&mut table, "w");
    assert_eq!(table.log.len(), rows);
    undrain(&mut table, "w");
    undrain(&mut table, "w");
    assert_eq!(table.log.len(), rows + 1);
}

#[test]
fn reviews_go_to_the_others_too() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n", served());
    table.join("w", &[("codex", 1), ("codex-review", 1)]);
    let work = table.go_one("1");
    table.join("other", &[("codex-review", 1)]);
    drain(&mut table, "other");
    table.works(&work, &["a.rs"]);
    let review = table.go_one("1");
    assert_eq!(review.granted.worker.as_str(), "w", "a reviewer that is not the author would be better, and is drained");
    table.reviews(&review, Severity::None);
    table.integrate();
    assert_eq!(table.unit("1").state(), UnitState::Completed);
}
