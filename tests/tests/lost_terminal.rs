//! Programs whose terminal is gone: nobody reads what they say any more, and they go on and end as asked all the same.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use roundtable_tests::harness::{Signal, binary, wait_for};
use rustix::process::{Pid, kill_process};

/// Starts it, waits for its word, and then closes the other end of its stderr.
fn start_and_look_away(home: &std::path::Path, program: &str, args: &[&str], word: &str) -> Child {
    let mut command = Command::new(binary(program));
    command.args(args).env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    let heard = said.lines().map_while(Result::ok).any(|line| line == word);
    assert!(heard, "{program} ended before it said {word:?}");
    child
}

fn end(mut child: Child, signal: Signal) {
    kill_process(Pid::from_child(&child), signal).unwrap();
    let status = wait_for("the end of a program without terminal", String::new, || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_lost_terminal_keeps_nobody_from_ending() {
    let home = tempfile::tempdir().unwrap();
    let playbook = home.path().join("play.json");
    std::fs::write(&playbook, "{}").unwrap();
    let coordinator = start_and_look_away(home.path(), "coordinator", &["serve", "--listen", "127.0.0.1:0"], "ready");
    let backend = format!("scripted:{}", playbook.display());
    let worker = start_and_look_away(home.path(), "worker", &["join", "--backend", &backend], "joined");
    // What a closed terminal sends, and what a person would.
    end(worker, Signal::HUP);
    end(coordinator, Signal::TERM);
}
