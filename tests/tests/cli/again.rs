//! Running again: finished runs, changed plans, kills, Ctrl-C, a second `run` that takes over, the background.

use rustix::process::{Pid, kill_process};

use roundtable_tests::harness::{Playbook, Signal, SpecText, Turn, Unit, step, wait_for};

use crate::world::{World, is_working, unit};

/// Every implementation waits until the sandbox has a file `go`, then writes its part.
fn gated(world_path: &str) -> Playbook {
    let turn = Turn::new()
        .steps([step::run(&format!("until test -e {world_path}/go; do sleep 0.05; done")), step::write("part-{unit}.txt", "made\n")]);
    Playbook::new().role("implement", [turn])
}

/// A world whose agents wait for [`open`].
fn gated_world(units: usize) -> World {
    let world = World::new(&SpecText::parallel("login", units), &Playbook::new());
    gated(&world.sandbox.path("").display().to_string()).write(&world.play);
    world
}

fn open(world: &World) {
    std::fs::write(world.sandbox.path("go"), "").expect("a file can be written");
}

#[test]
fn a_finished_run_answers_again_without_workers_and_new_units_are_a_new_run() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new());
    let first = world.run(&["--json"]).run().expect(0).json();
    // No agent CLI is installed here: nothing may be needed to say what came of it.
    let again = world.run_without_workers(&["--json", "--mode", "deterministic"]).run().expect(0).err_has(&["--fresh"]).json();
    assert_eq!(again["run"], first["run"]);
    world.run(&["--dry-run"]).run().expect(0).out_has(&["nothing new to do", "stands (exit 0)"]);
    let detached = world.run_without_workers(&["--json", "--mode", "deterministic", "--detach"]).run().expect(0);
    assert_eq!(detached.json()["run"], first["run"]);
    world.sandbox.expect_no_leftovers();
    world.run_without_workers(&["--mode", "deterministic", "--fresh"]).run().expect(1).err_has(&["no agent CLI is found"]);

    world.orchctl(&["accept"]).run().expect(0);
    let two = [Unit::new("1", "Part 1").marked("x").writes("part-1.txt"), Unit::new("2", "Part 2").writes("part-2.txt")];
    SpecText::new("login", two).write(&world.repo.path().join(".specs"));
    let next = world.run(&["--json"]).run().expect(0).json();
    assert_ne!(next["run"], first["run"]);
    assert_eq!((&next["counts"]["total"], &next["counts"]["completed"]), (&1.into(), &1.into()), "only what is open runs: {next}");
    assert_eq!(next["base"], world.repo.head(), "a new run starts from HEAD");
    assert_eq!(world.orchctl(&["runs", "--json"]).run().expect(0).json().as_array().map(Vec::len), Some(2));
}

/// Impatience, a script that tries again, two people: whoever asks for the same is told of the same run.
#[test]
fn the_same_command_many_times_at_once_is_one_run() {
    let world = gated_world(2);
    let _served = world.sandbox.serve();
    let agents = world.agents(2);
    let _worker = world.sandbox.worker(["--backend", &agents]);
    let same = || world.run_without_workers(&["--mode", "deterministic", "--json", "--detach"]);
    let all: Vec<_> = (0..12).map(|_| same().start()).collect();
    let runs: Vec<String> = all.into_iter().map(|one| one.wait().expect(0).json()["run"].as_str().expect("an id").to_owned()).collect();
    assert!(runs.iter().all(|run| *run == runs[0]), "{runs:?}");
    open(&world);
    let done = world.run_without_workers(&["--mode", "deterministic", "--json"]).run().expect(0).json();
    assert_eq!(done["run"], runs[0]);
    assert_eq!(world.orchctl(&["runs", "--json"]).run().expect(0).json().as_array().map(Vec::len), Some(1));
    let mut units = world.repo.trailers(&format!("main..{}", done["branch"].as_str().expect("a branch")), "Unit-Id");
    units.sort();
    assert_eq!(units, ["1", "2"], "each is integrated once");
}

