//! What is carried over, and how errors name the field.
#![allow(clippy::unwrap_used)]

use roundtable_shared::UnitType;
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
    parse(&state.to_string(), &parse_tasks(PLAN.as_bytes(), "tasks.md"), &Place::default())
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
    assert!(parse("{", &parse_tasks(PLAN.as_bytes(), "tasks.md"), &Place::default()).unwrap_err().to_string().contains("the file: EOF"));
}

#[test]
fn another_plans_state_is_refused() {
    let said = failure(&json!({ "tasks": [{ "task_id": "A1", "status": "completed" }] }));
    assert!(said.contains("about another plan: none of its tasks (A1)"), "{said}");
    let mixed = parse_value(&json!({ "tasks": [{ "task_id": "A1" }, { "task_id": "1", "status": "completed" }] })).unwrap();
    assert_eq!(mixed.units.len(), 1);
}

#[test]
fn an_earlier_assignment_is_carried_and_what_is_wrong_in_it_is_said() {
    let imported = parse_value(&json!({ "tasks": [
        { "task_id": "1", "type": "ui", "criticality": "complex", "writes": ["./src/types/"], "reads": ["docs/a.md"], "dependencies": ["2.1"] },
        { "task_id": "2", "type": "odd", "writes": ["src/p.rs"], "dependencies": ["1", "9"] },
        { "task_id": "2.1", "writes": ["src/q.rs"] },
        { "task_id": "3", "writes": ["../outside", "src/d.rs"] },
    ] }))
    .unwrap();
    let of = |id: &str| unit(&imported, id).assignment.unwrap();
    let first = of("1");
    assert_eq!((first.unit_type, first.criticality), (Some(UnitType::Ui), Some(Criticality::Complex)));
    assert_eq!((first.writes, first.reads), (Some(vec!["src/types/".to_owned()]), Some(vec!["docs/a.md".to_owned()])));
    assert_eq!(first.depends_on, [UnitId::from("2")]);
    assert_eq!(of("2").writes, Some(vec!["src/p.rs".to_owned(), "src/q.rs".to_owned()]), "a unit may write what its tasks may");
    assert!(of("2").depends_on.is_empty(), "1 depends on 2 already");
    assert_eq!(of("3").writes, None);
    let said = imported.notices.join("\n");
    for wanted in ["unit 2, type", "there is no unit 9", "would close a cycle", "unit 3, writes"] {
        assert!(said.contains(wanted), "{said}\nlacks {wanted}");
    }
}

#[test]
fn labels_that_our_own_files_list_are_carried() {
    let imported = parse_value(&json!({
        "tasks": [{ "task_id": "1" }, { "task_id": "2" }, { "task_id": "3" }],
        "roundtable": { "requires": { "1": ["gpu", "zone=eu"], "2": [], "3": ["a big one"], "9": ["gpu"] } },
    }))
    .unwrap();
    let of = |id: &str| unit(&imported, id).assignment.and_then(|said| said.requires);
    assert_eq!((of("1"), of("2"), of("3")), (Some(vec!["gpu".to_owned(), "zone=eu".to_owned()]), Some(Vec::new()), None));
    let said = imported.notices.join("\n");
    assert!(said.contains("unit 3, requires") && said.contains("is no label") && !said.contains('9'), "{said}");
}

#[test]
fn what_was_found_said_and_left_for_later_is_carried() {
    let at = "2026-01-02T03:04:05Z";
    let imported = parse_value(&json!({
        "tasks": [
            { "task_id": "1", "status": "completed", "last_review_severity": "minor", "completed_at": at, "coverage": "91%", "coverage_num": 91.0,
              "tests_passed": 7, "output": "did it", "files_changed": ["/repo/src/a.rs", "./src/b.rs", "../x"],
              "review_history": [{ "attempt": 0, "severity": "major", "findings": [{ "severity": "major", "summary": "bad" }], "reviewed_at": at }] },
            { "task_id": "2", "status": "blocked", "blocked_reason": "skipped: not now" },
            { "task_id": "2.1", "status": "completed", "files_changed": ["src/c.rs"] },
            { "task_id": "3", "status": "blocked", "blocked_reason": "cancelled" },
        ],
        "final_reports": [{ "task_id": "1", "overall_severity": "minor", "summary": "nits", "finding_count": 1, "created_at": at }],
        "deferred_fixes": [
            { "task_id": "1", "description": "rename", "severity": "minor", "created_at": at },
            { "task_id": "77", "description": "gone", "severity": "minor", "created_at": at },
        ],
        "roundtable": { "run": "login-abc", "skipped": ["2"], "cancelled": ["3"] },
    }))
    .unwrap();
    let first = unit(&imported, "1");
    assert_eq!((first.completed_at, first.last_severity), (WallMs::parse_rfc3339(at), Some(Severity::Minor)));
    assert_eq!((first.history[0].severity, first.history[0].findings[0].summary.as_str()), (Severity::Major, "bad"));
    assert_eq!((first.final_reports[0].summary.as_str(), first.final_reports[0].finding_count), ("nits", 1));
    let report = first.report.unwrap();
    assert_eq!((report.summary.as_str(), report.tests_passed, report.coverage.as_deref()), ("did it", Some(7), Some("91%")));
    assert_eq!(imported.deferred.iter().map(|fix| fix.description.as_str()).collect::<Vec<_>>(), ["rename"]);
    let second = unit(&imported, "2");
    assert_eq!((second.status.as_str(), second.blocked_reason.as_deref()), ("skipped", Some("not now")));
    assert_eq!(second.files, ["src/c.rs"]);
    assert_eq!(unit(&imported, "3").status, "cancelled");
}

