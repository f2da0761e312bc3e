//! Going on from a state another tool left: what must be committed, what may stay as it is, and what a person hears of it.

use roundtable_tests::harness::{Playbook, SpecText};
use serde_json::{Value, json};

use crate::world::{World, unit};

/// Two units that write `part-1.txt` and `part-2.txt`.
fn world() -> World {
    World::new(&SpecText::parallel("login", 2), &Playbook::new())
}

/// A state by hand, where the tool before put it.
fn leave_state(world: &World, at: &str, tasks: Value) {
    let state = json!({
        "spec_path": world.spec, "session_name": "roundtable", "tasks": tasks, "review_findings": [], "final_reports": [],
        "blocked_items": [], "pending_decisions": [], "deferred_fixes": [], "window_mapping": {},
    });
    world.repo.write(at, &state.to_string());
}

fn task(id: &str, status: &str, files: &[&str]) -> Value {
    json!({ "task_id": id, "status": status, "owner_agent": "codex", "files_changed": files })
}

const STATE: &str = ".specs/AGENT_STATE.json";

#[test]
fn work_that_is_not_committed_is_asked_for_by_name() {
    let world = world();
    leave_state(&world, STATE, json!([task("1", "pending_review", &["part-1.txt"])]));
    world.repo.write("loose.txt", "mine\n");
    world.repo.write("part-1.txt", "work\n");
    let import = |more: &[&str]| world.orchctl(&["import", STATE, "--spec", ".specs/login"]).args(more.iter().copied());
    import(&[]).run().expect(3).err_has(&["task 1 is pending_review", "part-1.txt", "--include-dirty"]);
    assert!(world.orchctl(&["runs", "--json"]).run().expect(0).json().as_array().is_none_or(Vec::is_empty), "nothing was started");

    std::fs::remove_file(world.repo.path().join("part-1.txt")).expect("removed");
    let out =
        import(&[]).run().expect(0).err_has(&["uncommitted changes are not included: loose.txt", "nowhere to be found", "part-1.txt"]);
    assert!(!out.stderr.contains("AGENT_STATE"), "{}", out.stderr);
    assert_eq!(unit(&world.status(), "1")["status"], "not_started");
}

#[test]
fn what_was_uncommitted_can_be_taken_along_and_accepted_over_itself() {
    let world = world();
    let repo = &world.repo;
    repo.write("old.txt", "old\n");
    let start = repo.commit("Before");
    leave_state(&world, "out/AGENT_STATE.json", json!([task("1", "completed", &["part-1.txt", "old.txt"]), task("2", "in_progress", &[])]));
    repo.write("out/AGENT_STATE.json.edited-1", "{}");
    repo.write(".specs/second/tasks.md", "- [ ] 1. Other\n");
    repo.write(".specs/second/PROJECT_PULSE.md", "# PROJECT_PULSE\n");
    repo.write("part-1.txt", "work\n");
    repo.write("old.txt", "new\n");
    let state = ["out/AGENT_STATE.json", "--spec", ".specs/login"];
    let made = world.orchctl(&["import"]).args(state).args(["--include-dirty", "--json"]).run().expect(0).json();
    // The same again is the same run, and the one that is to follow has it all.
    let again = world.orchctl(&["import"]).args(state).args(["--include-dirty", "--json"]).run().expect(0).json();
    assert_eq!((&again["run"], &again["resumed"]), (&made["run"], &true.into()));
    let run = world.run(&["--json"]).run().expect(0);
    assert!(!run.stderr.contains("not included"), "{}", run.stderr);
    let summary = run.json();
    assert_eq!((&summary["run"], &unit(&summary, "1")["attempts"]), (&made["run"], &0.into()));
    let branch = summary["branch"].as_str().expect("a branch");
    let taken = repo.git(&["diff", "--name-only", &start, summary["base"].as_str().expect("a base")]);
    assert_eq!(taken.lines().collect::<Vec<_>>(), [".specs/second/tasks.md", "old.txt", "part-1.txt"]);
    world.orchctl(&["accept"]).run().expect(0);
    assert_eq!(repo.git(&["rev-parse", "HEAD"]), repo.git(&["rev-parse", branch]));
    assert_eq!((repo.read("old.txt").as_str(), repo.has("part-2.txt")), ("new\n", true));
    let left = repo.git(&["status", "--porcelain", "--untracked-files=all"]);
    assert!(left.lines().all(|line| line.contains("AGENT_STATE") || line.contains("TASKS_PARSED") || line.contains("PULSE")), "{left}");
}

