//! Which way of keeping a process tree together holds on this host: tried once at start with a small hostile tree, strongest first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::cgroup::Cgroup;
use super::mark::cgroup_prefix;
use super::progress::Progress;
use super::run::{Exit, ProcessSpec, Stop, attend};
use super::sink::{LineSink, Stream};
use super::spawn::{Exe, Launcher};
use super::strategy::Strategy;
use super::{Limits, exec_in::EXEC_IN};
use crate::backend::StdoutMode;

/// Longest self-test of one strategy.
const TRIAL_WALL: Duration = Duration::from_secs(10);

/// Builds the launcher of a strategy and tries it.
pub(super) async fn try_strategy(strategy: Strategy, exe: &Exe, mark: &str) -> Result<Launcher, String> {
    let mut launcher = Launcher { exe: exe.clone(), cgroup_stem: None, unshare: None, mark: mark.to_owned() };
    match strategy {
        Strategy::Cgroup => {
            let own = Cgroup::own().map_err(|error| error.to_string())?;
            launcher.cgroup_stem = Some(own.dir().join(cgroup_prefix(mark)));
        }
        Strategy::PidNamespace => {
            launcher.unshare = Some(find_program("unshare").ok_or("no program `unshare` (util-linux) on PATH")?);
        }
        Strategy::Subreaper => {}
    }
    trial(&launcher, exe).await?;
    Ok(launcher)
}

/// Runs a tree whose daemon tries to outlive it, and sees whether it did: the daemon holds stdout open as long as it lives.
async fn trial(launcher: &Launcher, exe: &Exe) -> Result<(), String> {
    let spec = ProcessSpec {
        program: exe.path.clone(),
        args: [EXEC_IN, "probe"].map(Into::into).to_vec(),
        env: BTreeMap::new(),
        cwd: PathBuf::from("/"),
        stdin: Vec::new(),
        stdout: StdoutMode::Pipe,
        scratch: PathBuf::new(),
        limits: Limits { wall: TRIAL_WALL, idle: TRIAL_WALL, grace: Duration::ZERO, ..Limits::default() },
        name: "self-test".to_owned(),
    };
    let (_stop, stopped) = tokio::sync::watch::channel(Stop::No);
    let launched = launcher.launch().map_err(|error| error.to_string())?;
    let run = attend(launcher, launched, spec, Ignore, stopped, Arc::new(Progress::default())).await;
    let ended = run.ended.map_err(|error| error.to_string())?;
    match (ended.exit, ended.ended_by, ended.survivors.first()) {
        (Exit::Code(0), None, None) => Ok(()),
        (_, _, Some(survivor)) => Err(format!("in the self-test {survivor} outlived its tree")),
        (exit, ended_by, None) => Err(format!("the self-test ended with {exit:?} ({ended_by:?})")),
    }
}

struct Ignore;

impl LineSink for Ignore {
    fn line(&mut self, _: Stream, _: &[u8], _: bool) {}
    fn elided(&mut self, _: Stream, _: u64) {}
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
