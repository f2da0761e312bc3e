//! The supervisor process: one per tree, between worker and program. It starts the program, feeds it, reaps orphans, ends the tree when told,
//! when the program ends or when the worker dies, and says when nothing is left. Single-threaded; it never looks at the program's output.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, WaitOptions};

use super::tree::Tree;
use super::wire::{self, Inbox, Order, Program, Report};

/// Agents are the first to go when memory runs out, workers the last.
const OOM_SCORE_ADJ: &str = "500";

/// Serves the worker at the other end of stdin until its tree is gone.
pub(super) fn supervise(cgroup_stem: Option<&Path>) -> ExitCode {
    let mut control = match take_control() {
        Ok(control) => control,
        Err(_) => return ExitCode::from(3),
    };
    match wait_for_start(&mut control, cgroup_stem) {
        Ok(Some(mut supervise)) => {
            supervise.serve();
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = control.write_all(&wire::encode(&Report::Unusable { why: error.to_string() }, b""));
            ExitCode::FAILURE
        }
    }
}

/// Keeps the socket that came as stdin, out of the program's reach.
fn take_control() -> io::Result<UnixStream> {
    let control = UnixStream::from(rustix::stdio::stdin().try_clone_to_owned()?);
    control.peer_addr()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(control)
}

/// Sets this process up, waits for the order to start and starts. `None`: not needed any more, or the program could not be started (said).
fn wait_for_start(control: &mut UnixStream, cgroup_stem: Option<&Path>) -> io::Result<Option<Supervise>> {
    // No terminal may reach the program: no prompt on /dev/tty, no Ctrl-C meant for the worker. Fails only if this is a session already.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, no_core)?;
    let tree = Tree::enter(cgroup_stem)?;
    let mut inbox = Inbox::default();
    let (kill_wait, body) = loop {
        if !read_some(control, &mut inbox)? {
            let _ = tree.leave();
            tree.remove();
            return Ok(None);
        }
        if let Some((Order::Start { kill_wait_ms }, body)) = inbox.next()? {
            break (Duration::from_millis(kill_wait_ms), body);
        }
    };
    let mut started = start(Program::from_body(&body)?);
    // Leaving a cgroup takes the kernel milliseconds, and what the program is to do need not wait for that.
    if let Ok((_, feed)) = &mut started
        && feed.as_mut().is_some_and(|feed| !feed.write())
    {
        *feed = None;
    }
    // The supervisor's own copies would keep the pipes open after the program's end.
    let null = File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    let left = tree.leave();
    match (started, left) {
        (Ok((leader, feed)), Ok(())) => {
            let control = control.try_clone()?;
            Ok(Some(Supervise { control: Some(control), inbox, tree, leader, feed, stage: Stage::Running, kill_wait, kills: 0 }))
        }
        (Ok(_), Err(error)) => {
            // The tree's cgroup cannot be left, so killing it takes this process along. That is as it must be.
            let why = format!("cannot leave the cgroup of the tree: {error}");
            let _ = control.write_all(&wire::encode(&Report::Unusable { why }, b""));
            tree.kill();
            Ok(None)
        }
        (Err(refusal), _) => {
            tree.remove();
            let _ = control.write_all(&wire::encode(&refusal, b""));
            Ok(None)
        }
    }
}

