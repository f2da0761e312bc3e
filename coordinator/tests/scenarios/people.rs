//! What people decide: imported fixes without an owner, answers to decisions, what follows from them.

use roundtable_core::command::Act;
use roundtable_shared::{Choice, Role, UnitId};
use serde_json::json;

use super::world::*;

const TWO: &str = "- [ ] 1. First\n  - _writes: a_\n- [ ] 2. Second\n  - Depends on: 1\n  - _writes: b_\n";

fn exhausted() -> serde_json::Value {
    json!({
        "spec_path": "/spec", "session_name": "old",
        "tasks": [
            { "task_id": "1", "status": "blocked", "fix_attempts": 3, "owner_agent": "codex", "blocked_reason": "human_intervention_required",
              "review_history": [{ "attempt": 3, "severity": "critical", "findings": [{ "severity": "critical", "summary": "injection" }] }] },
            { "task_id": "2", "status": "blocked", "owner_agent": "codex", "blocked_by": "1", "blocked_reason": "Upstream task requires human intervention" },
        ],
        "pending_decisions": [{ "id": "human-fallback-1", "task_id": "1", "context": "c", "options": ["o"] }],
    })
}

#[test]
fn an_imported_fix_without_an_owner_asks_for_one_once() {
    let state = json!({ "tasks": [{ "task_id": "1", "status": "fix_required", "last_review_severity": "major" }] });
    let world = plan("- [ ] 1. Only\n  - _writes: a_\n").continuing(state).start().play();
    let asked: Vec<String> = world.decisions().into_iter().map(|decision| decision.id).collect();
    assert_eq!((asked, world.exit()), (vec!["missing-owner-agent-1".to_owned()], 2));
    assert_eq!(world.decisions()[0].priority, "high");
    assert_eq!(world.turns(), ["-/assign"], "no unit is granted a turn");
    let world = world.decide("missing-owner-agent-1", Choice::Assign { owner: "codex".into() }).play();
    assert_eq!(world.exit(), 0);
    assert_eq!(world.turns()[1], "1/fix");
}

#[test]
fn a_state_where_a_person_was_asked_asks_again_after_import() {
    let world = plan(TWO).continuing(exhausted()).start().play();
    assert_eq!((world.exit(), world.decisions()[0].id.as_str()), (2, "human-fallback-1"));
    assert_eq!(world.mirrored("2").blocked_by.as_deref(), Some("1"));
    assert_eq!(world.mirror().session_name, "old");
}

/// Clearing the question by hand used to leave the dependants blocked.
#[test]
fn resuming_reviews_what_the_person_made_and_lets_the_dependants_go_on() {
    let world = plan(TWO).continuing(exhausted()).start().play().decide("human-fallback-1", Choice::Resume { commit: None }).play();
    assert_eq!(world.exit(), 0);
    assert_eq!(world.turns()[1], "1/review");
    let statuses: Vec<String> = world.mirror().tasks.into_iter().map(|task| task.status).collect();
    assert_eq!(statuses, ["completed", "completed"]);
    assert!(world.mirror().blocked_items.is_empty() && world.mirror().pending_decisions.is_empty());
}

#[test]
fn skipping_lets_the_dependants_go_on_without_it() {
    let world = plan(TWO).continuing(exhausted()).start().play().decide("human-fallback-1", Choice::Skip).play();
    assert_eq!(world.exit(), 0);
    let skipped = world.mirrored("1");
    assert_eq!(skipped.status, "blocked", "readers know no other word");
    assert!(skipped.blocked_reason.as_deref().unwrap().starts_with("skipped"), "{:?}", skipped.blocked_reason);
    assert_eq!(world.mirror().roundtable.unwrap().skipped, ["1"]);
    assert_eq!(world.mirrored("2").status, "completed");
    assert_eq!(world.shown("1").status, "skipped");
}

#[test]
fn aborting_ends_the_run_with_one() {
    let world = plan(TWO).continuing(exhausted()).start().play().decide("human-fallback-1", Choice::Abort).play();
    assert_eq!((world.exit(), world.status().status.as_str()), (1, "incomplete"));
}

#[test]
fn trying_again_starts_the_counters_anew() {
    let again = || finds("critical", "injection");
    let world = plan(TWO).start().script("1", Role::Review, [again(), again(), again(), again()]).play();
    assert_eq!(world.exit(), 2);
    let world = world.decide("human-fallback-1", Choice::Retry).play();
    assert_eq!((world.exit(), world.mirrored("1").status.as_str(), world.unit("1").fix_attempts), (0, "completed", 1));
}

#[test]
fn cancelling_a_unit_cancels_what_depends_on_it() {
    let world = plan(TWO).start().act(Act::Cancel { unit: Some(UnitId::from("1")) }).play();
    assert_eq!(world.exit(), 1);
    let extra = world.mirror().roundtable.unwrap();
    assert_eq!(extra.cancelled, ["1", "2"]);
    assert!(world.mirrored("2").blocked_reason.as_deref().unwrap().starts_with("cancelled"));
}
