//! The process trees of a workspace: chooses a strategy, keeps a supervisor process warm, so that a program starts within a few milliseconds, and
//! has programs run. Starting a supervisor process is `spawn`'s, what happens while a program runs under it is `run`'s.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::detect::try_strategy;
use super::error::ProcessError;
use super::leftovers::{self, Leftovers};
use super::progress::Progress;
use super::run::{ProcessSpec, Run, Stop, attend};
use super::sink::LineSink;
use super::spawn::{Exe, Launched, Launcher};
use super::strategy::{Strategy, StrategyReport};

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
            Ok(launched) => attend(&self.inner.launcher, launched, spec, sink, stop, progress).await,
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
