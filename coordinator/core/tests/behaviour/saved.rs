//! Work in progress that was handed in on the way: the attempt after a lost one begins with it, and does nothing again that was reported as done.

use roundtable_core::command::{Act, Command};
use roundtable_core::effect::{Grant, Start};
use roundtable_core::state::Saved;
use roundtable_core::{Fact, Transition};
use roundtable_shared::{AttemptNo, AttemptOutcome, CommitId, FailureKind, RunOptions, SubtaskState, TaskId};

use crate::table::{Table, options};

const STEPS: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n  - [ ] 1.1 First\n  - [ ] 1.2 Second\n  - [ ] 1.3 Third\n";

fn working() -> (Table, Grant) {
    let mut table = Table::with(STEPS, options());
    table.join("w", &[("codex", 2)]);
    let work = table.go_one("1");
    table.join("v", &[("codex", 2)]);
    (table, work)
}

/// Its worker hands in what there is so far.
fn saves(table: &mut Table, grant: &Grant, done: &[&str]) -> CommitId {
    let commit = table.commit();
    let saved = Saved { commit: commit.clone(), done: done.iter().map(|id| TaskId::new(*id)).collect() };
    table.send(Command::WorkSaved { worker: grant.granted.worker.clone(), lease: grant.lease.clone(), saved });
    commit
}

/// Nothing is heard of its worker any more; the other one lives.
fn falls_silent(table: &mut Table, grant: &Grant) {
    for _ in 0..70 {
        table.now.mono_ms += 1_000;
        table.now.wall.0 += 1_000;
        let (worker, session) = {
            let other =
                table.core.fleet.workers.values().find(|worker| worker.id != grant.granted.worker).expect("there is another worker");
            (other.id.clone(), other.session)
        };
        table.send(Command::Heartbeat { worker, session, held: Vec::new() });
        table.send(Command::Tick);
    }
    assert_eq!(table.unit("1").attempts[0].outcome(), AttemptOutcome::Lost);
}

fn open(table: &Table) -> Vec<String> {
    let open = table.unit("1").spec.subtasks.iter().filter(|subtask| subtask.state != SubtaskState::Completed);
    open.map(|subtask| subtask.id.to_string()).collect()
}

#[test]
fn the_attempt_after_a_lost_worker_goes_on_from_what_was_saved_last() {
    let (mut table, work) = working();
    saves(&mut table, &work, &[]);
    let last = saves(&mut table, &work, &["1.1", "9", "1.1"]);
    assert_eq!(open(&table), ["1.1", "1.2", "1.3"], "its own word at the end counts while it lives");
    falls_silent(&mut table, &work);
    let next = table.go_one("1");
    assert_ne!(next.granted.worker, work.granted.worker);
    assert_eq!(next.granted.start, Start::Commit(last));
    assert_eq!(next.granted.base, work.granted.base, "all of it is judged against where the unit began");
    assert_eq!(table.unit("1").attempts[1].granted.resumed_from, Some(AttemptNo(1)));
    assert_eq!(open(&table), ["1.2", "1.3"]);
}

#[test]
fn a_parent_that_was_reported_as_done_stands_for_all_below_it() {
    let (mut table, work) = working();
    saves(&mut table, &work, &["1"]);
    falls_silent(&mut table, &work);
    assert!(open(&table).is_empty(), "{:?}", open(&table));
}

#[test]
fn without_anything_saved_the_next_attempt_begins_where_the_lost_one_did() {
    let (mut table, work) = working();
    falls_silent(&mut table, &work);
    let next = table.go_one("1");
    assert_eq!((next.granted.start.clone(), table.unit("1").attempts[1].granted.resumed_from), (work.granted.start.clone(), None));
}

