//! Agents that say why they cannot do a unit.

use roundtable_shared::{Choice, UnitState};

use crate::table::{Table, options};

const PLAN: &str = "- [ ] 1. Write a\n  - _writes: a.rs_\n- [ ] 2. Write b\n  - _writes: b.rs_\n- [ ] 3. Write c\n  - _writes: c.rs_\n";

fn refuses(kind: &str, error: &str) -> String {
    serde_json::json!({"status": "failed", "refusal": kind, "error": error}).to_string()
}

fn begun() -> (Table, Vec<roundtable_core::effect::Grant>) {
    let mut table = Table::with(PLAN, options());
    table.join("w", &[("codex", 3), ("codex-review", 3)]);
    let grants = table.go();
    assert_eq!(grants.len(), 3);
    (table, grants)
}

#[test]
fn a_task_that_does_not_say_enough_is_a_persons_at_once() {
    for kind in ["underspecified", "out_of_scope"] {
        let (mut table, grants) = begun();
        table.works_with(&grants[1], &[], &refuses(kind, "which of the two formats?"));
        let decision = table.run().people.decisions.values().next().expect("a person is asked").clone();
        assert_eq!((decision.id.as_str(), decision.keywords.join(" ").as_str()), ("failed-subtask-2", "resume retry skip abort"));
        assert!(decision.context.contains("which of the two formats?"), "{}", decision.context);
        assert_eq!(table.unit("2").state(), UnitState::Blocked);
        table.decide("failed-subtask-2", Choice::Retry);
        table.go_one("2");
    }
}

#[test]
fn what_needs_an_earlier_unit_waits_for_it_once() {
    let (mut table, grants) = begun();
    table.works_with(&grants[1], &[], &refuses("blocked_on", "the types of unit 1 are not there yet"));
    assert!(table.run().people.decisions.is_empty() && table.go().is_empty());
    assert_eq!((table.unit("2").state(), table.unit("2").counters.unit_failures), (UnitState::NotStarted, 0));
    table.works(&grants[0], &["a.rs"]);
    let review = table.go_one("1");
    table.reviews(&review, roundtable_shared::Severity::None);
    table.integrate();
    assert_eq!(table.unit("1").state(), UnitState::Completed);
    let again = table.go_one("2");
    assert_eq!(again.granted.base, table.run().branch.tip, "it works on what it waited for");
    table.works_with(&again, &[], &refuses("blocked_on", "unit 1 lacks what I need"));
    assert!(table.run().people.decisions.keys().any(|id| id.as_str() == "failed-subtask-2"));
}

#[test]
fn what_no_waiting_can_bring_is_a_persons() {
    // A later unit could wait for this one, an unknown one never comes, and a number in prose names nobody.
    for words in ["unit 3 must be there first", "unit 9 must be there first", "3 tests fail", "unit 2 itself", "no idea"] {
        let (mut table, grants) = begun();
        table.works_with(&grants[1], &[], &refuses("blocked_on", words));
        assert!(table.run().people.decisions.keys().any(|id| id.as_str() == "failed-subtask-2"), "{words}");
    }
}