#[test]
fn files_are_known_by_whole_paths_from_the_top_and_from_the_folder_of_the_run() {
    let place = Place { top: "/repo".into(), workdir: "/repo/app".into() };
    let state = json!({ "tasks": [
        { "task_id": "1", "status": "completed", "files_changed": ["/repo/app/a.rs", "b.rs", "docs/", "gone.rs", "/elsewhere/c.rs", "../d.rs"] },
    ] });
    let plan = parse_tasks(PLAN.as_bytes(), "tasks.md");
    let mut imported = parse(&state.to_string(), &plan, &place).unwrap();
    find_missing(&mut imported, &["app/a.rs", "app/b.rs", "docs/x.md"].map(String::from), &place);
    assert_eq!(unit(&imported, "1").missing, ["gone.rs"]);
}

#[test]
fn completed_units_whose_files_the_base_lacks_are_refused_by_name() {
    let plan = parse_tasks(PLAN.as_bytes(), "tasks.md");
    let refused = |tasks: Value, base: &[&str]| {
        let mut imported = parse(&json!({ "tasks": tasks }).to_string(), &plan, &Place::default()).unwrap();
        let base: Vec<String> = base.iter().map(ToString::to_string).collect();
        find_missing(&mut imported, &base, &Place::default());
        refuse_absent(&imported).map_err(|error| error.to_string())
    };
    let task = |status: &str| json!([{ "task_id": "1", "status": status, "files_changed": ["src/a.rs", "src/b.rs"] }]);
    let error = refused(task("completed"), &["src/a.rs"]).unwrap_err();
    assert!(error.contains("unit 1") && error.contains(": src/b.rs;") && error.contains("--trust"), "{error}");
    assert_eq!(refused(task("completed"), &["src/a.rs", "src/b.rs"]), Ok(()));
    assert_eq!(refused(task("pending_review"), &[]), Ok(()), "what is still to be judged is looked at again, or done over");
}

#[test]
fn a_list_that_is_none_is_named() {
    for (field, value) in
        [("writes", json!("not-a-list")), ("reads", json!({ "a": 1 })), ("dependencies", json!("1, 2")), ("files_changed", json!(7))]
    {
        let error = failure(&json!({ "tasks": [{ "task_id": "1", "status": "not_started", field: value }] }));
        assert!(error.contains(&format!("tasks[0].{field}")), "{error}");
    }
}

#[test]
fn work_that_only_the_working_tree_has_is_found() {
    let plan = parse_tasks(b"- [ ] 1. Types\n  - _writes: src/types/_\n- [ ] 2. Free\n", "tasks.md");
    let found = |task: Value, uncommitted: &[&str]| {
        let uncommitted: Vec<String> = uncommitted.iter().map(ToString::to_string).collect();
        let state = json!({ "tasks": [task] }).to_string();
        unsaved(&state, &plan, &Place::default(), &uncommitted, false).unwrap().map(|found| (found.unit.to_string(), found.files))
    };
    let of = |id: &str, files: &[&str]| Some((id.to_owned(), files.iter().map(ToString::to_string).collect::<Vec<_>>()));
    for status in ["completed", "pending_review", "under_review", "final_review", "fix_required"] {
        let recorded = json!({ "task_id": "1", "status": status, "files_changed": ["src/a.rs", "new"] });
        assert_eq!(found(recorded.clone(), &["src/b.rs", "new/x.rs"]), of("1", &["new/x.rs"]), "{status}");
        assert_eq!(found(recorded, &["src/types/b.rs", "newer"]), None, "{status}: what it did not change is no work of its");
        assert_eq!(found(json!({ "task_id": "1", "status": status }), &["z.rs", "src/types/b.rs"]), of("1", &["src/types/b.rs"]));
        assert_eq!(found(json!({ "task_id": "1", "status": status }), &["z.rs"]), None);
        assert_eq!(found(json!({ "task_id": "1", "status": status, "writes": ["z.rs"] }), &["z.rs"]), of("1", &["z.rs"]));
        assert_eq!(found(json!({ "task_id": "2", "status": status }), &["z.rs"]), of("2", &["z.rs"]), "it may have written anything");
    }
    for status in ["not_started", "in_progress", "blocked"] {
        assert_eq!(found(json!({ "task_id": "2", "status": status, "files_changed": ["z.rs"] }), &["z.rs"]), None, "{status}");
    }
}

#[test]
fn a_state_is_the_same_however_it_is_written() {
    let text = "{\"tasks\": [], \"spec_path\": \"/s\"}";
    assert_eq!(digest(text), digest("\u{feff}{ \"spec_path\":\"/s\",\n\"tasks\":[]}\n"));
    assert_ne!(digest(text), digest("{\"tasks\": [], \"spec_path\": \"/t\"}"));
}
