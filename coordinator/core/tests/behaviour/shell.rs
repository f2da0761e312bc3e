//! Effects that fail are repeated until they work.

use roundtable_core::command::{Prepared, RoleAnswer, ShellAnswer};
use roundtable_core::effect::Effect;
use roundtable_shared::{FailureKind, Role, RunOptions, Severity};

use crate::table::{Table, options, run_id};

#[test]
fn the_answer_of_another_effect_does_not_end_the_repeating() {
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n", options());
    table.join("w", &[("codex", 2), ("codex-review", 2)]);
    let work = table.go_one("1");
    table.works(&work, &["a.rs"]);
    let review = table.go_one("1");
    table.reviews(&review, Severity::None);
    let is_asked = |table: &mut Table| {
        let before = table.effects.len();
        table.effects.retain(|effect| !matches!(effect, Effect::PrepareIntegration(_)));
        table.effects.len() < before
    };
    assert!(is_asked(&mut table));
    table.shell(ShellAnswer::Failed { run: run_id(), unit: Some("1".into()), reason: "the disk is full".to_owned() });
    // A late answer to something that was asked about another unit.
    let (tip, of) = (table.run().branch.tip.clone(), table.commit());
    table.shell(ShellAnswer::Merged { run: run_id(), unit: "2".into(), tip, of, result: Prepared::Empty });
    table.pass(5_000);
    assert!(is_asked(&mut table), "the integration is prepared again");
}

#[test]
fn a_late_preparation_of_work_since_replaced_is_not_taken() {
    let checked = RunOptions { check: Some("make test".into()), ..options() };
    let mut table = Table::with("- [ ] 1. Write a\n  - _writes: a.rs_\n", checked);
    table.join("w", &[("codex", 2), ("codex-review", 2), ("check", 1)]);
    let (checks, work): (Vec<_>, Vec<_>) = table.go().into_iter().partition(|grant| grant.granted.role == Role::Check);
    let work = &work[0];
    table.report(&checks[0], None, &[], Ok(RoleAnswer::None));
    table.works(work, &["a.rs"]);
    let review = table.go_one("1");
    table.reviews(&review, Severity::None);
    let (tip, first) = (table.run().branch.tip.clone(), table.unit("1").work.accepted.clone().expect("work").commit);
    table.integrate();
    for _ in 0..2 {
        let red = table.go_one("1");
        assert_eq!(red.granted.role, Role::Check);
        table.breaks(&red, FailureKind::TurnFailed);
    }
    let fix = table.go_one("1");
    assert_eq!(fix.granted.role, Role::Fix);
    table.works(&fix, &["a.rs"]);
    let review = table.go_one("1");
    table.reviews(&review, Severity::None);
    assert_eq!(table.run().branch.train.flights.len(), 1);
    let result = Prepared::Clean { commit: table.commit(), changed: Vec::new() };
    table.shell(ShellAnswer::IntegrationPrepared { run: run_id(), unit: "1".into(), tip, of: first, ticks: Vec::new(), result });
    assert_eq!(table.run().branch.train.flights[0].candidate, None);
}