/// Reads what is there (waits if nothing is); `false` at the end of the stream.
fn read_some(control: &mut UnixStream, inbox: &mut Inbox) -> io::Result<bool> {
    let mut buffer = [0; 64 << 10];
    loop {
        match control.read(&mut buffer) {
            Ok(read) => {
                inbox.bytes.extend_from_slice(&buffer[..read]);
                return Ok(read > 0);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn start(program: Program) -> Result<(Leader, Option<Feed>), Report> {
    let refusal = |error: &io::Error, program: &Program| {
        let name = program.program.to_string_lossy();
        let why = if program.cwd.is_dir() { format!("{name}: {error}") } else { format!("{}: no such directory", program.cwd.display()) };
        Report::NotStarted { why, missing: error.kind() == io::ErrorKind::NotFound && program.cwd.is_dir() }
    };
    let mut command = Command::new(&program.program);
    command.args(&program.args).env_clear().envs(program.env.iter().map(|(name, value)| (name, value)));
    command.current_dir(&program.cwd).process_group(0);
    command.stdin(if program.stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
    if let Some(path) = &program.stdout_file {
        match File::options().append(true).open(path) {
            Ok(file) => command.stdout(file),
            Err(error) => return Err(refusal(&error, &program)),
        };
    }
    let own_score = std::fs::read_to_string("/proc/self/oom_score_adj");
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
    let spawned = command.spawn();
    if let Ok(own_score) = own_score {
        let _ = std::fs::write("/proc/self/oom_score_adj", own_score.trim());
    }
    let mut child = spawned.map_err(|error| refusal(&error, &program))?;
    let leader = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a started process has a PID");
    let feed = child.stdin.take().map(|pipe| Feed::new(pipe.into(), program.stdin));
    // Not reaped yet, so the PID cannot be another's; without pidfds (before 5.3) its end is noticed by looking now and then.
    let pidfd = rustix::process::pidfd_open(leader, PidfdFlags::empty()).ok();
    Ok((Leader { pid: leader, pidfd, exited: false }, feed))
}

/// The program itself.
struct Leader {
    pid: Pid,
    pidfd: Option<OwnedFd>,
    exited: bool,
}

/// The program's stdin, while there is something to write.
struct Feed {
    pipe: File,
    bytes: Vec<u8>,
    written: usize,
}

impl Feed {
    fn new(pipe: OwnedFd, bytes: Vec<u8>) -> Self {
        // If this failed, a program that does not read would stall the supervisor; it cannot fail on a pipe of ours.
        let _ = rustix::io::ioctl_fionbio(&pipe, true);
        Self { pipe: pipe.into(), bytes, written: 0 }
    }

    /// Writes what the pipe takes; `false` when all is written or nobody reads.
    fn write(&mut self) -> bool {
        match self.pipe.write(&self.bytes[self.written..]) {
            Ok(written) => {
                self.written += written;
                self.written < self.bytes.len()
            }
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }
}

#[derive(Clone, Copy)]
enum Stage {
    Running,
    Stopping { kill_at: Instant },
    Killing { give_up_at: Instant },
}

struct Supervise {
    control: Option<UnixStream>,
    inbox: Inbox,
    tree: Tree,
    leader: Leader,
    feed: Option<Feed>,
    stage: Stage,
    kill_wait: Duration,
    kills: u32,
}

impl Supervise {
    fn serve(&mut self) {
        self.report(&Report::Started);
        loop {
            self.wait();
            let childless = self.reap();
            if let Stage::Stopping { kill_at } = self.stage
                && Instant::now() >= kill_at
            {
                self.kill_from_now();
            }
            let Stage::Killing { give_up_at } = self.stage else { continue };
            if childless && self.tree.is_empty() {
                self.report(&Report::Empty { cpu_us: self.tree.cpu_us(), survivors: Vec::new() });
                self.tree.remove();
                return;
            }
            if Instant::now() >= give_up_at {
                let mut survivors = self.tree.survivors();
                if survivors.is_empty() {
                    survivors.push("a process that cannot be seen from here".to_owned());
                }
                self.report(&Report::Empty { cpu_us: self.tree.cpu_us(), survivors });
                return;
            }
            self.tree.kill();
            self.kills = self.kills.saturating_add(1);
        }
    }

    fn kill_from_now(&mut self) {
        if self.begin_killing() {
            self.tree.kill();
        }
    }

    /// From now on whatever is left is killed, with each look; whether that is new.
    fn begin_killing(&mut self) -> bool {
        let is_new = !matches!(self.stage, Stage::Killing { .. });
        if is_new {
            self.feed = None;
            self.stage = Stage::Killing { give_up_at: Instant::now() + self.kill_wait };
        }
        is_new
    }

    /// Waits for the worker, the program's end, room in its stdin, or the time to look again; deals with the first and third.
    fn wait(&mut self) {
        let timeout = match self.stage {
            // Orphans that ended wait for no more than a second to be reaped.
            Stage::Running => Duration::from_secs(1),
            Stage::Stopping { kill_at } => kill_at.saturating_duration_since(Instant::now()).min(Duration::from_secs(1)),
            Stage::Killing { .. } => Duration::from_millis(u64::from(self.kills.min(20)) + 1),
        };
        let timeout = if self.leader.pidfd.is_none() { timeout.min(Duration::from_millis(20)) } else { timeout };
        let (has_control, has_feed) = (self.control.is_some(), self.feed.is_some());
        let control = self.control.as_ref().map(|socket| PollFd::new(socket, PollFlags::IN));
        let feed = self.feed.as_ref().map(|feed| PollFd::new(&feed.pipe, PollFlags::OUT));
        let leader = self.leader.pidfd.as_ref().filter(|_| !self.leader.exited).map(|pidfd| PollFd::new(pidfd, PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> = [control, feed, leader].into_iter().flatten().collect();
        let timeout = Timespec { tv_sec: timeout.as_secs().cast_signed(), tv_nsec: i64::from(timeout.subsec_nanos()) };
        if rustix::event::poll(&mut fds, Some(&timeout)).is_err() {
            return;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if has_control && ready[0] {
            self.hear();
        }
        if has_feed && ready[usize::from(has_control)] && self.feed.as_mut().is_some_and(|feed| !feed.write()) {
            self.feed = None;
        }
    }

    /// Reads orders. The end of the stream is the death of the worker.
    fn hear(&mut self) {
        let Some(control) = &mut self.control else { return };
        match read_some(control, &mut self.inbox) {
            Ok(true) => {}
            Ok(false) | Err(_) => {
                self.control = None;
                self.kill_from_now();
                return;
            }
        }
        loop {
            match self.inbox.next::<Order>() {
                Ok(Some((order, _))) => self.obey(&order),
                Ok(None) => return,
                Err(_) => {
                    self.control = None;
                    return self.kill_from_now();
                }
            }
        }
    }

    fn obey(&mut self, order: &Order) {
        match (order, self.stage) {
            (Order::Stop { grace_ms }, Stage::Running) => {
                self.stage = Stage::Stopping { kill_at: Instant::now() + Duration::from_millis(*grace_ms) };
                self.tree.terminate();
            }
            (Order::Kill, _) => self.kill_from_now(),
            (Order::Cpu, _) => self.report(&Report::Cpu { cpu_us: self.tree.cpu_us() }),
            (Order::Stop { .. } | Order::Start { .. }, _) => {}
        }
    }

    /// Takes the status of whatever has ended; says whether there are no children left.
    fn reap(&mut self) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.leader.pid && !self.leader.exited => {
                    self.leader.exited = true;
                    self.report(&Report::Exited { code: status.exit_status(), signal: status.terminating_signal() });
                    // Most leave nothing behind, and looking for it among all processes of the host takes longer than to see that.
                    self.begin_killing();
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    fn report(&mut self, report: &Report) {
        if let Some(control) = &mut self.control
            && control.write_all(&wire::encode(report, b"")).is_err()
        {
            self.control = None;
            self.kill_from_now();
        }
    }
}
