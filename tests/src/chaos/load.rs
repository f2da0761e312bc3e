//! What the fleet has to do while things go wrong: one run after the other, as a person on another host would start them, and again after whatever ended
//! `orchctl`. What came of each is checked by `verdict`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::host::Host;
use crate::harness::{Output, Process, Repository, Signal, SpecText};
use crate::plans::{Plan, Shape};

/// Longest a run may take, faults and all: more than a lost lease and everything after it. Whatever lies in its way heals before.
const RUN_WITHIN: Duration = Duration::from_secs(420);
/// Pause before `orchctl run` is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(300);
/// Time between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What a run waits for is cut short, so that it meets more faults.
const SETTINGS: &str = "[limits]\nsave = \"300ms\"\nassign_after = \"200ms\"\nbackoff = \"200ms\"\nbackoff_max = \"2s\"\n";

/// How much work there is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Work {
    /// Units of a run.
    pub units: usize,
    /// Length of an agent's turn, milliseconds.
    pub turn_ms: std::ops::RangeInclusive<u64>,
}

/// A run that came to its end.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) plan: Plan,
    /// The commit it began with.
    pub(super) base: String,
    /// What it said in the end.
    pub(super) summary: Value,
}

/// The person who starts runs.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) host: Arc<Host>,
    pub(super) repository: Repository,
    profile: String,
    work: Work,
    seed: u64,
    ends: AtomicBool,
    done: AtomicUsize,
    answered: AtomicUsize,
}

impl Load {
    /// A person who is logged in under this profile.
    pub(super) fn new(host: Arc<Host>, repository: Repository, profile: String, work: Work, seed: u64) -> Self {
        repository.write("roundtable.toml", SETTINGS);
        repository.commit("Add settings");
        let (ends, done, answered) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        Self { host, repository, profile, work, seed, ends, done, answered }
    }

    /// What agents do, on every host the same: the work that the unit's own commit describes.
    pub(super) fn playbook(&self) -> Value {
        let implement = serde_json::json!([{"steps": [{"run": "sh work.sh {unit}"}]}]);
        let review = serde_json::json!([{"steps": [{"sleep_ms": self.work.turn_ms.start()}]}]);
        serde_json::json!({"default": {"implement": implement, "review": review}})
    }

    /// No run is begun after the one that goes on now.
    pub(super) fn stop(&self) {
        self.ends.store(true, Ordering::SeqCst);
    }

    /// Runs that came to their end so far.
    pub(super) fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Decisions that were answered so far.
    pub(super) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// One run after the other, until it is stopped; at least one.
    pub(super) fn all(&self) -> Vec<Done> {
        let mut done = Vec::new();
        while done.is_empty() || !self.ends.load(Ordering::SeqCst) {
            done.push(self.one(done.len()));
            self.done.store(done.len(), Ordering::SeqCst);
        }
        done
    }

    fn one(&self, number: usize) -> Done {
        let plan =
            Plan::generate(Shape::Overlap, self.work.units, &self.work.turn_ms, self.seed.wrapping_mul(1000).wrapping_add(number as u64));
        let spec = self.write(&plan, number);
        let base = self.repository.head();
        let began = Instant::now();
        let mut tries = Vec::new();
        loop {
            let mut run = self.orchctl(&["run", "--mode", "deterministic", "--yes", "--json", "--spec", &spec.display().to_string()]);
            while run.is_running() && began.elapsed() < RUN_WITHIN {
                std::thread::sleep(LOOK_EVERY);
            }
            if run.is_running() {
                run.signal(Signal::TERM);
                panic!("run {number} is not at its end after {RUN_WITHIN:?}\n{}\nbefore it: {tries:#?}", run.said());
            }
            let ended = run.wait();
            match ended.code {
                Some(0) => return Done { plan, base, summary: ended.json() },
                Some(2) => self.answer(&ended),
                _ => {}
            }
            tries.push(ended.said());
            assert!(began.elapsed() < RUN_WITHIN, "run {number} has not come to its end: {tries:#?}");
            std::thread::sleep(AGAIN_AFTER);
        }
    }

    /// The spec of a run and the work of its units, committed.
    fn write(&self, plan: &Plan, number: usize) -> PathBuf {
        let spec = SpecText::of_tasks(&format!("plan-{number}"), &plan.tasks_md());
        let folder = spec.write(&self.repository.path().join(".specs"));
        self.repository.write("work.sh", &script(plan));
        self.repository.commit(&format!("Plan {number}"));
        folder
    }

    /// A unit that lost several workers asks a person, who has it tried again.
    fn answer(&self, ended: &Output) {
        let summary: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        for decision in summary["decisions"].as_array().into_iter().flatten() {
            let (Some(run), Some(id)) = (summary["run"].as_str(), decision["id"].as_str()) else { continue };
            if self.orchctl(&["decide", &format!("{run}/{id}"), "retry"]).wait().code == Some(0) {
                self.answered.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// `orchctl …` of that person in the repository.
    pub(super) fn orchctl(&self, args: &[&str]) -> Process {
        let args = [args, &["--profile", &self.profile]].concat();
        self.host.start("orchctl", &args, &[], Some(self.repository.path()))
    }
}

/// What a unit's agent does: works for its time, then adds its line to each of its files, if it is not there.
fn script(plan: &Plan) -> String {
    let mut text = String::from(
        "set -e\nline() { mkdir -p \"${2%/*}\"; grep -qsx \"unit $1\" \"$2\" || echo \"unit $1\" >> \"$2\"; }\ncase \"$1\" in\n",
    );
    for (at, unit) in plan.units.iter().enumerate() {
        let id = Plan::id(at);
        let lines: Vec<String> = unit.writes.iter().map(|path| format!("line {id} {path}")).collect();
        text.push_str(&format!("{id}) sleep {}.{:03}; {};;\n", unit.implement_ms / 1000, unit.implement_ms % 1000, lines.join("; ")));
    }
    text.push_str("*) exit 1;;\nesac\n");
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_script_does_what_the_plan_says_and_nothing_twice() {
        let plan = Plan::generate(Shape::Overlap, 12, &(1..=3), 7);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("work.sh"), script(&plan)).unwrap();
        for _ in 0..2 {
            for at in 0..plan.units.len() {
                let done = std::process::Command::new("sh").args(["work.sh", &Plan::id(at)]).current_dir(folder.path()).status();
                assert!(done.unwrap().success());
            }
        }
        for (path, text) in plan.files() {
            assert_eq!(std::fs::read_to_string(folder.path().join(&path)).unwrap(), text, "{path}");
        }
    }
}
