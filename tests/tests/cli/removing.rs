//! `runs rm`, `runs prune` and `du`: what goes with a run, and what stays of it.

use std::path::PathBuf;

use roundtable_tests::harness::{Playbook, SpecText, Turn, step, wait_for};
use serde_json::Value;

use crate::world::{World, expect_plain};

struct Ended {
    world: World,
    run: String,
}

impl Ended {
    /// A complete run, not accepted yet.
    fn new() -> Self {
        let said = Turn::new().steps([step::say("working"), step::write("part-1.txt", "done\n")]);
        let world = World::new(&SpecText::parallel("login", 2), &Playbook::new().unit("1", "implement", [said]));
        let run = world.run(&["--json"]).run().expect(0).json()["run"].as_str().expect("an id").to_owned();
        Self { world, run }
    }

    fn folders(&self) -> [PathBuf; 2] {
        ["segments", "prompts"].map(|kind| self.world.sandbox.data_dir().join(kind).join(&self.run))
    }

    fn refs(&self) -> String {
        let repos = std::fs::read_dir(self.world.sandbox.data_dir().join("repos")).expect("a folder");
        let store = repos.flatten().map(|entry| entry.path()).next().expect("a repository");
        self.world.repo.git(&["--git-dir", store.to_str().expect("text"), "for-each-ref"]).trim().to_owned()
    }

    fn json(&self, args: &[&str]) -> Value {
        self.world.orchctl(args).run().expect(0).json()
    }
}

#[test]
fn a_removed_run_leaves_its_summary_and_nothing_else() {
    let ended = Ended::new();
    let (world, run) = (&ended.world, ended.run.as_str());
    let before = ended.json(&["summary", run, "--json"]);
    let disk = ended.json(&["du", "--json"]);
    assert_eq!((&disk["runs"][0]["run"], disk["runs"][0]["to_accept"].as_bool()), (&run.into(), Some(true)), "{disk:#}");
    assert!(disk["runs"][0]["events_bytes"].as_u64() > Some(0) && disk["repositories"][0]["runs"] == 1, "{disk:#}");
    expect_plain(&world.orchctl(&["du"]).run().expect(0).out_has(&[run, "not accepted", "free"]).stdout);

    world.orchctl(&["runs", "rm", run]).run().expect(3).err_has(&["--force", "accepted"]);
    world.orchctl(&["runs", "rm", run, "nobody"]).run().expect(1).err_has(&["nobody"]);
    assert!(ended.folders().iter().all(|folder| folder.is_dir()), "nothing went");
    world.orchctl(&["accept", run]).run().expect(0);
    let head = world.repo.head();
    world.orchctl(&["runs", "rm", run]).run().expect(0).out_has(&[run, "summary is kept"]);

    assert!(ended.folders().iter().all(|folder| !folder.exists()));
    assert_eq!((ended.refs().as_str(), world.repo.head(), world.repo.has("part-1.txt")), ("", head, true), "the user's repository stays");
    let after = ended.json(&["summary", run, "--json"]);
    assert_eq!((&after["units"], &after["head"], &after["accepted"]), (&before["units"], &before["head"], &"main".into()));
    assert!(after["removed_at"].is_string() && ended.json(&["attempts", run, "1", "--json"])[0]["outcome"] == "completed");
    for gone in [["logs", run], ["diff", run]] {
        world.orchctl(&gone).run().expect(1).err_has(&["removed", "summary"]);
    }
    // Nothing need be sent: the branch is in the user's repository.
    world.orchctl(&["fetch", run]).run().expect(0);
    world.orchctl(&["events", run, "--jsonl"]).run().expect(0).out_has(&["run_removed", "run_accepted"]);
    assert_eq!(ended.json(&["runs", "--json"]), serde_json::json!([]));
    assert_eq!(ended.json(&["runs", "--all", "--json"])[0]["run"], run);
    assert_eq!(ended.json(&["du", "--json"])["runs"], serde_json::json!([]));
    world.sandbox.program("coordinator").args(["verify"]).run().expect(0).out_has(&["all good", "1 of them removed"]);
    world.orchctl(&["runs", "rm", run]).run().expect(0).out_has(&["already"]);
}

#[test]
fn what_a_crash_left_of_a_removed_run_goes_at_the_next_start() {
    let ended = Ended::new();
    let [events, prompts] = ended.folders();
    let aside = ended.world.sandbox.path("aside");
    std::fs::create_dir(&aside).expect("made");
    let copy = |from: &PathBuf, to: &PathBuf| {
        let copied = std::process::Command::new("cp").arg("-R").arg(from).arg(to).status().expect("started");
        assert!(copied.success());
    };
    copy(&events, &aside.join("segments"));
    copy(&prompts, &aside.join("prompts"));
    ended.world.orchctl(&["runs", "rm", &ended.run, "--force"]).run().expect(0);
    // As if it had been killed after the row was durable.
    copy(&aside.join("segments"), &events);
    copy(&aside.join("prompts"), &prompts);
    let served = ended.world.sandbox.serve();
    wait_for("the rest of the run is gone", || served.said(), || (!events.exists() && !prompts.exists()).then_some(()));
}

#[test]
fn prune_takes_what_ended_long_ago_and_nobody_waits_for() {
    let ended = Ended::new();
    let world = &ended.world;
    world.orchctl(&["runs", "prune"]).run().expect(0).out_has(&["no run is old enough"]);
    world.orchctl(&["runs", "prune", "--older-than", "0s"]).run().expect(0).out_has(&["no run is old enough"]);
    world.orchctl(&["accept"]).run().expect(0);
    world.orchctl(&["runs", "prune", "--older-than", "0s", "--dry-run"]).run().expect(0).out_has(&[&ended.run]);
    assert!(ended.folders()[0].is_dir(), "only said");
    let pruned = ended.json(&["runs", "prune", "--older-than", "0s", "--json"]);
    assert_eq!(pruned[0]["run"], ended.run.as_str(), "{pruned:#}");
    assert!(!ended.folders()[0].exists());
}

#[test]
fn a_coordinator_with_limits_prunes_by_itself() {
    let ended = Ended::new();
    ended.world.orchctl(&["accept"]).run().expect(0);
    let served = ended.world.sandbox.program("coordinator").args(["serve", "--listen", "127.0.0.1:0", "--keep-bytes", "1KiB"]).start();
    let [events, _] = ended.folders();
    wait_for("its time is over", || served.said(), || (!events.exists()).then_some(()));
    let removed = ended.world.orchctl(&["events", &ended.run, "--jsonl"]).run().expect(0).jsonl();
    let removed = removed.into_iter().find(|line| line["kind"] == "run_removed").expect("the log says so");
    assert_eq!(removed["by"], "retention", "{removed:#}");
}
