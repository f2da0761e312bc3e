//! Commands that only look: shapes that checks read, screens of 80 columns, RUN and UNIT as people write them, streams.

use roundtable_tests::harness::{Playbook, SpecText, Turn, Unit, step, wait_for};
use serde_json::{Value, json};

use crate::world::{World, expect_plain};

/// A run with a completed unit, findings, a fix, a decision and an optional unit.
fn eventful() -> World {
    let finds = [
        Turn::new().steps([]).result(json!({"severity": "major", "summary": "It lacks an end.", "details": "Nothing ends it.",
            "issues": [{"description": "no end", "severity": "major", "file": "part-1.txt", "line": 1}]})),
        Turn::new(),
    ];
    let fix = Turn::new().steps([step::append("part-1.txt", "the end\n")]);
    let units = [
        Unit::new("1", "First").subtask("1.1", "Half").subtask("1.2", "Other half").writes("part-1.txt"),
        Unit::new("2", "Second, which fails").writes("part-2.txt"),
        Unit::new("3", "Third, which waits for the second").depends("2").writes("part-3.txt"),
        Unit::new("4", "Fourth").optional().writes("part-4.txt"),
    ];
    let playbook = Playbook::new().unit("1", "review", finds).unit("1", "fix", [fix]).unit("2", "implement", [Turn::fails()]);
    World::new(&SpecText::new("login", units), &playbook)
}

#[track_caller]
fn has(value: &Value, keys: &str) {
    for key in keys.split_whitespace() {
        assert!(value.get(key).is_some(), "no {key} in {value:#}");
    }
}

