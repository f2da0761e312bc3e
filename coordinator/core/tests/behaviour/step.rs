//! Manual mode: a step ends when all it took up has had its turn.

use roundtable_core::command::{Act, Phase};
use roundtable_shared::{Mode, RunOptions};

use crate::table::{Table, options};

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
    assert_eq!(table.run().step, None, "unit 2 is optional: nothing of the step is left");
}

#[test]
fn imported_units_get_owner_and_window_by_a_step_too() {
    let plan = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n";
    let mut table = Table::with_imported(plan, manual(), &[("1", "fix_required", Some("codex")), ("2", "pending_review", None)]);
    table.join("w", &[("codex", 2)]);
    table.act(Act::Step { phase: Phase::Assign });
    assert!(table.run().units().all(|unit| unit.owner.is_some() && unit.window.is_some()));
    table.act(Act::Step { phase: Phase::Dispatch });
    table.go_one("1");
}

#[test]
fn a_unit_a_person_is_asked_about_does_not_keep_others_from_a_step() {
    let plan = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n";
    let mut table = Table::with_imported(plan, manual(), &[("1", "fix_required", None)]);
    table.join("w", &[("codex", 2)]);
    assert!(table.run().decisions.keys().any(|id| id.as_str() == "missing-owner-agent-1"));
    table.act(Act::Step { phase: Phase::Assign });
    table.act(Act::Step { phase: Phase::Dispatch });
    table.go_one("2");
}
