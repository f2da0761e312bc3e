//! CLIs that are missing, logged out, at their limit, silent or killed: each becomes a recorded outcome, and the rest goes on.

use std::process::Stdio;
use std::time::{Duration, Instant};

use roundtable_tests::harness::Process;
use roundtable_tests::rehearsal::{FILES, SCRIPT};
use serde_json::Value;

use crate::world::World;

fn spec(tasks: &'static str) -> [(&'static str, &'static str); 2] {
    [("README.md", "# Trouble\n"), (".kiro/specs/trouble/tasks.md", tasks)]
}

const RUN: [&str; 6] = ["run", "--yes", "--spec", ".kiro/specs/trouble", "--mode", "deterministic"];

/// A world with one worker of these, whose run asks a person as soon as nobody can play a backend.
fn impatient(script: &str, tasks: &'static str, backends: &[&str]) -> World {
    let mut world = World::open(script, &spec(tasks));
    std::fs::write(world.place.repo().join("roundtable.toml"), "[limits]\nno_worker = \"1s\"\npark_gone = \"1s\"\n").unwrap();
    world.serve();
    world.join(&backends.iter().flat_map(|backend| ["--backend", *backend]).collect::<Vec<_>>());
    world
}

fn attempts(world: &World, unit: &str) -> Vec<Value> {
    world.json(&["attempts", unit]).as_array().unwrap().clone()
}

