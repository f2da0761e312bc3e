//! Work in progress outlives the disk it was done on.

use roundtable_tests::harness::{Playbook, SpecText, Turn, Unit, step, wait_for};

use crate::stage::Stage;

#[test]
fn another_attempt_goes_on_from_what_a_lost_one_had_done() {
    let unit = Unit::new("1", "Both parts").writes("part-1.txt, part-2.txt").subtask("1.1", "First").subtask("1.2", "Second");
    let spec = SpecText::new("saved", [unit]);
    let stage = Stage::with(&spec, |repo| repo.write("roundtable.toml", "[limits]\nsave = \"300ms\"\n"));
    let begins = Turn::new().steps([step::write("part-1.txt", "by the first\n"), step::subtask("1.1", "completed"), step::fault("hang")]);
    let backend = stage.backend("play.json", &Playbook::new().unit("1", "implement", [begins]));
    let workspace = stage.sandbox.path("ws");
    let join = ["--name", "w", "--backend", &backend, "--workspace", workspace.to_str().unwrap()];
    let worker = stage.sandbox.worker(join);
    let run = stage.run([]);
    let events = || stage.ask(["events", &stage.run_id(), "--jsonl"]).stdout;
    let is_saved = |line: &str| line.contains("attempt_saved") && line.contains("\"1.1\"");
    wait_for("its work to be saved", || worker.said(), || events().lines().any(is_saved).then_some(()));
    assert!(stage.stored(&["for-each-ref", "refs/roundtable-saved"]).contains("/1/1"));
    worker.kill();

    // All the worker knew of it is gone; what it plays next needs what was done, and does the second step alone.
    for folder in ["spool", "trees", "cache"] {
        std::fs::remove_dir_all(workspace.join(folder)).unwrap();
    }
    let goes_on = Turn::new().steps([step::run("cp part-1.txt part-2.txt"), step::subtask("1.2", "completed")]);
    stage.backend("play.json", &Playbook::new().unit("1", "implement", [goes_on]));
    let worker = stage.sandbox.worker(join);
    let done = run.wait().expect(0);
    let attempts = stage.attempts("1");
    let said = format!("{attempts:#?}\n{}\n{}", done.said(), worker.said());
    let works: Vec<_> = attempts.iter().filter(|attempt| attempt["seat"] == "work").collect();
    assert_eq!(works.len(), 2, "{said}");
    assert_eq!(works[1]["resumed_from"], works[0]["attempt"], "{said}");
    let log = events();
    let at = |what: &dyn Fn(&str) -> bool| log.lines().position(what).unwrap_or_else(|| panic!("{log}"));
    let closed = at(&|line| line.contains("subtask_moved") && line.contains("\"1.1\""));
    let lines: Vec<&str> = log.lines().collect();
    let granted = lines.iter().rposition(|line| line.contains("lease_granted") && line.contains("\"implement\"")).unwrap();
    assert!(closed < granted, "what was done is closed before the next attempt begins: {log}");
    let left = stage.attempt_ref("1", works[1]["attempt"].as_u64().unwrap());
    assert_eq!(stage.file(&left, "part-2.txt"), "by the first\n");
}
