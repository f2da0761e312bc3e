//! One test's world: a home without agent CLIs, a data dir, and programs that know nothing else of this machine.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::leftovers::{Leftover, leftovers};
use super::process::wait_until_gone;
use super::{Output, Process, Repository, SpecText, binary, wait_for};

/// What the programs and scripted agents find on their PATH, where the machine has it. No agent CLI.
const TOOLS: [&str; 32] = [
    "git", "sh", "bash", "env", "cat", "ls", "sleep", "mkdir", "rm", "mv", "cp", "touch", "true", "false", "echo", "printf", "grep", "sed",
    "awk", "head", "tail", "wc", "chmod", "ps", "kill", "nohup", "setsid", "date", "test", "tr", "sort", "ln",
];

/// A world. Dropped, its processes are killed and its files removed.
#[derive(Debug)]
pub struct Sandbox {
    root: TempDir,
    data_dir: PathBuf,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// An empty one.
    pub fn new() -> Self {
        Self::with_root(tempfile::Builder::new().prefix("rt-").tempdir().expect("a folder for the test can be made"))
    }

    /// The same below another folder than the system's temporary one.
    pub fn within(parent: &Path) -> Self {
        Self::with_root(tempfile::Builder::new().prefix("rt-").tempdir_in(parent).expect("a folder for the test can be made"))
    }

    fn with_root(root: TempDir) -> Self {
        let data_dir = root.path().join("data");
        furnish(root.path());
        Self { root, data_dir }
    }

    /// A path within.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    /// The data dir that programs use.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Puts a shell script on the programs' PATH, such as one that plays an agent CLI.
    pub fn executable(&self, name: &str, script: &str) -> PathBuf {
        put_script(self.root.path(), name, script)
    }

    /// A repository with one commit on `main`.
    pub fn repository(&self, name: &str) -> Repository {
        Repository::init(&self.path(name), &self.path("home"))
    }

    /// A repository without a commit.
    pub fn empty_repository(&self, name: &str) -> Repository {
        Repository::empty(&self.path(name), &self.path("home"))
    }

    /// A checkout that was made otherwise: a clone, a work tree.
    pub fn checkout(&self, name: &str) -> Repository {
        Repository::at(&self.path(name), &self.path("home"))
    }

    /// A repository `repo` with this spec committed in `.specs/NAME`. Gives both.
    pub fn project(&self, spec: &SpecText) -> (Repository, PathBuf) {
        let repository = self.repository("repo");
        let dir = spec.write(&repository.path().join(".specs"));
        repository.commit("Add the spec");
        (repository, dir)
    }

    /// A program, to be given arguments.
    pub fn program(&self, name: &str) -> Program {
        Program::new(self.command(&binary(name)), name)
    }

    /// A program that is not ours, in this world's environment.
    pub fn foreign(&self, file: &Path) -> Program {
        Program::new(self.command(file), &file.display().to_string())
    }

    /// `orchctl` with arguments, in a folder.
    pub fn orchctl<'a>(&self, folder: &Path, args: impl IntoIterator<Item = &'a str>) -> Program {
        self.program("orchctl").dir(folder).args(args)
    }

    /// `coordinator serve` on a free port, once it is ready.
    pub fn serve(&self) -> Process {
        let mut served = self.program("coordinator").args(["serve", "--listen", "127.0.0.1:0"]).start();
        served.wait_for_stderr("ready");
        served
    }

    /// `worker join` with arguments, once it has joined.
    pub fn worker<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Process {
        let mut worker = self.program("worker").args(["join"]).args(args).start();
        worker.wait_for_stderr("joined");
        worker
    }

    /// Live processes of this world.
    pub fn leftovers(&self) -> Vec<Leftover> {
        leftovers(self.root.path())
    }

    /// Fails unless every process of this world ends.
    #[track_caller]
    pub fn expect_no_leftovers(&self) {
        let said = || format!("{:#?}", self.leftovers());
        wait_for("every process to end", said, || self.leftovers().is_empty().then_some(()));
    }

    /// A command with nothing but this world in its environment.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.root.path());
        clear(&mut command, self.root.path());
        for (name, folder) in [("STATE", "state"), ("CONFIG", "config"), ("CACHE", "cache"), ("DATA", "share")] {
            command.env(format!("XDG_{name}_HOME"), self.path("home").join(folder));
        }
        command.env("ROUNDTABLE_DATA_DIR", &self.data_dir);
        command
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for leftover in self.leftovers() {
            if let Some(pid) = i32::try_from(leftover.pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
                if !std::thread::panicking() {
                    wait_until_gone(leftover.pid);
                }
            }
        }
    }
}

/// Makes home, temporary folder and PATH of a world or a host, with the system's tools on it.
pub(super) fn furnish(root: &Path) {
    for folder in ["home", "tmp", "bin"] {
        std::fs::create_dir_all(root.join(folder)).expect("a folder for the test can be made");
    }
    let search = std::env::var_os("PATH").unwrap_or_default();
    for tool in TOOLS {
        if let Some(file) = std::env::split_paths(&search).map(|dir| dir.join(tool)).find(|file| file.is_file()) {
            symlink(file, root.join("bin").join(tool)).expect("a link can be made");
        }
    }
}

/// Puts a shell script on that PATH.
pub(super) fn put_script(root: &Path, name: &str, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let file = root.join("bin").join(name);
    // It may be a link to a tool of the system.
    let _ = std::fs::remove_file(&file);
    std::fs::write(&file, script).expect("a script can be written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("a script can be made executable");
    file
}

/// Leaves nothing in a command's environment but what such a world has.
pub(super) fn clear(command: &mut Command, root: &Path) {
    command.env_clear().env("PATH", root.join("bin")).env("HOME", root.join("home")).env("TMPDIR", root.join("tmp"));
    command.env("LANG", "C.UTF-8").env("NO_COLOR", "1").env("GIT_CONFIG_NOSYSTEM", "1");
}

/// A program about to be started.
#[derive(Debug)]
pub struct Program {
    command: Command,
    name: String,
    stdin: Stdio,
}

impl Program {
    pub(super) fn new(command: Command, name: &str) -> Self {
        Self { command, name: name.to_owned(), stdin: Stdio::null() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        for arg in args {
            self.command.arg(arg);
            self.name.push(' ');
            self.name.push_str(arg);
        }
        self
    }

    /// Adds an argument that is a path.
    #[must_use]
    pub fn path(mut self, path: &Path) -> Self {
        self.command.arg(path);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes a variable.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Starts it in this folder.
    #[must_use]
    pub fn dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Gives it something to read.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdio) -> Self {
        self.stdin = stdin;
        self
    }

    /// Starts it.
    pub fn start(self) -> Process {
        Process::start(self.command, &self.name, self.stdin)
    }

    /// Runs it to its end.
    pub fn run(self) -> Output {
        self.start().wait()
    }
}
