//! A host: a network namespace, a cgroup, and folders that no other host looks into. What runs on it is the callers'.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cgroup;
use super::disk::Disk;
use super::net::{Network, Space};
use super::tools::{self, text};
use crate::harness::{Output, Process, Sandbox, binary};

/// How a program comes into the cgroup ($1) and the network ($2) of its host, as the same process.
const ENTER: &str = r#"echo $$ > "$1/cgroup.procs" || exit 97; nsenter=$2; net=$3; shift 3; exec "$nsenter" --net="$net" -- "$@""#;

/// A host. Dropped, everything on it is killed.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    folder: PathBuf,
    tools: PathBuf,
    nsenter: PathBuf,
    pub(super) space: Space,
    cgroup: PathBuf,
    pub(super) disk: Option<Disk>,
    busy: Mutex<()>,
}

impl Host {
    /// A new one; with a small disk of its own if that is to be filled.
    pub(super) fn new(sandbox: &Sandbox, network: &Network, name: &str, number: u8, has_disk: bool) -> Self {
        let folder = sandbox.path(name);
        for part in ["home", "tmp"] {
            std::fs::create_dir_all(folder.join(part)).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        }
        let space = network.host(name, number);
        let cgroup = cgroup::of_host(&space.name).expect("cgroups can be made where chaos is");
        std::fs::create_dir(&cgroup).unwrap_or_else(|error| panic!("{}: {error}", cgroup.display()));
        let disk = has_disk.then(|| Disk::mount(&folder.join("data")));
        let (tools, nsenter) = (sandbox.path("bin"), tools::tool("nsenter"));
        Self { name: name.to_owned(), folder, tools, nsenter, space, cgroup, disk, busy: Mutex::default() }
    }

    /// A path on it.
    pub(super) fn path(&self, relative: &str) -> PathBuf {
        self.folder.join(relative)
    }

    /// Where programs keep what they keep.
    pub(super) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Holds the host for one fault at a time.
    pub(super) fn hold(&self) -> MutexGuard<'_, ()> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of our programs there, to be started.
    pub(super) fn start(&self, program: &str, args: &[&str], env: &[(String, String)], dir: Option<&Path>) -> Process {
        self.start_under(&[], program, args, env, dir)
    }

    /// The same below another program.
    pub(super) fn start_under(
        &self,
        under: &[&str],
        program: &str,
        args: &[&str],
        env: &[(String, String)],
        dir: Option<&Path>,
    ) -> Process {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", ENTER, "sh"]).arg(&self.cgroup).arg(&self.nsenter).arg(self.space.file());
        command.args(under).arg(binary(program)).args(args);
        command.env_clear().current_dir(dir.unwrap_or(&self.folder));
        command.env("PATH", &self.tools).env("HOME", self.path("home")).env("TMPDIR", self.path("tmp"));
        command.env("ROUNDTABLE_DATA_DIR", self.data()).env("LANG", "C.UTF-8").env("NO_COLOR", "1").env("GIT_CONFIG_NOSYSTEM", "1");
        command.envs(env.iter().map(|(name, value)| (name, value)));
        Process::start(command, &format!("{}: {program} {}", self.name, args.join(" ")), Stdio::null())
    }

    /// One of our programs there, to its end.
    pub(super) fn run(&self, program: &str, args: &[&str], env: &[(String, String)]) -> Output {
        self.start(program, args, env, None).wait()
    }

    /// Stops everything on it where it stands.
    pub(super) fn freeze(&self) {
        self.write("cgroup.freeze", "1");
        self.wait_for_event("frozen 1");
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) {
        self.write("cgroup.freeze", "0");
    }

    /// Ends everything on it at once.
    pub(super) fn cut_power(&self) {
        self.write("cgroup.kill", "1");
        self.wait_for_event("populated 0");
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.cgroup.join(file);
        std::fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    fn wait_for_event(&self, line: &str) {
        let began = Instant::now();
        let file = self.cgroup.join("cgroup.events");
        while !std::fs::read_to_string(&file).unwrap_or_default().lines().any(|each| each == line) {
            assert!(began.elapsed() < cgroup::EMPTY_WITHIN, "{}: {} does not come to say {line}", self.name, text(&file));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether anything runs on it.
    pub(super) fn is_empty(&self) -> bool {
        cgroup::is_empty(&self.cgroup)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        cgroup::end(&self.cgroup);
    }
}
