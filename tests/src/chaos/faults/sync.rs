//! The n-th sync of something, broken by `strace`: refused, or the last thing its process does. The tracer is let loose on a program when what is to be synced
//! has a name; a worker that comes in is born under it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::pause;
use crate::chaos::daemon::Daemon;
use crate::chaos::plan::{Broken, Synced};
use crate::chaos::tools::{self, text};
use crate::chaos::world::World;
use crate::harness::{Signal, wait_for};
use crate::plans;

/// How long a sync is waited for in all.
const MET_WITHIN: Duration = Duration::from_secs(45);
/// And under one list of names, before it is looked for others.
const LOOK_WITHIN: Duration = Duration::from_millis(2_500);
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(4);
/// How long a tracer may take to let go.
const LETS_GO_WITHIN: Duration = Duration::from_secs(2);

/// Which sync, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Break {
    pub(super) what: Synced,
    pub(super) which: u32,
    pub(super) how: Broken,
}

impl Break {
    /// The arguments of strace for syncs of these files; of any, without a name. Calls are counted by thread.
    fn strace(&self, log: &Path, files: &[PathBuf]) -> Vec<String> {
        let how = match self.how {
            Broken::Eio => "error=EIO",
            Broken::Enospc => "error=ENOSPC",
            Broken::Kill => "signal=SIGKILL",
        };
        let inject = format!("inject=fsync,fdatasync:{how}:when={}", self.which);
        let mut args = ["-f", "-qq", "-y", "-o", text(log), "-e", "signal=none", "-e", "trace=fsync,fdatasync", "-e", &inject]
            .map(str::to_owned)
            .to_vec();
        for file in files {
            args.extend(["-P".to_owned(), text(file).to_owned()]);
        }
        args
    }

    /// Whether the log says that it has happened.
    fn is_met(&self, log: &Path) -> bool {
        let said = fs::read_to_string(log).unwrap_or_default();
        match self.how {
            // What ended in the middle of a call has no result.
            Broken::Kill => said.lines().any(|line| line.contains("sync") && line.trim_end().ends_with("= ?")),
            Broken::Eio | Broken::Enospc => said.contains("(INJECTED)"),
        }
    }
}

/// Plays it; whether it was met.
pub(super) fn play(world: &World, daemon: &Daemon, it: Break, lasts: Duration) -> bool {
    let is_met = match it.what {
        Synced::Identity => of_newcomer(world, it),
        _ => of_daemon(world, daemon, it),
    };
    pause(lasts);
    is_met
}

fn of_daemon(world: &World, daemon: &Daemon, mut it: Break) -> bool {
    let began = Instant::now();
    while began.elapsed() < MET_WITHIN {
        let files = files(daemon, it.what);
        let Some(pid) = daemon.pid().filter(|_| !files.is_empty()) else {
            std::thread::sleep(LOOK_EVERY);
            continue;
        };
        let log = world.sandbox.path(&format!("strace-{}", world.number()));
        let mut tracer = Tracer::attach(pid, &it.strace(&log, &files));
        if it.what == Synced::Audit {
            // A person's command is recorded before it is done.
            tracer.is_attached(pid);
            let told = daemon.host.start("coordinator", &["token", "create", "--role", "viewer", "--json"], &[], None);
            if tracer.sees(&it, &log) {
                return true;
            }
            drop(told);
        } else if tracer.sees(&it, &log) {
            return true;
        }
        // There were not so many.
        it.which = 1;
    }
    false
}

/// What will be synced next, as far as it has a name.
fn files(daemon: &Daemon, what: Synced) -> Vec<PathBuf> {
    let data = fs::canonicalize(daemon.host.data()).unwrap_or_default();
    match what {
        Synced::Log => vec![data.join("store.db-wal")],
        Synced::Audit => within(&data.join("audit")),
        Synced::Segment => attempts(&data)
            .into_iter()
            .flat_map(|(run, unit, attempt)| {
                let folder = data.join("segments").join(run).join(unit).join(attempt);
                [folder.join(format!("{:020}.seg", 1)), folder.join("end.new")]
            })
            .collect(),
        Synced::GitRef => {
            let runs = attempts(&data);
            let refs = |store: PathBuf| {
                let of_attempt = |(run, unit, attempt): &(String, String, String)| {
                    let own = store.join("refs/roundtable").join(run).join(unit).join(format!("{attempt}.lock"));
                    [store.join("refs/heads/roundtable").join(format!("{run}.lock")), own]
                };
                runs.iter().flat_map(of_attempt).collect::<Vec<_>>()
            };
            within(&data.join("repos")).into_iter().filter(|store| store.is_dir()).flat_map(refs).collect()
        }
        Synced::Spool => spools(&data).into_iter().map(|folder| folder.join("events")).collect(),
        Synced::Outcome => spools(&data).into_iter().map(|folder| folder.join("outcome.json.tmp")).collect(),
        Synced::Identity => Vec::new(),
    }
}

