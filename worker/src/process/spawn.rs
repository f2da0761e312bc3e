//! Supervisor processes as the worker has them: starting one, and ending by force one that does not answer. What happens while a program runs
//! under it is `run`'s.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::cgroup::Cgroup;
use super::leftovers;
use super::mark::MARK_VARIABLE;
use super::tree::cgroup_path;

/// Room in the pipes, so that a burst does not have to wait for the reader to be scheduled.
const PIPE_BYTES: usize = 1 << 20;

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