#[test]
fn every_shape_has_the_keys_that_checks_read_and_every_screen_fits() {
    let world = eventful();
    let json = |args: &[&str]| world.orchctl(args).args(["--json"]).run();
    let summary = world.run(&["--json"]).run().expect(2).json();
    let of_summary = "run exit status branch base head accepted units counts decisions findings usage duration_ms waited next";
    has(&summary, of_summary);
    let id = summary["run"].as_str().expect("an id");

    let plan = json(&["plan", "--spec", ".specs/login"]).expect(0).json();
    has(&plan, "units waves critical_path errors warnings");
    for unit in plan["units"].as_array().expect("units") {
        has(unit, "id title optional status tasks depends_on writes reads exclusive wave waits_for");
        unit["tasks"].as_array().expect("tasks").iter().for_each(|task| has(task, "id status optional line"));
        unit["waits_for"].as_array().expect("waits").iter().for_each(|wait| has(wait, "unit why path"));
    }
    assert!(plan["units"][2]["waits_for"].as_array().is_some_and(|waits| !waits.is_empty()), "{plan:#}");

    let status = json(&["status"]).expect(0).json();
    has(&status, "run spec status branch base head units counts decisions usage elapsed_ms waited runs");
    let mut waits = 0;
    for unit in status["units"].as_array().expect("units") {
        has(unit, "id title status owner_agent worker attempt fix_attempts criticality blocked_by writes waiting");
        unit["waiting"].as_array().expect("waits").iter().for_each(|wait| {
            has(wait, "kind on path");
            waits += 1;
        });
    }
    assert!(waits > 0 && status["runs"][0]["run"] == id, "{status:#}");
    assert_eq!(json(&["status", id]).expect(0).json()["run"], id);

    for args in [vec!["summary"], vec!["wait"]] {
        let out = json(&args);
        has(&out.json(), of_summary);
    }
    let decisions = json(&["decisions"]).expect(0).json();
    has(&decisions[0], "id task_id priority context options created_at run evidence commands");
    let findings = json(&["findings"]).expect(0).json();
    for finding in findings.as_array().expect("findings") {
        has(finding, "id task_id reviewer round severity summary details issues");
    }
    assert_eq!((&findings[0]["reviewer"], &findings[0]["round"]), (&"review-1-1".into(), &1.into()), "{findings:#}");
    has(&findings[0]["issues"][0], "id description severity file line");
    let attempts = json(&["attempts", "1"]).expect(0).json();
    for attempt in attempts.as_array().expect("attempts") {
        has(attempt, "attempt seat role worker backend base commit outcome class started_at ended_at resumed_from usage");
    }
    let roles: Vec<&str> = attempts.as_array().expect("attempts").iter().filter_map(|attempt| attempt["role"].as_str()).collect();
    assert_eq!(roles, ["implement", "review", "fix", "review"]);
    let events = world.orchctl(&["events", "--jsonl"]).run().expect(0).jsonl();
    events.iter().for_each(|line| has(line, "seq at kind"));
    for kind in ["run_created", "integrated", "message"] {
        assert!(events.iter().any(|line| line["kind"] == kind), "no {kind}");
    }
    let place = |kind: &str| events.iter().position(|line| line["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"));
    assert!(place("run_created") < place("message") && place("message") < place("integrated"), "in the order of time");
    for args in [vec!["runs"], vec!["show", "1"], vec!["diff", "1"], vec!["explain", "3"], vec!["workers"], vec!["config", "show"]] {
        json(&args).expect(0).json();
    }
    // No agent CLI is installed here: nothing can be used, and that is what it says.
    let doctor = json(&["doctor"]).expect(1).json();
    doctor.as_array().expect("checks").iter().for_each(|check| has(check, "name state found next"));

    let screens: [(&[&str], &[&str]); 14] = [
        (&["status"], &["!  2", "1 decision waits", "orchctl decisions", "blocked by unit 2"]),
        (&["runs"], &[id, "1/3"]),
        (&["summary"], &["1/3 units", "part-1.txt", "untouched", "orchctl decisions"]),
        (&["show", "1"], &["First", "Half", "It lacks an end.", "fix"]),
        (&["logs", "1"], &["unit 1, attempt 1"]),
        (&["logs", "1", "--attempt", "2"], &["unit 1, attempt 2"]),
        (&["diff", "1"], &["+the end"]),
        (&["diff"], &["part-1.txt"]),
        (&["findings", "1"], &["major", "It lacks an end.", "part-1.txt:1"]),
        (&["attempts", "1"], &["implement", "review-1", "scripted:play"]),
        (&["explain", "3"], &["2"]),
        (&["events"], &["integrated"]),
        (&["decisions"], &["quarantine-2"]),
        (&["plan", "--spec", ".specs/login"], &["First", "critical path"]),
    ];
    for (args, wanted) in screens {
        let screen = world.orchctl(args).run().expect(0).out_has(wanted);
        if args[0] != "diff" {
            expect_plain(&screen.stdout);
        }
    }
}

#[test]
fn runs_and_units_are_meant_as_people_write_them() {
    let units = [Unit::new("1", "One").subtask("1.1", "Half").writes("a.txt"), Unit::new("L1", "Letter").writes("b.txt")];
    let world = World::new(&SpecText::new("l1-login", units), &Playbook::new());
    let first = world.run(&["--json"]).run().expect(0).json()["run"].as_str().expect("an id").to_owned();
    let second = world.run(&["--fresh", "--json"]).run().expect(0).json()["run"].as_str().expect("an id").to_owned();
    let shown = |args: &[&str]| world.orchctl(args).args(["--json"]).run();
    assert_eq!(shown(&["status"]).expect(0).json()["run"], second.as_str(), "the latest");
    let common = first.chars().zip(second.chars()).take_while(|(a, b)| a == b).count();
    assert_eq!(shown(&["status", &first[..=common]]).expect(0).json()["run"], first.as_str(), "a unique prefix");
    shown(&["status", &first[..common]]).expect(3).err_has(&["several runs", &first, &second]);
    shown(&["status", "nothing"]).expect(1).err_has(&["orchctl runs"]);
    assert_eq!(shown(&["show", &first, "1"]).expect(0).json()["id"], "1");
    // A word that fits a run and a unit.
    let lone = World::new(&SpecText::new("1", [Unit::new("1", "One").writes("a.txt")]), &Playbook::new());
    lone.run(&[]).run().expect(0);
    lone.orchctl(&["findings", "1"]).run().expect(3).err_has(&["fits a run and a unit"]);
    shown(&["show", &first]).expect(3).err_has(&["the unit is missing"]);
    shown(&["explain", "9"]).expect(1).err_has(&["9 is neither a run nor a unit"]);
    // Elsewhere on this machine the runs are named.
    let elsewhere = world.sandbox.repository("elsewhere");
    world.sandbox.orchctl(elsewhere.path(), ["status"]).run().expect(1).err_has(&["orchctl runs"]);
    world.sandbox.orchctl(elsewhere.path(), ["show", &first, "1"]).run().expect(0);
}

