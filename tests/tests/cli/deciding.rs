//! What only a person can settle: every way to answer, answers again, and what becomes of the run.

use roundtable_tests::harness::{Playbook, SpecText, Turn, Unit, step};

use crate::world::{World, expect_plain, unit};

/// A world whose unit 1 fails until a person says otherwise.
fn failing(units: usize) -> World {
    World::new(&SpecText::parallel("login", units), &Playbook::new().unit("1", "implement", [Turn::fails()]))
}

#[test]
fn a_decision_shows_its_evidence_and_a_command_for_each_option() {
    let world = failing(1);
    world.run(&[]).run().expect(2).out_has(&["1 decision waits", "quarantine-1"]);
    let decisions = world.decisions();
    let decision = &decisions[0];
    assert_eq!((&decision["id"], &decision["task_id"]), (&"quarantine-1".into(), &"1".into()));
    for key in ["priority", "context", "options", "created_at", "run", "evidence", "commands"] {
        assert!(!decision[key].is_null(), "{key}: {decision:#}");
    }
    let options = decision["options"].as_array().expect("options").len();
    assert_eq!(decision["commands"].as_array().map(Vec::len), Some(options), "{decision:#}");
    let human =
        world.orchctl(&["decisions"]).run().expect(0).out_has(&["quarantine-1", "orchctl decide", "resume", "retry", "skip", "abort"]);
    expect_plain(&human.stdout);
}

#[test]
fn any_form_of_a_choice_is_understood_the_same_again_is_fine_and_another_is_refused() {
    let world = failing(1);
    let run = world.run(&["--json"]).run().expect(2).json()["run"].as_str().expect("an id").to_owned();
    world.orchctl(&["decide", "quarantine-1", "perhaps"]).run().expect(3).err_has(&["perhaps", "retry"]);
    world.orchctl(&["decide", "quarantine-9", "retry"]).run().expect(1).err_has(&["quarantine-9"]);
    world.orchctl(&["decide", "nope/quarantine-1", "skip"]).run().expect(1).err_has(&["no run nope"]);
    world.orchctl(&["decide", "quarantine-1", "retry", "--dependants", "skip"]).run().expect(3).err_has(&["--dependants", "retry"]);
    world.orchctl(&["logs", "1", "--attempt", "99"]).run().expect(1).err_has(&["no attempt 99", "attempts 1 to 3"]);
    world.orchctl(&["checkout", "1", "."]).run().expect(3).err_has(&["is there already", "name another folder"]);
    // Of this repository's run; elsewhere of all that are unfinished.
    let at = |folder: &str, args: &[&str]| world.sandbox.orchctl(&world.sandbox.path(folder), args.iter().copied()).run().expect(0).json();
    world.sandbox.repository("other");
    assert_eq!(at("home", &["decisions", "--json"])[0]["id"], "quarantine-1");
    assert_eq!(at("other", &["decisions", "--json"])[0]["id"], "quarantine-1", "this one has no run");
    let options = world.decisions()[0]["options"].clone();
    let options: Vec<String> = options
        .as_array()
        .expect("options")
        .iter()
        .map(|option| option.as_str().map_or_else(|| option.to_string(), str::to_owned))
        .collect();
    let at = options
        .iter()
        .position(|option| option.to_lowercase().contains("again") || option.to_lowercase().contains("retry"))
        .unwrap_or_else(|| panic!("{options:?}"));
    let number = (at + 1).to_string();
    world.orchctl(&["decide", &format!("{run}/quarantine-1"), &number, "--note", "again"]).run().expect(0);
    let letter = char::from(b'a' + u8::try_from(at).expect("few options")).to_string();
    for same in [letter.as_str(), "retry", "RETRY", &options[at]] {
        world.orchctl(&["decide", "quarantine-1", same]).run().expect(0);
    }
    world.orchctl(&["decide", "quarantine-1", "skip"]).run().expect(1).err_has(&["answered"]);
    Playbook::new().write(&world.play);
    world.run(&[]).run().expect(0);
    let answered = world.orchctl(&["decisions", &run, "--all", "--json"]).run().expect(0).json();
    assert_eq!(answered[0]["id"], "quarantine-1", "{answered}");
}

