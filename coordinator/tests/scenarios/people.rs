//! What people decide: imported fixes without an owner, answers to decisions, what follows from them.

use roundtable_core::command::Act;
use roundtable_shared::{Choice, Dependants, Priority, Role, RunStatus, UnitId, UnitState};
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
    assert_eq!(world.decisions()[0].priority, Priority::High);
    assert_eq!(world.turns(), ["-/assign"], "no unit is granted a turn");
    let world = world.decide("missing-owner-agent-1", Choice::Assign { owner: "codex".into() }).play();
    assert_eq!(world.exit(), 0);
    assert_eq!(world.turns()[1], "1/fix");
}

/// A plan of two that was assigned before, where the first waits for an answer.
fn asking(id: &str, options: &[&str], fields: serde_json::Value) -> serde_json::Value {
    let mut first = json!({ "task_id": "1", "status": "blocked", "owner_agent": "codex", "target_window": "task-1", "writes": ["a"] });
    first.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({
        "tasks": [first, { "task_id": "2", "status": "not_started", "owner_agent": "codex", "target_window": "task-2", "writes": ["b"] }],
        "pending_decisions": [
            { "id": id, "task_id": "1", "priority": "medium", "context": "Which database?", "options": options, "created_at": "2026-01-01T00:00:00Z" },
            { "id": "gone", "task_id": "77", "context": "c", "options": [] },
        ],
    })
}

#[test]
fn a_question_of_an_imported_state_keeps_its_id_and_options_and_any_answer_releases_the_unit() {
    let world = plan(TWO).continuing(asking("choose-db", &["Postgres", "SQLite"], json!({}))).start().play();
    assert_eq!(world.exit(), 2);
    let asked = &world.decisions()[0];
    assert_eq!(
        (asked.id.as_str(), asked.priority.known(), asked.context.as_str()),
        ("choose-db", Some(Priority::Medium), "Which database?")
    );
    assert_eq!(
        (asked.options.as_slice(), asked.created_at.as_str()),
        (&["Postgres".to_owned(), "SQLite".to_owned()][..], "2026-01-01T00:00:00.000Z")
    );
    assert!(world.turns().is_empty(), "nobody is called before it is answered: {:?}", world.turns());
    assert_eq!(world.mirror().pending_decisions[0].options, ["Postgres", "SQLite"]);
    assert!(world.summary().notices.iter().any(|notice| notice.contains("there is no task 77")), "{:?}", world.summary().notices);
    let world = world.decide("choose-db", Choice::Answer { option: "SQLite".to_owned() }).play();
    assert_eq!(world.exit(), 0);
    let told = &world.told("1", Role::Implement)[0].text;
    assert!(told.contains("Which database?\nAnswer: SQLite"), "{told}");
    assert!(!world.told("2", Role::Implement)[0].text.contains("SQLite"));
}

#[test]
fn an_imported_question_whose_unit_had_work_to_be_judged_sends_it_to_its_review() {
    let state = asking("look-first", &[], json!({ "status": "pending_review" }));
    let world = plan(TWO).continuing(state).start().play();
    assert_eq!((world.exit(), world.turns()), (2, Vec::new()));
    let world = world.decide("look-first", Choice::Answer { option: "fine by me".to_owned() }).play();
    assert_eq!((world.exit(), world.turns()[0].as_str()), (0, "1/review"));
}

#[test]
fn an_imported_question_we_know_by_its_id_has_our_options() {
    for id in ["human-fallback-1", "failed-subtask-1", "quarantine-1", "breach-1", "review-failed-1"] {
        let world = plan(TWO).continuing(asking(id, &["o"], json!({}))).start().play();
        assert_eq!((world.exit(), world.decisions()[0].id.as_str(), world.turns()), (2, id, Vec::new()));
        assert!(world.decisions()[0].keywords.iter().any(|word| word == "retry"), "{id}");
        assert_eq!(world.decide(id, Choice::Retry).play().exit(), 0, "{id}");
    }
}

/// An agent that asks what is wanted is told what the person says to it.
#[test]
fn the_note_of_an_answer_stands_in_the_next_prompts_of_the_unit() {
    let asks = answers(json!({ "status": "failed", "refusal": "underspecified", "error": "which of the two formats?" }));
    let world = plan(TWO).start().script("1", Role::Implement, [asks]).play();
    assert_eq!((world.exit(), world.decisions()[0].id.as_str()), (2, "failed-subtask-1"));
    let note = Some("take the second one".to_owned());
    let retry = Act::Decide { id: "failed-subtask-1".into(), choice: Choice::Retry, dependants: Dependants::GoOn, note };
    let world = world.act(retry).play();
    assert_eq!(world.exit(), 0);
    let told = &world.told("1", Role::Implement)[1].text;
    assert!(told.contains("take the second one") && told.contains("which of the two formats?"), "{told}");
    assert!(!world.told("2", Role::Implement)[0].text.contains("take the second one"));
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
    assert_eq!(world.shown("1").status, UnitState::Skipped);
}

#[test]
fn aborting_ends_the_run_with_one() {
    let world = plan(TWO).continuing(exhausted()).start().play().decide("human-fallback-1", Choice::Abort).play();
    assert_eq!((world.exit(), world.status().status), (1, RunStatus::Incomplete.into()));
}

#[test]
fn trying_again_starts_the_counters_anew() {
    let again = || finds("critical", "injection");
    let world = plan(TWO).start().script("1", Role::Review, [again(), again(), again(), again()]).play();
    assert_eq!(world.exit(), 2);
    let world = world.decide("human-fallback-1", Choice::Retry).play();
    assert_eq!((world.exit(), world.mirrored("1").status.as_str(), world.unit("1").counters.fix_attempts), (0, "completed", 1));
}

#[test]
fn cancelling_a_unit_cancels_what_depends_on_it() {
    let world = plan(TWO).start().act(Act::Cancel { unit: Some(UnitId::from("1")) }).play();
    assert_eq!(world.exit(), 1);
    let extra = world.mirror().roundtable.unwrap();
    assert_eq!(extra.cancelled, ["1", "2"]);
    assert!(world.mirrored("2").blocked_reason.as_deref().unwrap().starts_with("cancelled"));
}
