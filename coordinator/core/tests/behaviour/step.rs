//! Manual mode: a step ends when all it took up has had its turn.

use roundtable_core::command::{Act, Command, Operate, Phase, RoleAnswer};
use roundtable_core::schedule::{Standing, standing};
use roundtable_shared::{Mode, Role, RunOptions, Severity, UnitState};

use crate::table::{Table, options, run_id};

fn manual() -> RunOptions {
    RunOptions { mode: Mode::Manual, ..options() }
}

#[test]
fn a_step_does_not_take_up_units_that_do_not_run() {
    let mut table = Table::with("- [ ] 1. Write\n  - _writes: a.rs_\n- [ ]* 2. Extras\n  - _writes: b.rs_\n", manual());
    table.join("w", &[("codex", 2)]);
    table.act(Act::Step { phase: Phase::Assign });
    table.act(Act::Step { phase: Phase::Dispatch });
    let work = table.go_one("1");
    table.works(&work, &["a.rs"]);
    assert_eq!(table.run().life.step, None, "unit 2 is optional: nothing of the step is left");
}

#[test]
fn imported_units_get_owner_and_window_by_a_step_too() {
    let plan = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n";
    let mut table = Table::with_imported(plan, manual(), &[("1", "fix_required", Some("codex")), ("2", "pending_review", None)]);
    table.join("w", &[("codex", 2)]);
    table.act(Act::Step { phase: Phase::Assign });
    assert!(table.run().units().all(|unit| unit.assignment.owner.is_some() && unit.assignment.window.is_some()));
    table.act(Act::Step { phase: Phase::Dispatch });
    table.go_one("1");
}

#[test]
fn a_unit_a_person_is_asked_about_does_not_keep_others_from_a_step() {
    let plan = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n";
    let mut table = Table::with_imported(plan, manual(), &[("1", "fix_required", None)]);
    table.join("w", &[("codex", 2)]);
    assert!(table.run().people.decisions.keys().any(|id| id.as_str() == "missing-owner-agent-1"));
    table.act(Act::Step { phase: Phase::Assign });
    table.act(Act::Step { phase: Phase::Dispatch });
    table.go_one("2");
}

const CHECKED: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - Depends on: 1\n  - _writes: b.rs_\n";

/// A manual run whose first unit is reviewed, and nobody is here to run the check.
fn reviewed_without_a_checker() -> Table {
    let mut table = Table::with(CHECKED, RunOptions { check: Some("true".to_owned()), embedded: false, ..manual() });
    table.join("w", &[("codex", 2), ("codex-review", 2)]);
    table.act(Act::Step { phase: Phase::Assign });
    table.act(Act::Step { phase: Phase::Dispatch });
    let work = table.go_one("1");
    table.works(&work, &["a.rs"]);
    table.act(Act::Step { phase: Phase::Reviews });
    let review = table.go_one("1");
    table.reviews(&review, Severity::None);
    table.act(Act::Step { phase: Phase::Consolidate });
    assert!(table.go().is_empty(), "nobody offers a check slot");
    table
}

#[test]
fn the_same_phase_again_goes_on_with_the_open_step() {
    let mut table = reviewed_without_a_checker();
    table.act(Act::Step { phase: Phase::Consolidate });
    assert!(table.run().life.step.is_some());
    table.join("c", &[("check", 1)]);
    let base = table.go();
    assert_eq!(base[0].granted.role, Role::Check);
    table.report(&base[0], None, &[], Ok(RoleAnswer::None));
    table.integrate();
    let check = table.go_one("1");
    table.report(&check, None, &[], Ok(RoleAnswer::None));
    table.integrate();
    assert_eq!((table.unit("1").state(), &table.run().life.step), (UnitState::Completed, &None));
}

#[test]
fn another_phase_ends_an_open_step_nothing_of_which_runs() {
    let mut table = reviewed_without_a_checker();
    table.act(Act::Step { phase: Phase::Reviews });
    assert_eq!(table.run().life.step, None, "there is nothing to review, and nothing is left of the consolidation");
    table.act(Act::Step { phase: Phase::Consolidate });
    assert!(table.run().life.step.is_some(), "it can be taken up again");
}

#[test]
fn another_phase_waits_while_agents_of_the_open_step_run() {
    let mut table = Table::with(CHECKED, manual());
    table.join("w", &[("codex", 2), ("codex-review", 2)]);
    table.act(Act::Step { phase: Phase::Assign });
    table.act(Act::Step { phase: Phase::Dispatch });
    let work = table.go_one("1");
    let refused =
        table.try_send(Command::Operate(Operate { run: Some(run_id()), by: "ada".to_owned(), act: Act::Step { phase: Phase::Reviews } }));
    assert!(refused.is_err_and(|refused| refused.to_string().contains("step dispatch is under way (units 1)")));
    // Whoever followed it left, and its worker with it.
    table.send(Command::HandBack {
        worker: work.granted.worker.clone(),
        lease: work.lease.clone(),
        reason: "stopped".to_owned(),
        fault: false,
    });
    table.act(Act::Step { phase: Phase::Dispatch });
    table.join("w", &[("codex", 2), ("codex-review", 2)]);
    assert_eq!(table.go_one("1").granted.role, Role::Implement, "the step was joined");
}

#[test]
fn running_again_ends_a_step_that_was_left() {
    let mut table = reviewed_without_a_checker();
    assert_eq!(standing(&table.core.state, table.run()), Standing::Running);
    let options = Box::new((*table.run().options).clone());
    table.act(Act::Attach { options, mode: Some(Mode::Manual) });
    assert_eq!(standing(&table.core.state, table.run()), Standing::Manual { decisions: false });
}