#[test]
fn what_was_saved_is_gone_on_from_only_where_nothing_better_came() {
    let (mut table, work) = working();
    let saved = saves(&mut table, &work, &["1.2"]);
    table.done = vec![TaskId::new("1.2"), TaskId::new("1.1"), TaskId::new("other")];
    table.breaks(&work, FailureKind::Interrupted);
    let left = table.unit("1").attempts[0].commit().cloned().expect("its worker committed what was there");
    let next = table.go_one("1");
    assert_ne!(left, saved);
    assert_eq!(next.granted.start, Start::Commit(left));
    assert_eq!(open(&table), ["1.3"], "what was reported since is in the later commit");
}

#[test]
fn what_fails_for_its_own_reasons_is_judged_by_its_answer_alone() {
    let (mut table, work) = working();
    table.done = vec![TaskId::new("1.1")];
    table.breaks(&work, FailureKind::TurnFailed);
    assert_eq!(open(&table), ["1.1", "1.2", "1.3"]);
}

#[test]
fn a_worker_that_could_not_commit_at_the_end_loses_what_came_after_the_last_save_alone() {
    let (mut table, work) = working();
    let saved = saves(&mut table, &work, &[]);
    table.gives_back(&work);
    assert_eq!(table.go_one("1").granted.start, Start::Commit(saved));
}

#[test]
fn the_seat_of_a_drained_worker_is_gone_on_with_likewise() {
    let mut table = Table::with(STEPS, RunOptions { embedded: false, ..options() });
    table.join("w", &[("codex", 2)]);
    let work = table.go_one("1");
    let saved = saves(&mut table, &work, &["1.1"]);
    table.act(Act::Drain { worker: work.granted.worker.clone() });
    table.pass(3_610_000);
    assert_eq!(open(&table), ["1.2", "1.3"], "its time was over");
    table.join("v", &[("codex", 2)]);
    assert_eq!(table.go_one("1").granted.start, Start::Commit(saved));
}

#[test]
fn the_rest_of_it_is_taken_when_the_lost_worker_comes_back() {
    let (mut table, work) = working();
    saves(&mut table, &work, &[]);
    table.act(Act::Cancel { unit: Some("1".into()) });
    table.report(&work, None, &["a.rs"], Err("it was stopped".to_owned()));
    let late = table.unit("1").attempts[0].commit().cloned();
    assert!(late.is_some());
    assert_eq!(table.unit("1").work.last.as_ref().map(|last| &last.commit), late.as_ref());
}

#[test]
fn a_lost_attempt_saves_nothing_more() {
    let (mut table, work) = working();
    falls_silent(&mut table, &work);
    let before = table.log.len();
    saves(&mut table, &work, &["1.1"]);
    assert_eq!(table.log.len(), before);
}

#[test]
fn the_same_again_is_no_news() {
    let (mut table, work) = working();
    let commit = saves(&mut table, &work, &["1.1"]);
    let before = table.log.len();
    let saved = Saved { commit, done: vec![TaskId::new("1.1"), TaskId::new("unknown")] };
    table.send(Command::WorkSaved { worker: work.granted.worker.clone(), lease: work.lease.clone(), saved });
    assert_eq!(table.log.len(), before);
}

#[test]
fn another_workers_word_is_not_taken() {
    let (mut table, work) = working();
    let before = table.log.len();
    let saved = Saved { commit: table.commit(), done: Vec::new() };
    table.send(Command::WorkSaved { worker: "v".into(), lease: work.lease.clone(), saved });
    assert_eq!(table.log.len(), before);
}

#[test]
fn the_row_reads_as_it_is_written() {
    let row = r#"{"run":"run","at":1,"fact":{"attempt_saved":{"unit":"1","attempt":1,"saved":{"commit":"c"}}}}"#;
    let read: Transition = serde_json::from_str(row).expect("rows live for ever");
    assert!(matches!(&read.fact, Fact::AttemptSaved { saved, .. } if saved.done.is_empty()));
    assert_eq!(serde_json::to_string(&read).expect("it is written"), row);
}
