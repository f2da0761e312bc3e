//! Work in progress outlives the disk it was done on.

use std::time::Duration;

use roundtable_tests::harness::{Playbook, SpecText, Turn, Unit, step, wait_for};

use crate::stage::Stage;

/// A unit of two steps, in a project whose attempts hand in what they have done so far all the time.
fn stage() -> Stage {
    let unit = Unit::new("1", "Both parts").writes("part-1.txt, part-2.txt").subtask("1.1", "First").subtask("1.2", "Second");
    let spec = SpecText::new("saved", [unit]);
    Stage::with(&spec, |repo| repo.write("roundtable.toml", "[limits]\nsave = \"300ms\"\n"))
}

/// Does the first step, and then nothing more.
fn begins() -> Playbook {
    let steps = [step::write("part-1.txt", "by the first\n"), step::subtask("1.1", "completed"), step::fault("hang")];
    Playbook::new().unit("1", "implement", [Turn::new().steps(steps)])
}

/// Needs what the first step has done, and does the second alone.
fn goes_on() -> Playbook {
    let steps = [step::run("cp part-1.txt part-2.txt"), step::subtask("1.2", "completed")];
    Playbook::new().unit("1", "implement", [Turn::new().steps(steps)])
}

fn events(stage: &Stage) -> String {
    stage.ask(["events", &stage.run_id(), "--jsonl"]).stdout
}

fn is_saved(stage: &Stage) -> Option<()> {
    events(stage).lines().any(|line| line.contains("attempt_saved") && line.contains("\"1.1\"")).then_some(())
}

#[test]
fn another_attempt_goes_on_from_what_a_lost_one_had_done() {
    let stage = stage();
    let backend = stage.backend("play.json", &begins());
    let workspace = stage.sandbox.path("ws");
    let join = ["--name", "w", "--backend", &backend, "--workspace", workspace.to_str().unwrap()];
    let worker = stage.sandbox.worker(join);
    let run = stage.run([]);
    wait_for("its work to be saved", || worker.said(), || is_saved(&stage));
    assert!(stage.stored(&["for-each-ref", "refs/roundtable-saved"]).contains("/1/1"));
    worker.kill();

    // All the worker knew of it is gone; what it plays next needs what was done, and does the second step alone.
    // Moved, not removed: a git of its last attempt may still be writing there.
    let gone = stage.sandbox.path("gone");
    std::fs::create_dir(&gone).unwrap();
    for folder in ["spool", "trees", "cache"] {
        std::fs::rename(workspace.join(folder), gone.join(folder)).unwrap();
    }
    stage.backend("play.json", &goes_on());
    let worker = stage.sandbox.worker(join);
    let done = run.wait().expect(0);
    let attempts = stage.attempts("1");
    let said = format!("{attempts:#?}\n{}\n{}", done.said(), worker.said());
    let works: Vec<_> = attempts.iter().filter(|attempt| attempt["seat"] == "work").collect();
    assert_eq!(works.len(), 2, "{said}");
    assert_eq!(works[1]["resumed_from"], works[0]["attempt"], "{said}");
    let log = events(&stage);
    let at = |what: &dyn Fn(&str) -> bool| log.lines().position(what).unwrap_or_else(|| panic!("{log}"));
    let closed = at(&|line| line.contains("subtask_moved") && line.contains("\"1.1\""));
    let lines: Vec<&str> = log.lines().collect();
    let granted = lines.iter().rposition(|line| line.contains("lease_granted") && line.contains("\"implement\"")).unwrap();
    assert!(closed < granted, "what was done is closed before the next attempt begins: {log}");
    let left = stage.attempt_ref("1", works[1]["attempt"].as_u64().unwrap());
    assert_eq!(stage.file(&left, "part-2.txt"), "by the first");
}

/// A host that is gone for good: nothing of it is ever heard again.
#[test]
#[ignore = "takes over a minute, the time after which a silent worker is lost"]
fn another_host_goes_on_from_what_a_lost_one_had_done() {
    let stage = stage();
    let backend = stage.backend("play.json", &begins());
    let hosts = ["a", "b"].map(|name| {
        let workspace = stage.sandbox.path(name);
        let join = ["--name", name, "--backend", &backend, "--workspace", workspace.to_str().unwrap()];
        (name, stage.sandbox.worker(join))
    });
    let run = stage.run([]);
    wait_for("its work to be saved", || hosts.iter().map(|(_, host)| host.said()).collect(), || is_saved(&stage));
    let first = stage.wait_for_attempt("the attempt", "1", |attempt| attempt["seat"] == "work");
    stage.backend("play.json", &goes_on());
    let (lost, left): (Vec<_>, Vec<_>) = hosts.into_iter().partition(|(name, _)| first["worker"] == *name);
    for (_, host) in lost {
        host.kill();
    }
    let done = run.wait_within(Duration::from_secs(300)).expect(0);
    let attempts = stage.attempts("1");
    let said = format!("{attempts:#?}\n{}\n{}", done.said(), left[0].1.said());
    let second = attempts.iter().filter(|attempt| attempt["seat"] == "work").nth(1).unwrap_or_else(|| panic!("{said}"));
    assert_ne!(second["worker"], first["worker"], "{said}");
    assert_eq!((&first["outcome"], &second["resumed_from"]), (&"running".into(), &first["attempt"]), "{said}");
    assert_eq!(attempts[0]["outcome"], "lost", "{said}");
    let commit = stage.attempt_ref("1", second["attempt"].as_u64().unwrap());
    assert_eq!(stage.file(&commit, "part-2.txt"), "by the first");
}
