//! Work in progress outlives the disk it was done on.

use roundtable_tests::harness::{Playbook, SpecText, Turn, Unit, step, wait_for};

use crate::stage::Stage;

/// A project's settings by which attempts hand in what they have done so far all the time.
pub const SAVES_OFTEN: &str = "[limits]\nsave = \"300ms\"\n";

/// A unit of two steps.
pub fn spec() -> SpecText {
    let unit = Unit::new("1", "Both parts").writes("part-1.txt, part-2.txt").subtask("1.1", "First").subtask("1.2", "Second");
    SpecText::new("saved", [unit])
}

/// Does the first step, and then nothing more.
pub fn begins() -> Playbook {
    let steps = [step::write("part-1.txt", "by the first\n"), step::subtask("1.1", "completed"), step::fault("hang")];
    Playbook::new().unit("1", "implement", [Turn::new().steps(steps)])
}

/// Needs what the first step has done, and does the second alone.
pub fn goes_on() -> Playbook {
    let steps = [step::run("cp part-1.txt part-2.txt"), step::subtask("1.2", "completed")];
    Playbook::new().unit("1", "implement", [Turn::new().steps(steps)])
}

fn events(stage: &Stage) -> String {
    stage.ask(["events", &stage.run_id(), "--jsonl"]).stdout
}

/// Whether the first step has been handed in, as far as these events tell.
pub fn is_told(events: &str) -> Option<()> {
    events.lines().any(|line| line.contains("attempt_saved") && line.contains("\"1.1\"")).then_some(())
}

/// What was done is closed before the attempt begins that goes on from it: it is not told to do it again.
pub fn is_closed_before_the_last_grant(events: &str) {
    let lines: Vec<&str> = events.lines().collect();
    let closed = lines.iter().position(|line| line.contains("subtask_moved") && line.contains("\"1.1\""));
    let granted = lines.iter().rposition(|line| line.contains("lease_granted") && line.contains("\"implement\""));
    assert!(closed.is_some() && closed < granted, "{events}");
}

#[test]
fn another_attempt_goes_on_from_what_a_lost_one_had_done() {
    let stage = Stage::with(&spec(), |repo| repo.write("roundtable.toml", SAVES_OFTEN));
    let backend = stage.backend("play.json", &begins());
    let workspace = stage.sandbox.path("ws");
    let join = ["--name", "w", "--backend", &backend, "--workspace", workspace.to_str().unwrap()];
    let worker = stage.sandbox.worker(join);
    let run = stage.run([]);
    wait_for("its work to be saved", || worker.said(), || is_told(&events(&stage)));
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
    is_closed_before_the_last_grant(&events(&stage));
    let left = stage.attempt_ref("1", works[1]["attempt"].as_u64().unwrap());
    assert_eq!(stage.file(&left, "part-2.txt"), "by the first");
}
