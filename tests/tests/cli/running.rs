//! What shapes a run: units chosen, base, checks, assignment, who works where; and the demo.

use roundtable_tests::harness::{Playbook, Sandbox, Signal, SpecText, Turn, Unit, step, wait_for};
use serde_json::json;

use crate::world::{World, expect_plain, unit};

#[test]
fn units_are_chosen_by_flags_and_a_dry_run_starts_nothing() {
    let units = [
        Unit::new("1", "One").writes("a.txt"),
        Unit::new("2", "Two").writes("b.txt"),
        Unit::new("3", "Three").optional().writes("c.txt"),
        Unit::new("4", "Four").writes("d.txt"),
    ];
    let world = World::new(&SpecText::new("login", units), &Playbook::new());
    let dry = world.run(&["--dry-run", "--only", "1-2", "--json"]).run().expect(0).json();
    assert_eq!((&dry["units"], &dry["resumed"], &dry["base"]), (&2.into(), &false.into(), &world.repo.head().into()));
    world.run(&["--dry-run"]).run().expect(0).out_has(&["nothing was started", "at least"]);
    assert!(!world.sandbox.data_dir().join("store.db").exists() && !world.repo.has(".specs/AGENT_STATE.json"));

    let base = world.repo.head();
    world.repo.write("later.txt", "later\n");
    world.repo.commit("Later");
    let some = world.run(&["--only", "1,3", "--with-optional", "--base", &base, "--json"]).run().expect(0).json();
    assert_eq!(some["base"], base.as_str());
    let did: Vec<&str> = ["1", "2", "3", "4"].into_iter().filter(|id| unit(&some, id)["status"] == "completed").collect();
    assert_eq!(did, ["1", "3"], "{some:#}");
    assert_eq!(some["counts"]["total"], 2);
    world.run(&["--only", "7"]).run().expect(3).err_has(&["7"]);
    world.run(&["--base", "nonsense"]).run().expect(3).err_has(&["nonsense"]);
}

#[test]
fn a_red_check_is_fixed_before_anything_is_integrated() {
    let wrong = Turn::new().steps([step::write("part-1.txt", "wrong\n")]);
    let fix = Turn::new().steps([step::write("part-1.txt", "right\n")]);
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new().unit("1", "implement", [wrong]).unit("1", "fix", [fix]));
    let summary = world.run(&["--check", "! grep -q wrong part-1.txt 2>/dev/null", "--json"]).run().expect(0).json();
    assert_eq!(unit(&summary, "1")["fix_attempts"], 1, "{summary:#}");
    assert_eq!(world.repo.show(summary["branch"].as_str().expect("a branch"), "part-1.txt"), "right");
}

#[test]
fn a_check_in_the_playbook_is_played_in_the_command_s_place() {
    let red = || Turn::new().steps([step::fault("exit:1")]);
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new().unit("1", "check", [red(), red(), Turn::new()]));
    let summary = world.run(&["--check", "true", "--json"]).run().expect(0).json();
    assert_eq!(unit(&summary, "1")["fix_attempts"], 1, "red once and again, then fixed and green: {summary:#}");
}

#[test]
fn what_of_an_assignment_is_not_taken_is_told_by_unit_field_value_and_reason() {
    let answer = Turn::new().result(json!({"dispatch_units": [
        {"task_id": "1", "owner_agent": "nobody", "criticality": "complex", "writes": ["../outside.txt"]},
        {"task_id": "9", "type": "code"},
    ]}));
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new().role("assign", [answer]));
    let run = world.run(&["--json"]).run().expect(0);
    let run = run.err_has(&["unit 1, owner_agent: `nobody`", "unit 1, writes: `../outside.txt`", "unit 9, task_id: there is no unit 9"]);
    expect_plain(&run.stderr);
    assert_eq!(unit(&run.json(), "1")["criticality"], "complex", "what could be taken was");
}

#[test]
fn on_a_served_coordinator_workers_are_brought_or_waited_for() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    let _served = world.sandbox.serve();
    // Nobody is here: after the wait a person is asked.
    let waiting = world.run_without_workers(&["--mode", "deterministic", "--wait-worker", "1s"]).start();
    wait_for(
        "the status to say who is missing",
        || waiting.said(),
        || {
            let status = world.orchctl(&["status"]).run();
            status.stdout.contains("worker").then_some(())
        },
    );
    world.orchctl(&["workers"]).run().expect(0).out_has(&["worker join"]);
    let named = world.sandbox.data_dir().display().to_string();
    let told = world.orchctl(&["workers", "--data-dir", &named]).without_env("ROUNDTABLE_DATA_DIR").run().expect(0);
    told.out_has(&[&format!("worker join --data-dir {named} --backend")]);
    // One joins, and it goes on.
    let joined = world.sandbox.worker(["--backend", &world.agents(1)]);
    let ended = waiting.wait();
    assert!(matches!(ended.code, Some(0 | 2)), "{}", ended.said());
    world.run_without_workers(&["--mode", "deterministic", "--wait-worker", "1s"]).run().expect(0);
    let workers = world.orchctl(&["workers", "--json"]).run().expect(0).json();
    let worker = &workers[0];
    for key in ["id", "name", "status", "backends", "labels", "last_seen_ms", "version"] {
        assert!(worker.get(key).is_some(), "no {key} in {worker:#}");
    }
    let backends = worker["backends"].as_object().expect("backends");
    assert!(backends.values().all(|backend| backend["slots"].is_u64() && backend["busy"].is_u64()), "{worker:#}");
    joined.signal(Signal::TERM);
    joined.wait().expect(0);
    // Nobody else is left: it brings its own.
    world.run(&["--fresh"]).run().expect(0);
}

