//! The coordinator dies the N-th time one of its threads makes something durable: whatever was on disk by then, the run goes on from there.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use roundtable_tests::harness::{Process, Signal, binary, wait_for};
use rustix::process::{Pid, kill_process};

use crate::check;
use crate::world::{RUN_WITHIN, World, end};

/// What makes things durable; and how often within a thread, which is how strace counts. Threads of a run of four units seldom come further.
const CALLS: [&str; 2] = ["fdatasync", "fsync"];
const TIMES: usize = 10;
/// Pause between two looks at who still runs.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// So many of them must have been met.
const DEATHS_MIN: usize = 5;

#[test]
#[ignore = "takes minutes and needs strace: .ci/run slow plays it"]
fn a_run_survives_its_coordinators_death_at_any_sync() {
    let strace = in_path("strace").expect("this test needs strace");
    let mut died = 0;
    for (call, when) in CALLS.into_iter().flat_map(|call| (1..=TIMES).map(move |when| (call, when))) {
        let world = World::new(4, 31);
        let mut served = traced(&world, &strace, call, when);
        let was_ready = comes_up(&mut served);
        // Who finds nobody serving would serve itself.
        if !was_ready {
            served = world.sandbox.serve();
        }
        let mut workers: Vec<Process> = (0..2).map(|at| joining(&world, at)).collect();
        let are_in = |workers: &[Process]| workers.iter().all(|worker| worker.said().contains("joined"));
        while was_ready && served.is_running() && workers.iter_mut().all(Process::is_running) && !are_in(&workers) {
            std::thread::sleep(LOOK_EVERY);
        }
        let died_first = was_ready && !served.is_running();
        if died_first {
            served = world.sandbox.serve();
        }
        workers.iter_mut().for_each(|worker| worker.wait_for_stderr("joined"));
        let mut run = world.run(&[]);
        while was_ready && !died_first && run.is_running() && served.is_running() {
            std::thread::sleep(LOOK_EVERY);
        }
        let struck = !was_ready || died_first || !served.is_running();
        println!("{call} {when}: {}", if struck { "died" } else { "came to its end" });
        died += usize::from(struck);
        if was_ready && struck && !died_first {
            served = world.sandbox.serve();
        }
        let summary = run.wait_within(RUN_WITHIN).expect(0).json();
        check::complete(&world, &summary);
        workers.into_iter().for_each(end);
        if struck {
            end(served);
        } else {
            stop_traced(&world, served);
        }
        check::at_rest(&world);
    }
    assert!(died >= DEATHS_MIN, "only {died} of them met a sync");
}

/// A worker that is about to come in: the coordinator may die of it.
fn joining(world: &World, at: usize) -> Process {
    world.sandbox.program("worker").args(["join", "--backend", &world.backend(), "--name", &format!("w{at}")]).start()
}

fn traced(world: &World, strace: &PathBuf, call: &str, when: usize) -> Process {
    let mut command = Command::new(strace);
    command.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &format!("trace={call}"),
        "-e",
        &format!("inject={call}:signal=SIGKILL:when={when}"),
    ]);
    command.arg(binary("coordinator")).args(["serve", "--listen", "127.0.0.1:0"]);
    command.env_clear().env("PATH", world.sandbox.path("bin")).env("HOME", world.sandbox.path("home"));
    command.env("ROUNDTABLE_DATA_DIR", world.sandbox.data_dir());
    Process::start(command, &format!("coordinator serve, killed at {call} {when}"), Stdio::null())
}

/// Whether it was ready before it died.
fn comes_up(served: &mut Process) -> bool {
    while served.is_running() && !served.stderr().contains("ready") {
        std::thread::sleep(LOOK_EVERY);
    }
    served.stderr().contains("ready")
}

/// A signal to the tracer would let go of the traced.
fn stop_traced(world: &World, mut served: Process) {
    let lock = std::fs::read_to_string(world.sandbox.data_dir().join("lock")).unwrap();
    let lock: serde_json::Value = serde_json::from_str(&lock).unwrap();
    let pid = Pid::from_raw(i32::try_from(lock["pid"].as_i64().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    wait_for(
        "the coordinator to end",
        || served.said(),
        || std::fs::metadata(format!("/proc/{}", pid.as_raw_nonzero())).is_err().then_some(()),
    );
    while served.is_running() {
        std::thread::yield_now();
    }
}

fn in_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|file| file.is_file())
}
