//! What comes of a run: `accept` in every situation, `fetch`, `export`, and going on from mirror files.

use roundtable_tests::harness::{Playbook, SpecText, Turn};
use serde_json::Value;

use crate::world::{World, unit};

#[test]
fn accept_moves_merges_or_changes_nothing_and_says_why() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    let summary = world.run(&["--json"]).run().expect(0).json();
    let (run, branch) = (summary["run"].as_str().expect("an id"), summary["branch"].as_str().expect("a branch"));
    let (repo, start) = (&world.repo, world.repo.head());

    repo.git(&["branch", "--quiet", "-D", branch]);
    world.orchctl(&["fetch"]).run().expect(0).out_has(&[branch]);
    assert_eq!(repo.git(&["rev-parse", branch]), summary["head"]);

    repo.write("part-1.txt", "mine, not committed\n");
    world.orchctl(&["accept"]).run().expect(1).err_has(&["part-1.txt", "nothing was changed"]);
    assert_eq!((repo.head(), repo.read("part-1.txt")), (start.clone(), "mine, not committed\n".to_owned()));

    let moved = repo.commit("Mine");
    world.orchctl(&["accept", run]).run().expect(1).err_has(&["part-1.txt", "git "]);
    assert_eq!((repo.head(), repo.read("part-1.txt")), (moved, "mine, not committed\n".to_owned()));
    assert_eq!(repo.git(&["status", "--porcelain"]), "");

    repo.git(&["reset", "--quiet", "--hard", &start]);
    let into = world.orchctl(&["accept", "--into", "review/login", "--json"]).run().expect(0).json();
    assert_eq!((&into["branch"], &into["commit"]), (&"review/login".into(), &summary["head"]));
    assert_eq!(repo.head(), start, "only the branch named has moved");

    repo.write("other.txt", "other\n");
    let other = repo.commit("Other");
    let merged = world.orchctl(&["accept", "--json"]).run().expect(0).json();
    assert_eq!(merged["how"], "merged");
    assert_eq!(repo.git(&["rev-parse", "HEAD^1", "HEAD^2"]), format!("{other}\n{}", summary["head"].as_str().expect("a commit")));
    assert!(repo.has("part-1.txt") && repo.has("other.txt"));
    world.orchctl(&["accept"]).run().expect(0).out_has(&["already"]);
    assert_eq!(world.orchctl(&["summary", "--json"]).run().expect(0).json()["accepted"], "main");
}

#[test]
fn what_is_done_of_an_unfinished_run_is_accepted_only_when_asked() {
    let world = World::new(&SpecText::parallel("login", 2), &Playbook::new().unit("2", "implement", [Turn::fails()]));
    world.run(&["--accept"]).run().expect(2);
    assert!(!world.repo.has("part-1.txt"), "--accept takes complete runs only");
    world.orchctl(&["accept"]).run().expect(1).err_has(&["1 of 2 units", "--partial"]);
    world.orchctl(&["accept", "--partial"]).run().expect(0).out_has(&["with 1 of 2 units"]);
    assert!(world.repo.has("part-1.txt") && !world.repo.has("part-2.txt"));
    Playbook::new().write(&world.play);
    world.orchctl(&["decide", "quarantine-2", "retry"]).run().expect(0);
    world.run(&["--accept"]).run().expect(0).out_has(&["main has been moved"]);
    assert!(world.repo.has("part-2.txt"));
}

#[test]
fn a_run_that_is_over_is_accepted_when_that_is_asked_later() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    world.run(&[]).run().expect(0);
    assert!(!world.repo.has("part-1.txt"));
    world.run(&["--accept"]).run().expect(0).out_has(&["main has been moved"]);
    assert!(world.repo.has("part-1.txt"));
    world.run(&["--accept"]).run().expect(0);
}

