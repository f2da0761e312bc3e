//! Hosts of a network, each in namespaces of its own: network, processes, mounts, name. They share the kernel and the system's programs; of each other's
//! folders they see nothing. Killed, everything that runs on one is gone at once, as with a power cut. Needs root, or a user namespace with mounts.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::process::wait_until_gone;
use super::sandbox::{clear, furnish, put_script};
use super::{Output, Process, Program, Repository, SpecText, binary, wait_for};

/// The network's first three numbers; the hosts are 1, 2, …
const NETWORK: &str = "10.79.0";

/// Hosts, and the switch that connects them. Dropped, all of it is gone.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Host>,
    switch: Space,
    _root: TempDir,
}

impl Network {
    /// Hosts of these names, connected and with nothing on them but git, a shell and its tools.
    pub fn new<const N: usize>(names: [&str; N]) -> Self {
        Self::with_root(tempfile::Builder::new().prefix("rt-").tempdir().expect("a folder for the test can be made"), names)
    }

    /// The same below another folder than the system's temporary one.
    pub fn within<const N: usize>(parent: &Path, names: [&str; N]) -> Self {
        Self::with_root(tempfile::Builder::new().prefix("rt-").tempdir_in(parent).expect("a folder for the test can be made"), names)
    }

    fn with_root<const N: usize>(root: TempDir, names: [&str; N]) -> Self {
        let dir = std::fs::canonicalize(root.path()).expect("the folder is there");
        names.iter().for_each(|name| furnish(&dir.join(name)));
        let switch = Space::open("true");
        switch.run(&["ip", "link", "add", "switch", "type", "bridge"]);
        switch.run(&["ip", "link", "set", "switch", "up"]);
        let hosts = names.iter().enumerate().map(|(nth, name)| {
            let others: Vec<PathBuf> = names.iter().filter(|other| other != &name).map(|other| dir.join(other)).collect();
            Host::open(name, nth + 1, &dir, &others, &switch)
        });
        Self { hosts: hosts.collect(), switch, _root: root }
    }

    /// A host by its name.
    pub fn host(&self, name: &str) -> &Host {
        self.hosts.iter().find(|host| host.name == name).unwrap_or_else(|| panic!("there is no host {name}"))
    }

    /// Cuts a host's power: nothing is sent any more, not even that connections end, and all its processes are gone at once.
    pub fn cut_power(&self, name: &str) {
        self.plug(name, false);
        self.host(name).space.end();
    }

    /// Pulls a host's plug out of the switch, or puts it back: nobody is told.
    pub fn plug(&self, name: &str, is_in: bool) {
        let port = format!("port-{}", self.host(name).number);
        self.switch.run(&["ip", "link", "set", &port, if is_in { "up" } else { "down" }]);
    }
}

/// One of them.
#[derive(Debug)]
pub struct Host {
    name: String,
    number: usize,
    root: PathBuf,
    space: Space,
}

