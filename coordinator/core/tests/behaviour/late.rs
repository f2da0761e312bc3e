//! Outcomes that come when their seat is another's, or nobody's: they decide nothing, and their work is not lost.

use roundtable_core::command::{Act, RoleAnswer};
use roundtable_core::effect::{Grant, Start};
use roundtable_core::{Fact, Transition};
use roundtable_shared::{AttemptOutcome, CommitId, UnitState};

use crate::table::{Table, options};

const ONE: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n";

fn working() -> (Table, Grant) {
    let mut table = Table::with(ONE, options());
    table.join("w", &[("codex", 2)]);
    let work = table.go_one("1");
    (table, work)
}

/// The worker ends what it was told to end, and hands in what was there.
fn hands_in(table: &mut Table, grant: &Grant) -> CommitId {
    table.report(grant, None, &["a.rs"], Err("it was stopped".to_owned()));
    let attempt = table.unit("1").attempts[grant.lease.key.attempt.0 as usize - 1].clone();
    assert_eq!(attempt.outcome(), AttemptOutcome::Stale);
    attempt.commit().cloned().expect("its commit is known")
}

#[test]
fn what_a_cancelled_attempt_left_is_kept() {
    let (mut table, work) = working();
    table.act(Act::Cancel { unit: Some("1".into()) });
    let left = hands_in(&mut table, &work);
    assert_eq!(table.unit("1").state(), UnitState::Cancelled);
    assert_eq!(table.unit("1").work.last.as_ref().map(|last| &last.commit), Some(&left));
}

#[test]
fn a_retry_goes_on_from_what_arrived_before_it() {
    let (mut table, work) = working();
    table.act(Act::Retry { unit: "1".into() });
    let left = hands_in(&mut table, &work);
    let again = table.go_one("1");
    assert_eq!(again.granted.start, Start::Commit(left));
}

#[test]
fn what_arrives_after_something_newer_changes_nothing() {
    let (mut table, first) = working();
    table.act(Act::Retry { unit: "1".into() });
    let second = table.go_one("1");
    table.report(&second, None, &[], Err("nonsense".to_owned()));
    let newer = table.unit("1").work.last.clone();
    hands_in(&mut table, &first);
    assert_eq!(table.unit("1").work.last, newer);
}

#[test]
fn rows_without_a_commit_are_still_read() {
    let row = r#"{"run":"run","at":1,"fact":{"attempt_late":{"unit":"1","attempt":1}}}"#;
    let read: Transition = serde_json::from_str(row).expect("rows live for ever");
    assert!(matches!(read.fact, Fact::AttemptLate { commit: None, .. }));
}

#[test]
fn a_late_answer_decides_nothing() {
    let (mut table, work) = working();
    table.act(Act::Skip { unit: "1".into(), dependants: Default::default() });
    table.report(&work, None, &["a.rs"], Ok(RoleAnswer::None));
    assert_eq!((table.unit("1").state(), &table.unit("1").work.accepted), (UnitState::Skipped, &None));
}
