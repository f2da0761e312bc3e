//! Mirror files while a run writes them.

use roundtable_tests::harness::{Playbook, SpecText, Turn, step, wait_for};
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