#[test]
fn streams_follow_until_the_end() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    let gate = world.sandbox.path("go").display().to_string();
    let turn = Turn::new().steps([
        step::say("before the gate"),
        step::run(&format!("until test -e {gate}; do sleep 0.05; done")),
        step::write("part-1.txt", "made\n"),
        step::say("after the gate"),
    ]);
    Playbook::new().role("implement", [turn]).write(&world.play);
    let run = world.run(&[]).start();
    wait_for("the agent to speak", || run.said(), || world.orchctl(&["logs", "1"]).run().stdout.contains("before the gate").then_some(()));
    let mut logs = world.orchctl(&["logs", "-f", "1"]).start();
    let mut events = world.orchctl(&["events", "-f", "--jsonl"]).start();
    let watch = world.orchctl(&["status", "--watch", "--exit-code"]).start();
    logs.wait_for_stdout("before the gate");
    events.wait_for_stdout("\"run_created\"");
    std::fs::write(&gate, "").expect("written");
    logs.wait_for_stdout("after the gate");
    events.wait_for_stdout("\"integrated\"");
    let watched = watch.wait().expect(0).out_has(&["complete"]);
    expect_plain(&watched.stdout);
    run.wait().expect(0);
    // The coordinator ended with the run it was started for: that is no failure of those who watched.
    logs.wait().expect(0);
    let events = events.wait().expect(0);
    assert!(events.jsonl().iter().all(|line| line["kind"].is_string()));
}

/// Also when nobody serves any more: what was sent is kept.
#[test]
fn what_an_agent_was_told_is_shown_as_it_was_sent() {
    let world = eventful();
    let summary = world.run(&["--json"]).run().expect(2).json();
    let id = summary["run"].as_str().expect("an id");
    let show = |args: &[&str]| world.orchctl(&["show"]).args(args.iter().copied()).run();
    let last = show(&["1", "--prompt"]).expect(0).stdout;
    assert!(
        last.starts_with("You review the work on one unit") && last.ends_with(&format!("Roundtable-Turn: {id}/1/review/2\n")),
        "{last}"
    );
    let first = show(&["1", "--prompt", "--attempt", "1", "--json"]).expect(0).json();
    assert_eq!((&first["unit"], &first["attempt"], &first["role"]), (&"1".into(), &1.into(), &"implement".into()), "{first:#}");
    assert!(
        first["prompt"].as_str().is_some_and(|prompt| prompt.contains("# Unit 1: First\n") && prompt.contains("1.2 Other half")),
        "{first:#}"
    );
    show(&[id, "-", "--prompt"]).expect(0).out_has(&["You plan who does what", "## Unit 1: First"]);
    let attempts = format!("orchctl attempts {id} 1");
    show(&["1", "--prompt", "--attempt", "99"]).expect(1).err_has(&[&format!("unit 1 of {id} has no attempt 99"), &attempts]);
    show(&["3", "--prompt"]).expect(1).err_has(&[&format!("no agent was told anything for unit 3 of {id} yet")]);
    show(&["1", "--attempt", "1"]).expect(3).err_has(&["--prompt"]);
}