#[test]
fn a_changed_plan_is_refused_until_fresh_which_keeps_the_old_run() {
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new().unit("1", "implement", [Turn::fails()]));
    let first = world.run(&["--json"]).run().expect(2).json();
    SpecText::parallel("login", 2).write(&world.repo.path().join(".specs"));
    let refused = world.run(&[]).run().expect(3).err_has(&["tasks.md", "--fresh"]);
    assert_eq!(refused.stdout, "");
    world.run(&["--dry-run"]).run().expect(3).err_has(&["tasks.md", "--fresh"]);
    world.run(&["--dry-run", "--fresh"]).run().expect(0).out_has(&["would start a new run"]);
    let options = SpecText::parallel("login", 1);
    options.write(&world.repo.path().join(".specs"));
    world.run(&["--hazards", "writes"]).run().expect(3).err_has(&["hazards", "--fresh"]);
    world.run(&["--hazards", "writes", "--dry-run"]).run().expect(3).err_has(&["hazards", "--fresh"]);
    // The mode it has need not be said again, and may be another that plans alike.
    let agents = world.agents(2);
    let again = |more: &[&str]| world.run_without_workers(&["--workers", &agents]).args(more.iter().copied()).run();
    assert_eq!(again(&["--json"]).expect(2).json()["run"], first["run"]);
    again(&["--mode", "llm", "--max-actions", "3"]).expect(2);
    let switched = world.status();
    assert_eq!(switched["mode"], "llm");
    let notices = switched["notices"].as_array().expect("notices");
    assert!(notices.iter().any(|notice| notice.as_str().is_some_and(|text| text.contains("--mode, --max-actions"))), "{notices:?}");
    again(&["--mode", "manual"]).expect(3).err_has(&["--mode", "--fresh"]);
    Playbook::new().write(&world.play);
    let fresh = world.run(&["--fresh", "--json"]).run().expect(0).json();
    assert_ne!(fresh["run"], first["run"]);
    let kept = world.orchctl(&["status", first["run"].as_str().expect("an id"), "--json"]).run().expect(0).json();
    assert_eq!(kept["run"], first["run"]);
}

#[test]
fn killed_at_work_it_goes_on_where_it_was() {
    let world = gated_world(2);
    let run = world.run(&[]).start();
    world.wait_for_status("both units to work", &run, |status| is_working(status, "1") && is_working(status, "2"));
    let id = world.status()["run"].clone();
    run.kill();
    // What was there is read without a coordinator.
    assert_eq!(world.status()["run"], id);
    open(&world);
    let summary = world.run(&["--json"]).run().expect(0).err_has(&["going on"]).json();
    assert_eq!(summary["run"], id);
    let branch = summary["branch"].as_str().expect("a branch");
    let mut units = world.repo.trailers(&format!("main..{branch}"), "Unit-Id");
    units.sort();
    assert_eq!(units, ["1", "2"], "each once");
    let attempts = world.orchctl(&["attempts", "1", "--json"]).run().expect(0).json();
    assert_ne!(attempts[0]["outcome"], "completed", "{attempts}");
    assert!(attempts[0]["commit"].is_string(), "what it had made is kept: {attempts}");
    world.sandbox.expect_no_leftovers();
}

