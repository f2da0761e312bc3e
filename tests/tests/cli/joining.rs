//! `worker join`: who may bear which name, how it is refused, and how it ends without its coordinator.

use std::time::{Duration, Instant};

use roundtable_tests::harness::{Playbook, Process, Signal, SpecText, Turn, step, wait_for};
use serde_json::Value;

use crate::world::World;

fn world() -> World {
    World::new(&SpecText::parallel("login", 4), &Playbook::new())
}

fn workers(world: &World) -> Vec<Value> {
    world.orchctl(&["workers", "--json"]).run().expect(0).json().as_array().expect("a list").clone()
}

fn ids(world: &World) -> Vec<String> {
    let mut ids: Vec<String> = workers(world).iter().map(|worker| worker["id"].as_str().unwrap_or_default().to_owned()).collect();
    ids.sort();
    ids
}

fn joins(worker: &Process) -> usize {
    worker.stderr().lines().filter(|line| *line == "joined").count()
}

#[test]
fn workers_without_names_work_side_by_side_wherever_their_workspaces_are() {
    let world = world();
    let _served = world.sandbox.serve();
    let (a, b) = (world.sandbox.path("a").display().to_string(), world.sandbox.path("b").display().to_string());
    let agents = world.agents(1);
    let first = world.sandbox.worker(["--backend", &agents, "--workspace", &a]);
    let second = world.sandbox.worker(["--backend", &agents, "--workspace", &b]);
    world.orchctl(&["run", "--mode", "deterministic", "--spec"]).path(&world.spec).run().expect(0);
    let both = ids(&world);
    assert_eq!(both.len(), 2, "{both:?}");
    assert_eq!((joins(&first), joins(&second)), (1, 1), "{}\n{}", first.said(), second.said());
    // The name stays with the workspace, whoever else has come.
    first.kill();
    let third = world.sandbox.worker(["--backend", &agents]);
    drop(second);
    let again = world.sandbox.worker(["--backend", &agents, "--workspace", &b]);
    assert_eq!(ids(&world), both, "{}\n{}", third.said(), again.said());
}

#[test]
fn a_name_that_a_live_worker_bears_is_refused_and_a_new_start_of_that_worker_is_not() {
    let world = world();
    let _served = world.sandbox.serve();
    let agents = world.agents(1);
    let path = |name: &str| world.sandbox.path(name).display().to_string();
    let join = ["--backend", &agents, "--name", "w1", "--workspace"];
    let mut first = world.sandbox.worker(join.into_iter().chain([path("a").as_str()]));
    let other = || world.sandbox.program("worker").args(["join"]).args(join).args([path("b").as_str()]);
    other().run().expect(5).err_has(&["w1 is held by worker join in", &path("a"), &first.pid().to_string(), "--name"]);
    world.sandbox.program("worker").args(["join", "--backend", &agents, "--name", "w1"]).run().expect(5);
    // One that does not see the first's lock is refused by the coordinator.
    let elsewhere = world.sandbox.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("made");
    std::fs::copy(world.sandbox.data_dir().join("client.json"), elsewhere.join("client.json")).expect("copied");
    let refused = other().args(["--data-dir"]).path(&elsewhere).run().expect(5);
    refused.err_has(&["another worker is joined as w1", &path("a"), &format!("pid {}", first.pid()), "--name"]);
    assert!(first.is_running() && joins(&first) == 1, "{}", first.said());

    let began = Instant::now();
    first.kill();
    let first = world.sandbox.worker(join.into_iter().chain([path("a").as_str()]));
    assert!(began.elapsed() < Duration::from_secs(20), "{}", first.said());
    assert_eq!(ids(&world), ["w1"]);
}

#[test]
fn what_cannot_be_joined_is_told_by_the_exit_code() {
    let world = world();
    let agents = world.agents(1);
    let empty = world.sandbox.path("empty").display().to_string();
    let join = |args: &[&str]| world.sandbox.program("worker").args(["join", "--backend", &agents]).args(args.iter().copied()).run();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    join(&[&url, "--data-dir", &empty]).expect(5).err_has(&["no credentials", "client.json", "--data-dir"]);
    drop(listener);
    join(&[&url, "--data-dir", &empty]).expect(4).err_has(&["no coordinator answers"]);
    join(&["--data-dir", &empty]).expect(4).err_has(&["client.json", "coordinator serve"]);
    join(&["ftp://x", "--data-dir", &empty]).expect(3).err_has(&["ftp://x", "HOST:PORT"]);
    let _served = world.sandbox.serve();
    join(&["ftp://x"]).expect(3);
    join(&["--workspace", "/proc/nope"]).expect(1).err_has(&["/proc/nope", "cannot be used"]);
    let workspace = world.sandbox.path("held").display().to_string();
    let _first = world.sandbox.worker(["--backend", &agents, "--workspace", &workspace]);
    join(&["--workspace", &workspace]).expect(6).err_has(&[&workspace, "held by worker join"]);
}

#[test]
fn a_worker_that_drains_without_its_coordinator_ends_with_its_work_kept() {
    let slow = Turn::new().steps([step::write("part-1.txt", "done\n"), step::say("working"), step::sleep_ms(1_500)]);
    let world = World::new(&SpecText::parallel("login", 1), &Playbook::new().unit("1", "implement", [slow]));
    let served = world.sandbox.serve();
    let agents = world.agents(1);
    let workspace = world.sandbox.path("a").display().to_string();
    let args = ["--backend", &agents, "--workspace", &workspace];
    let start = || world.sandbox.worker(args);
    let run = || world.orchctl(&["run", "--mode", "deterministic", "--spec"]).path(&world.spec).start();
    let (worker, running) = (start(), run());
    world.wait_for_status("an agent at work", &running, |view| crate::world::is_working(view, "1"));
    // Of the unit, not of the assignment before it.
    let begun = || worker.stderr().contains("/1/1 role=implement").then_some(());
    wait_for("the attempt to begin", || worker.said(), begun);
    served.kill();
    drop(running);
    worker.signal(Signal::TERM);
    worker.wait_within(Duration::from_secs(40)).expect(0).err_has(&["draining", "the spool keeps it", "attempts=1"]);
    // The next start hands it in.
    let mut served = world.sandbox.serve();
    let worker = start();
    run().wait().expect(0);
    let attempts = world.orchctl(&["attempts", "login", "1", "--json"]).run();
    assert!(worker.stderr().contains("handed in"), "{}\n{}", worker.said(), attempts.said());

    // With nothing to hand in, and nobody there: at once, once or twice asked.
    served.signal(Signal::STOP);
    worker.signal(Signal::TERM);
    worker.wait_within(Duration::from_secs(8)).expect(0);
    served.signal(Signal::CONT);
    assert!(served.is_running());
}
