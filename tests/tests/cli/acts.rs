//! Acts on a run under way: assign, skip, cancel, pause, resume, retry.

use roundtable_tests::harness::{Playbook, Signal, SpecText, Turn, Unit, step, wait_for};
use serde_json::{Value, json};

use crate::world::{World, is_working, unit};

/// Agents wait for the sandbox's file `go`.
fn gated(units: usize) -> World {
    let world = World::new(&SpecText::parallel("login", units), &Playbook::new());
    let gate = world.sandbox.path("go").display().to_string();
    let turn =
        Turn::new().steps([step::run(&format!("until test -e {gate}; do sleep 0.05; done")), step::write("part-{unit}.txt", "made\n")]);
    Playbook::new().role("implement", [turn]).write(&world.play);
    world
}

#[test]
fn units_are_assigned_skipped_cancelled_and_the_run_paused_and_resumed() {
    let world = gated(4);
    let one = format!("scripted:{}=1", world.play.display());
    let run = world.run_without_workers(&["--mode", "deterministic", "--workers", &one]).start();
    let status = world.wait_for_status("unit 1 to work", &run, |status| is_working(status, "1"));
    let id = status["run"].as_str().expect("an id");

    world
        .orchctl(&[
            "assign",
            "2",
            "--owner",
            "gemini",
            "--criticality",
            "complex",
            "--writes",
            "./two.txt,part-2.txt",
            "--reads",
            "part-1.txt",
        ])
        .run()
        .expect(0);
    let status = world.status();
    let two = unit(&status, "2");
    assert_eq!((&two["owner_agent"], &two["criticality"]), (&"gemini".into(), &"complex".into()));
    assert_eq!((&two["writes"], &two["reads"]), (&json!(["two.txt", "part-2.txt"]), &json!(["part-1.txt"])));
    world.orchctl(&["assign", id, "2", "--writes", "../outside"]).run().expect(3).err_has(&["../outside"]);
    world.orchctl(&["assign", "2", "--criticality", "somewhat"]).run().expect(3).err_has(&["security-sensitive"]);
    world.orchctl(&["assign", "2"]).run().expect(3);

    world.orchctl(&["skip", "3"]).run().expect(0);
    world.orchctl(&["cancel", id, "4"]).run().expect(0);
    world.orchctl(&["pause", "--note", "lunch"]).run().expect(0);
    let status = world.status();
    assert_eq!((&unit(&status, "3")["status"], &unit(&status, "4")["status"]), (&"skipped".into(), &"cancelled".into()));
    std::fs::write(world.sandbox.path("go"), "").expect("written");
    let status = world.wait_for_status("unit 1 to end its work", &run, |status| unit(status, "1")["status"] == "pending_review");
    assert_eq!((&status["status"], &unit(&status, "2")["status"]), (&"paused".into(), &"not_started".into()));
    world.orchctl(&["status"]).run().expect(0).out_has(&["paused", "orchctl resume"]);
    world.orchctl(&["resume", id]).run().expect(0);
    world.orchctl(&["pause", "--all"]).run().expect(0);
    world.orchctl(&["resume", "--all"]).run().expect(0);
    let ended = run.wait().expect(1);
    let status = world.status();
    assert_eq!((&status["status"], &unit(&status, "2")["status"]), (&"incomplete".into(), &"completed".into()), "{}", ended.said());
    for act in ["retry", "skip", "cancel"] {
        world.orchctl(&[act, "2"]).run().expect(1).err_has(&["has ended"]);
    }
}

#[test]
fn a_document_assigns_all_it_names_or_nothing() {
    let world = gated(3);
    let one = format!("scripted:{}=1", world.play.display());
    let run = world.run_without_workers(&["--mode", "deterministic", "--workers", &one]).start();
    let status = world.wait_for_status("unit 1 to work", &run, |status| is_working(status, "1"));
    let id = status["run"].as_str().expect("an id");
    let file = world.sandbox.path("assignment.json");
    let apply = |document: Value| {
        std::fs::write(&file, document.to_string()).expect("written");
        world.orchctl(&["assign", id, "--from"]).path(&file)
    };
    let mixed = json!({ "dispatch_units": [
        { "task_id": "2", "writes": "not-a-list" }, { "task_id": "3", "owner_agent": "nobody", "writes": ["fine.txt"] }, { "task_id": "9" },
        { "task_id": "1", "writes": ["other.txt"] },
    ] });
    apply(mixed).run().expect(3).err_has(&["nothing was applied", "unit 2, writes", "unit 3, owner_agent", "unit 9, task_id"]);
    let begun = json!({ "dispatch_units": [{ "task_id": "1", "writes": ["other.txt"] }, { "task_id": "3", "writes": ["fine.txt"] }] });
    apply(begun).run().expect(3).err_has(&["nothing was applied", "unit 1, writes: it is in_progress and holds its writes"]);
    assert_eq!(unit(&world.status(), "3")["writes"], json!(["part-3.txt"]));
    std::fs::write(&file, "no document").expect("written");
    world.orchctl(&["assign", "--from"]).path(&file).run().expect(3).err_has(&["one JSON object"]);
    world.orchctl(&["assign", id, "2", "--from"]).path(&file).run().expect(3).err_has(&["--from takes a run alone"]);
    world.orchctl(&["assign", id, "--owner", "codex", "--from"]).path(&file).run().expect(3);

    let fine = json!({ "dispatch_units": [
        { "task_id": "2", "type": "ui", "owner_agent": "gemini", "criticality": "complex", "writes": ["./two.txt", "part-2.txt"], "depends_on": ["3"] },
        { "task_id": "3", "writes": ["three.txt", "part-3.txt"], "reads": null },
    ], "window_mapping": { "3": "last" } });
    std::fs::write(&file, fine.to_string()).expect("written");
    let typed = std::process::Stdio::from(std::fs::File::open(&file).expect("opened"));
    world.orchctl(&["assign", id, "--from", "-"]).stdin(typed).run().expect(0).out_has(&["2 units are assigned anew"]);
    let status = world.status();
    let (two, three) = (unit(&status, "2"), unit(&status, "3"));
    assert_eq!(
        (&two["owner_agent"], &two["criticality"], &two["writes"]),
        (&"gemini".into(), &"complex".into(), &json!(["two.txt", "part-2.txt"]))
    );
    assert_eq!(three["writes"], json!(["three.txt", "part-3.txt"]));
    assert!(two["waiting"].as_array().expect("waits").iter().any(|wait| wait["on"] == "3"), "{two:#}");
    apply(json!({ "dispatch_units": [{ "task_id": "3", "depends_on": ["2"] }] })).run().expect(3).err_has(&["cycle"]);
    std::fs::write(world.sandbox.path("go"), "").expect("written");
    run.wait().expect(0);
}