#[test]
fn a_run_that_asks_who_is_to_work_takes_workers_for_an_answer() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    world.repo.write("roundtable.toml", "[limits]\nno_worker = \"1s\"\nwait_worker = \"1s\"\n");
    let served = world.sandbox.serve();
    let waiting = world.run_without_workers(&["--mode", "legacy", "--json"]).run().expect(2).json();
    assert_eq!(waiting["decisions"][0]["id"], "no-worker-codex", "{waiting:#}");
    served.signal(Signal::TERM);
    served.wait().expect(0);
    let agents = world.agents(1);
    let nowhere = ["--mode", "legacy", "--workers", "scripted:/nope.json"];
    world.run_without_workers(&nowhere).run().expect(3).err_has(&["/nope.json", "why:"]);
    let done = world.run_without_workers(&["--mode", "legacy", "--workers", &agents, "--json"]).run().expect(0).json();
    assert_eq!(done["run"], waiting["run"]);
}

#[test]
fn what_is_said_next_can_be_typed() {
    let world = World::new(&SpecText::parallel("login", 2), &Playbook::new().unit("1", "implement", [Turn::fails()]));
    let elsewhere = world.sandbox.path("other data").display().to_string();
    let at = |args: &[&str]| world.orchctl(&["--data-dir", &elsewhere]).args(args.iter().copied());
    let agents = world.agents(2);
    let run = ["run", "--spec", ".specs/login", "--mode", "deterministic", "--hazards", "writes", "--workers", &agents, "--json"];
    let summary = at(&run).run().expect(2).json();
    let next: Vec<&str> = summary["next"].as_array().expect("commands").iter().filter_map(|next| next.as_str()).collect();
    let type_it = |command: &str| {
        let shell = world.sandbox.path("bin/sh");
        let path = roundtable_tests::harness::binary("orchctl");
        let command = command.replacen("orchctl", &path.display().to_string(), 1);
        world.sandbox.foreign(&shell).args(["-c", &command]).dir(world.repo.path()).run()
    };
    assert!(next.iter().any(|command| command.contains("decisions")), "{next:?}");
    let decisions = next.iter().find(|command| command.contains("decisions")).expect("there is one");
    type_it(decisions).expect(0).out_has(&["quarantine-1"]);
    let decisions = at(&["decisions", "--json"]).run().expect(0).json();
    let retry = decisions[0]["commands"]
        .as_array()
        .expect("commands")
        .iter()
        .filter_map(|command| command.as_str())
        .find(|command| command.ends_with("retry"));
    let told =
        type_it(retry.expect("a command")).expect(0).out_has(&["nobody is working on it now", "--mode deterministic --hazards writes"]);
    Playbook::new().write(&world.play);
    let resume = told.stdout.lines().find(|line| line.starts_with("  orchctl")).expect("a command").trim().to_owned();
    type_it(&format!("{resume} --workers {agents}")).expect(0).out_has(&["complete"]);
}

#[test]
fn the_demo_shows_a_finding_and_its_fix_and_is_gone_unless_kept() {
    let sandbox = Sandbox::new();
    let gone = sandbox.program("orchctl").args(["demo"]).without_env("ROUNDTABLE_DATA_DIR").run().expect(0);
    let gone = gone.out_has(&["complete, 5/5", "nothing of it is left"]).err_has(&["agents are scripted"]);
    expect_plain(&gone.stdout);
    let left: Vec<_> = std::fs::read_dir(sandbox.path("tmp")).expect("a folder").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    sandbox.expect_no_leftovers();

    let kept = sandbox.path("kept");
    let demo = sandbox.program("orchctl").args(["demo", "--json", "--keep"]).path(&kept).without_env("ROUNDTABLE_DATA_DIR").run().expect(0);
    let next: Vec<String> =
        demo.json()["next"].as_array().expect("commands").iter().filter_map(|next| next.as_str().map(str::to_owned)).collect();
    assert!(next.iter().all(|command| command.contains("--data-dir")), "{next:?}");
    let data = kept.join("data").display().to_string();
    sandbox.orchctl(&kept.join("repo"), ["--data-dir", &data, "findings"]).run().expect(0).out_has(&["critical"]);
    sandbox.orchctl(&kept.join("repo"), ["--data-dir", &data, "accept"]).run().expect(0);
    sandbox.program("orchctl").args(["demo", "--keep"]).path(&kept).run().expect(3).err_has(&["not empty"]);
}

#[test]
fn an_assignment_is_asked_for_once_per_question_and_backend() {
    let world = World::new(&SpecText::parallel("login", 2), &Playbook::new());
    let source_of = |more: &[&str]| {
        let run = world.run(more).args(["--fresh", "--json"]).run().expect(0).json()["run"].as_str().expect("an id").to_owned();
        let events = world.orchctl(&["events", &run, "--jsonl"]).run().expect(0).stdout;
        let lines = events.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a JSON line"));
        let planned = lines.into_iter().find(|line| line["kind"] == "units_planned").expect("it was planned");
        planned["source"].as_str().expect("a source").to_owned()
    };
    assert_eq!(source_of(&[]), "agent");
    assert_eq!(source_of(&[]), "cache", "the same units, files and backend");
    assert_eq!(source_of(&["--only", "1"]), "agent", "another question");
    assert_eq!(source_of(&["--only", "1"]), "cache");
}