#[test]
fn ctrl_c_lets_agents_end_and_again_stops_them_with_their_work_saved() {
    let world = gated_world(3);
    let mut run = world.run(&[]).start();
    world.wait_for_status("two units to work", &run, |status| is_working(status, "1") && is_working(status, "2"));
    run.signal(Signal::INT);
    run.wait_for_stderr("stopping");
    open(&world);
    run.wait().expect(130).out_has(&["halted"]);
    let status = world.status();
    assert_eq!((&status["status"], &status["exit"]), (&"halted".into(), &1.into()));
    assert_eq!(unit(&status, "3")["status"], "not_started", "nothing new was started");
    for id in ["1", "2"] {
        assert_eq!(unit(&status, id)["status"], "pending_review", "agents were let end");
    }
    world.sandbox.expect_no_leftovers();

    let half = Turn::new().steps([step::write("part-3.txt", "half\n"), step::say("half done"), step::fault("hang")]);
    Playbook::new().unit("3", "implement", [half]).write(&world.play);
    let mut run = world.run(&[]).start();
    wait_for(
        "unit 3 to be half done",
        || run.said(),
        || {
            let logs = world.orchctl(&["logs", "3"]).run();
            logs.stdout.contains("half done").then_some(())
        },
    );
    run.signal(Signal::INT);
    run.wait_for_stderr("stopping");
    run.signal(Signal::INT);
    run.wait().expect(130);
    world.sandbox.expect_no_leftovers();
    let attempts = world.orchctl(&["attempts", "3", "--json"]).run().expect(0).json();
    assert!(attempts[0]["commit"].is_string(), "the work was saved: {attempts}");
    world.orchctl(&["diff", "3"]).run().expect(0).out_has(&["+half"]);

    Playbook::new().write(&world.play);
    world.run(&[]).run().expect(0);
}

#[test]
fn a_second_run_takes_over_when_the_first_is_killed() {
    let world = gated_world(3);
    let one = world.run(&[]).start();
    world.wait_for_status("the first to work", &one, |status| is_working(status, "1") && is_working(status, "2"));
    let mut two = world.run(&["--json"]).start();
    two.wait_for_stderr("going on");
    world.wait_for_status("the second to work beside it", &two, |status| is_working(status, "3"));
    one.kill();
    two.wait_for_stderr("taking over");
    open(&world);
    let summary = two.wait().expect(0).json();
    assert_eq!(summary["counts"]["completed"], 3);
    let kept = std::fs::read_dir(world.repo.path().join(".specs")).expect("a folder").flatten();
    let edited: Vec<_> = kept.filter(|entry| entry.file_name().to_string_lossy().contains(".edited-")).collect();
    assert!(edited.is_empty(), "what the first wrote is no edit: {edited:?}");
    world.sandbox.expect_no_leftovers();
}

#[test]
fn a_second_run_takes_over_when_the_first_is_interrupted() {
    let world = gated_world(3);
    let mut one = world.run(&[]).start();
    world.wait_for_status("the first to work", &one, |status| is_working(status, "1") && is_working(status, "2"));
    let mut two = world.run(&["--json"]).start();
    two.wait_for_stderr("going on");
    one.signal(Signal::INT);
    one.wait_for_stderr("stopping");
    open(&world);
    one.wait().expect(130);
    assert_eq!(two.wait().expect(0).json()["counts"]["completed"], 3);
}

#[test]
fn in_the_background_it_is_waited_for_and_ended() {
    let world = gated_world(1);
    let started = world.run(&["--detach", "--json"]).run().expect(0).json();
    let run = started["run"].as_str().expect("an id");
    let passed = world.orchctl(&["wait", "--timeout", "300ms", "--json"]).run().expect(124).json();
    assert_eq!((&passed["run"], &passed["exit"]), (&run.into(), &serde_json::Value::Null));
    // The same command again joins what is there.
    let again = world.run(&["--detach", "--json"]).run().expect(0).json();
    assert_eq!((&again["run"], &again["resumed"]), (&run.into(), &true.into()));
    let waiting = world.orchctl(&["wait", "--timeout", "2m", "--json"]).start();
    open(&world);
    assert_eq!(waiting.wait().expect(0).json()["exit"], 0);
    assert!(world.repo.path().join(".specs/AGENT_STATE.json").is_file(), "`wait` writes the mirror files");
    let down = world.orchctl(&["down", "--json"]).run().expect(0).json();
    assert_eq!(down["was_running"], true);
    world.sandbox.expect_no_leftovers();
    assert_eq!(world.orchctl(&["down", "--json"]).run().expect(0).json()["was_running"], false);
}