#[test]
fn cancelling_a_run_ends_it_and_its_agents() {
    let world = gated(2);
    let run = world.run(&[]).start();
    world.wait_for_status("both to work", &run, |status| is_working(status, "1") && is_working(status, "2"));
    world.orchctl(&["cancel"]).run().expect(0);
    let ended = run.wait().expect(1);
    world.sandbox.expect_no_leftovers();
    assert_eq!(world.status()["exit"], 1);
    // It has ended: the same again starts nothing, but says how to.
    let id = world.status()["run"].clone();
    let dry = world.run_without_workers(&["--mode", "deterministic", "--dry-run", "--json"]).run().expect(0).json();
    assert_eq!((&dry["finished"], &dry["exit"], &dry["run"]), (&true.into(), &1.into(), &id), "{dry:#}");
    let again = world.run_without_workers(&["--mode", "deterministic", "--json"]).run().expect(1).err_has(&["--fresh"]).json();
    assert_eq!(again["run"], id, "{}", ended.said());
    let next = again["next"].as_array().expect("commands");
    assert!(next.iter().any(|next| next.as_str().is_some_and(|next| next.ends_with("--fresh"))), "{next:?}");
    let two = [Unit::new("1", "Part 1").writes("part-1.txt"), Unit::new("3", "Part 3").writes("part-3.txt")];
    SpecText::new("login", two).write(&world.repo.path().join(".specs"));
    let dry = world.run_without_workers(&["--mode", "deterministic", "--dry-run", "--json"]).run().expect(0).json();
    assert_eq!((&dry["finished"], &dry["run"]), (&false.into(), &serde_json::Value::Null), "new open units are a new run: {dry:#}");
}

#[test]
fn a_blocked_unit_is_retried_with_its_counters_at_nought() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new().unit("1", "implement", [Turn::fails()]));
    world.run(&[]).run().expect(2);
    Playbook::new().write(&world.play);
    world.orchctl(&["retry", "1"]).run().expect(0);
    world.run(&[]).run().expect(0);
    let attempts = world.orchctl(&["attempts", "1", "--json"]).run().expect(0).json();
    let failed = attempts.as_array().expect("attempts").iter().filter(|attempt| attempt["outcome"] == "failed").count();
    assert_eq!(failed, 3, "{attempts}");
}

#[test]
fn a_worker_that_leaves_says_so_while_its_agents_end() {
    let world = gated(1);
    let _served = world.sandbox.serve();
    let worker = world.sandbox.worker(["--backend", &world.agents(1)]);
    let run = world.run_without_workers(&["--mode", "deterministic"]).start();
    world.wait_for_status("the unit to work", &run, |status| is_working(status, "1"));
    let status = || world.orchctl(&["workers", "--json"]).run().expect(0).json()[0]["status"].clone();
    assert_eq!(status(), "busy");
    worker.signal(Signal::TERM);
    wait_for("the worker to drain", || worker.said(), || (status() == "draining").then_some(()));
    assert_eq!(world.status()["decisions"], 0, "nobody is asked for another yet");
    std::fs::write(world.sandbox.path("go"), "").expect("written");
    worker.wait().expect(0);
    drop(run);
}

#[test]
fn a_drained_worker_ends_what_it_runs_and_gets_nothing_more_over_a_restart_of_the_coordinator() {
    let world = gated(2);
    let served = world.sandbox.serve();
    let worker = world.sandbox.worker(["--backend", &world.agents(1), "--name", "one"]);
    let run = world.run_without_workers(&["--mode", "deterministic"]).start();
    world.wait_for_status("the unit to work", &run, |status| is_working(status, "1"));
    world.orchctl(&["drain", "nobody"]).run().expect(1).err_has(&["known are: one"]);
    world.orchctl(&["drain", "one"]).run().expect(0).out_has(&["the attempt it runs may end", "orchctl undrain one"]);
    let shown = || world.orchctl(&["workers", "--json"]).run().expect(0).json()[0].clone();
    assert_eq!(shown()["status"], "draining");
    let waits = world.orchctl(&["drain", "one", "--wait"]).start();
    std::fs::write(world.sandbox.path("go"), "").expect("written");
    waits.wait().expect(0).out_has(&["holds nothing"]);
    assert_eq!(shown()["status"], "drained");
    drop(run);
    served.signal(Signal::TERM);
    served.wait().expect(0);
    let _again = world.sandbox.serve();
    wait_for("the worker to be back", || worker.said(), || (shown()["status"] == "drained").then_some(()));
    assert!(shown()["drained_by"].is_string());
    world.orchctl(&["undrain", "one"]).run().expect(0);
    world.run_without_workers(&["--mode", "deterministic"]).run().expect(0);
}
