//! Mode manual: one phase at a time.

use roundtable_tests::harness::{Playbook, Signal, SpecText, Turn, step, wait_for};

use crate::world::{World, unit};

#[test]
fn a_run_is_stepped_from_its_plan_to_its_end() {
    let finds = [Turn::finds("major", "It lacks an end."), Turn::new()];
    let fix = Turn::new().steps([step::append("part-1.txt", "the end\n")]);
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new().unit("1", "review", finds).unit("1", "fix", [fix]));
    world.run_without_workers(&["--mode", "manual"]).run().expect(1).out_has(&["orchctl step"]);
    let state = world.repo.read(".specs/AGENT_STATE.json");
    assert!(state.contains("\"not_started\""), "{state}");
    assert_eq!(unit(&world.status(), "1")["owner_agent"], serde_json::Value::Null);

    let agents = world.agents(1);
    let step = |phase: &str| world.orchctl(&["step", phase, "--json", "--workers", &agents]).run();
    step("dispatch").expect(1).err_has(&["1", "owner_agent"]);
    step("nonsense").expect(3).err_has(&["assign, dispatch, reviews, consolidate, sync-pulse"]);
    let owner = |status: &serde_json::Value| unit(status, "1")["owner_agent"].clone();
    assert_eq!(owner(&step("assign").expect(0).json()), "codex");
    let state_of = |status: &serde_json::Value| unit(status, "1")["status"].as_str().unwrap_or_default().to_owned();
    assert_eq!(state_of(&step("dispatch").expect(0).json()), "pending_review");
    assert_eq!(state_of(&step("reviews").expect(0).json()), "final_review");
    assert_eq!(state_of(&step("consolidate").expect(0).json()), "fix_required");
    assert_eq!(state_of(&step("dispatch").expect(0).json()), "pending_review");
    step("reviews").expect(0);
    assert_eq!(state_of(&step("consolidate").expect(0).json()), "completed");
    step("sync-pulse").expect(0);
    assert!(world.repo.read(".specs/AGENT_STATE.json").contains("\"completed\""));
    world.orchctl(&["status", "--exit-code"]).run().expect(0);
    world.orchctl(&["accept"]).run().expect(0);
    assert!(world.repo.read("part-1.txt").ends_with("the end\n"));
}

#[test]
fn a_step_brings_what_runs_the_check_and_waits_for_it() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    world.run_without_workers(&["--mode", "manual", "--check", "sleep 2"]).run().expect(1);
    let agents = world.agents(1);
    for phase in ["assign", "dispatch", "reviews"] {
        world.orchctl(&["step", phase, "--workers", &agents]).run().expect(0);
    }
    // No agent is needed for it, and none need be installed.
    let done = world.orchctl(&["step", "consolidate", "--json"]).run().expect(0).json();
    assert_eq!(unit(&done, "1")["status"], "completed", "{done:#}");
}

#[test]
fn a_step_that_was_interrupted_is_taken_up_again() {
    let slow = Turn::new().steps([step::write("part-1.txt", "one\n"), step::sleep_ms(60_000)]);
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new().unit("1", "implement", [slow]));
    world.run_without_workers(&["--mode", "manual"]).run().expect(1);
    let agents = world.agents(1);
    world.orchctl(&["step", "assign", "--workers", &agents]).run().expect(0);
    let dispatch = world.orchctl(&["step", "dispatch", "--workers", &agents]).start();
    wait_for("the agent to run", || dispatch.said(), || (unit(&world.status(), "1")["status"] == "in_progress").then_some(()));
    dispatch.signal(Signal::INT);
    dispatch.wait().expect(130);
    world.run_without_workers(&["--mode", "manual"]).run().expect(1).out_has(&["orchctl step"]);
    Playbook::new().write(&world.play);
    let done = world.orchctl(&["step", "dispatch", "--json", "--workers", &agents]).run().expect(0).json();
    assert_eq!(unit(&done, "1")["status"], "pending_review", "{done:#}");
}

#[test]
fn only_manual_runs_are_stepped() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    world.run(&[]).run().expect(0);
    world.orchctl(&["step", "dispatch"]).run().expect(1).err_has(&["deterministic", "--mode manual"]);
}

#[test]
fn a_document_assigns_what_is_to_be_dispatched() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    world.run_without_workers(&["--mode", "manual"]).run().expect(1);
    let file = world.sandbox.path("assignment.json");
    std::fs::write(&file, r#"{"dispatch_units":[{"task_id":"1","owner_agent":"codex","target_window":"main"}]}"#).expect("written");
    world.orchctl(&["assign", "--from"]).path(&file).run().expect(0).out_has(&["1 unit is assigned anew"]);
    let agents = world.agents(1);
    let done = world.orchctl(&["step", "dispatch", "--json", "--workers", &agents]).run().expect(0).json();
    assert_eq!(unit(&done, "1")["status"], "pending_review", "{done:#}");
}
