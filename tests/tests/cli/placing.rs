//! Units that ask for labels: where they run, and what is said while nobody has them.

use roundtable_tests::harness::{Playbook, SpecText, Unit, wait_for};
use serde_json::{Value, json};

use crate::world::{World, unit};

fn world() -> World {
    let units = [
        Unit::new("1", "Anywhere").writes("part-1.txt"),
        Unit::new("2", "On a graphics card").writes("part-2.txt").detail("_requires: gpu, linux_"),
    ];
    World::new(&SpecText::new("login", units), &Playbook::new())
}

#[test]
fn a_unit_waits_for_a_worker_with_its_labels_and_goes_there() {
    let world = world();
    world.orchctl(&["plan", "--spec", ".specs/login"]).run().expect(0).out_has(&["needs a worker with gpu, linux"]);
    let planned = world.orchctl(&["plan", "--spec", ".specs/login", "--json"]).run().expect(0).json();
    assert_eq!((&planned["units"][0]["requires"], &planned["units"][1]["requires"]), (&json!([]), &json!(["gpu", "linux"])));
    let _served = world.sandbox.serve();
    let _plain = world.sandbox.worker(["--name", "plain", "--backend", &world.agents(2)]);
    let run = world.run_without_workers(&["--mode", "deterministic"]).start();
    let status = world.wait_for_status("unit 2 to wait for a label", &run, |status| {
        status["units"].as_array().is_some_and(|units| units.iter().any(|unit| unit["waiting"][0]["kind"] == "label"))
    });
    assert_eq!(unit(&status, "2")["waiting"][0]["on"], "gpu,linux");
    world.orchctl(&["explain", "2"]).run().expect(0).out_has(&["gpu"]);
    let able = world.sandbox.worker(["--name", "able", "--label", "gpu", "--backend", &world.agents(1)]);
    run.wait().expect(0);
    let attempts = world.orchctl(&["attempts", "2", "--json"]).run().expect(0).json();
    let worked = attempts.as_array().expect("attempts").iter().filter(|attempt| attempt["role"] == "implement");
    assert_eq!(worked.map(|attempt| attempt["worker"].as_str().unwrap_or_default()).collect::<Vec<_>>(), ["able"]);
    let workers = world.orchctl(&["workers", "--json"]).run().expect(0).json();
    let able_as_shown = workers.as_array().expect("workers").iter().find(|worker| worker["id"] == "able");
    assert_eq!(able_as_shown.map(|worker| (&worker["labels"]["gpu"], &worker["labels"]["os"])), Some((&json!("true"), &json!("linux"))));
    drop(able);
}

#[test]
fn workers_that_a_run_starts_have_labels_too() {
    let world = world();
    world.run(&["--label", "a big one"]).run().expect(3).err_has(&["--label", "is no label"]);
    world.run(&["--label", "gpu"]).run().expect(0);
    assert_eq!(unit(&world.status(), "2")["status"], "completed");
    let state = std::fs::read_to_string(world.spec.join("../AGENT_STATE.json")).expect("it is written");
    let state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
    assert_eq!(state["roundtable"]["requires"], json!({ "2": ["gpu", "linux"] }));
}

#[test]
fn what_a_unit_asks_for_is_changed_while_it_waits() {
    let world = world();
    let _served = world.sandbox.serve();
    let plain = world.sandbox.worker(["--name", "plain", "--backend", &world.agents(2)]);
    let run = world.run_without_workers(&["--mode", "deterministic"]).start();
    wait_for(
        "unit 1 to be done",
        || plain.said(),
        || {
            let status = world.orchctl(&["status", "--json"]).run();
            let is_done = |unit: &Value| unit["id"] == "1" && unit["status"] == "completed";
            (status.code == Some(0) && status.json()["units"].as_array().is_some_and(|units| units.iter().any(is_done))).then_some(())
        },
    );
    world.orchctl(&["assign", "2", "--requires", "1.2"]).run().expect(3).err_has(&["`1.2` is no label"]);
    world.orchctl(&["assign", "2", "--requires", "linux"]).run().expect(0);
    run.wait().expect(0);
    assert_eq!(unit(&world.status(), "2")["requires"], json!(["linux"]));
}
