//! One program from its start to the end of its tree, as the worker attends it: orders to the supervisor, its reports, limits, requests to
//! stop, output. Knows no strategy.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{oneshot, watch};

use super::error::ProcessError;
use super::limits::{Limits, Watch};
use super::mark::MARK_VARIABLE;
use super::output::{Reader, Source};
use super::progress::Progress;
use super::sink::LineSink;
use super::spawn::{Launched, Launcher};
use super::wire::{self, Inbox, Order, Program, Report};
use crate::backend::{EndedBy, ExitFacts, Invocation, StdoutMode};

/// How long killed processes may take to vanish before they count as survivors.
const KILL_WAIT: Duration = Duration::from_secs(15);
/// How much longer than it should the supervisor may take before it counts as hung.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// How often output and wall time are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A program to run, with everything around it.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    /// The program: absolute, or found on the `PATH` of `env`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The whole environment, but for the mark that is added to it.
    pub env: BTreeMap<OsString, OsString>,
    /// Working directory.
    pub cwd: PathBuf,
    /// Written to its stdin, which is then closed.
    pub stdin: Vec<u8>,
    /// What its stdout is.
    pub stdout: StdoutMode,
    /// A private directory on a disk; used with `StdoutMode::File`.
    pub scratch: PathBuf,
    /// When it has to end.
    pub limits: Limits,
    /// Names the tree in marks, for finding leftovers: the attempt's key.
    pub name: String,
}

impl ProcessSpec {
    /// A backend's command line as a program to run. Files and directories it wants must exist already.
    pub fn new(invocation: Invocation, limits: Limits, scratch: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self {
            program: invocation.program,
            args: invocation.args,
            env: invocation.env,
            cwd: invocation.cwd,
            stdin: invocation.stdin,
            stdout: invocation.stdout,
            scratch: scratch.into(),
            limits,
            name: name.into(),
        }
    }
}

/// What whoever runs a program may ask of it at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Stop {
    /// Go on.
    #[default]
    No,
    /// End: SIGTERM, the grace, then by force.
    End(EndedBy),
    /// End by force at once.
    Kill(EndedBy),
}

/// How the program itself ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// With an exit code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// How a program and its tree ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The program's own end.
    pub exit: Exit,
    /// Why we ended it, if we did.
    pub ended_by: Option<EndedBy>,
    /// Bytes on stdout.
    pub stdout_bytes: u64,
    /// Bytes on stderr.
    pub stderr_bytes: u64,
    /// Of those, bytes the sink was not given.
    pub elided_bytes: u64,
    /// Processor time of the whole tree.
    pub cpu_ms: u64,
    /// From the start to the end of the program.
    pub wall_ms: u64,
    /// Processes that could not be killed, for a person. Anything in here means that the host is unwell (or sabotaged): no further tree
    /// should be started before it is looked at.
    pub survivors: Vec<String>,
}

impl Ended {
    /// The facts a parser judges by; `last_message` is the caller's to add.
    pub fn exit_facts(&self) -> ExitFacts {
        let (code, signal) = match self.exit {
            Exit::Code(code) => (Some(code), None),
            Exit::Signal(signal) => (None, Some(signal)),
        };
        ExitFacts { code, signal, ended_by: self.ended_by, ..ExitFacts::default() }
    }
}

/// The result of a run.
#[derive(Debug)]
pub struct Run<S> {
    /// How it ended, or why that is not known. In any case the tree is gone (but for survivors named).
    pub ended: Result<Ended, ProcessError>,
    /// The sink, with all lines consumed; `None` if it panicked.
    pub sink: Option<S>,
}

/// Runs one program under a supervisor that was started already.
pub(super) async fn attend<S: LineSink + 'static>(
    launcher: &Launcher,
    mut launched: Launched,
    spec: ProcessSpec,
    sink: S,
    stop: watch::Receiver<Stop>,
    progress: Arc<Progress>,
) -> Run<S> {
    let mark = launcher.mark_of(&spec.name);
    let limits = spec.limits;
    let mut talk = Talk { inbox: Inbox::default() };
    let follow = match talk.start(&mut launched, spec, &mark).await {
        Ok(follow) => follow,
        Err(error) => {
            if !matches!(error, ProcessError::NotStarted { .. } | ProcessError::BadInput(_)) {
                launched.force(mark).await;
            }
            return Run { ended: Err(error), sink: Some(sink) };
        }
    };
    let streams = launched.stdout.try_clone().and_then(|stdout| Ok((stdout, launched.stderr.try_clone()?)));
    let started = streams.and_then(|(stdout, stderr)| {
        let stdout = follow.map_or(Source::Pipe(stdout), Source::Follow);
        Reader::start(stdout, Source::Pipe(stderr), sink, Arc::clone(&progress))
    });
    let (reader, mut sink_back) = match started {
        Ok(started) => started,
        Err(error) => {
            launched.force(mark).await;
            return Run { ended: Err(ProcessError::Launch(error)), sink: None };
        }
    };
    let watch = Watch::new(limits, Instant::now());
    let mut attendance = Attendance { launched, talk, limits, watch, progress, outcome: Outcome::default(), started: Instant::now(), mark };
    let ended = attendance.until_empty(stop, &mut sink_back).await;
    let drained = reader.finish().await;
    let sink = match sink_back.try_recv() {
        Err(oneshot::error::TryRecvError::Empty) => sink_back.await.ok(),
        received => received.ok(),
    };
    let ended = match (ended, &sink) {
        (Ok(mut ended), Some(_)) => {
            attendance.count(&mut ended);
            if drained.held_open && ended.survivors.is_empty() {
                ended.survivors.push("an unknown process that holds the program's output open".to_owned());
            }
            Ok(ended)
        }
        (Ok(_), None) => Err(ProcessError::SinkFailed),
        (Err(error), _) => Err(error),
    };
    Run { ended, sink }
}

