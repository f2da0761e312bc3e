//! `worker join --tmux`: windows with live logs where tmux is, and the same work where it is not.

use std::path::PathBuf;
use std::process::Command;

use roundtable_tests::harness::{Playbook, Signal, SpecText, Turn, step, wait_for};

use crate::world::World;

/// tmux as it is on this machine.
fn tmux() -> PathBuf {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&search).map(|dir| dir.join("tmux")).find(|file| file.is_file());
    found.expect("tmux is on the PATH")
}

#[test]
fn without_tmux_that_is_said_and_nothing_else_changes() {
    let world = World::new(&SpecText::parallel("login", 2), &Playbook::new());
    let _served = world.sandbox.serve();
    let agents = world.agents(1);
    world.sandbox.program("worker").args(["join", "--backend", &agents, "--tmux", "a:b"]).run().expect(3).err_has(&["session"]);
    // The world's PATH has none.
    let worker = world.sandbox.worker(["--backend", &agents, "--tmux", "rt"]);
    assert_eq!(worker.stderr().matches("--tmux: attempts are not shown in windows").count(), 1, "{}", worker.said());
    world.orchctl(&["run", "--mode", "deterministic", "--spec"]).path(&world.spec).run().expect(0);
    worker.signal(Signal::TERM);
    worker.wait().expect(0);
}

#[test]
#[ignore = "needs tmux"]
fn each_target_window_has_a_window_with_the_live_log_of_its_attempt() {
    let speaks = || Turn::new().steps([step::say("I look at the parser"), step::sleep_ms(600_000)]);
    let playbook = Playbook::new().unit("1", "implement", [speaks()]).unit("2", "implement", [speaks()]);
    let world = World::new(&SpecText::parallel("login", 2), &playbook);
    let _served = world.sandbox.serve();
    std::os::unix::fs::symlink(tmux(), world.sandbox.path("bin/tmux")).expect("a link can be made");
    // A server of its own, in a world of its own.
    let sockets = world.sandbox.path("tmp").display().to_string();
    let ask = |args: &[&str]| {
        let output = Command::new(tmux()).args(args).env("TMUX_TMPDIR", &sockets).env_remove("TMUX").output().expect("tmux can be started");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let agents = world.agents(2);
    let worker = world.sandbox.program("worker").args(["join", "--backend", &agents, "--tmux", "rt"]).env("TMUX_TMPDIR", &sockets);
    let mut worker = worker.env("SHELL", "/bin/sh").start();
    worker.wait_for_stderr("joined");
    let run = world.orchctl(&["run", "--mode", "deterministic", "--spec"]).path(&world.spec).start();
    let text = wait_for(
        "both logs to be shown",
        || format!("{}\n{}\n{}", worker.said(), run.said(), ask(&["list-windows", "-a"])),
        || {
            let shown = ["task-1", "task-2"].map(|window| ask(&["capture-pane", "-p", "-J", "-t", &format!("=rt:{window}")]));
            shown.iter().all(|text| text.contains("I look at the parser")).then(|| shown.concat())
        },
    );
    assert!(text.contains("implement by scripted:"), "{text}");
    let windows = ask(&["list-windows", "-t", "=rt", "-F", "#{window_name}"]);
    assert!(windows.lines().count() <= 9 && windows.lines().any(|line| line == "task-2"), "{windows}");
    // Twice: at once. What was shown goes with the worker.
    worker.signal(Signal::TERM);
    worker.wait_for_stderr("draining");
    worker.signal(Signal::TERM);
    worker.wait().expect(0);
    assert_eq!(ask(&["list-panes", "-a"]), "", "no pane of ours is left");
    run.kill();
}
