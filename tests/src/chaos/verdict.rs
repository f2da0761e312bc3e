//! What must hold when all has healed: every run complete, each unit integrated once and as written, the history within the invariants, every program ended as
//! asked, nothing left running.

use std::path::PathBuf;

use serde_json::Value;

use super::load::Done;
use super::world::World;
use crate::harness::{Output, wait_for};
use crate::history::{self, Summary};
use crate::plans::Plan;

/// Asks everything of a world whose faults are over and whose last run has come to its end. Ends its programs.
pub(super) fn check(world: &World, done: &[Done]) -> Summary {
    for run in done {
        complete(world, run);
    }
    for worker in &world.workers {
        ended(worker.end(), &worker.said());
    }
    let summary = at_rest(world);
    let units: usize = done.iter().map(|run| run.plan.units.len()).sum();
    assert_eq!((summary.runs, summary.integrated), (done.len(), units), "{summary:#?}");
    summary
}

/// Ends the coordinator, the workers having ended: nothing runs any more, what is on disk is whole, and its history keeps the invariants and is at its end.
pub(super) fn at_rest(world: &World) -> Summary {
    ended(world.coordinator.end(), &world.coordinator.said());
    is_quiet(world);
    let host = &world.coordinator.host;
    let repository = repository(&host.data());
    let summary = history::check(&host.data(), &repository)
        .unwrap_or_else(|violations| panic!("the history breaks invariants:\n{}\n{}", history::told(&violations), world.said()));
    assert!(summary.open.is_empty(), "this is not over: {:#?}\n{}", summary.open, world.said());
    summary
}

/// The run is complete: one commit of each unit, and each file as if the units had run one after the other.
fn complete(world: &World, run: &Done) {
    let Done { plan, base, summary } = run;
    assert_eq!(summary["status"], "complete", "{summary:#}");
    let branch = summary["branch"].as_str().expect("a branch");
    let repository = &world.load.repository;
    if repository.try_git(&["rev-parse", "--quiet", "--verify", branch]).is_err() {
        world.load.orchctl(&["fetch", summary["run"].as_str().expect("a run")]).wait().expect(0);
    }
    let mut units = repository.trailers(&format!("{base}..{branch}"), "Unit-Id");
    units.sort();
    let mut expected: Vec<String> = (0..plan.units.len()).map(Plan::id).collect();
    expected.sort();
    assert_eq!(units, expected, "each unit once: {summary:#}");
    for (path, text) in plan.files() {
        assert_eq!(repository.show(branch, &path).trim_end(), text.trim_end(), "{path} of {}", name(summary));
    }
}

fn name(summary: &Value) -> &str {
    summary["run"].as_str().unwrap_or_default()
}

/// It ran, and has ended as it was asked to.
pub(super) fn ended(output: Option<Output>, said: &str) {
    let output = output.unwrap_or_else(|| panic!("it does not run at the end\n{said}"));
    assert_eq!(output.code, Some(0), "it was asked to end\n{}\n{said}", output.said());
}

/// Nothing runs any more, and what is on disk is whole.
fn is_quiet(world: &World) {
    world.sandbox.expect_no_leftovers();
    let hosts = || world.daemons().map(|daemon| &daemon.host).chain([&world.spare, &world.load.host]);
    let busy = || hosts().filter(|host| !host.is_empty()).map(|host| host.name.clone()).collect::<Vec<_>>();
    wait_for("every host to be empty", || busy().join(", "), || busy().is_empty().then_some(()));
    world.coordinator.host.run("coordinator", &["verify"], &[]).expect(0);
}

/// The coordinator's repository: all runs are of one.
fn repository(data: &std::path::Path) -> PathBuf {
    let entries = std::fs::read_dir(data.join("repos")).unwrap_or_else(|error| panic!("{}: {error}", data.display()));
    let mut stores: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.join("HEAD").is_file()).collect();
    assert_eq!(stores.len(), 1, "{stores:?}");
    stores.remove(0)
}
