//! Refs of a run that somebody moves or deletes in the coordinator's repository: the log has them, so they come back, and the run goes on.

use std::path::PathBuf;

use roundtable_tests::harness::{Playbook, SpecText, Turn, step};
use serde_json::Value;

use crate::world::{World, is_working};

/// The coordinator's repository.
fn store(world: &World) -> PathBuf {
    let repos = std::fs::read_dir(world.sandbox.data_dir().join("repos")).expect("a folder");
    repos.flatten().map(|entry| entry.path()).next().expect("a repository")
}

fn git(world: &World, args: &[&str]) -> String {
    let store = store(world);
    let mut all = vec!["--git-dir", store.to_str().expect("text")];
    all.extend(args);
    world.repo.git(&all).trim().to_owned()
}

#[track_caller]
fn expect_notice(status: &Value, words: &str) {
    let said = status["notices"].as_array().expect("notices").iter().any(|notice| notice.as_str().is_some_and(|text| text.contains(words)));
    assert!(said, "nothing of {words:?} in {:#}", status["notices"]);
}

#[test]
fn a_branch_moved_or_deleted_while_the_run_is_under_way_is_moved_on_from_there() {
    for moves in [true, false] {
        let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
        let gate = world.sandbox.path("go").display().to_string();
        let held = step::run(&format!("until test -e {gate}; do sleep 0.05; done"));
        Playbook::new().role("implement", [Turn::new().steps([held, step::write("part-1.txt", "made\n")])]).write(&world.play);
        let run = world.run(&["--json"]).start();
        let status = world.wait_for_status("unit 1 to work", &run, |status| is_working(status, "1"));
        let branch = format!("refs/heads/{}", status["branch"].as_str().expect("a branch"));
        let base = git(&world, &["rev-parse", &branch]);
        if moves {
            let tree = git(&world, &["rev-parse", &format!("{base}^{{tree}}")]);
            let foreign = git(&world, &["-c", "user.name=x", "-c", "user.email=x@x", "commit-tree", &tree, "-m", "not ours"]);
            git(&world, &["update-ref", &branch, &foreign]);
        } else {
            git(&world, &["update-ref", "-d", &branch]);
        }
        std::fs::write(world.sandbox.path("go"), "").expect("written");
        let ended = run.wait().expect(0);
        let status = world.status();
        assert_eq!(git(&world, &["rev-parse", &branch]), status["head"], "{}", ended.said());
        assert_eq!(git(&world, &["rev-parse", &format!("{branch}^")]), base);
        expect_notice(&status, if moves { "was moved to" } else { "was deleted in the coordinator's repository" });
        world.sandbox.program("coordinator").args(["verify"]).run().expect(0);
    }
}

#[test]
fn what_was_moved_or_deleted_between_two_runs_is_put_back_at_the_start() {
    let world = World::new(&SpecText::parallel("login", 2), &Playbook::new().unit("2", "implement", [Turn::fails()]));
    let summary = world.run(&["--json"]).run().expect(2).json();
    let (run, head) = (summary["run"].as_str().expect("an id"), summary["head"].as_str().expect("a commit"));
    let branch = format!("refs/heads/roundtable/{run}");
    let attempt = format!("refs/roundtable/{run}/1/1");
    git(&world, &["update-ref", &branch, &format!("{head}^")]);
    git(&world, &["update-ref", "-d", &attempt]);
    world.sandbox.program("coordinator").args(["verify"]).run().expect(1);
    // Any command that acts has a coordinator of its own.
    world.orchctl(&["pause"]).run().expect(0);
    assert_eq!(git(&world, &["rev-parse", &branch]), head);
    git(&world, &["rev-parse", "--verify", &attempt]);
    expect_notice(&world.status(), "was moved to");
    world.sandbox.program("coordinator").args(["verify"]).run().expect(0);
    world.orchctl(&["resume"]).run().expect(0);
    Playbook::new().write(&world.play);
    world.orchctl(&["decide", "quarantine-2", "retry"]).run().expect(0);
    world.run(&[]).run().expect(0);
}
