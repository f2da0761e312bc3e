//! Mirror files while a run writes them.

use roundtable_tests::harness::{Playbook, SpecText, Turn, Unit, step, wait_for};
use serde_json::Value;

use crate::world::World;

#[test]
fn an_edit_from_outside_is_kept_beside_and_reported() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    let gate = world.sandbox.path("go").display().to_string();
    let turn = Turn::new().steps([step::run(&format!("until test -e {gate}; do sleep 0.05; done")), step::write("part-1.txt", "made\n")]);
    Playbook::new().role("implement", [turn]).write(&world.play);
    let run = world.run(&["--json"]).start();
    let state = world.repo.path().join(".specs/AGENT_STATE.json");
    wait_for(
        "the state to show the work",
        || run.said(),
        || std::fs::read_to_string(&state).is_ok_and(|text| text.contains("\"in_progress\"")).then_some(()),
    );
    std::fs::write(&state, "{\"mine\": true}").expect("written");
    std::fs::write(world.sandbox.path("go"), "").expect("written");
    let ended = run.wait().expect(0).err_has(&["a mirror file was edited from outside", "AGENT_STATE.json.edited-1"]);
    assert_eq!(world.repo.read(".specs/AGENT_STATE.json.edited-1"), "{\"mine\": true}");
    let written: Value = serde_json::from_str(&world.repo.read(".specs/AGENT_STATE.json")).expect("JSON");
    assert_eq!(written["roundtable"]["run"], ended.json()["run"], "{written:#}");
    assert_eq!(written["tasks"][0]["status"], "completed");
    // Neither the mirror files nor the copy are changes of the user's.
    world.orchctl(&["accept"]).run().expect(0);
}

#[test]
fn mirror_files_go_where_output_says() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    let out = world.sandbox.path("out");
    world.run(&["--output"]).path(&out).run().expect(0);
    for name in ["AGENT_STATE.json", "TASKS_PARSED.json", "PROJECT_PULSE.md"] {
        assert!(out.join(name).is_file(), "{name}");
    }
    assert!(!world.repo.has(".specs/AGENT_STATE.json"));
}

/// The state file and the pulse as they lie beside the spec.
fn mirrors(world: &World) -> (Value, String) {
    let state = serde_json::from_str(&world.repo.read(".specs/AGENT_STATE.json")).expect("JSON");
    (state, world.repo.read(".specs/PROJECT_PULSE.md"))
}

/// A decision that ends a run is made while nobody is attached who would write it down.
#[test]
fn running_a_finished_run_again_brings_mirrors_and_branch_up_to_date() {
    let units = [Unit::new("1", "One").writes("a.txt"), Unit::new("2", "Two").writes("b.txt")];
    let failing = Playbook::new().unit("1", "implement", [Turn::fails()]);
    let again: [(&[&str], &[&str]); 2] = [(&["decide", "quarantine-1", "skip"], &[]), (&["skip", "1"], &["--detach"])];
    for (end, how) in again {
        let world = World::new(&SpecText::new("login", units.clone()), &failing);
        let first = world.run(&["--json"]).run().expect(2).json();
        let branch = format!("refs/heads/{}", first["branch"].as_str().expect("a branch"));
        let tip = world.repo.git(&["rev-parse", &branch]);
        world.repo.git(&["update-ref", "-d", &branch]);
        assert!(mirrors(&world).1.contains("quarantine-1"));
        world.orchctl(end).run().expect(0);
        let mut words = vec!["--mode", "deterministic", "--json"];
        words.extend(how);
        let summary = world.run_without_workers(&words).run().expect(0).json();
        let (state, pulse) = mirrors(&world);
        assert_eq!((&state["roundtable"]["status"], &state["pending_decisions"]), (&summary["status"], &serde_json::json!([])));
        assert_eq!(
            (&state["tasks"][0]["status"], &state["tasks"][0]["blocked_reason"]),
            (&"blocked".into(), &"skipped by a person".into())
        );
        assert!(!pulse.contains("quarantine-1"), "{pulse}");
        assert_eq!(world.repo.git(&["rev-parse", &branch]), tip);
    }
}

#[test]
fn a_pulse_that_cannot_be_understood_is_left_alone_and_told() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    let pulse = world.repo.path().join(".specs/PROJECT_PULSE.md");
    std::fs::write(&pulse, "# hello\n").expect("written");
    let wanted = ["PROJECT_PULSE.md was left as it is", "Could not parse PULSE document structure", "move the file away"];
    let init = world.orchctl(&["init", "--spec", ".specs/login", "--json"]).run().expect(1).err_has(&wanted).json();
    assert_eq!(init["files"].as_array().map(Vec::len), Some(2), "{init}");
    assert!(!init["files"].to_string().contains("PULSE") && init["pulse_problem"]["file"].to_string().contains("PULSE"), "{init}");
    assert!(world.repo.has(".specs/AGENT_STATE.json") && world.repo.has(".specs/TASKS_PARSED.json"));
    // Notes are broken into lines, wherever that falls.
    for noted in [world.run(&[]).run().expect(0), world.orchctl(&["wait"]).run().expect(0)] {
        let said = noted.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        wanted[1..].iter().for_each(|part| assert_eq!(said.matches(part).count(), 1, "{part} in {said}"));
    }
    let export = world.orchctl(&["export", "--output", ".specs"]).run().expect(1).err_has(&wanted);
    assert!(export.stdout.contains("AGENT_STATE.json") && !export.stdout.contains("PROJECT_PULSE.md"), "{}", export.stdout);
    assert_eq!(world.repo.read(".specs/PROJECT_PULSE.md"), "# hello\n");
    assert!(world.repo.read(".specs/AGENT_STATE.json").contains("\"completed\""));
    std::fs::remove_file(&pulse).expect("removed");
    world.orchctl(&["export", "--output", ".specs"]).run().expect(0).out_has(&["PROJECT_PULSE.md"]);
    assert!(world.repo.read(".specs/PROJECT_PULSE.md").contains("Narrative Delta"));
}

#[test]
fn lines_of_a_person_stay_in_the_pulse_whatever_they_look_like() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    world.orchctl(&["init", "--spec", ".specs/login"]).run().expect(0);
    let mine = [
        ("- Blocked: 0", "- ✅ Deployed"),
        ("- Blocked: 0", "- 🔄 1: mine, not yours"),
        ("### Cognitive Load Warnings", "- 🚫 BLOCKED: [ops] my own"),
        ("### Technical Debt", "- [ ] refactor login (major)"),
        ("## 🔗 Semantic Anchors", "- [docs] `docs/x.md` -> `see wiki`"),
    ];
    let pulse = mine.iter().fold(mirrors(&world).1, |pulse, (place, line)| pulse.replacen(place, &format!("{place}\n{line}"), 1));
    std::fs::write(world.repo.path().join(".specs/PROJECT_PULSE.md"), pulse).expect("written");
    world.run(&[]).run().expect(0);
    let written = mirrors(&world).1;
    mine.iter().for_each(|(_, line)| assert!(written.lines().any(|each| each == *line), "{line} in\n{written}"));
    assert!(written.contains("- Completed: 1") && !world.repo.has(".specs/PROJECT_PULSE.md.edited-1"), "{written}");
    // Again and again, from wherever.
    world.orchctl(&["wait"]).run().expect(0);
    world.orchctl(&["export", "--output", ".specs"]).run().expect(0);
    assert_eq!(mirrors(&world).1, written);
}