#[test]
fn a_persons_commit_goes_to_review_and_is_integrated() {
    let world = failing(1);
    let run = world.run(&["--json"]).run().expect(2).json()["run"].as_str().expect("an id").to_owned();
    let there = world.sandbox.path("fix");
    world.orchctl(&["checkout", &run, "1"]).path(&there).run().expect(0).out_has(&["--commit"]);
    let fix = world.sandbox.checkout("fix");
    fix.write("part-1.txt", "by hand\n");
    let commit = fix.commit("By hand");
    world.orchctl(&["decide", "quarantine-1", "resume", "--commit", "nonsense"]).run().expect(3).err_has(&["nonsense"]);
    world.orchctl(&["decide", "quarantine-1", "resume", "--commit", &commit]).run().expect(0);
    let summary = world.run(&["--json"]).run().expect(0).json();
    assert_eq!(world.repo.show(summary["branch"].as_str().expect("a branch"), "part-1.txt"), "by hand");
    let seats = world.orchctl(&["attempts", "1", "--json"]).run().expect(0).json();
    assert!(seats.as_array().expect("attempts").iter().any(|attempt| attempt["role"] == "review"), "{seats}");
}

#[test]
fn skipping_lets_dependants_go_on_or_skips_them_too() {
    let units = || [Unit::new("1", "One").writes("a.txt"), Unit::new("2", "Two").depends("1").writes("b.txt")];
    let failing = Playbook::new().unit("1", "implement", [Turn::fails()]);
    let world = World::new(&SpecText::new("login", units()), &failing);
    world.run(&[]).run().expect(2);
    world.orchctl(&["decide", "quarantine-1", "skip", "--dependants", "skip"]).run().expect(0);
    let summary = world.run(&["--json"]).run().expect(0).json();
    assert_eq!((&unit(&summary, "1")["status"], &unit(&summary, "2")["status"]), (&"skipped".into(), &"skipped".into()));
    let world = World::new(&SpecText::new("login", units()), &failing);
    world.run(&[]).run().expect(2);
    world.orchctl(&["decide", "quarantine-1", "skip", "--dependants", "go-on"]).run().expect(0);
    let summary = world.run(&["--json"]).run().expect(0).json();
    assert_eq!(unit(&summary, "2")["status"], "completed");
}

#[test]
fn abort_ends_the_run_with_one() {
    let world = failing(2);
    let run = world.run(&["--json"]).run().expect(2).json()["run"].clone();
    world.orchctl(&["decide", "quarantine-1", "abort"]).run().expect(0);
    world.orchctl(&["status", "--exit-code"]).run().expect(1);
    // It has ended, and so the same command says; another is asked for.
    Playbook::new().write(&world.play);
    assert_eq!(world.run(&["--json"]).run().expect(1).err_has(&["--fresh"]).json()["run"], run);
    let next = world.run(&["--json", "--fresh"]).run().expect(0).json();
    assert_ne!(next["run"], run);
}

#[test]
fn three_fixes_escalate_and_then_ask_with_the_originals_options() {
    let stays = Turn::finds("critical", "It is still wrong.");
    let fix = Turn::new().steps([step::append("part-1.txt", "fix {attempt}\n")]);
    let playbook = Playbook::new().unit("1", "review", [stays]).unit("1", "fix", [fix]);
    let world = World::new(&SpecText::parallel("login", 1), &playbook);
    let summary = world.run(&["--json"]).run().expect(2).json();
    assert_eq!((&unit(&summary, "1")["fix_attempts"], &unit(&summary, "1")["escalated"]), (&3.into(), &true.into()));
    let decision = &world.decisions()[0];
    assert_eq!((&decision["id"], &decision["priority"]), (&"human-fallback-1".into(), &"critical".into()));
    let original = ["I've fixed it manually - resume", "Skip this task - continue without it", "Abort orchestration"];
    let options = decision["options"].as_array().expect("options");
    assert_eq!(options[..3], original.map(serde_json::Value::from), "the original's, in their places");
    world.orchctl(&["findings", "1"]).run().expect(0).out_has(&["critical", "It is still wrong."]);
    world.orchctl(&["decide", "human-fallback-1", "I've fixed it manually - resume"]).run().expect(0);
    Playbook::new().write(&world.play);
    let summary = world.run(&["--json"]).run().expect(0).json();
    assert_eq!(unit(&summary, "1")["status"], "completed");
}