/// Attempts of the newest run that there are or that come next: run, unit, number.
fn attempts(data: &Path) -> Vec<(String, String, String)> {
    let changed = |folder: &PathBuf| fs::metadata(folder).and_then(|meta| meta.modified()).ok();
    let Some(run) = within(&data.join("segments")).into_iter().max_by_key(changed) else { return Vec::new() };
    let units: Vec<String> = (0..UNITS_MAX).map(plans::Plan::id).collect();
    let numbers = |unit: String| {
        let last = within(&run.join(&unit)).iter().filter_map(|folder| name(folder).parse().ok()).max().unwrap_or(0_u32);
        (last.max(1)..=last + 1).map(move |number| (unit.clone(), number))
    };
    units.into_iter().flat_map(numbers).map(|(unit, number)| (name(&run), unit, number.to_string())).collect()
}

/// Runs have no more units than that, or only the first of them are looked at.
const UNITS_MAX: usize = 24;

/// Folders of attempts that have not ended.
fn spools(data: &Path) -> Vec<PathBuf> {
    let workers = within(&data.join("workers"));
    let folders = workers.into_iter().flat_map(|worker| within(&worker.join("spool")));
    folders.filter(|folder| folder.is_dir() && !folder.join("outcome.json").exists()).collect()
}

fn within(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A worker that comes in for the first time. Whatever happened to it, it comes in with the same token afterwards, and leaves in order.
fn of_newcomer(world: &World, it: Break) -> bool {
    let host = &world.spare;
    let _ = fs::remove_dir_all(host.data());
    let (name, args, env) = world.newcomer();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let log = world.sandbox.path(&format!("strace-{name}"));
    let strace = text(&tools::tool("strace")).to_owned();
    let traced = it.strace(&log, &[]);
    let under: Vec<&str> = [strace.as_str(), "-D"].into_iter().chain(traced.iter().map(String::as_str)).collect();
    let mut first = host.start_under(&under, "worker", &args, &env, None);
    let began = Instant::now();
    while first.is_running() && !first.stderr().contains("joined") && began.elapsed() < MET_WITHIN {
        std::thread::sleep(LOOK_EVERY);
    }
    first.kill();
    let again = || {
        let mut worker = host.start("worker", &args, &env, None);
        let began = Instant::now();
        while worker.is_running() && !worker.stderr().contains("joined") && began.elapsed() < MET_WITHIN {
            std::thread::sleep(LOOK_EVERY);
        }
        // The coordinator may be away, or what it sends: then it is tried again.
        (worker.is_running() && worker.stderr().contains("joined")).then_some(worker)
    };
    let worker = wait_for("a worker to come in after all", || world.said(), again);
    worker.signal(Signal::TERM);
    worker.wait_within(MET_WITHIN * 2).expect(0);
    it.is_met(&log)
}

/// A running strace; dropped, it lets go.
struct Tracer(Child);

impl Tracer {
    fn attach(pid: u32, args: &[String]) -> Self {
        let mut command = Command::new(tools::tool("strace"));
        command.args(args).args(["-p", &pid.to_string()]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("strace cannot be started: {error}")))
    }

    /// Waits until it holds the program, or either has ended.
    fn is_attached(&mut self, pid: u32) {
        let holds = |status: String| status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"));
        let began = Instant::now();
        while began.elapsed() < LOOK_WITHIN && self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            match fs::read_to_string(format!("/proc/{pid}/status")) {
                Ok(status) if !holds(status.clone()) => std::thread::sleep(LOOK_EVERY),
                _ => return,
            }
        }
    }

    /// Waits until the log says that it has happened, or the program has ended without.
    fn sees(&mut self, it: &Break, log: &Path) -> bool {
        let began = Instant::now();
        while began.elapsed() < LOOK_WITHIN {
            if it.is_met(log) {
                return true;
            }
            if !self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        it.is_met(log)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw)
            && self.0.try_wait().is_ok_and(|ended| ended.is_none())
        {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let began = Instant::now();
        while self.0.try_wait().is_ok_and(|ended| ended.is_none()) && began.elapsed() < LETS_GO_WITHIN {
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
