//! A world for one test: the model server, a home that knows it, a repository with a spec, our three programs as separate processes, and the real
//! agent CLIs. Nothing of it is left when it ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use roundtable_tests::harness::{Leftover, Output, Process, Signal, binary, leftovers};
use roundtable_tests::model_server::{ModelServer, Script, Seen};
use roundtable_tests::rehearsal::Rehearsal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;

/// Longer than anything here takes on a busy machine: a run is some twenty starts of large programs.
pub const WITHIN: Duration = Duration::from_secs(300);

/// The CLIs are large and the machine may have two cores: one world at a time.
pub static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Everything of a test.
pub struct World {
    pub server: ModelServer,
    pub place: Rehearsal,
    workers: Vec<Process>,
    coordinator: Option<Process>,
    /// The model server lives on it.
    _runtime: tokio::runtime::Runtime,
    _dir: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    /// Opens a world in which the models play `script` on a repository of `files`.
    pub fn open(script: &str, files: &[(&str, &str)]) -> Self {
        Self::open_under("play", script, files)
    }

    /// The same, where every request of the models meets `scenario`.
    pub fn open_under(scenario: &str, script: &str, files: &[(&str, &str)]) -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ours = binary("orchctl").parent().unwrap().to_owned();
        // Not in the system's temporary directory: codex does not work there.
        let dir = tempfile::Builder::new().prefix("e2e-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for cli in ["codex", "gemini", "opencode"] {
            std::os::unix::fs::symlink(program_of(cli), bin.join(cli)).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(ModelServer::start(Script::parse(script).unwrap())).unwrap();
        let (url, programs) = (server.scenario_url(scenario), [ours, bin]);
        let place = runtime.block_on(Rehearsal::lay_out(dir.path(), &url, &programs, files)).unwrap();
        Self { server, place, workers: Vec::new(), coordinator: None, _runtime: runtime, _dir: dir, _alone: alone }
    }

    /// `coordinator serve`, ready.
    pub fn serve(&mut self) {
        let mut process = self.start("coordinator", &["serve", "--listen", "127.0.0.1:0"]);
        process.wait_for_stderr("ready");
        self.coordinator = Some(process);
    }

    /// `worker join` with these arguments, joined.
    pub fn join(&mut self, args: &[&str]) {
        let mut process = self.start("worker", &[&["join"], args].concat());
        process.wait_for_stderr("joined");
        self.workers.push(process);
    }

    /// A command of one of our programs in the repository, with nothing but this world in its environment.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(binary(program));
        command.args(args).current_dir(self.place.repo()).env_clear();
        command.envs(self.place.env().iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn start(&self, program: &str, args: &[&str]) -> Process {
        Process::start(self.command(program, args), &format!("{program} {}", args.join(" ")), Stdio::null())
    }

    /// A program to its end.
    pub fn run(&self, program: &str, args: &[&str]) -> Output {
        self.end(self.start(program, args))
    }

    /// `orchctl` to its end.
    pub fn orchctl(&self, args: &[&str]) -> Output {
        self.run("orchctl", args)
    }

    /// What a process comes to.
    pub fn end(&self, process: Process) -> Output {
        process.wait_within(WITHIN)
    }

    /// The answer of `orchctl … --json`, whatever it exits with.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        self.orchctl(&[args, &["--json"]].concat()).json()
    }

    /// git in the repository; what it says.
    pub fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git").args(args).current_dir(self.place.repo()).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A file on the run's branch; `None` if it is not there.
    pub fn at_tip(&self, run: &str, path: &str) -> Option<String> {
        let name = format!("roundtable/{run}:{path}");
        let output = Command::new("git").args(["show", &name]).current_dir(self.place.repo()).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// Requests the models got whose turn is `<unit>/<role>/<index>`.
    pub fn asked(&self, turn: &str) -> Vec<Seen> {
        let mut seen = self.server.seen();
        seen.retain(|seen| seen.tag.split_once('/').is_some_and(|(_, rest)| rest == turn));
        seen
    }

    /// Looks until `found` finds something.
    #[track_caller]
    pub fn until<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + WITHIN;
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(Instant::now() < deadline, "not within {WITHIN:?}: {what}");
            std::thread::sleep(Duration::from_millis(40));
        }
    }

    /// Ends workers and coordinator; nothing that was started here may be left.
    pub fn close(mut self) {
        for process in std::mem::take(&mut self.workers).into_iter().chain(self.coordinator.take()) {
            process.signal(Signal::TERM);
            self.end(process).expect(0);
        }
        let said = || format!("left behind: {:#?}", self.processes());
        roundtable_tests::harness::wait_for("every process to end", said, || self.processes().is_empty().then_some(()));
    }

    /// Processes of this world: all of them have its home.
    fn processes(&self) -> Vec<Leftover> {
        leftovers(&self.place.home())
    }

    /// Kills the agents of a CLI that run now; how many.
    pub fn kill(&self, cli: &str) -> usize {
        let is_it = |process: &&Leftover| process.command.split(' ').next().is_some_and(|program| program.ends_with(&format!("/{cli}")));
        let processes = self.processes();
        processes.iter().filter(is_it).filter(|process| kill_process(pid(process), Signal::KILL).is_ok()).count()
    }
}

fn pid(process: &Leftover) -> Pid {
    i32::try_from(process.pid).ok().and_then(Pid::from_raw).unwrap()
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what the models were asked:");
            self.server.seen().iter().for_each(|seen| eprintln!("  {} {} step {}: {}", seen.dialect, seen.tag, seen.step, seen.reply));
            for process in self.coordinator.iter().chain(&self.workers) {
                eprintln!("{}", process.said());
            }
        }
        self.workers.clear();
        self.coordinator = None;
        for process in self.processes() {
            let _ = kill_process(pid(&process), Signal::KILL);
        }
    }
}

/// Where a CLI is: named by the environment, else installed by `.ci/install-clis`.
pub fn program_of(cli: &str) -> PathBuf {
    let variable = if cli == "gemini" { "GEMINI_JS".to_owned() } else { format!("{}_BIN", cli.to_uppercase()) };
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/clis/node_modules/.bin").join(cli);
    let program = std::env::var_os(&variable).map_or(installed, PathBuf::from);
    std::fs::canonicalize(&program)
        .unwrap_or_else(|error| panic!("{}: {error}: run .ci/install-clis, or set {variable}", program.display()))
}
