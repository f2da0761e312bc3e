//! Tests of answers: what agents say, and what is made of it.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::domain::{Criticality, Severity, UnitType};
use crate::spec::parse_tasks;

#[test]
fn the_last_object_is_found_in_any_wrapping() {
    for text in [
        r#"{"status":"completed","summary":"new"}"#,
        "All done.\n\n```json\n{\"status\":\"completed\",\"summary\":\"new\"}\n```\nBye {curly} friend.",
        r#"{"status":"failed","summary":"old"} and then {"status":"completed","summary":"new"}"#,
        r#"First {not json}, then {"status": "completed", "summary": "new",}"#,
        "{\"status\": \"completed\", // fine\n \"summary\": \"new\", \"tests_passed\": None}",
        r#"{"result": {"status": "completed", "summary": "new"}}"#,
        r#"{"status":"completed","summary":"new"} {"unrelated": true}"#,
        "{'status': 'completed', 'summary': 'new'}",
        "{status: \"completed\", summary: \"new\"}",
        "fn main() { let x = {1}; }\n{\"status\":\"completed\",\"summary\":\"new\"}",
    ] {
        let answer = WorkAnswer::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((answer.status, answer.summary.as_str()), (WorkStatus::Completed, "new"), "{text}");
    }
}

#[test]
fn strings_keep_their_content() {
    let object = last_object("{\"a\": \"x\ny\", \"b\": \"\\u00e9\\ud83d\\ude00\\_\", \"c\": [1, 2.5, -3e2,],}").unwrap();
    assert_eq!(object["a"], "x\ny");
    assert_eq!(object["b"], "\u{e9}\u{1f600}_");
    assert_eq!(object["c"][1], 2.5);
}

