//! `plan --assign`: the assignment agent is asked before anything runs, the run that follows takes its answer, and the plan can be given it as lines. What
//! units without a manifest cost, and answers that keep nothing apart.

use roundtable_tests::harness::{Playbook, SpecText, Turn, Unit, step};
use serde_json::{Value, json};

use crate::world::{World, unit};

/// Units that say nothing of what they write.
fn bare(units: usize) -> SpecText {
    SpecText::new("login", (1..=units).map(|n| Unit::new(&n.to_string(), &format!("Part {n}"))))
}

fn assigning(answers: impl IntoIterator<Item = Value>) -> Playbook {
    Playbook::new().role("assign", answers.into_iter().map(|units| Turn::new().result(json!({ "dispatch_units": units }))))
}

/// Turns of the assignment agent in the latest run.
fn assign_turns(world: &World) -> usize {
    let attempts = world.orchctl(&["attempts", "-", "--json"]).run().expect(0).json();
    attempts.as_array().expect("attempts").iter().filter(|attempt| attempt["role"] == "assign").count()
}

#[test]
fn the_agent_is_asked_before_anything_runs_and_the_run_takes_its_answer() {
    let answer = json!([
        { "task_id": "1", "writes": ["part-1.txt"] },
        { "task_id": "2", "writes": ["part-2.txt"] },
        { "task_id": "3", "writes": ["part-3.txt"], "depends_on": ["1"] },
    ]);
    let world = World::new(&bare(4), &assigning([answer]));
    let alone = world.orchctl(&["plan", "--spec", ".specs/login"]).run().expect(0);
    alone.out_has(&["4 units in 4 waves", "4 units without a manifest run alone: 1, 2, 3, 4"]);
    world.orchctl(&["plan", "--spec", ".specs/login", "--write"]).run().expect(3).err_has(&["--assign"]);

    let agents = world.agents(1);
    let before = world.repo.read(".specs/login/tasks.md");
    let ask = |more: &[&str]| world.orchctl(&["plan", "--spec", ".specs/login", "--workers", &agents]).args(more.iter().copied()).run();
    let plan = ask(&["--assign", "--json"]).expect(0).json();
    let waves: Vec<(&Value, &Value)> = plan["units"].as_array().expect("units").iter().map(|unit| (&unit["id"], &unit["wave"])).collect();
    assert_eq!(waves, [(&"1".into(), &1.into()), (&"2".into(), &1.into()), (&"3".into(), &2.into()), (&"4".into(), &3.into())]);
    let waits = &unit(&plan, "3")["waits_for"][0];
    assert_eq!((&waits["unit"], &waits["why"]), (&"1".into(), &"dependency".into()));
    assert_eq!(world.repo.read(".specs/login/tasks.md"), before);
    assert_eq!(world.orchctl(&["runs", "--json"]).run().expect(0).json(), json!([]), "no run was made");
    world.sandbox.expect_no_leftovers();

    let done = world.run(&["--json"]).run().expect(0).err_has(&["1 unit has no manifest, so it runs alone: 4"]).json();
    assert_eq!(assign_turns(&world), 0, "it was asked already");
    assert_eq!(unit(&done, "3")["writes"], json!(["part-3.txt"]));
    assert_eq!(done["alone"]["units"], json!(["4"]), "{done:#}");
    world.orchctl(&["summary"]).run().expect(0).out_has(&["1 unit without a manifest ran alone, ", ": 4"]);
}

