//! The worker's side of supervisor processes: choosing a strategy, starting supervisors (one is kept warm, so that a program starts within a
//! few milliseconds), ending by force one that does not answer. What happens while a program runs is `run`'s.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::cgroup::Cgroup;
use super::detect::{Exe, Strategy, StrategyReport, try_strategy};
use super::leftovers::{self, Leftovers, MARK_VARIABLE};
use super::output::LineSink;
use super::progress::Progress;
use super::run::{ProcessSpec, Run, Stop, attend};
use super::tree::cgroup_path;

/// Room in the pipes, so that a burst does not have to wait for the reader to be scheduled.
const PIPE_BYTES: usize = 1 << 20;

/// Why a program could not be run or its end not be seen. All but `NotStarted` and `BadInput` are this host's fault, not the program's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// None of the strategies works here.
    #[error("no way to keep process trees together works on this host: {}", .0.iter().map(|(strategy, why)| format!("{strategy}: {why}")).collect::<Vec<_>>().join("; "))]
    NoStrategy(Vec<(Strategy, String)>),
    /// Processes of an earlier worker of this workspace cannot be killed.
    #[error("processes of an earlier run of this worker cannot be killed: {}; end them, then start again", .0.join(", "))]
    LeftoversSurvive(Vec<String>),
    /// The supervisor process cannot be started or set itself up.
    #[error("cannot start a supervisor process: {0}")]
    Launch(#[source] std::io::Error),
    /// The program cannot be started.
    #[error("cannot start {why}")]
    NotStarted {
        /// What and why.
        why: String,
        /// The program's file does not exist.
        missing: bool,
    },
    /// What should be run cannot be passed on.
    #[error("cannot run this: {0}")]
    BadInput(#[source] std::io::Error),
    /// The supervisor died or hung; the tree was killed by force.
    #[error("the supervisor process was lost and the tree killed{}", if .survivors.is_empty() { String::new() } else { format!("; still running: {}", .survivors.join(", ")) })]
    SupervisorLost {
        /// Processes that could not be killed.
        survivors: Vec<String>,
    },
    /// The sink panicked; the tree was killed.
    #[error("the reader of the program's output failed; the program was killed")]
    SinkFailed,
}

/// How a [`Supervisor`] is set up.
#[derive(Clone, Debug)]
pub struct SupervisorOptions {
    /// The workspace, locked by the caller: its path names our cgroups and marks.
    pub workspace: PathBuf,
    /// Use this strategy or fail; `None`: the strongest that holds.
    pub strategy: Option<Strategy>,
    /// Supervisors kept ready.
    pub warm: usize,
    /// The executable that knows `exec-in`; `None`: this one.
    pub exe: Option<PathBuf>,
}

impl SupervisorOptions {
    /// The strongest strategy, one warm supervisor, this executable.
    pub fn new(workspace: impl Into<PathBuf>) -> Self {
        Self { workspace: workspace.into(), strategy: None, warm: 1, exe: None }
    }
}

/// Runs process trees. Cheap to clone; dropping the last clone ends the warm supervisors.
#[derive(Clone, Debug)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    launcher: Launcher,
    report: StrategyReport,
    leftovers: Leftovers,
    warm: Mutex<VecDeque<Launched>>,
    warm_max: usize,
}

impl Supervisor {
    /// Kills what an earlier life left running, then finds a strategy that holds. Call once, before anything else is done in the workspace.
    pub async fn start(options: SupervisorOptions) -> Result<Self, ProcessError> {
        let workspace = std::fs::canonicalize(&options.workspace).map_err(ProcessError::Launch)?;
        let hash = blake3::hash(workspace.as_os_str().as_encoded_bytes()).to_hex();
        let mark = hash[..16].to_owned();
        let exe = match options.exe {
            Some(path) => Exe { path, own: false },
            None => Exe::own().map_err(ProcessError::Launch)?,
        };
        let (swept_workspace, swept_mark) = (workspace.clone(), mark.clone());
        let swept = tokio::task::spawn_blocking(move || leftovers::sweep(&swept_workspace, &swept_mark)).await;
        let leftovers = swept.map_err(|error| ProcessError::Launch(std::io::Error::other(error)))?;
        if !leftovers.survivors.is_empty() {
            return Err(ProcessError::LeftoversSurvive(leftovers.survivors));
        }
        let mut rejected = Vec::new();
        let candidates =
            options.strategy.map_or(vec![Strategy::Cgroup, Strategy::PidNamespace, Strategy::Subreaper], |wanted| vec![wanted]);
        for strategy in candidates {
            match try_strategy(strategy, &exe, &mark).await {
                Ok(launcher) => {
                    if let Some(parent) = launcher.cgroup_stem.as_deref().and_then(Path::parent) {
                        leftovers::note_cgroup(&workspace, parent).map_err(ProcessError::Launch)?;
                    }
                    let report = StrategyReport { strategy, rejected };
                    let inner = Inner { launcher, report, leftovers, warm: Mutex::default(), warm_max: options.warm };
                    let supervisor = Self { inner: Arc::new(inner) };
                    supervisor.warm_up();
                    return Ok(supervisor);
                }
                Err(why) => rejected.push((strategy, why)),
            }
        }
        Err(ProcessError::NoStrategy(rejected))
    }

    /// The strategy in use, and why no stronger one.
    pub fn strategy(&self) -> &StrategyReport {
        &self.inner.report
    }

    /// What was found running at the start, and killed.
    pub fn leftovers(&self) -> &Leftovers {
        &self.inner.leftovers
    }

