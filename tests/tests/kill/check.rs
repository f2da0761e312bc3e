//! What must hold after a run, whatever was done to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use roundtable_shared::time::WallMs;
use roundtable_tests::harness::wait_for;
use roundtable_tests::plans::Plan;
use serde_json::Value;

use crate::world::World;

/// Longest time in which nothing at all happened. A lease that is only lost by its time, or a pause that is waited out, would show here: they are 15 s
/// and more, on machines that are not busy with other tests.
const GAP_MAX: Duration = Duration::from_secs(15);
/// The same where a coordinator has died again and again: workers look for it more seldom by then, at most half a minute apart. Whatever waits for a lease to be
/// lost, or for the grace after a start to pass, takes a minute.
const BACK_WITHIN: Duration = Duration::from_secs(45);
/// How long workers may take to hand in what is no longer waited for.
const WORK_WITHIN: Duration = Duration::from_secs(30);

/// The run is complete, and at no time did it wait for anything but its agents.
pub fn complete(world: &World, summary: &Value) {
    all_but_time(world, summary);
    let (gap, after) = longest_gap(&events(world, summary));
    println!("longest time without an event: {gap:?}, after {after}");
    assert!(gap < GAP_MAX, "nothing happened for {gap:?} after {after}");
}

/// Once the coordinator was back, the run went on soon, and did not stand still after that.
pub fn went_on(world: &World, summary: &Value, back: WallMs) {
    let events = events(world, summary);
    let mut last = (back.0, "its coordinator was back".to_owned());
    for line in &events {
        let at = at(line);
        let gap = Duration::from_millis(at.saturating_sub(last.0));
        assert!(gap < BACK_WITHIN, "nothing happened for {gap:?} after {}", last.1);
        if at >= last.0 {
            last = (at, line.to_string());
        }
    }
}

/// The run is complete.
pub fn all_but_time(world: &World, summary: &Value) {
    assert_eq!(summary["status"], "complete", "{summary}");
    integrated_once(world, summary);
    work_is_kept(world, summary);
}

/// An outcome came after its seat was another's.
pub fn was_late(world: &World) {
    wait_for("a late outcome", String::new, || {
        let lines = world.ask(&["events", "--jsonl"]).expect(0).jsonl();
        lines.iter().any(|line| line["kind"] == "attempt_late").then_some(())
    });
}

/// All processes have been asked to end: nothing is left, and what is on disk is whole.
pub fn at_rest(world: &World) {
    world.sandbox.expect_no_leftovers();
    world.sandbox.program("coordinator").args(["verify"]).run().expect(0);
}

/// One commit of each unit, and each file as if the units had run one after the other.
fn integrated_once(world: &World, summary: &Value) {
    let branch = summary["branch"].as_str().unwrap();
    let mut units = world.repository.trailers(&format!("main..{branch}"), "Unit-Id");
    units.sort();
    let mut expected: Vec<String> = (0..world.plan.units.len()).map(Plan::id).collect();
    expected.sort();
    assert_eq!(units, expected);
    for (path, text) in world.plan.files() {
        assert_eq!(world.repository.show(branch, &path).trim_end(), text.trim_end(), "{path}");
    }
}

/// What every attempt left is under its ref at the coordinator.
fn work_is_kept(world: &World, summary: &Value) {
    let run = summary["run"].as_str().unwrap();
    let mut wanted = BTreeSet::new();
    let mut roles = BTreeMap::new();
    for line in events(world, summary) {
        let key = (line["unit"].as_str().unwrap_or("-").to_owned(), line["attempt"].as_u64().unwrap_or(0));
        match line["kind"].as_str().unwrap() {
            "lease_granted" => drop(roles.insert(key, line["role"].clone())),
            "attempt_started" if matches!(roles[&key].as_str(), Some("implement" | "fix")) => {
                wanted.insert(format!("refs/roundtable/{run}/{}/{}", key.0, key.1));
            }
            _ => {}
        }
    }
    assert!(wanted.len() >= world.plan.units.len());
    let began = Instant::now();
    loop {
        let kept = refs(world);
        let lost: Vec<&String> = wanted.difference(&kept).collect();
        if lost.is_empty() {
            println!("{} attempts, the work of all is kept", wanted.len());
            return;
        }
        assert!(began.elapsed() < WORK_WITHIN, "the work of these attempts is nowhere: {lost:?}\n{}", told(world, summary, &lost));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// All that is said of some attempts.
fn told(world: &World, summary: &Value, refs: &[&String]) -> String {
    let of_them =
        |line: &Value| refs.iter().any(|name| name.ends_with(&format!("/{}/{}", line["unit"].as_str().unwrap_or("-"), line["attempt"])));
    let lines = world.ask(&["events", summary["run"].as_str().unwrap(), "--jsonl"]).expect(0).jsonl();
    lines.iter().filter(|line| of_them(line)).map(|line| format!("{line}\n")).collect()
}

fn refs(world: &World) -> BTreeSet<String> {
    let repositories: Vec<PathBuf> =
        std::fs::read_dir(world.sandbox.data_dir().join("repos")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(repositories.len(), 1, "{repositories:?}");
    let git_dir = format!("--git-dir={}", repositories[0].display());
    let listed = world.repository.git(&[&git_dir, "for-each-ref", "--format=%(refname)", "refs/roundtable/"]);
    listed.lines().map(str::to_owned).collect()
}

/// Transitions of the run, oldest first.
fn events(world: &World, summary: &Value) -> Vec<Value> {
    let lines = world.ask(&["events", summary["run"].as_str().unwrap(), "--jsonl"]).expect(0).jsonl();
    // Words of agents have numbers of their own; only transitions count from one to the next.
    lines.into_iter().filter(|line| line.get("attempt").is_none() || IS_TRANSITION.contains(&line["kind"].as_str().unwrap())).collect()
}

const IS_TRANSITION: [&str; 6] = ["lease_granted", "attempt_started", "attempt_ended", "attempt_lost", "attempt_late", "work_accepted"];

fn longest_gap(events: &[Value]) -> (Duration, String) {
    let gaps = events.windows(2).map(|two| (Duration::from_millis(at(&two[1]).saturating_sub(at(&two[0]))), two[0].to_string()));
    gaps.max_by_key(|(gap, _)| *gap).unwrap()
}

fn at(line: &Value) -> u64 {
    WallMs::parse_rfc3339(line["at"].as_str().unwrap()).unwrap().0
}
