//! Agents that do their work and say nothing that can be read at its end.

use roundtable_tests::harness::{Playbook, SpecText, Turn, step};
use serde_json::json;

use crate::stage::Stage;

/// Works, and ends with prose.
fn mumbles(unit: &str) -> Turn {
    Turn::new().steps([step::append(&format!("part-{unit}.txt"), "one line\n"), step::fault("garbage")])
}

#[test]
fn an_unreadable_answer_is_asked_for_alone_and_once_before_it_counts() {
    let stage = Stage::new(&SpecText::parallel("report", 2));
    let playbook = Playbook::new()
        .unit("1", "implement", [mumbles("1").report(json!({"summary": "one line more"}))])
        .unit("1", "review", [Turn::new().steps([step::fault("garbage")]).report(json!({"severity": "none", "summary": "fine"}))])
        .unit("2", "implement", [mumbles("2"), Turn::new()]);
    let backend = stage.backend("play.json", &playbook);
    let _worker = stage.sandbox.worker(["--name", "w", "--backend", &format!("{backend}=2")]);
    let done = stage.run([]).wait().expect(0);
    let told = |unit: &str| {
        let word = |attempt: &serde_json::Value, key: &str| attempt[key].as_str().unwrap_or("-").to_owned();
        stage
            .attempts(unit)
            .iter()
            .map(|each| format!("{} {} {}", word(each, "role"), word(each, "outcome"), word(each, "class")))
            .collect::<Vec<_>>()
    };
    assert_eq!(told("1"), ["implement completed -", "review completed -"], "{}", done.said());
    assert_eq!(
        told("2"),
        ["implement failed unit", "implement completed -", "review completed -"],
        "one that still says nothing has failed"
    );
    // The work was done once.
    let commit = stage.attempt_ref("1", 1);
    assert_eq!(stage.file(&commit, "part-1.txt"), "one line");
    let events = stage.ask(["events", &stage.run_id(), "--jsonl"]).stdout;
    assert_eq!(events.matches("asked again for its report").count(), 3, "once per attempt: {events}");
}