#[test]
fn what_is_completed_and_not_there_is_refused_or_trusted_and_what_was_read_is_no_edit() {
    let world = world();
    leave_state(&world, "out/AGENT_STATE.json", json!([task("1", "completed", &["gone.txt"])]));
    let agents = world.agents(2);
    let run = || world.orchctl(&["run", "--state", "out/AGENT_STATE.json", "--mode", "deterministic", "--json", "--workers", &agents]);
    let import = || world.orchctl(&["import", "out/AGENT_STATE.json", "--spec", ".specs/login", "--json"]);
    for refused in [run(), import()] {
        refused.run().expect(3).err_has(&["unit 1 is completed", "gone.txt", "--include-dirty", "--trust"]);
    }
    assert!(world.orchctl(&["runs", "--json"]).run().expect(0).json().as_array().is_none_or(Vec::is_empty), "nothing was started");
    let out = run().args(["--trust"]).run().expect(0).err_has(&["unit 1 is completed", "gone.txt"]);
    assert!(!out.stderr.contains("edited") && !out.stderr.contains("not included"), "{}", out.stderr);
    let summary = out.json();
    assert!(summary["notices"].to_string().contains("gone.txt"), "{summary:#}");
    assert_eq!(unit(&summary, "1")["attempts"], 0);
    assert!(!world.repo.has("out/AGENT_STATE.json.edited-1"));
    let written: Value = serde_json::from_str(&world.repo.read("out/AGENT_STATE.json")).expect("JSON");
    assert_eq!(written["tasks"][0]["files_changed"], json!(["gone.txt"]));
    world.run(&["--dry-run"]).run().expect(0);
}

#[test]
fn pending_decisions_are_open_and_answered_before_anything_is_done() {
    let world = world();
    let state = json!({
        "spec_path": world.spec, "session_name": "roundtable", "review_findings": [], "final_reports": [], "blocked_items": [], "deferred_fixes": [],
        "tasks": [
            { "task_id": "1", "status": "blocked", "owner_agent": "codex", "target_window": "task-1" },
            { "task_id": "2", "status": "not_started", "owner_agent": "codex", "target_window": "task-2", "dependencies": ["1"] },
        ],
        "pending_decisions": [{ "id": "choose-db", "task_id": "1", "priority": "high", "context": "Which database?", "options": ["Postgres", "SQLite"] }],
        "window_mapping": {},
    });
    world.repo.write(STATE, &state.to_string());
    let agents = world.agents(2);
    let run = || world.orchctl(&["run", "--state", STATE, "--mode", "deterministic", "--json", "--workers", &agents]);
    let asked = run().run().expect(2).json();
    assert_eq!((&asked["decisions"][0]["id"], &asked["decisions"][0]["options"]), (&"choose-db".into(), &json!(["Postgres", "SQLite"])));
    for unit in ["1", "2", "-"] {
        let attempts = world.orchctl(&["attempts", unit, "--json"]).run().expect(0).json();
        assert_eq!(attempts, json!([]), "nobody was called");
    }
    world.orchctl(&["decide", "choose-db", "abort"]).run().expect(3).err_has(&["1 Postgres, 2 SQLite"]);
    world.orchctl(&["decide", "choose-db", "sqlite"]).run().expect(0);
    world.orchctl(&["decide", "choose-db", "2"]).run().expect(0);
    let done = run().run().expect(0).json();
    assert_eq!(done["counts"]["completed"], 2, "{done:#}");
}

#[test]
fn another_state_does_not_go_on_with_an_unfinished_run() {
    let world = world();
    leave_state(&world, STATE, json!([task("1", "not_started", &[])]));
    let import = || world.orchctl(&["import", STATE, "--spec", ".specs/login", "--json"]);
    let first = import().run().expect(0).json();
    assert_eq!(import().run().expect(0).json()["resumed"], true);
    leave_state(&world, STATE, json!([task("1", "in_progress", &[])]));
    let run = first["run"].as_str().expect("an id");
    import().run().expect(3).err_has(&[run, "unfinished", "orchctl run --spec", "orchctl cancel", "--fresh"]);
    world.orchctl(&["run", "--state", STATE]).run().expect(3).err_has(&[run, "unfinished"]);
    world.orchctl(&["cancel", run]).run().expect(0);
    assert_ne!(import().run().expect(0).json()["run"], first["run"]);
}

#[test]
fn assign_alone_gives_a_unit_its_owner() {
    let world = world();
    leave_state(&world, STATE, json!([{ "task_id": "1", "status": "fix_required", "last_review_severity": "major" }]));
    world.orchctl(&["import", STATE, "--spec", ".specs/login"]).run().expect(0);
    let asked = world.run(&["--json"]).run().expect(2).json();
    assert_eq!(unit(&asked, "1")["owner_agent"], Value::Null);
    world.orchctl(&["decide", "missing-owner-agent-1", "assign"]).run().expect(0);
    let done = world.run(&["--json"]).run().expect(0).json();
    assert_eq!((&unit(&done, "1")["owner_agent"], &unit(&done, "1")["status"]), (&"codex".into(), &"completed".into()));
}
