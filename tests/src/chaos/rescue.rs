//! A host that is lost for good in the middle of a unit: the attempt on another host goes on from what the lost one had uploaded, and does nothing again that had
//! been reported as done.

use std::time::Duration;

use serde_json::{Value, json};

use super::load::Work;
use super::plan::Plan;
use super::verdict;
use super::world::{Size, World};
use crate::harness::{SpecText, Unit, wait_for};

/// Longer than a silent worker keeps its leases, and the rest of the work.
const RUN_WITHIN: Duration = Duration::from_secs(300);

/// Does the first step, and then nothing more.
fn begins() -> Value {
    let steps = json!([
        {"write": {"path": "part-1.txt", "text": "by the first\n"}},
        {"subtask": {"id": "1.1", "status": "completed"}},
        {"fault": "hang"}
    ]);
    json!({"default": {}, "units": {"1": {"implement": [{"steps": steps}]}}})
}

/// Needs what the first step has done, and does the second alone.
fn goes_on() -> Value {
    let steps = json!([{"run": "cp part-1.txt part-2.txt"}, {"subtask": {"id": "1.2", "status": "completed"}}]);
    json!({"default": {}, "units": {"1": {"implement": [{"steps": steps}]}}})
}

/// Plays it, and fails unless all of that holds.
pub fn lose_a_host() {
    let size = Size { workers: 2, slots: 1, work: Work { units: 1, turn_ms: 1..=1 } };
    let world = World::new(&Plan { seed: 0, faults: Vec::new() }, &size);
    plays(&world, &begins());
    let unit = Unit::new("1", "Both parts").writes("part-1.txt, part-2.txt").subtask("1.1", "First").subtask("1.2", "Second");
    let repository = &world.load.repository;
    let spec = SpecText::new("saved", [unit]).write(&repository.path().join(".specs"));
    repository.commit("Add the spec");
    let run = world.load.orchctl(&["run", "--mode", "deterministic", "--yes", "--json", "--spec", &spec.display().to_string()]);
    let is_saved =
        || ask(&world, &["events", "--jsonl"]).lines().any(|line| line.contains("attempt_saved") && line.contains("\"1.1\"")).then_some(());
    wait_for("the work to be uploaded", || run.said(), is_saved);

    let first = works(&world).remove(0);
    let lost = world.workers.iter().find(|worker| first["worker"] == worker.host.name.as_str()).unwrap_or_else(|| panic!("{first}"));
    plays(&world, &goes_on());
    lost.take_down(|| lost.host.cut_power());

    let summary = run.wait_within(RUN_WITHIN).expect(0).json();
    let works = works(&world);
    let said = format!("{works:#?}\n{}", world.said());
    assert_eq!(works.len(), 2, "{said}");
    assert_ne!(works[1]["worker"], first["worker"], "{said}");
    assert_eq!(works[1]["resumed_from"], first["attempt"], "{said}");
    let branch = summary["branch"].as_str().expect("a branch");
    assert_eq!(repository.show(branch, "part-2.txt"), "by the first", "{said}");
    for worker in world.workers.iter().filter(|worker| worker.host.name != lost.host.name) {
        verdict::ended(worker.end(), &worker.said());
    }
    let history = verdict::at_rest(&world);
    assert_eq!((history.runs, history.integrated, history.resumed), (1, 1, 1), "{history:#?}");
}

/// What agents on every worker's host play from now on.
fn plays(world: &World, playbook: &Value) {
    for worker in &world.workers {
        let file = worker.host.path("play.json");
        std::fs::write(&file, playbook.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

/// Attempts at the work of the unit, oldest first.
fn works(world: &World) -> Vec<Value> {
    let attempts: Value = serde_json::from_str(&ask(world, &["attempts", "--json"])).expect("attempts");
    attempts.as_array().into_iter().flatten().filter(|attempt| attempt["seat"] == "work").cloned().collect()
}

/// An answer about the run; empty while there is none.
fn ask(world: &World, what: &[&str]) -> String {
    let status = world.load.orchctl(&["status", "--json"]).wait();
    let Some(run) = serde_json::from_str::<Value>(&status.stdout).ok().and_then(|status| status["run"].as_str().map(str::to_owned)) else {
        return String::new();
    };
    let mut args = vec![what[0], run.as_str()];
    args.extend(if what[0] == "attempts" { &["1"][..] } else { &[] });
    args.extend(&what[1..]);
    world.load.orchctl(&args).wait().stdout
}