impl Host {
    fn open(name: &str, number: usize, dir: &Path, others: &[PathBuf], switch: &Space) -> Self {
        let hidden = others.iter().map(|other| format!("mount -t tmpfs -o size=4k hidden '{}'", other.display()));
        let setup: Vec<String> = std::iter::once(format!("hostname {name}")).chain(hidden).collect();
        let space = Space::open(&setup.join("\n"));
        let port = format!("port-{number}");
        switch.run(&["ip", "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &space.init.to_string()]);
        switch.run(&["ip", "link", "set", &port, "master", "switch", "up"]);
        space.run(&["ip", "addr", "add", &format!("{NETWORK}.{number}/24"), "dev", "eth0"]);
        space.run(&["ip", "link", "set", "eth0", "up"]);
        Self { name: name.to_owned(), number, root: dir.join(name), space }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where others reach it.
    pub fn address(&self) -> String {
        format!("{NETWORK}.{}", self.number)
    }

    /// A path within its folder, which the test sees too.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The data dir of its user, who has named none.
    pub fn data_dir(&self) -> PathBuf {
        self.path("home/.local/state/roundtable")
    }

    /// Puts one of our programs on its PATH.
    pub fn install(&self, program: &str) {
        symlink(binary(program), self.path("bin").join(program)).expect("a link can be made");
    }

    /// Puts a program that is not ours there.
    pub fn install_foreign(&self, name: &str, file: &Path) {
        symlink(file, self.path("bin").join(name)).expect("a link can be made");
    }

    /// Puts a shell script there, in place of what bears its name.
    pub fn executable(&self, name: &str, script: &str) -> PathBuf {
        put_script(&self.root, name, script)
    }

    /// A repository `repo` of its user, with this spec committed in `.specs/NAME`. Gives both.
    pub fn project(&self, spec: &SpecText) -> (Repository, PathBuf) {
        let repository = Repository::init(&self.path("repo"), &self.path("home"));
        let dir = spec.write(&repository.path().join(".specs"));
        repository.commit("Add the spec");
        (repository, dir)
    }

    /// A line that its user types into a shell.
    pub fn types(&self, line: &str) -> Program {
        self.types_in(&self.root, line)
    }

    /// The same in that folder.
    pub fn types_in(&self, folder: &Path, line: &str) -> Program {
        self.within(folder, Path::new("/bin/sh"), &format!("{}$ {line}", self.name)).args(["-c", line])
    }

    /// One of our programs, by its path.
    pub fn program(&self, name: &str) -> Program {
        self.program_in(&self.root, name)
    }

    /// The same in that folder.
    pub fn program_in(&self, folder: &Path, name: &str) -> Program {
        self.within(folder, &binary(name), &format!("{}$ {name}", self.name))
    }

    /// A program that is not ours.
    pub fn foreign(&self, file: &Path) -> Program {
        self.within(&self.root, file, &format!("{}$ {}", self.name, file.display()))
    }

    /// `orchctl` in that folder, to its end.
    pub fn orchctl<'a>(&self, folder: &Path, args: impl IntoIterator<Item = &'a str>) -> Output {
        self.program_in(folder, "orchctl").args(args).run()
    }

    /// Sends a signal to a program that was started here.
    pub fn signal(&self, process: &Process, signal: Signal) {
        // What the test has started waits for the program, which lives among this host's processes.
        let program = wait_for("the program to begin", || process.said(), || program_of(process.pid()));
        kill(program, signal);
    }

    fn within(&self, folder: &Path, program: &Path, name: &str) -> Program {
        let mut command = self.space.enter();
        // Else a killed starter would leave what it started.
        command.arg(tool("setpriv")).args(["--pdeathsig", "KILL", "--"]).arg(tool("env")).arg(format!("--chdir={}", folder.display()));
        command.arg(program);
        clear(&mut command, &self.root);
        Program::new(command, name)
    }
}

/// A set of namespaces, and the first of its processes.
#[derive(Debug)]
struct Space {
    keeper: Process,
    init: u32,
}

impl Space {
    /// New ones, in which `setup` has been run.
    fn open(setup: &str) -> Self {
        let mut command = Command::new(tool("unshare"));
        command.args(["--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child=KILL", "--"]).arg(tool("sh"));
        // It reaps what is left to it, as the first process of a host does.
        command.arg("-ec").arg(format!("ip link set lo up\n{setup}\necho open\nwhile :; do sleep 1000 & wait || :; done"));
        command.env_clear().env("PATH", SYSTEM);
        let mut keeper = Process::start(command, "a host (root, or `unshare --user --map-root-user --mount`, may make one)", Stdio::null());
        keeper.wait_for_stdout("open");
        let init = child_of(keeper.pid()).expect("it is what has said so");
        Self { keeper, init }
    }

    /// The beginning of a command that is run in there.
    fn enter(&self) -> Command {
        let mut command = Command::new(tool("nsenter"));
        command.args(["--target", &self.init.to_string(), "--net", "--mount", "--uts", "--pid", "--"]);
        command
    }

    /// Runs a tool in its network; it must succeed.
    #[track_caller]
    fn run(&self, words: &[&str]) {
        let mut command = Command::new(tool("nsenter"));
        command.args(["--target", &self.init.to_string(), "--net", "--"]).args(words).env_clear().env("PATH", SYSTEM);
        let done = command.output().expect("nsenter can be started");
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Kills the first process, and with it all others.
    fn end(&self) {
        kill(self.init, Signal::KILL);
        wait_until_gone(self.init);
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if self.keeper.is_running() {
            kill(self.init, Signal::KILL);
            // Before the folder goes that they write to.
            if !std::thread::panicking() {
                wait_until_gone(self.init);
            }
        }
    }
}

/// Where tools of the system lie, also for who is not root.
const SYSTEM: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

fn tool(name: &str) -> PathBuf {
    let found = std::env::split_paths(SYSTEM).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("this test needs {name} (util-linux, iproute2)"))
}

/// What a starter has started; a shell in between is none.
fn program_of(starter: u32) -> Option<u32> {
    let child = child_of(starter)?;
    let is_shell = std::fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name.trim() == "sh");
    if is_shell { child_of(child) } else { Some(child) }
}

/// A process whose parent that is.
fn child_of(parent: u32) -> Option<u32> {
    let mut processes = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes.find(|pid| parent_of(*pid) == Some(parent))
}

/// The second field after the name, which may itself hold anything.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn kill(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended this moment.
        let _ = kill_process(pid, signal);
    }
}
