//! Which way of keeping a process tree together holds on this host: tried once at start with a small hostile tree, strongest first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::cgroup::Cgroup;
use super::output::{LineSink, Stream};
use super::progress::Progress;
use super::run::{Exit, ProcessSpec, Stop};
use super::spawn::{Launcher, run_with};
use super::{Limits, exec_in::EXEC_IN};
use crate::backend::StdoutMode;

/// How a process tree is kept together and killed, strongest first. In every one a supervisor process stands between worker and program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Strategy {
    /// A cgroup (version 2) per tree: one write kills it whole, forks in flight included.
    Cgroup,
    /// A PID namespace per tree, by `unshare`: the kernel kills it with its first process.
    PidNamespace,
    /// The supervisor adopts all orphans and kills descendants until none is left. A tree that forks faster than it is walked may outrun it
    /// for a while.
    Subreaper,
}

impl std::fmt::Display for Strategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cgroup => "cgroup",
            Self::PidNamespace => "pid-namespace",
            Self::Subreaper => "subreaper",
        })
    }
}

/// What was chosen, and why nothing stronger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StrategyReport {
    /// The strategy in use.
    pub strategy: Strategy,
    /// The stronger ones that do not hold here, with the reason.
    pub rejected: Vec<(Strategy, String)>,
}

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

/// How the names of a workspace's cgroups begin.
pub(super) fn cgroup_prefix(mark: &str) -> String {
    format!("roundtable-{mark}-")
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
    let run = run_with(launcher, launched, spec, Ignore, stopped, Arc::new(Progress::default())).await;
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

/// The executable that knows `exec-in`.
#[derive(Clone, Debug)]
pub(super) struct Exe {
    /// Where it is.
    pub(super) path: PathBuf,
    /// It is this process's own image: then it can be started even if the file was replaced by an upgrade.
    pub(super) own: bool,
}

impl Exe {
    /// The image this process runs.
    pub(super) fn own() -> std::io::Result<Self> {
        Ok(Self { path: std::env::current_exe()?, own: true })
    }

    /// What to start outside of any namespace.
    pub(super) fn image(&self) -> &Path {
        if self.own { Path::new("/proc/self/exe") } else { &self.path }
    }
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
