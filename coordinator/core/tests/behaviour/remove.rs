//! Runs whose files are no longer wanted.

use roundtable_core::command::{Act, RunSource};
use roundtable_core::state::State;
use roundtable_core::{Fact, Transition};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{CommitId, Severity};

use crate::table::{Table, options};

const ONE: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n";

fn remove(table: &mut Table, force: bool) -> Result<(), ErrorCode> {
    table.try_act(Act::Remove { force }).map_err(|rejection| rejection.code)
}

fn completed() -> Table {
    let mut table = Table::with(ONE, options());
    table.join("w", &[("codex", 1), ("codex-review", 1)]);
    let work = table.go_one("1");
    table.works(&work, &["a.rs"]);
    let review = table.go_one("1");
    table.reviews(&review, Severity::None);
    table.integrate();
    assert_eq!(table.run().ended().map(|ended| ended.exit), Some(0));
    table
}

#[test]
fn what_is_under_way_is_not_removed() {
    let mut table = Table::with(ONE, options());
    assert_eq!(remove(&mut table, true), Err(ErrorCode::InvalidInput));
    table.act(Act::Cancel { unit: None });
    assert_eq!(remove(&mut table, false), Ok(()));
}

#[test]
fn commits_that_are_nowhere_else_are_removed_only_on_demand_and_the_facts_stay() {
    let mut table = completed();
    assert_eq!(remove(&mut table, false), Err(ErrorCode::InvalidInput));
    let before = table.run().clone();
    assert_eq!(remove(&mut table, true), Ok(()));
    let removed = table.run().life.removed.clone().expect("it is removed");
    assert_eq!((removed.by.as_str(), &removed.remains.tip, removed.remains.attempts), ("ada", &before.branch.tip, 2));
    assert_eq!((table.run().units.clone(), table.run().branch.integrations.clone()), (before.units, before.branch.integrations));
    let rows = table.log.len();
    assert_eq!(remove(&mut table, true), Ok(()));
    assert_eq!(table.log.len(), rows, "once is enough");
    table.restart();
    assert!(table.run().life.removed.is_some());
}

#[test]
fn an_accepted_run_is_removed_and_still_stands_for_its_spec() {
    let of = |table: &Table| -> RunSource { table.run().origin.source.clone() };
    let mut accepted = completed();
    let tip = accepted.run().branch.tip.clone();
    accepted.act(Act::RecordAccept { branch: "main".to_owned(), commit: tip });
    assert_eq!(remove(&mut accepted, false), Ok(()));
    assert!(accepted.core.state.find_latest(&of(&accepted)).is_some());
    let mut thrown_away = completed();
    assert_eq!(remove(&mut thrown_away, true), Ok(()));
    assert!(thrown_away.core.state.find_latest(&of(&thrown_away)).is_none());
}

#[test]
fn a_removal_reads_as_it_was_written() {
    let row = r#"{"run":"run","at":7,"fact":{"run_removed":{"by":"ada","remains":{"tip":"abc","attempts":3,"events":40}}}}"#;
    let read: Transition = serde_json::from_str(row).expect("a row");
    let Fact::RunRemoved { by, remains } = &read.fact else { panic!("{read:?}") };
    assert_eq!((by.as_str(), &remains.tip, remains.attempts, remains.events), ("ada", &CommitId::from("abc"), 3, 40));
    assert_eq!(serde_json::to_string(&read).expect("its text"), row);
    // A fact about a run that nobody knows changes nothing.
    assert!(State::fold([&read]).runs.is_empty());
    assert!(Fact::is_kind("run_removed") && !Fact::is_kind("run_remembered"));
}
