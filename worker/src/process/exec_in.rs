//! The hidden `exec-in` subcommand: what this executable does when it is started again as a helper of its own. Every binary that runs
//! process trees calls [`dispatch_exec_in`] first thing in `main`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use super::supervise::supervise;

/// The word after the program's name.
pub(super) const EXEC_IN: &str = "exec-in";
/// Longest life of the process that a self-test leaves behind on purpose.
const PROBE_LIFE: Duration = Duration::from_secs(30);

/// If this process was started as a helper, does its work and returns what to exit with; `None` for an ordinary start.
pub fn dispatch_exec_in() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == EXEC_IN).then(|| exec_in_main(args))
}

/// The subcommand itself; `args` are those after `exec-in`.
pub fn exec_in_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let words: Vec<&str> = args.iter().map(|arg| arg.to_str().unwrap_or("")).collect();
    match words.as_slice() {
        ["supervise"] => supervise(None),
        ["supervise", "--cgroup", _] => supervise(Some(&PathBuf::from(&args[2]))),
        ["probe"] => probe("probe-daemon"),
        ["probe-daemon"] => {
            // Fails only for a group leader, which this process is not.
            let _ = rustix::process::setsid();
            probe("probe-sleep")
        }
        ["probe-sleep"] => {
            std::thread::sleep(PROBE_LIFE);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("exec-in is internal: the worker starts it by itself");
            ExitCode::from(3)
        }
    }
}

/// Starts the next generation of a small hostile tree and ends at once: a double-forked daemon in a session of its own that holds stdout.
fn probe(next: &str) -> ExitCode {
    let spawned = std::env::current_exe().and_then(|exe| {
        let mut command = Command::new(exe);
        command.args([EXEC_IN, next]).stdin(Stdio::null());
        if next == "probe-sleep" {
            command.process_group(0);
        }
        command.spawn()
    });
    if spawned.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