#[test]
fn an_answer_without_an_object_says_what_is_wanted() {
    let error = WorkAnswer::parse("I think it went well.").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the answer holds no JSON object; end with one JSON object that has `status`, `completed_subtasks`; it ended with: I think it went well."
    );
    assert_eq!(WorkAnswer::parse("{}").unwrap_err().to_string(), "the answer's JSON object lacks `status`; add it");
    assert_eq!(
        WorkAnswer::parse(r#"{"status":"perhaps"}"#).unwrap_err().to_string(),
        "`status` of the answer is `\"perhaps\"`; use `completed` or `failed`"
    );
    assert_eq!(ReviewAnswer::parse(r#"{"severity":"none"}"#).unwrap_err().to_string(), "the answer's JSON object lacks `summary`; add it");
}

#[test]
fn work_answers_are_read_as_they_come() {
    let answer = WorkAnswer::parse(
        r#"{"status":"SUCCESS","completed_subtasks":["1.1",{"id":"1.2"},"task 1.3.",2.1],"failed_subtask":null,"error":"","summary":"s",
        "files_changed":"a.rs, b.rs","tests_passed":"12 passed","tests_failed":0,"coverage":"87.5% of lines",
        "learnings":["Run  make\nfirst",{"text":"x","path":"src/"},"run make FIRST",""]}"#,
    )
    .unwrap();
    let ids: Vec<&str> = answer.completed_subtasks.iter().map(|id| id.as_str()).collect();
    assert_eq!(ids, ["1.1", "1.2", "1.3", "2.1"]);
    assert_eq!((answer.tests_passed, answer.tests_failed), (Some(12), Some(0)));
    assert_eq!(answer.files_changed, ["a.rs", "b.rs"]);
    assert_eq!(answer.coverage_num(), Some(87.5));
    assert_eq!(answer.error, None);
    assert_eq!(answer.learnings.len(), 2);
    assert_eq!(answer.learnings[1].path.as_deref(), Some("src/"));
    let failed = WorkAnswer::parse(r#"{"status":"completed","failed_subtask":"1.2","error":"no compiler"}"#).unwrap();
    assert_eq!((failed.status, failed.failed_subtask.unwrap().as_str()), (WorkStatus::Failed, "1.2"));
}

#[test]
fn figures_that_cannot_be_true_are_none() {
    let answer = |text: &str| WorkAnswer::parse(text).unwrap();
    let lies = answer(
        r#"{"status":"completed","completed_subtasks":[],"tests_passed":18446744073709551615,"tests_failed":"99999999999999 failed","coverage":"87000%"}"#,
    );
    assert_eq!((lies.tests_passed, lies.tests_failed, lies.coverage_num()), (None, None, None));
    let long = format!(r#"{{"status":"completed","completed_subtasks":[],"coverage":"{}"}}"#, "9".repeat(5_000));
    assert_eq!(answer(&long).coverage.map(|text| text.len()), Some(100));
    let usage = crate::Usage { input_tokens: u64::MAX, cached_input_tokens: 5, output_tokens: 7, cost_usd: Some(f64::INFINITY) };
    let believed = crate::Usage { input_tokens: 0, cached_input_tokens: 5, output_tokens: 7, cost_usd: None };
    assert_eq!(usage.believable(), believed);
}

#[test]
fn work_answers_carry_evidence_and_refusals() {
    let answer = WorkAnswer::parse(
        r#"{"status":"completed","summary":"s","evidence":[{"command":"npm  test\n--ci","exit_code":0},{"command":"make","exit_code":"2"},"cargo build",{"exit_code":1}],
        "refusal":null}"#,
    )
    .unwrap();
    let told: Vec<String> = answer.evidence.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["npm test --ci (exit code 0)", "make (exit code 2)", "cargo build"]);
    assert_eq!((answer.status, answer.refusal), (WorkStatus::Completed, None));
    for (said, kind) in [
        (r#""underspecified""#, Some(RefusalKind::Underspecified)),
        (r#""Blocked-on""#, Some(RefusalKind::BlockedOn)),
        (r#"{"kind": "out of scope", "reason": "no"}"#, Some(RefusalKind::OutOfScope)),
        (r#""none""#, None),
        ("[]", None),
    ] {
        let answer = WorkAnswer::parse(&format!(r#"{{"status":"completed","error":"which database?","refusal":{said}}}"#)).unwrap();
        assert_eq!(answer.refusal, kind, "{said}");
        let status = if kind.is_some() { WorkStatus::Failed } else { WorkStatus::Completed };
        assert_eq!((answer.status, answer.error.as_deref()), (status, Some("which database?")), "{said}");
    }
    let many = format!(r#"{{"status":"completed","evidence":[{}"x"]}}"#, r#"{"command":"x"},"#.repeat(100));
    assert_eq!(WorkAnswer::parse(&many).unwrap().evidence.len(), 20);
}

#[test]
fn the_worst_severity_counts_and_unknown_is_major() {
    let review = |text: &str| ReviewAnswer::parse(text).unwrap();
    assert_eq!(review(r#"{"severity":"None","summary":"ok"}"#).severity, Severity::None);
    assert_eq!(review(r#"{"severity":"bad","summary":"x"}"#).severity, Severity::Major);
    let mixed = review(
        r#"{"severity":"minor","summary":"x","issues":[{"description":"d","severity":"CRITICAL","file":"a.rs","line":"12-14"},"loose",{"severity":"major"}]}"#,
    );
    assert_eq!(mixed.severity, Severity::Critical);
    assert_eq!(mixed.issues.len(), 2);
    assert_eq!((mixed.issues[0].line, mixed.issues[1].severity), (Some(12), Severity::Minor));
}

#[test]
fn orchestrators_speak_in_words_or_objects() {
    let answer = OrchestrateAnswer::parse(r#"noise {"decision":"continue","actions":[{"type":"dispatch-batch"},"halt","dance","halt"],"notes":"go","hold":"sync_pulse"} noise"#).unwrap();
    assert_eq!(answer.decision, OrchestrateDecision::Continue);
    assert_eq!(answer.actions, [Action::DispatchBatch, Action::Halt, Action::Halt], "as given, since they count against a bound");
    assert_eq!(answer.hold, [Action::SyncPulse]);
    assert_eq!(answer.unknown, ["dance"]);
    assert!(OrchestrateAnswer::parse(r#"{"decision":"maybe"}"#).is_err());
}

const PLAN: &str = "- [ ] 1. A\n- [ ] 2. B\n  - [ ] 2.1 C\n  - Depends on: 1\n- [ ] 3. D\n  - Depends on: 2\n";

#[test]
fn an_assignment_is_judged_field_by_field() {
    let units = parse_tasks(PLAN.as_bytes(), "tasks.md").units;
    let answer = AssignAnswer::parse(
        r#"{"dispatch_units":[
            {"task_id":"1","type":"UI","owner_agent":"Gemini","criticality":"security_sensitive","writes":["./a//b.rs","c/"],"reads":null,"depends_on":["3"]},
            {"task_id":"2","type":"poem","owner_agent":"claude","criticality":"huge","writes":["ok.rs","../x"],"target_window":"a;b"},
            {"id":"3","depends_on":["1","2.1","9","3"]},
            {"task_id":"2.1"},{"task_id":"8"},{"type":"ui"}],
          "window_mapping":{"3":"main","8":"x","2":"task-2"}}"#,
    )
    .unwrap();
    let backends = ["codex".into(), "gemini".into()];
    let checked = answer.check(&units, &backends);
    let one = &checked.accepted[0];
    assert_eq!((one.unit_type, one.criticality), (Some(UnitType::Ui), Some(Criticality::SecuritySensitive)));
    assert_eq!(one.owner_agent.as_ref().unwrap().as_str(), "gemini");
    assert_eq!(one.writes.as_deref().unwrap(), ["a/b.rs", "c/"]);
    assert!(one.reads.is_none() && one.depends_on.is_empty());
    let two = &checked.accepted[1];
    assert!(two.unit_type.is_none() && two.owner_agent.is_none() && two.writes.is_none());
    assert_eq!(two.target_window.as_deref(), Some("task-2"));
    let three = &checked.accepted[2];
    assert_eq!(three.depends_on, ["1".into(), "2".into()]);
    assert_eq!(three.target_window.as_deref(), Some("main"));
    let refused: Vec<String> = checked.refused.iter().map(ToString::to_string).collect();
    assert_eq!(
        refused,
        [
            "unit 2, type: `poem` is unknown; use code, ui or review",
            "unit 2, criticality: `huge` is unknown; use standard, complex or security-sensitive",
            "unit 2, owner_agent: `claude` is no backend of this run; use codex, gemini",
            "unit 2, target_window: `a;b` is no window name; use letters, digits, `-` and `_`",
            "unit 2, writes: `../x` contains `..`; write it relative to the repository's top folder",
            "unit 3, depends_on: there is no unit 9; use ids of the plan",
            "unit 3, depends_on: unit 3 cannot depend on itself",
            "unit 2.1, task_id: 2.1 is a subtask of unit 2; only units are assigned",
            "unit 8, task_id: there is no unit 8; use ids of the plan's top-level tasks",
            "unit ?, task_id: an entry of dispatch_units names no unit; add `task_id`",
            "unit 8, window_mapping: there is no unit 8; use ids of the plan's top-level tasks",
            "unit 1, depends_on: 1 -> 3 would close a cycle, since 3 already depends on 1",
        ]
    );
}

#[test]
fn an_empty_assignment_keeps_everything() {
    let units = parse_tasks(PLAN.as_bytes(), "tasks.md").units;
    for text in ["{}", r#"{"dispatch_units":[],"window_mapping":{}}"#, r#"{"dispatch_units":null,"window_mapping":[]}"#] {
        assert_eq!(AssignAnswer::parse(text).unwrap().check(&units, &[]), CheckedAssignment::default(), "{text}");
    }
    let paired =
        AssignAnswer::parse(r#"{"dispatch_units":{"2":{"type":"ui"}},"window_mapping":[{"task_id":"1","target_window":"w"}]}"#).unwrap();
    let checked = paired.check(&units, &[]);
    assert_eq!(checked.accepted.len(), 2);
    assert!(checked.refused.is_empty());
}

/// Strict schemas: every object closed, every property required.
fn assert_strict(schema: &serde_json::Value, at: &str) {
    let Some(object) = schema.as_object() else { return };
    if let Some(properties) = object.get("properties").and_then(|value| value.as_object()) {
        assert_eq!(object["additionalProperties"], false, "{at}");
        let mut required: Vec<&str> = object["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        let mut names: Vec<&str> = properties.keys().map(String::as_str).collect();
        required.sort_unstable();
        names.sort_unstable();
        assert_eq!(required, names, "{at}");
        properties.iter().for_each(|(name, inner)| assert_strict(inner, &format!("{at}.{name}")));
    }
    if let Some(items) = object.get("items") {
        assert_strict(items, &format!("{at}[]"));
    }
    for (n, choice) in object.get("anyOf").and_then(|value| value.as_array()).into_iter().flatten().enumerate() {
        assert_strict(choice, &format!("{at}|{n}"));
    }
}

#[test]
fn schemas_are_strict_and_name_the_fields_we_read() {
    for (name, text) in [("work", WORK_SCHEMA), ("review", REVIEW_SCHEMA), ("assign", ASSIGN_SCHEMA), ("orchestrate", ORCHESTRATE_SCHEMA)] {
        assert_strict(&serde_json::from_str(text).unwrap(), name);
    }
    let work: serde_json::Value = serde_json::from_str(WORK_SCHEMA).unwrap();
    let answer = serde_json::to_value(WorkAnswer::parse(r#"{"status":"ok"}"#).unwrap()).unwrap();
    let fields: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(fields, work["properties"].as_object().unwrap().keys().collect::<Vec<_>>());
}

#[test]
fn hostile_answers_cost_bounded_work() {
    let mebi = 1 << 20;
    for text in [
        "{".repeat(mebi),
        "{\"a\":".repeat(mebi / 5),
        "{/*".repeat(mebi / 3),
        "{\"".repeat(mebi / 2),
        "{a".repeat(mebi / 2),
        "{'".repeat(mebi / 2),
        "{a:[".repeat(mebi / 4),
        format!("{{\"a\":\"{}", "{\\\"".repeat(mebi / 3)),
        "{}".repeat(mebi / 2),
    ] {
        let begun = std::time::Instant::now();
        let answer = WorkAnswer::parse(&format!("{text}\n{{\"status\":\"ok\",\"summary\":\"{}\"}}", "s".repeat(1000)));
        assert!(begun.elapsed().as_secs() < 60, "{}…", &text[..20]);
        // What is open before it may swallow it; where nothing does, it is found.
        if !text.contains(['/', '\\']) {
            assert!(answer.is_ok(), "{}…", &text[..20]);
        }
    }
    let long = format!("{}{}", "é".repeat(2 * mebi), r#"{"status":"ok"}"#);
    assert!(WorkAnswer::parse(&long).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[\\PC\\n{}\\[\\]\",:'/*\\\\]{0,200}") {
        let _ = WorkAnswer::parse(&text);
        let _ = AssignAnswer::parse(&text);
    }

    #[test]
    fn json_survives_prose_and_reads_as_itself(summary in any::<String>(), before in "[a-z .\n]{0,40}", after in "[a-z .\n]{0,40}") {
        let json = serde_json::json!({"status": "completed", "summary": summary, "x": [1, null, {"y": true}]});
        let found = last_object(&format!("{before}{json}{after}")).unwrap();
        prop_assert_eq!(serde_json::Value::Object(found), json.clone());
        let (value, _) = tolerant::parse(&json.to_string()).ok().unwrap();
        prop_assert_eq!(value, json);
    }
}

#[test]
fn answers_to_findings_and_verdicts_on_them_are_read_leniently_and_need_not_be_there() {
    let answer = WorkAnswer::parse(
        r#"{"status":"ok","answers":[{"finding":"[review-2-1.1]","fixed":"bound now"},{"id":"review-2-1.2","why_not":"never null"},
            {"finding":"review-2-1.3","fixed":false,"why_not":"kept"},{"finding":"review-2-1.4"},{"fixed":"which?"},"noise"]}"#,
    )
    .unwrap();
    let told: Vec<_> = answer.answers.iter().map(|each| (each.finding.as_str(), each.fixed.as_deref(), each.why_not.as_deref())).collect();
    assert_eq!(
        told,
        [("review-2-1.1", Some("bound now"), None), ("review-2-1.2", None, Some("never null")), ("review-2-1.3", None, Some("kept")),]
    );
    let review = ReviewAnswer::parse(
        r#"{"severity":"major","summary":"x","issues":[
              {"id":"review-2-1.1","description":"d","reproduced":{"command":"make test","exit_code":2}},
              {"id":null,"description":"e","reproduced":"make"},{"description":"f","reproduced":{"exit_code":1},"file":"a.rs","line":3}],
            "earlier":[{"id":"review-2-1.2","verdict":"Accepted","note":"right"},{"id":"review-2-1.3","verdict":"perhaps"}]}"#,
    )
    .unwrap();
    assert_eq!(review.issues.iter().map(|issue| issue.id.as_str()).collect::<Vec<_>>(), ["review-2-1.1", "", ""]);
    assert_eq!(review.issues[0].reproduced.as_ref().unwrap().exit_code, Some(2));
    assert!(review.issues[1].is_grounded() && review.issues[2].is_grounded() && review.issues[2].reproduced.is_none());
    assert_eq!(review.earlier.len(), 1);
    let old = ReviewAnswer::parse(r#"{"severity":"minor","summary":"x","issues":[{"description":"d","severity":"minor"}]}"#).unwrap();
    assert!(old.earlier.is_empty() && !old.issues[0].is_grounded());
}

#[test]
fn words_for_nothing_are_nothing_wherever_they_stand() {
    let (long, nines) = ("a".repeat(199), "9".repeat(99));
    let learnings = format!(r#"["none","{long} y"," b",{{"text":"c","path":"none\nfoo"}}]"#);
    let text = format!(r#"{{"status":"completed","learnings":{learnings},"coverage":"{nines} x"}}"#);
    let answer = WorkAnswer::parse(&text).unwrap();
    let learnt: Vec<(&str, Option<&str>)> =
        answer.learnings.iter().map(|learning| (learning.text.as_str(), learning.path.as_deref())).collect();
    assert_eq!(learnt, [(long.as_str(), None), ("b", None), ("c", None)]);
    assert_eq!(answer.coverage.as_ref(), Some(&nines), "cut before the blank, not after it");
    let again = serde_json::to_string(&answer).unwrap();
    assert_eq!(WorkAnswer::parse(&again).unwrap(), answer);
    let review = ReviewAnswer::parse(r#"{"severity":"minor","summary":"s","issues":[{"description":"d","reproduced":"none"}]}"#).unwrap();
    assert_eq!(review.issues[0].reproduced, None);
}
