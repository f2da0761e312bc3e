//! Which run is meant where RUN is left out: never another one silently, and none is ended or accepted that nobody named.

use roundtable_tests::harness::{Playbook, SpecText, Turn, Unit};

use crate::world::World;

/// Two runs of one repository, `login` and then `billing`; agents play this.
pub fn two(playbook: &Playbook, exit: i32) -> (World, String, String) {
    let world = World::new(&SpecText::parallel("login", 1), playbook);
    let specs = world.repo.path().join(".specs");
    SpecText::new("billing", [Unit::new("1", "Bill").writes("bill.txt")]).write(&specs);
    world.repo.commit("Another spec");
    let agents = world.agents(1);
    let run = |spec: &str| {
        let args = ["run", "--mode", "deterministic", "--json", "--workers", &agents, "--spec"];
        world.orchctl(&args).path(&specs.join(spec)).run().expect(exit).json()["run"].as_str().expect("an id").to_owned()
    };
    let (login, billing) = (run("login"), run("billing"));
    (world, login, billing)
}

#[test]
fn nobody_ends_or_accepts_a_run_that_was_not_named_where_there_are_two() {
    let (world, login, billing) = two(&Playbook::new().unit("1", "implement", [Turn::fails()]), 2);
    let both = [login.as_str(), billing.as_str(), "RUN is left out", "orchctl cancel"];
    for args in [&["cancel"][..], &["cancel", "--yes"]] {
        world.orchctl(args).run().expect(3).err_has(&both);
    }
    // Typed as it is named, it does no more than what was asked for.
    let named = format!("`orchctl cancel {billing} 1`");
    world.orchctl(&["cancel", "1"]).run().expect(3).err_has(&both).err_has(&[&named]);
    // A paused one is as unfinished as before.
    world.orchctl(&["pause", &billing]).run().expect(0);
    world.orchctl(&["cancel"]).run().expect(3).err_has(&both);
    for abort in ["abort", "4", "d", "Abort orchestration"] {
        let named = format!("`orchctl decide {billing}/quarantine-1 abort`");
        world.orchctl(&["decide", "quarantine-1", abort]).run().expect(3).err_has(&[&login, &billing, &named]);
    }
    let named = format!("`orchctl accept {billing} --into other --partial`");
    world.orchctl(&["accept", "--partial", "--into", "other"]).run().expect(3).err_has(&[&named]);
    let standing = |run: &str| world.orchctl(&["status", run, "--json"]).run().expect(0).err_has_not(&["RUN"]).json()["status"].clone();
    assert_eq!((standing(&login), standing(&billing)), ("waiting".into(), "paused".into()));
    // What only shows says first which one it shows.
    let shown = world.orchctl(&["status", "--json"]).run().expect(0);
    assert_eq!(shown.json()["run"], *billing);
    shown.err_has(&["RUN is left out, so this is about", &billing, &login]);
    world.orchctl(&["explain", "1"]).run().expect(0).err_has(&["RUN is left out"]);
    // Named, by a beginning of the id, it is done; then the other is the only one.
    world.orchctl(&["cancel", "bill"]).run().expect(0).err_has_not(&["RUN"]);
    world.orchctl(&["decide", "quarantine-1", "abort"]).run().expect(0).err_has_not(&["RUN is left out"]);
    assert_eq!((standing(&login), standing(&billing)), ("incomplete".into(), "incomplete".into()));
}

#[test]
fn what_is_complete_and_not_accepted_can_be_meant_too() {
    let (world, login, billing) = two(&Playbook::new(), 0);
    let runs = world.orchctl(&["runs", "--json"]).run().expect(0).json();
    assert!(runs.as_array().expect("runs").iter().all(|run| run["to_accept"] == true), "{runs}");
    world.orchctl(&["accept"]).run().expect(3).err_has(&[&login, &billing, "not accepted"]);
    assert!(!world.repo.has("part-1.txt") && !world.repo.has("bill.txt"));
    world.orchctl(&["accept", &login]).run().expect(0).err_has_not(&["RUN"]);
    assert!(world.repo.has("part-1.txt") && !world.repo.has("bill.txt"));
    world.orchctl(&["accept"]).run().expect(0).err_has_not(&["RUN"]);
    assert!(world.repo.has("bill.txt"));
    world.orchctl(&["status"]).run().expect(0).err_has_not(&["RUN"]);
}
