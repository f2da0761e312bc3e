//! Half-finished units of another tool may overlap; here two never hold the same.

use roundtable_core::command::Command;
use roundtable_shared::{Choice, FailureKind, Mode, RunOptions, Severity, UnitState};

use crate::table::{Table, options};

#[test]
fn imported_units_that_overlap_go_on_one_after_the_other() {
    let plan = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write more of a\n  - _writes: a.rs_\n- [ ] 3. Mend a\n  - _writes: a.rs_\n";
    let left = [("1", "pending_review", Some("codex")), ("2", "under_review", Some("codex")), ("3", "fix_required", Some("codex"))];
    let mut table = Table::with_imported(plan, options(), &left);
    table.join("w", &[("codex", 4), ("codex-review", 4)]);
    let states = |table: &Table| ["1", "2", "3"].map(|id| table.unit(id).state);
    assert_eq!(states(&table), [UnitState::PendingReview, UnitState::Blocked, UnitState::Blocked]);
    for unit in ["1", "2"] {
        let review = table.go_one(unit);
        table.reviews(&review, Severity::None);
        table.integrate();
    }
    table.go_one("3");
    assert_eq!(states(&table), [UnitState::Completed, UnitState::Completed, UnitState::InProgress]);
}

const NO_OWNER: [(&str, &str, Option<&str>); 1] = [("1", "fix_required", None)];
const UI_PLAN: &str = "- [ ] 1. Build the login page layout\n  - _writes: a.rs_\n";

#[test]
fn the_owner_of_the_rules_is_offered_first_and_nobody_owns_the_unit_meanwhile() {
    let options = RunOptions { mode: Mode::Deterministic, ..options() };
    let mut table = Table::with_imported(UI_PLAN, options, &NO_OWNER);
    let keywords = |table: &Table| table.run().decisions.values().next().expect("one is open").keywords.clone();
    assert_eq!(keywords(&table), ["assign:gemini", "skip", "abort"], "nobody offers anything yet: whom the rules name");
    table.join("w", &[("codex", 1), ("gemini", 1)]);
    table.pass(5_000);
    table.send(Command::Tick);
    let assign = table.go();
    for grant in &assign {
        table.breaks(grant, FailureKind::TurnFailed);
    }
    for grant in table.go() {
        table.breaks(&grant, FailureKind::TurnFailed);
    }
    assert!(table.run().plan_source.is_some(), "rules have decided");
    assert_eq!((table.unit("1").owner.clone(), table.unit("1").state), (None, UnitState::Blocked));
    table.decide("missing-owner-agent-1", Choice::Assign { owner: "gemini".into() });
    assert_eq!(table.unit("1").owner, Some("gemini".into()));
    assert_eq!(table.go_one("1").backend, "gemini".into());
}