#[test]
fn the_answer_is_written_into_the_plan_for_a_person_to_read_over() {
    let answer = json!([{ "task_id": "1", "writes": ["part-1.txt"], "reads": ["docs/"] }, { "task_id": "2", "writes": ["part-2.txt"], "depends_on": ["1"] }]);
    let world = World::new(&bare(2), &assigning([answer]));
    let agents = world.agents(1);
    let write = || world.orchctl(&["plan", "--spec", ".specs/login", "--assign", "--write", "--workers", &agents]).run().expect(0);
    write().err_has(&["tasks.md has new lines for units 1, 2"]).out_has(&["2 units in 2 waves"]);
    let text = world.repo.read(".specs/login/tasks.md");
    for line in ["  - _writes: part-1.txt_\n  - _reads: docs/_\n", "  - _writes: part-2.txt_\n  - _Depends: 1_\n"] {
        assert!(text.contains(line), "{text}");
    }
    world.orchctl(&["plan", "--spec", ".specs/login"]).run().expect(0).out_has(&["after 1 (depends on it)"]);
    write().err_has(&["says all of it already"]);
    assert_eq!(world.repo.read(".specs/login/tasks.md"), text);
    world.run(&["--json"]).run().expect(0);
    assert_eq!(assign_turns(&world), 0, "what was written is what was answered");
}

#[test]
fn a_plan_that_was_changed_meanwhile_is_left_alone_and_the_answer_is_not_lost() {
    let world = World::new(&bare(2), &Playbook::new());
    let before = world.repo.read(".specs/login/tasks.md");
    let answer = json!([{ "task_id": "1", "writes": ["part-1.txt"] }, { "task_id": "2", "writes": ["part-2.txt"] }]);
    let meanwhile = step::run(&format!("echo >> {}", world.spec.join("tasks.md").display()));
    let turn = Turn::new().steps([meanwhile]).result(json!({ "dispatch_units": answer }));
    Playbook::new().role("assign", [turn]).write(&world.play);
    let agents = world.agents(1);
    let write = world.orchctl(&["plan", "--spec", ".specs/login", "--assign", "--write", "--workers", &agents]).run().expect(1);
    write.err_has(&["was changed while the agent was asked; nothing was written"]);
    assert_eq!(world.repo.read(".specs/login/tasks.md"), format!("{before}\n"));
    world.repo.write(".specs/login/tasks.md", &before);
    world.run(&["--json"]).run().expect(0);
    assert_eq!(assign_turns(&world), 0, "the run takes the answer to the plan as it was");
}

#[test]
fn nobody_is_asked_about_a_plan_with_errors() {
    let world = World::new(&bare(1), &Playbook::new());
    world.repo.write(".specs/login/tasks.md", "- [ ] 1. Part\n  - Depends on: 9\n");
    let plan = world.orchctl(&["plan", "--spec", ".specs/login", "--assign", "--json"]).run().expect(3).err_has(&["tasks.md:2"]).json();
    assert_eq!((&plan["errors"][0]["line"], &plan["units"][0]["id"]), (&2.into(), &"1".into()), "{plan:#}");
}

#[test]
fn an_answer_that_keeps_nothing_apart_is_asked_for_once_more() {
    let of = |first: Value| -> Value {
        let rest = (2..=5).map(|n| json!({ "task_id": n.to_string(), "writes": [format!("part-{n}.txt")] }));
        std::iter::once(json!({ "task_id": "1", "writes": first })).chain(rest).collect()
    };
    let mended = World::new(&bare(5), &assigning([of(json!(["**"])), of(json!(["part-1.txt"]))]));
    let done = mended.run(&["--json"]).run().expect(0).json();
    assert_eq!((assign_turns(&mended), &unit(&done, "1")["writes"]), (2, &json!(["part-1.txt"])));
    // Who means it is believed.
    let meant = World::new(&bare(5), &assigning([of(json!(["part-2.txt", "part-3.txt", "part-4.txt"]))]));
    let done = meant.run(&["--json"]).run().expect(0).json();
    assert_eq!((assign_turns(&meant), &unit(&done, "1")["writes"]), (2, &json!(["part-2.txt", "part-3.txt", "part-4.txt"])));
    let events = meant.orchctl(&["events", "--jsonl"]).run().expect(0);
    events.out_has(&["it conflicts with 3 of 4 others (2, 3, 4)"]);
}