#[test]
fn what_agents_do_in_the_background_is_saved_when_it_is_ended() {
    let world = gated_world(2);
    let half = Turn::new().steps([step::write("part-{unit}.txt", "half\n"), step::say("half done"), step::fault("hang")]);
    Playbook::new().role("implement", [half]).write(&world.play);
    world.run(&["--detach"]).run().expect(0);
    for unit in ["1", "2"] {
        let logs = || world.orchctl(&["logs", unit]).run();
        wait_for("the agent to be half done", || logs().said(), || logs().stdout.contains("half done").then_some(()));
    }
    let began = std::time::Instant::now();
    let down = world.orchctl(&["down"]).run().expect(0);
    assert!(began.elapsed() < std::time::Duration::from_secs(8), "it took {:?}", began.elapsed());
    down.out_has(&["work on 2 units was stopped; what was done so far is saved", "goes on with", "orchctl run --spec"]);
    world.sandbox.expect_no_leftovers();
    for unit in ["1", "2"] {
        let attempts = world.orchctl(&["attempts", unit, "--json"]).run().expect(0).json();
        assert!(attempts[0]["commit"].is_string(), "the work was saved: {attempts}");
        world.orchctl(&["diff", unit]).run().expect(0).out_has(&["+half"]);
    }
    assert_eq!(world.status()["decisions"], 0, "nobody needs to be asked");
    Playbook::new().write(&world.play);
    world.run(&[]).run().expect(0);
}

#[test]
fn watching_a_run_nobody_works_on_ends() {
    let world = gated_world(1);
    let run = world.run(&[]).start();
    world.wait_for_status("the unit to work", &run, |status| is_working(status, "1"));
    run.kill();
    world.orchctl(&["status", "--watch"]).run().expect(4).err_has(&["no coordinator is running", "orchctl run"]);
}

#[test]
fn a_killed_background_is_told_of_and_replaced_by_the_same_command() {
    let world = gated_world(1);
    let started = world.run(&["--detach", "--json"]).run().expect(0).json();
    let background = world.sandbox.leftovers().into_iter().find(|process| process.command.contains(" background ")).expect("it runs");
    kill_process(Pid::from_raw(i32::try_from(background.pid).expect("a pid")).expect("a pid"), Signal::KILL).expect("killed");
    world.orchctl(&["wait", "--timeout", "300ms"]).run().expect(124).err_has(&["no coordinator is running"]);
    world.orchctl(&["wait"]).run().expect(4).err_has(&["no coordinator is running", "orchctl run"]);
    open(&world);
    let again = world.run(&["--detach", "--json"]).run().expect(0).json();
    assert_eq!((&again["run"], &again["resumed"]), (&started["run"], &true.into()));
    world.orchctl(&["wait"]).run().expect(0);
    world.orchctl(&["down"]).run().expect(0);
    world.sandbox.expect_no_leftovers();
}

#[test]
fn a_run_that_waits_for_a_person_needs_no_workers_to_say_so() {
    let world = World::new(
        &SpecText::new("login", [Unit::new("1", "One").writes("a.txt")]),
        &Playbook::new().unit("1", "implement", [Turn::fails()]),
    );
    world.run(&[]).run().expect(2).out_has(&["quarantine-1"]);
    world.run_without_workers(&["--mode", "deterministic"]).run().expect(2).out_has(&["quarantine-1"]);
    world.orchctl(&["wait"]).run().expect(2);
    world.orchctl(&["status", "--exit-code"]).run().expect(2);
    world.orchctl(&["decide", "quarantine-1", "skip"]).run().expect(0);
    world.run_without_workers(&["--mode", "deterministic"]).run().expect(0);
    world.orchctl(&["status", "--exit-code"]).run().expect(0);
}
