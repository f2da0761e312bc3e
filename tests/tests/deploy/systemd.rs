//! The units: as systemd reads them, and as a user without systemd would start what they start.

use std::collections::BTreeMap;
use std::process::Command;

use roundtable_tests::harness::{Playbook, Process, Sandbox, SpecText, binary, wait_for};

use crate::repository;

const UNITS: [(&str, &str); 4] = [
    ("coordinator", "deploy/systemd/roundtable-coordinator.service"),
    ("worker", "deploy/systemd/roundtable-worker.service"),
    ("coordinator", "deploy/systemd/user/roundtable-coordinator.service"),
    ("worker", "deploy/systemd/user/roundtable-worker.service"),
];

pub fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap()
}

/// The value of a key in a unit.
pub fn value<'t>(unit: &'t str, key: &str) -> &'t str {
    let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("the unit has no {key}: {unit}"))
}

/// What `systemd-analyze` has to say of a unit, in a folder of its own.
fn verify(name: &str, text: &str, is_users: bool) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no"]).arg(&file).env("XDG_RUNTIME_DIR", dir.path());
    if is_users {
        command.arg("--user");
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    // Units of this machine, which ours name, may have faults of their own.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("roundtable-")).collect();
    let failed = if output.status.success() { String::new() } else { format!("{}\n{said}", output.status) };
    format!("{}{failed}", ours.join("\n"))
}

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_finds_no_fault_in_the_units() {
    for (program, path) in UNITS {
        let text = read(path).replace(&format!("/usr/local/bin/{program}"), &binary(program).display().to_string());
        let name = path.rsplit('/').next().unwrap();
        let is_users = path.contains("/user/");
        assert_eq!(verify(name, &text, is_users), "", "{path}");
        // It would have been found.
        let wrong = text.replace("RestartSec=2", "RestartSec=2\nRestartsSec=2");
        assert!(verify(name, &wrong, is_users).contains("RestartsSec"), "{path}");
    }
}

#[test]
#[ignore = "needs systemd-analyze"]
fn nor_in_those_that_are_installed() {
    let sandbox = Sandbox::new();
    let user: &[&str] = if rustix::process::geteuid().is_root() { &["--user", "daemon"] } else { &[] };
    let is_users = user.is_empty();
    let tries: [(&str, &[&str]); 3] = [("coordinator", &["--data-dir", "/srv/round table"]), ("coordinator", &[]), ("worker", &[])];
    for (program, more) in tries {
        let printed = sandbox.program(program).args(["install", "--print"]).args(user.iter().copied()).args(more.iter().copied());
        let unit = printed.run().expect(0).stdout;
        assert!(value(&unit, "ExecStart").starts_with(&binary(program).display().to_string()), "{unit}");
        assert_eq!(verify(&format!("roundtable-{program}.service"), &unit, is_users), "", "{unit}");
    }
}

#[test]
fn who_may_install_for_whom_is_said() {
    let sandbox = Sandbox::new();
    for program in ["coordinator", "worker"] {
        let install = |args: &[&str]| sandbox.program(program).args(["install", "--print"]).args(args.iter().copied()).run();
        if rustix::process::geteuid().is_root() {
            install(&[]).expect(3).err_has(&["--user"]);
            install(&["--user", "a b"]).expect(3).err_has(&["no user's name"]);
            install(&["--user", "nobody"]).expect(0).out_has(&["User=nobody", "WantedBy=multi-user.target"]);
        } else {
            install(&["--user", "nobody"]).expect(3).err_has(&["sudo"]);
            install(&[]).expect(0).out_has(&["WantedBy=default.target"]);
        }
    }
}

/// Variables of a file as `EnvironmentFile=` reads it.
pub fn variables(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Starts what a user's own unit starts, in an environment with nothing of ours, but for its flags.
fn start(sandbox: &Sandbox, program: &str, flags: &BTreeMap<String, String>) -> Process {
    let unit = read(&format!("deploy/systemd/user/roundtable-{program}.service"));
    let line = value(&unit, "ExecStart").strip_prefix(&format!("/usr/local/bin/{program} ")).unwrap().to_owned();
    let command = sandbox.program(program).args(line.split(' ')).without_env("ROUNDTABLE_DATA_DIR");
    flags.iter().fold(command, |command, (name, value)| command.env(name, value)).start()
}

#[test]
fn what_the_units_start_works_together_and_is_stopped_as_they_say() {
    let sandbox = Sandbox::new();
    let (repo, spec) = sandbox.project(&SpecText::parallel("login", 4));
    let play = Playbook::new().write(&sandbox.path("play.json"));
    let mut of_coordinator = variables(&read("deploy/config/coordinator.env"));
    of_coordinator.insert("ROUNDTABLE_SERVE_LISTEN".to_owned(), "127.0.0.1:0".to_owned());
    let mut of_worker = variables(&read("deploy/config/worker.env"));
    assert_eq!(of_worker["ROUNDTABLE_JOIN_BACKEND"], "codex", "the sample serves something");
    of_worker.insert("ROUNDTABLE_JOIN_BACKEND".to_owned(), format!("scripted:{}=1", play.display()));
    let mut served = start(&sandbox, "coordinator", &of_coordinator);
    served.wait_for_stderr("ready");
    let workers: Vec<Process> = (0..2)
        .map(|_| {
            let mut worker = start(&sandbox, "worker", &of_worker);
            worker.wait_for_stderr("joined");
            worker
        })
        .collect();
    let orchctl = |args: &[&str]| sandbox.orchctl(repo.path(), args.iter().copied()).without_env("ROUNDTABLE_DATA_DIR");
    orchctl(&["run", "--mode", "deterministic", "--spec"]).path(&spec).run().expect(0);
    let known = orchctl(&["workers", "--json"]).run().expect(0).json();
    assert_eq!(known.as_array().map(Vec::len), Some(2), "{known:#}");
    // `ExecStop`, as systemd runs it: it ends once the worker has.
    let stop = read("deploy/systemd/user/roundtable-worker.service");
    let stop = value(&stop, "ExecStop").strip_prefix("/bin/sh -c '").and_then(|line| line.strip_suffix('\'')).unwrap().replace("$$", "$");
    for worker in workers {
        let mut stopping = Command::new("/bin/sh").args(["-c", &stop]).env("MAINPID", worker.pid().to_string()).spawn().unwrap();
        worker.wait().expect(0);
        let status = wait_for("the command to end", String::new, || stopping.try_wait().unwrap());
        assert!(status.success(), "{status}");
    }
    served.signal(roundtable_tests::harness::Signal::TERM);
    served.wait().expect(0);
    wait_for("everything to end", || format!("{:?}", sandbox.leftovers()), || sandbox.leftovers().is_empty().then_some(()));
}
