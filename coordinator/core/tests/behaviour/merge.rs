//! Work merged with the run's branch outside the queue.

use roundtable_core::command::{Prepared, ShellAnswer};
use roundtable_core::effect::{Effect, Start};
use roundtable_shared::{Choice, CommitId, FailureKind, Role};

use crate::table::{Table, options, run_id};

#[test]
fn a_fix_of_a_person_s_commit_goes_on_from_that_commit() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n", options());
    table.join("w", &[("codex", 1)]);
    for _ in 0..3 {
        let work = table.go_one("1");
        table.breaks(&work, FailureKind::TurnFailed);
    }
    let theirs = CommitId::from("theirs");
    table.decide("quarantine-1", Choice::Resume { commit: Some(theirs.clone()) });
    assert!(table.effects.iter().any(|effect| matches!(effect, Effect::MergeWithTip { commit, .. } if *commit == theirs)));
    let tip = table.run().branch.tip.clone();
    let result = Prepared::Conflict { paths: vec!["a.rs".to_owned()], evidence: "CONFLICT".to_owned() };
    table.shell(ShellAnswer::Merged { run: run_id(), unit: "1".into(), tip, of: theirs.clone(), result });
    let fix = table.go_one("1");
    assert_eq!(fix.granted.role, Role::Fix);
    let starts_from = match &fix.granted.start {
        Start::Commit(commit) | Start::MergeWithTip { commit, .. } => commit,
    };
    assert_eq!(*starts_from, theirs);
}