/// The conversation with a supervisor.
struct Talk {
    inbox: Inbox,
}

impl Talk {
    /// Has the program started. Returns the file to follow, if stdout is one.
    async fn start(&mut self, launched: &mut Launched, mut spec: ProcessSpec, mark: &str) -> Result<Option<File>, ProcessError> {
        let (follow, stdout_file) = match spec.stdout {
            StdoutMode::Pipe => (None, None),
            StdoutMode::File => {
                let (file, path) = create_output(&spec.scratch).map_err(ProcessError::Launch)?;
                (Some(file), Some(path))
            }
        };
        spec.env.insert(MARK_VARIABLE.into(), mark.into());
        let program = Program {
            program: spec.program.into(),
            args: spec.args,
            env: spec.env.into_iter().collect(),
            cwd: spec.cwd,
            stdout_file: stdout_file.clone(),
            stdin: spec.stdin,
        };
        let body = program.into_body().map_err(ProcessError::BadInput)?;
        let kill_wait_ms = u64::try_from(KILL_WAIT.as_millis()).unwrap_or(u64::MAX);
        let order = wire::encode(&Order::Start { kill_wait_ms }, &body);
        launched.control.write_all(&order).await.map_err(ProcessError::Launch)?;
        let report = tokio::time::timeout(Duration::from_secs(60), self.next(launched)).await;
        if let Some(path) = stdout_file {
            // Open on both sides by now (or not wanted any more): nothing to clean up later.
            let _ = std::fs::remove_file(path);
        }
        match report {
            Ok(Ok(Some(Report::Started))) => Ok(follow),
            Ok(Ok(Some(Report::NotStarted { why, missing }))) => Err(ProcessError::NotStarted { why, missing }),
            Ok(Ok(Some(Report::Unusable { why }))) => Err(ProcessError::Launch(std::io::Error::other(why))),
            Ok(Ok(_)) => Err(ProcessError::Launch(std::io::Error::other("the supervisor process ended at once"))),
            Ok(Err(error)) => Err(ProcessError::Launch(error)),
            Err(_) => Err(ProcessError::Launch(std::io::Error::other("the supervisor process does not answer"))),
        }
    }

