//! What is carried over, and how errors name the field.
#![allow(clippy::unwrap_used)]

use roundtable_shared::UnitId;
use roundtable_shared::spec::parse_tasks;
use serde_json::{Value, json};

use super::*;

const PLAN: &str = "\
- [ ] 1. Types
- [ ] 2. Parser
  - [ ] 2.1 Numbers
  - [ ] 2.2 Words
  - [ ]* 2.3 Property tests
- [ ] 3. Docs
";

fn parse_value(state: &Value) -> Result<Imported, ImportError> {
    parse(&state.to_string(), &parse_tasks(PLAN.as_bytes(), "tasks.md"))
}

fn unit(imported: &Imported, id: &str) -> ImportedUnit {
    imported.units[&UnitId::from(id)].clone()
}

fn failure(state: &Value) -> String {
    parse_value(state).unwrap_err().to_string()
}

#[test]
fn a_half_finished_state_is_carried_over() {
    let imported = parse_value(&json!({
        "spec_path": "/spec/ledger", "session_name": "ledger",
        "tasks": [
            { "task_id": "1", "status": "completed", "owner_agent": "codex", "fix_attempts": 1, "escalated": null, "unheard_of": {} },
            { "task_id": "2", "status": "fix_required", "owner_agent": "gemini", "criticality": "security-sensitive", "fix_attempts": 2,
              "target_window": "parser", "original_agent": "", "escalated": true,
              "review_history": [
                  { "attempt": 0, "severity": "major", "findings": [{ "severity": "major", "summary": "old" }], "reviewed_at": "2026-01-01T00:00:00Z" },
                  { "attempt": 1, "severity": "critical", "findings": [{ "severity": "CRITICAL", "summary": "loses words", "details": "at the end" }] } ] },
            { "task_id": "2.1", "status": "completed" },
            { "task_id": "2.2", "status": "blocked" },
            { "task_id": 3, "status": "not_started" },
        ],
        "window_mapping": { "1": "types" },
    }))
    .unwrap();
    assert_eq!(imported.session_name.as_deref(), Some("ledger"));
    let first = unit(&imported, "1");
    assert_eq!(
        (first.status.as_str(), first.owner_agent.as_deref(), first.target_window.as_deref()),
        ("completed", Some("codex"), Some("types"))
    );
    let second = unit(&imported, "2");
    assert_eq!(second.status, "fix_required");
    assert_eq!(second.criticality.as_deref(), Some("security-sensitive"));
    assert_eq!((second.fix_attempts, second.escalated, second.original_agent), (2, true, None));
    assert_eq!(second.findings, [("critical".to_owned(), "loses words".to_owned(), Some("at the end".to_owned()))]);
    assert_eq!(second.subtasks.get("2.1").map(String::as_str), Some("completed"));
    assert_eq!(second.subtasks.get("2.2").map(String::as_str), Some("blocked"));
    assert_eq!(unit(&imported, "3").status, "not_started");
}

#[test]
fn findings_come_from_the_newest_reviews_where_the_history_has_none() {
    let imported = parse_value(&json!({
        "tasks": [{ "task_id": "1", "status": "fix_required" }],
        "review_findings": [
            { "task_id": "1", "reviewer": "review-1-1", "severity": "minor", "summary": "naming", "round": 1 },
            { "task_id": "1", "reviewer": "review-1-2", "severity": "odd", "summary": "leaks", "details": "", "round": 2 },
            { "task_id": "2", "severity": "major", "summary": "other", "round": 3 },
        ],
    }))
    .unwrap();
    assert_eq!(unit(&imported, "1").findings, [("major".to_owned(), "leaks".to_owned(), None)]);
}

#[test]
fn parts_that_wait_for_a_review_make_their_unit_wait_for_it() {
    let status = |own: &str, parts: [&str; 3]| {
        let imported = parse_value(&json!({ "tasks": [
            { "task_id": "2", "status": own },
            { "task_id": "2.1", "status": parts[0] },
            { "task_id": "2.2", "status": parts[1] },
            { "task_id": "2.3", "status": parts[2] },
        ] }));
        unit(&imported.unwrap(), "2").status
    };
    assert_eq!(status("in_progress", ["completed", "pending_review", "not_started"]), "pending_review");
    assert_eq!(status("in_progress", ["completed", "not_started", "not_started"]), "in_progress");
    assert_eq!(status("in_progress", ["completed", "fix_required", "not_started"]), "fix_required");
    assert_eq!(status("not_started", ["completed", "completed", "not_started"]), "completed");
    assert_eq!(status("under_review", ["pending_review", "pending_review", "not_started"]), "under_review");
    assert_eq!(status("blocked", ["completed", "blocked", "not_started"]), "blocked");
}

#[test]
fn parts_without_their_parent_still_count() {
    let imported = parse_value(&json!({ "tasks": [{ "task_id": "2.1", "status": "completed" }, { "task_id": "2.2" }] })).unwrap();
    let second = unit(&imported, "2");
    assert_eq!((second.status.as_str(), second.subtasks["2.1"].as_str()), ("not_started", "completed"));
}

#[test]
fn errors_name_the_field() {
    let with = |task: Value| json!({ "tasks": [{ "task_id": "1", "status": "completed" }, task] });
    let cases = [
        (json!({}), "the file: missing field `tasks`"),
        (json!({ "tasks": 3 }), "tasks: invalid type"),
        (with(json!({ "task_id": "2", "status": "done" })), "tasks[1].status: \"done\" is no status; use one of not_started"),
        (with(json!({ "task_id": "2", "fix_attempts": "two" })), "tasks[1].fix_attempts: invalid type: string \"two\""),
        (with(json!({ "task_id": "2", "writes": "src/a.py" })), "tasks[1].writes: invalid type"),
        (
            with(json!({ "task_id": "2", "review_history": [{ "findings": [{ "severity": 4 }] }] })),
            "tasks[1].review_history[0].findings[0].severity",
        ),
        (with(json!({ "task_id": "2", "criticality": "huge" })), "tasks[1].criticality: \"huge\" is no criticality"),
        (with(json!({ "task_id": "1" })), "tasks[1].task_id: 1 is there already, in tasks[0]"),
        (with(json!({ "status": "completed" })), "tasks[1].task_id: it is missing"),
    ];
    for (state, wanted) in cases {
        let said = failure(&state);
        assert!(said.contains(wanted), "{said}\nlacks {wanted}");
    }
    assert!(parse("{", &parse_tasks(PLAN.as_bytes(), "tasks.md")).unwrap_err().to_string().contains("the file: EOF"));
}

#[test]
fn another_plans_state_is_refused() {
    let said = failure(&json!({ "tasks": [{ "task_id": "A1", "status": "completed" }] }));
    assert!(said.contains("about another plan: none of its tasks (A1)"), "{said}");
    let mixed = parse_value(&json!({ "tasks": [{ "task_id": "A1" }, { "task_id": "1", "status": "completed" }] })).unwrap();
    assert_eq!(mixed.units.len(), 1);
}