/// Role, outcome and class of each attempt.
fn told(attempts: &[Value]) -> Vec<String> {
    let word = |attempt: &Value, key: &str| attempt[key].as_str().unwrap_or("-").to_owned();
    attempts.iter().map(|each| format!("{} {} {}", word(each, "role"), word(each, "outcome"), word(each, "class"))).collect()
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn limits_silence_and_violent_ends_are_outcomes_and_others_go_on() {
    let tasks = "- [ ] 1. At the limit\n  - _writes: a.txt_\n- [ ] 2. Silent\n  - _writes: b.txt_\n- [ ] 3. Killed\n  - _writes: c.txt_\n\
                 - [ ] 4. Undisturbed\n  - _writes: d.txt_\n- [ ] 5. Cut off\n  - _writes: e.txt_\n\
                 - [ ] 6. Settings page\n  - _writes: f.html_\n";
    // codex asks twice before it gives a rate limit back, gemini is ended at its second refusal; what follows is played as if nothing had been.
    let script = r#"{"trouble": {
        "1/implement/1": {"scenario": "429:3", "times": 2},
        "2/implement/1": {"scenario": "hang", "times": 9},
        "3/implement/1": {"scenario": "hang", "times": 1},
        "5/implement/1": {"scenario": "cut", "times": 2},
        "6/implement/1": {"scenario": "429:2", "times": 9}}}"#;
    let mut world = World::open(script, &spec(tasks));
    std::fs::write(world.place.repo().join("roundtable.toml"), "[limits]\nidle = \"8s\"\npark_probe = \"3s\"\n").unwrap();
    world.serve();
    world.join(&["--backend", "codex=1", "--backend", "gemini=1"]);
    let run = world.start("orchctl", &RUN);
    world.until("a request of unit 3", || world.asked("3/implement/1").pop());
    assert!(world.kill("codex") > 0);
    world.end(run).expect(0);

    let summary = world.json(&["summary"]);
    assert_eq!(summary["counts"]["completed"], 6, "{summary:#}");
    let first = attempts(&world, "1");
    assert_eq!(told(&first), ["implement failed provider", "implement completed -", "review completed -"], "{first:#?}");
    assert!(first[0]["error"].as_str().unwrap().contains("429"), "{first:#?}");
    let second = attempts(&world, "2");
    assert_eq!(told(&second), ["implement failed provider", "implement completed -", "review completed -"], "{second:#?}");
    assert!(second[0]["error"].as_str().unwrap().contains("heard nothing of its provider"), "{second:#?}");
    let third = attempts(&world, "3");
    assert_eq!(told(&third)[1..], ["implement completed -", "review completed -"], "{third:#?}");
    assert!(third[0]["error"].as_str().unwrap().contains("signal 9"), "{third:#?}");
    assert_eq!(told(&attempts(&world, "4")), ["implement completed -", "review completed -"]);
    let fifth = attempts(&world, "5");
    assert_eq!(told(&fifth)[0], "implement failed provider", "{fifth:#?}");
    let sixth = attempts(&world, "6");
    assert_eq!(told(&sixth), ["implement failed provider", "implement completed -", "review completed -"], "{sixth:#?}");
    assert!(sixth[0]["error"].as_str().unwrap().contains("retry after 2s"), "{sixth:#?}");
    let fixes = world.json(&["status"])["units"].as_array().unwrap().iter().filter(|unit| unit["fix_attempts"] != 0).count();
    assert_eq!(fixes, 0, "no trouble of these counts as a fix");
    world.close();
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn a_cli_that_is_logged_out_waits_for_a_person_while_others_finish() {
    let tasks = "- [ ] 1. Library\n  - _writes: a.txt_\n- [ ] 2. Settings page\n  - _writes: b.html_\n";
    let script = r#"{"trouble": {"2/implement/1": {"scenario": "401", "times": 1}}}"#;
    let world = impatient(script, tasks, &["codex=1", "gemini=1"]);
    world.orchctl(&RUN).expect(2).out_has(&["no-worker-gemini"]);
    let summary = world.json(&["summary"]);
    assert_eq!(summary["units"][0]["status"], "completed", "{summary:#}");
    let second = attempts(&world, "2");
    assert_eq!(told(&second)[0], "implement failed provider", "{second:#?}");
    world.orchctl(&["decide", "no-worker-gemini", "use:codex"]).expect(0);
    world.orchctl(&RUN).expect(0);
    assert_eq!(told(&attempts(&world, "2"))[1..], ["implement completed -", "review completed -"]);
    world.close();
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn one_rate_limit_costs_seconds_and_is_said() {
    let script = r#"{"trouble": {"1/implement/1": {"scenario": "429", "times": 9}}}"#;
    let mut world = World::open(script, &spec("- [ ] 1. Library\n  - _writes: a.txt_\n"));
    world.serve();
    world.join(&["--backend", "codex=1"]);
    let started = Instant::now();
    world.orchctl(&RUN).expect(0).err_has(&["codex: 429 Too Many Requests on ", "again in", "codex takes work again"]);
    assert!(started.elapsed() < Duration::from_secs(60), "it took {:?}", started.elapsed());
    assert_eq!(told(&attempts(&world, "1")), ["implement failed provider", "implement completed -", "review completed -"]);
    world.close();
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn a_wrong_model_is_out_on_that_worker_and_costs_no_unit() {
    let tasks = "- [ ] 1. Library\n  - _writes: a.txt_\n- [ ] 2. More of it\n  - _writes: b.txt_\n";
    let script = r#"{"trouble": {"1/implement/1": {"scenario": "404", "times": 9}}}"#;
    let world = impatient(script, tasks, &["codex=1"]);
    world.orchctl(&RUN).expect(2).out_has(&["no-worker-codex"]).err_has(&["The model does not exist"]);
    let first = attempts(&world, "1");
    assert_eq!(told(&first), ["implement failed provider"], "{first:#?}");
    let workers = world.json(&["workers"]).to_string();
    assert!(workers.contains("it cannot be used here: The model does not exist"), "{workers}");
    world.close();
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn a_cli_that_is_missing_is_named_with_what_to_do() {
    let mut world = World::open(SCRIPT, &FILES);
    world.serve();
    std::fs::remove_file(world.place.dir().join("bin/gemini")).unwrap();
    let named = format!("codex={}", world.place.dir().join("bin/gone").display());
    world.run("worker", &["join", "--backend", "codex", "--backend-path", &named]).expect(3).err_has(&["codex:", "bin/gone"]);
    let mut command = world.command("worker", &["join", "--backend", "gemini"]);
    command.env("PATH", world.place.dir().join("bin"));
    let output = world.end(Process::start(command, "worker join", Stdio::null()));
    output.expect(3).err_has(&["no program `gemini`", "--backend-path gemini=FILE"]);
    world.close();
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn a_run_without_anything_served_brings_its_own() {
    let script = r#"{"default": {"assign": [{"result": {"dispatch_units": [{"task_id": "3", "owner_agent": "opencode"}]}}]},
        "units": {"3": {"implement": [{"steps": [{"write": {"path": "c.txt", "text": "one\n"}}, {"run": "printf 'two\n' >> c.txt"}]}]}}}"#;
    let tasks =
        "- [ ] 1. Library\n  - _writes: a.txt_\n- [ ] 2. Start page\n  - _writes: b.html_\n- [ ] 3. By another hand\n  - _writes: c.txt_\n";
    let world = World::open(script, &spec(tasks));
    let bin = world.place.dir().join("elsewhere");
    std::fs::rename(world.place.dir().join("bin"), &bin).unwrap();
    let paths = ["codex", "gemini", "opencode"].map(|cli| format!("{cli}={}", bin.join(cli).display())).join(",");
    let workers = ["--workers", "codex=2,gemini=1,opencode=1", "--backend-path", &paths, "--assign-backend", "gemini"];
    world.orchctl(&[&["run", "--yes", "--spec", ".kiro/specs/trouble"], &workers[..]].concat()).expect(0);
    let summary = world.json(&["summary"]);
    assert_eq!((summary["exit"].as_u64(), summary["counts"]["completed"].as_u64()), (Some(0), Some(3)), "{summary:#}");
    let turns = ["-/assign/1", "1/implement/1", "2/implement/1", "3/implement/1", "-/orchestrate/1"];
    let dialects = turns.map(|turn| world.asked(turn).pop().map(|seen| seen.dialect));
    assert_eq!(dialects, ["gemini", "responses", "gemini", "chat", "chat"].map(Some));
    assert_eq!(world.at_tip(summary["run"].as_str().unwrap(), "c.txt").as_deref(), Some("one\ntwo\n"));
    world.close();
}

#[test]
#[ignore = "needs the agent CLIs: .ci/install-clis; .ci/run slow runs it"]
fn a_cli_that_ends_in_prose_is_asked_for_its_report_alone() {
    let tasks = "- [ ] 1. Library\n  - _writes: a.txt_\n";
    // It writes its file and ends with something else than the answer; asked again, it answers.
    let script = r#"{"playbook": {"units": {"1": {
        "implement": [{"steps": [{"write": {"path": "a.txt", "text": "one\n"}}, {"fault": "garbage"}], "report": {"summary": "a.txt is there"}}],
        "review": [{"steps": [{"fault": "garbage"}], "report": {"severity": "none", "summary": "fine"}}]}}}}"#;
    for cli in ["codex", "gemini", "opencode"] {
        let world = World::open(script, &spec(tasks));
        let workers = format!("{cli}=1");
        world.orchctl(&[&RUN[..], &["--workers", &workers]].concat()).expect(0);
        assert_eq!(told(&attempts(&world, "1")), ["implement completed -", "review completed -"], "{cli}");
        // The file was written once: the second prompt of the turn wanted nothing done.
        let writes = world.asked("1/implement/1").iter().filter(|seen| seen.reply.starts_with("write")).count();
        assert_eq!(writes, 1, "{cli}");
        let events = world.orchctl(&["events", "--jsonl"]).stdout;
        assert!(events.contains("asked again for its report"), "{cli}: {events}");
        world.close();
    }
}