    /// Runs a program to its end and the end of everything it started. Lines go to `sink` on a thread of its own; the sink comes back with
    /// the result. If the returned future is dropped, the tree is killed.
    pub async fn run<S: LineSink + 'static>(
        &self,
        spec: ProcessSpec,
        sink: S,
        stop: watch::Receiver<Stop>,
        progress: Arc<Progress>,
    ) -> Run<S> {
        let launched = match self.take_warm() {
            Some(warm) => Ok(warm),
            None => self.inner.launcher.launch(),
        };
        self.warm_up();
        match launched {
            Ok(launched) => run_with(&self.inner.launcher, launched, spec, sink, stop, progress).await,
            Err(error) => Run { ended: Err(ProcessError::Launch(error)), sink: Some(sink) },
        }
    }

    fn take_warm(&self) -> Option<Launched> {
        let mut warm = self.inner.warm.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut launched) = warm.pop_front() {
            if matches!(launched.child.try_wait(), Ok(None)) {
                return Some(launched);
            }
        }
        None
    }

    /// Starts the supervisors that are missing, beside the caller.
    fn warm_up(&self) {
        if self.inner.warm_max == 0 {
            return;
        }
        let weak = Arc::downgrade(&self.inner);
        // The supervisor's socket and child must be registered with this runtime, hence a task; starting takes a millisecond or two.
        tokio::spawn(async move {
            while let Some(inner) = weak.upgrade() {
                if inner.warm.lock().unwrap_or_else(PoisonError::into_inner).len() >= inner.warm_max {
                    return;
                }
                match inner.launcher.launch() {
                    Ok(launched) => inner.warm.lock().unwrap_or_else(PoisonError::into_inner).push_back(launched),
                    Err(error) => return tracing::warn!(%error, "cannot keep a supervisor process ready"),
                }
            }
        });
    }
}

/// Runs a program under a supervisor that was started already.
pub(super) async fn run_with<S: LineSink + 'static>(
    launcher: &Launcher,
    launched: Launched,
    spec: ProcessSpec,
    sink: S,
    stop: watch::Receiver<Stop>,
    progress: Arc<Progress>,
) -> Run<S> {
    attend(launcher, launched, spec, sink, stop, progress).await
}

/// Starts supervisor processes of one strategy.
#[derive(Clone, Debug)]
pub(super) struct Launcher {
    pub(super) exe: Exe,
    /// Where trees' cgroups are made, with the beginning of their names.
    pub(super) cgroup_stem: Option<PathBuf>,
    pub(super) unshare: Option<PathBuf>,
    pub(super) mark: String,
}

/// A supervisor process and the worker's ends of what connects to it.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) child: Child,
    pub(super) control: UnixStream,
    pub(super) stdout: File,
    pub(super) stderr: File,
    pub(super) cgroup: Option<Cgroup>,
}

impl Launcher {
    /// The value of the mark that processes of a tree bear.
    pub(super) fn mark_of(&self, tree: &str) -> String {
        format!("{}:{tree}", self.mark)
    }

    /// Starts a supervisor; it waits for its order.
    pub(super) fn launch(&self) -> std::io::Result<Launched> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (stdout, stdout_end) = output_pipe()?;
        let (stderr, stderr_end) = output_pipe()?;
        let mut command = match &self.unshare {
            None => {
                let mut command = std::process::Command::new(self.exe.image());
                command.arg0(&self.exe.path);
                command
            }
            Some(unshare) => {
                let mut command = std::process::Command::new(unshare);
                if !rustix::process::geteuid().is_root() {
                    command.args(["--user", "--map-current-user"]);
                }
                command.args(["--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"]).arg(&self.exe.path);
                command
            }
        };
        command.args([super::exec_in::EXEC_IN, "supervise"]);
        if let Some(stem) = &self.cgroup_stem {
            command.arg("--cgroup").arg(stem);
        }
        command.env_clear().env(MARK_VARIABLE, self.mark_of("supervisor"));
        command.stdin(OwnedFd::from(theirs)).stdout(stdout_end).stderr(stderr_end);
        let child = Command::from(command).spawn()?;
        let cgroup = self.cgroup_stem.as_ref().zip(child.id()).map(|(stem, pid)| Cgroup::at(cgroup_path(stem, pid)));
        Ok(Launched { child, control: UnixStream::from_std(ours)?, stdout, stderr, cgroup })
    }
}

/// A pipe whose reading end does not block.
fn output_pipe() -> std::io::Result<(File, Stdio)> {
    let (read, write) = std::io::pipe()?;
    // Refused beyond the user's share of pipe memory; the default size works as well, only with more switching.
    let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE_BYTES);
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok((File::from(OwnedFd::from(read)), write.into()))
}

impl Launched {
    /// Ends the tree without the supervisor's help. Returns who is left.
    pub(super) async fn force(&mut self, mark: String) -> Vec<String> {
        let _ = self.child.start_kill();
        let cgroup = self.cgroup.clone();
        let forced = tokio::task::spawn_blocking(move || {
            let deadline = Instant::now() + Duration::from_secs(10);
            let mut survivors = Vec::new();
            if let Some(cgroup) = cgroup {
                while cgroup.dir().is_dir() && Instant::now() < deadline {
                    let _ = cgroup.kill();
                    if !cgroup.populated() && cgroup.remove().is_ok() {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                survivors.extend(cgroup.pids().into_iter().map(super::descendants::describe));
            }
            survivors.extend(leftovers::kill_marked(|value| value == mark.as_bytes()).survivors);
            survivors
        });
        let survivors = forced.await.unwrap_or_else(|error| vec![format!("unknown ({error})")]);
        let _ = self.child.wait().await;
        survivors
    }
}
