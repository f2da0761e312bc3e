//! Running again with other flags: what shapes the plan stays, the rest holds from then on.

use roundtable_core::command::{Act, RoleAnswer};
use roundtable_core::effect::Grant;
use roundtable_core::state::BaseCheck;
use roundtable_shared::{FailureKind, Mode, Role, RunOptions};

use crate::table::{Table, options};

const ONE: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n";

fn again(table: &mut Table, given: RunOptions, mode: Option<Mode>) {
    table.act(Act::Attach { options: Box::new(given), mode });
}

fn the_check(table: &mut Table) -> Grant {
    table.go().into_iter().find(|grant| grant.granted.role == Role::Check).expect("a check of the base")
}

#[test]
fn the_same_command_changes_nothing() {
    let had = RunOptions { mode: Mode::Llm, check: Some("make test".into()), ..options() };
    let mut table = Table::with(ONE, had.clone());
    again(&mut table, had.clone(), Some(Mode::Llm));
    again(&mut table, options(), None);
    assert_eq!((&*table.run().options, table.run().people.notices.len()), (&had, 0));
}

#[test]
fn the_orchestrator_agent_comes_and_goes_with_the_mode() {
    let mut table = Table::with(ONE, RunOptions { mode: Mode::Llm, ..options() });
    table.join("w", &[("codex", 1)]);
    again(&mut table, options(), Some(Mode::Deterministic));
    assert!(!table.run().agents.orchestrator.enabled);
    assert!(table.run().people.notices.iter().any(|notice| notice.text.contains("--mode")));
    again(&mut table, options(), Some(Mode::Llm));
    assert!(table.run().agents.orchestrator.enabled);
    again(&mut table, options(), Some(Mode::Manual));
    assert_eq!(table.run().options.mode, Mode::Llm);
}

#[test]
fn another_check_is_tried_on_the_base_again() {
    let mut table = Table::with(ONE, RunOptions { check: Some("make tset".into()), ..options() });
    table.join("w", &[("codex", 1), ("check", 1)]);
    for _ in 0..2 {
        let red = the_check(&mut table);
        table.breaks(&red, FailureKind::TurnFailed);
    }
    assert!(table.run().people.decisions.keys().any(|id| id.as_str() == "check-red-on-base"));
    again(&mut table, RunOptions { check: Some("make test".into()), ..options() }, None);
    assert!(table.run().people.decisions.is_empty());
    assert!(matches!(table.run().branch.base_check, BaseCheck::Wanted { red: 0, .. }));
    let green = the_check(&mut table);
    table.report(&green, None, &[], Ok(RoleAnswer::None));
    assert_eq!(table.run().branch.base_check, BaseCheck::Green);
}