    /// The next report; `None` at the end of the stream. Can be dropped and called again without losing anything.
    async fn next(&mut self, launched: &mut Launched) -> std::io::Result<Option<Report>> {
        loop {
            if let Some((report, _)) = self.inbox.next()? {
                return Ok(Some(report));
            }
            if launched.control.read_buf(&mut self.inbox.bytes).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// An empty file of our own for the program's stdout.
fn create_output(scratch: &std::path::Path) -> std::io::Result<(File, PathBuf)> {
    for n in 0..1000 {
        let path = scratch.join(format!("stdout-{n}"));
        match File::options().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            result => return Ok((result?, path)),
        }
    }
    Err(std::io::Error::other(format!("{}: too many output files", scratch.display())))
}

/// What is known so far.
#[derive(Default)]
struct Outcome {
    exit: Option<Exit>,
    ended_by: Option<EndedBy>,
    wall: Duration,
    killing: bool,
    /// Past this the supervisor counts as hung.
    overdue_at: Option<Instant>,
}

struct Attendance {
    launched: Launched,
    talk: Talk,
    limits: Limits,
    watch: Watch,
    progress: Arc<Progress>,
    outcome: Outcome,
    started: Instant,
    mark: String,
}

impl Attendance {
    /// Returns when nothing is left of the tree.
    async fn until_empty<S>(
        &mut self,
        mut stop: watch::Receiver<Stop>,
        sink_back: &mut oneshot::Receiver<S>,
    ) -> Result<Ended, ProcessError> {
        let mut stoppable = true;
        let mut sink_lives = true;
        let mut cpu_at = Instant::now();
        loop {
            let asked = *stop.borrow_and_update();
            self.heed(asked).await;
            let look_at = self.watch.wall_at().min(Instant::now() + LOOK_EVERY).max(Instant::now() + Duration::from_millis(5));
            tokio::select! {
                report = self.talk.next(&mut self.launched) => match report {
                    Ok(Some(Report::Empty { cpu_us, survivors })) => return Ok(self.ended(cpu_us, survivors).await),
                    Ok(Some(report)) => self.note(&report),
                    Ok(None) | Err(_) => return self.lost().await,
                },
                changed = stop.changed(), if stoppable => stoppable = changed.is_ok(),
                _ = &mut *sink_back, if sink_lives => {
                    // The sink comes back only after the reader was told to finish: it panicked.
                    sink_lives = false;
                    self.send(&Order::Kill).await;
                    self.outcome.killing = true;
                    self.expect_end(Duration::ZERO);
                }
                () = tokio::time::sleep_until(look_at.into()) => {
                    if self.look().await.is_none() {
                        return self.lost().await;
                    }
                    if Instant::now() >= cpu_at && self.outcome.exit.is_none() {
                        self.send(&Order::Cpu).await;
                        cpu_at = Instant::now() + self.watch.every();
                    }
                }
            }
        }
    }

    /// Passes on what is asked from outside.
    async fn heed(&mut self, asked: Stop) {
        match asked {
            Stop::End(why) if self.outcome.ended_by.is_none() && self.outcome.exit.is_none() => self.end(why).await,
            Stop::Kill(why) if !self.outcome.killing && self.outcome.exit.is_none() => {
                self.outcome.ended_by.get_or_insert(why);
                self.outcome.killing = true;
                self.send(&Order::Kill).await;
                self.expect_end(Duration::ZERO);
            }
            _ => {}
        }
    }

    async fn end(&mut self, why: EndedBy) {
        self.outcome.ended_by = Some(why);
        let grace_ms = u64::try_from(self.limits.grace.as_millis()).unwrap_or(u64::MAX);
        self.send(&Order::Stop { grace_ms }).await;
        self.expect_end(self.limits.grace);
    }

    fn expect_end(&mut self, grace: Duration) {
        self.outcome.overdue_at = Some(Instant::now() + grace + KILL_WAIT + ANSWER_WAIT);
    }

    /// Judges by the limits; `None` if the supervisor counts as hung.
    async fn look(&mut self) -> Option<()> {
        let now = Instant::now();
        let output_bytes = self.progress.stdout_bytes() + self.progress.stderr_bytes();
        let verdict = self.watch.verdict(now, output_bytes, self.progress.quiet_for(), self.progress.contact());
        if self.outcome.ended_by.is_none()
            && self.outcome.exit.is_none()
            && let Some(why) = verdict
        {
            self.end(why).await;
        }
        self.outcome.overdue_at.is_none_or(|at| now < at).then_some(())
    }

    fn note(&mut self, report: &Report) {
        match report {
            Report::Cpu { cpu_us } => {
                self.watch.cpu(Instant::now(), *cpu_us);
                self.progress.set_cpu_ms(cpu_us / 1000);
            }
            Report::Exited { code, signal } => {
                self.outcome.exit = Some(code.map_or(Exit::Signal(signal.unwrap_or_default()), Exit::Code));
                self.outcome.wall = self.started.elapsed();
                self.expect_end(Duration::ZERO);
            }
            _ => {}
        }
    }

    /// The supervisor's socket takes a few small frames at once; if it does not, the supervisor is dead, which shows elsewhere.
    async fn send(&mut self, order: &Order) {
        let frame = wire::encode(order, b"");
        let _ = tokio::time::timeout(Duration::from_secs(1), self.launched.control.write_all(&frame)).await;
    }

    async fn ended(&mut self, cpu_us: u64, survivors: Vec<String>) -> Ended {
        self.progress.set_cpu_ms(cpu_us / 1000);
        // In a PID namespace this is the proof that it is gone; elsewhere it takes no time either.
        if survivors.is_empty() {
            let _ = tokio::time::timeout(KILL_WAIT, self.launched.child.wait()).await;
        }
        Ended {
            // Without a report of its end the program is among the survivors.
            exit: self.outcome.exit.unwrap_or(Exit::Signal(0)),
            ended_by: self.outcome.ended_by,
            stdout_bytes: 0,
            stderr_bytes: 0,
            elided_bytes: 0,
            cpu_ms: cpu_us / 1000,
            wall_ms: u64::try_from(self.outcome.wall.as_millis()).unwrap_or(u64::MAX),
            survivors,
        }
    }

    /// Fills in what is known only once all output is read.
    fn count(&self, ended: &mut Ended) {
        ended.stdout_bytes = self.progress.stdout_bytes();
        ended.stderr_bytes = self.progress.stderr_bytes();
        ended.elided_bytes = self.progress.elided_bytes();
    }

    async fn lost(&mut self) -> Result<Ended, ProcessError> {
        let survivors = self.launched.force(self.mark.clone()).await;
        Err(ProcessError::SupervisorLost { survivors })
    }
}
