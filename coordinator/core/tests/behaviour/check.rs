//! The check command: who runs it, how often, and what is said of it.

use roundtable_core::command::RoleAnswer;
use roundtable_core::effect::Grant;
use roundtable_core::schedule::explain;
use roundtable_shared::{Choice, FailureKind, Role, RunOptions, Severity, UnitState};

use crate::table::{Table, options, run_id};

const ONE: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n";
const RED: FailureKind = FailureKind::ExitStatus { code: Some(1), signal: None };

fn checked() -> RunOptions {
    RunOptions { check: Some("make test".to_owned()), ..options() }
}

/// The check of the base, which is granted beside the first work.
fn base_check(table: &mut Table) -> (Grant, Grant) {
    let mut grants = table.go();
    grants.sort_by_key(|grant| grant.granted.role != Role::Check);
    assert_eq!(grants.len(), 2);
    let work = grants.remove(1);
    (grants.remove(0), work)
}

fn is_green(table: &mut Table, check: &Grant) {
    table.report(check, None, &[], Ok(RoleAnswer::None));
}

/// Reviewed, integrated as far as the check, which is granted.
fn candidate(table: &mut Table) -> Grant {
    let review = table.go_one("1");
    table.reviews(&review, Severity::None);
    table.integrate();
    table.go_one("1")
}

#[test]
fn each_candidate_has_one_retry_of_its_own() {
    let mut table = Table::with(ONE, checked());
    table.join("w", &[("codex", 1), ("codex-review", 1), ("check", 1)]);
    let (base, work) = base_check(&mut table);
    is_green(&mut table, &base);
    table.works(&work, &["a.rs"]);
    let first = candidate(&mut table);
    table.breaks(&first, RED);
    let again = table.go_one("1");
    table.breaks(&again, RED);
    let fix = table.go_one("1");
    assert_eq!((again.granted.role, again.granted.turn, fix.granted.role), (Role::Check, 2, Role::Fix));
    table.works(&fix, &["a.rs"]);
    let second = candidate(&mut table);
    table.breaks(&second, RED);
    let retry = table.go_one("1");
    assert_eq!((retry.granted.role, second.granted.turn, retry.granted.turn), (Role::Check, 3, 4));
    is_green(&mut table, &retry);
    table.integrate();
    assert_eq!((table.unit("1").state(), table.unit("1").counters.fix_attempts), (UnitState::Completed, 1));
}

#[test]
fn a_backend_that_serves_every_role_has_no_check_seats() {
    let mut table = Table::with(ONE, checked());
    table.join("w", &[("scripted:book", 4)]);
    let grants = table.go();
    assert!(grants.iter().all(|grant| grant.granted.role != Role::Check), "nobody here has a check slot");
    table.join("w", &[("scripted:book", 4), ("check", 1)]);
    let checks: Vec<Grant> = table.go().into_iter().filter(|grant| grant.granted.role == Role::Check).collect();
    assert_eq!(checks.iter().map(|grant| grant.granted.backend.as_str()).collect::<Vec<_>>(), ["check"]);
}

#[test]
fn after_an_abort_nothing_says_that_the_decision_is_open() {
    let mut table = Table::with(ONE, checked());
    table.join("w", &[("codex", 1), ("codex-review", 1), ("check", 1)]);
    let (base, work) = base_check(&mut table);
    table.works(&work, &["a.rs"]);
    let review = table.go_one("1");
    table.reviews(&review, Severity::None);
    table.breaks(&base, RED);
    let again = table.go().remove(0);
    assert_eq!(again.granted.turn, 2);
    table.breaks(&again, RED);
    let why = |table: &Table| -> Vec<String> {
        let reasons = explain(&table.core.state, &table.core.fleet, &run_id(), &"1".into(), table.now);
        reasons.into_iter().map(|reason| reason.text).collect()
    };
    assert!(why(&table)[0].contains("decision check-red-on-base is open"));
    table.decide("check-red-on-base", Choice::Abort);
    assert_eq!(why(&table), ["the run has ended: aborted: check-red-on-base"]);
}