#[test]
fn mirror_files_are_exported_imported_and_gone_on_from() {
    let world = World::new(&SpecText::parallel("login", 2), &Playbook::new().unit("2", "implement", [Turn::fails()]));
    world.run(&[]).run().expect(2);
    world.orchctl(&["accept", "--partial"]).run().expect(0);
    let out = world.sandbox.path("out");
    world.orchctl(&["export", "--output"]).path(&out).run().expect(0);
    let mut state: Value = serde_json::from_str(&std::fs::read_to_string(out.join("AGENT_STATE.json")).expect("read")).expect("JSON");
    assert_eq!((&state["tasks"][0]["status"], &state["tasks"][1]["status"]), (&"completed".into(), &"blocked".into()), "{state:#}");
    // As the original left it: half finished, and nothing of ours in it.
    state.as_object_mut().expect("an object").remove("roundtable");
    state["tasks"][1]["status"] = "in_progress".into();
    for list in ["pending_decisions", "blocked_items"] {
        state[list] = Value::Array(Vec::new());
    }
    let file = out.join("AGENT_STATE.json");
    std::fs::write(&file, state.to_string()).expect("written");
    std::fs::write(out.join("TASKS_PARSED.json"), "{}").expect("written");

    Playbook::new().write(&world.play);
    let elsewhere = world.sandbox.path("elsewhere").display().to_string();
    let at = |args: &[&str]| world.orchctl(args).env("ROUNDTABLE_DATA_DIR", &elsewhere);
    world.repo.write("loose.txt", "loose\n");
    let part = world.repo.read("part-1.txt");
    world.repo.write("part-1.txt", "not committed\n");
    let refused = ["task 1 is completed", "part-1.txt", "--include-dirty"];
    at(&["import", "--spec", ".specs/login"]).path(&file).run().expect(3).err_has(&refused);
    assert!(!world.sandbox.path("elsewhere").join("store.db").exists());
    let imported = at(&["import", "--include-dirty", "--json", "--spec", ".specs/login"]).path(&file).run().expect(0).json();
    let agents = world.agents(2);
    let done = at(&["run", "--spec", ".specs/login", "--mode", "deterministic", "--include-dirty", "--json", "--workers", &agents])
        .run()
        .expect(0)
        .json();
    assert_eq!((&done["run"], &done["counts"]["completed"]), (&imported["run"], &1.into()), "{done:#}");
    assert_eq!(unit(&done, "1")["attempts"], 0, "what was completed is not done again");

    std::fs::remove_file(world.repo.path().join("loose.txt")).expect("removed");
    world.repo.write("part-1.txt", &part);
    let third = world.sandbox.path("third").display().to_string();
    let going = world
        .orchctl(&["run", "--mode", "deterministic", "--json", "--workers", &agents, "--state"])
        .path(&file)
        .env("ROUNDTABLE_DATA_DIR", &third);
    let done = going.run().expect(0).json();
    assert_eq!((&unit(&done, "1")["attempts"], &unit(&done, "2")["status"]), (&0.into(), &"completed".into()));
    let state: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("read")).expect("JSON");
    assert_eq!(state["tasks"][1]["status"], "completed", "the state named is the one written");
    at(&["import", "--spec", ".specs/login"]).path(&world.play).run().expect(3).err_has(&["is no AGENT_STATE.json"]);
}

#[test]
fn a_repository_that_was_moved_takes_its_runs_along() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    let run = world.run(&["--json"]).run().expect(0).json()["run"].as_str().expect("an id").to_owned();
    let moved = world.sandbox.path("moved");
    std::fs::rename(world.repo.path(), &moved).expect("moved");
    let at = |dir: &std::path::Path, args: &[&str]| world.sandbox.orchctl(dir, args.iter().copied());
    let elsewhere = world.sandbox.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a folder");
    at(&elsewhere, &["accept", &run]).run().expect(1).err_has(&["is not here", "a clone"]);
    at(&moved, &["checkout", &run, "1"]).path(&world.sandbox.path("unit")).run().expect(0);
    at(&moved, &["accept", &run]).run().expect(0);
    assert!(moved.join("part-1.txt").exists());
}

#[test]
fn a_branch_that_leaves_no_room_for_the_run_s_is_named_before_anything_starts() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    world.repo.git(&["branch", "roundtable"]);
    world.run(&[]).run().expect(3).err_has(&["a branch called `roundtable`", "git branch -m"]);
    assert!(!world.sandbox.data_dir().join("store.db").exists());
}
