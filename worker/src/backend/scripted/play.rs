//! The player: a process of its own that behaves as its playbook says. It reads an order from stdin, works in its working directory, prints
//! event lines, and exits as agents do.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use roundtable_runtime::beneath;
use roundtable_shared::{AgentEvent, AgentSessionId, Role, TurnData};
use serde_json::Value;

use super::playbook::{Fault, Playbook, PlaybookTurn, Step};
use super::{PlayOrder, defaults};

/// Largest order, bytes.
const ORDER_BYTES_MAX: u64 = 64 << 20;
/// Output of a `run` step that is reported, bytes.
const RUN_OUTPUT_BYTES_MAX: u64 = 64 << 10;
/// How long a process left behind lives at most.
const LINGER: Duration = Duration::from_secs(600);
/// The argument with which a process left behind is started.
const LINGER_ARG: &str = "--linger";

/// Plays one turn: what `worker play` and `orchctl play` do with the arguments after `play`. Not for people.
pub fn play_main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    if args.next().is_some_and(|arg| arg == LINGER_ARG) {
        // A session of its own, so that no signal to the player's group reaches it.
        let _ = rustix::process::setsid();
        std::thread::sleep(LINGER);
        return ExitCode::SUCCESS;
    }
    match play() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("play: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play() -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    std::io::stdin().take(ORDER_BYTES_MAX).read_to_end(&mut text)?;
    let order: PlayOrder = serde_json::from_slice(&text)?;
    let turn = Playbook::read(&order.playbook)?.turn(&order.turn);
    let turn = if order.report_only { turn.report_only() } else { turn };
    let mut player = Player { data: order.turn, completed: Vec::new(), failed: None, files: Vec::new(), term_ignored: None };
    let session = order.resume.unwrap_or_else(|| player.session());
    emit(&AgentEvent::Started { session: Some(session) })?;
    player.turn(&turn)
}

/// What is known while a turn is played.
struct Player {
    data: TurnData,
    completed: Vec<String>,
    failed: Option<String>,
    files: Vec<String>,
    /// Keeps the signal handler that swallows SIGTERM.
    term_ignored: Option<tokio::runtime::Runtime>,
}

impl Player {
    fn session(&self) -> AgentSessionId {
        let unit = self.data.unit.as_ref().map_or("run", |unit| unit.as_str());
        format!("play-{}-{unit}-{}-{}", self.data.run, self.data.role, self.data.attempt).into()
    }

    fn turn(&mut self, turn: &PlaybookTurn) -> anyhow::Result<ExitCode> {
        let steps = turn.steps.clone().unwrap_or_else(|| defaults::steps(&self.data, |path| Path::new(path).is_dir()));
        for step in &steps {
            if let Some(code) = self.step(step)? {
                return Ok(code);
            }
        }
        if matches!(steps.last(), Some(Step::Fault(Fault::IgnoreTerm))) {
            hang();
        }
        let answer = self.answer(turn);
        emit(&AgentEvent::Message { text: answer.to_string() })?;
        if let Some(usage) = turn.usage {
            emit(&AgentEvent::Usage { usage })?;
        }
        // A check is judged by its exit status, like the command it stands for.
        if self.data.role == Role::Check && answer["status"] != "completed" {
            return Ok(ExitCode::FAILURE);
        }
        emit(&AgentEvent::Completed)?;
        Ok(ExitCode::SUCCESS)
    }

    fn answer(&self, turn: &PlaybookTurn) -> Value {
        let mut answer = defaults::answer(&self.data, &self.completed, self.failed.as_deref(), &self.files);
        if let (Value::Object(answer), Some(result)) = (&mut answer, &turn.result) {
            for (key, value) in result {
                answer.insert(key.clone(), self.fill_value(value));
            }
        }
        answer
    }

    /// One step; `Some` if it ends the process.
    fn step(&mut self, step: &Step) -> anyhow::Result<Option<ExitCode>> {
        match step {
            Step::Write { path, text } => {
                let at = self.place(path)?;
                remove_symlink(&at)?;
                std::fs::write(&at, self.fill(text))?;
                self.changed(path)?;
            }
            Step::Append { path, text } => {
                let at = self.place(path)?;
                remove_symlink(&at)?;
                std::fs::OpenOptions::new().create(true).append(true).open(at)?.write_all(self.fill(text).as_bytes())?;
                self.changed(path)?;
            }
            Step::Delete(path) => {
                let at = self.place(path)?;
                if std::fs::symlink_metadata(&at)?.is_dir() {
                    std::fs::remove_dir_all(&at)?
                } else {
                    std::fs::remove_file(&at)?
                }
                self.changed(path)?;
            }
            Step::Rename(from, to) => {
                std::fs::rename(self.place(from)?, self.place(to)?)?;
                self.changed(to)?;
            }
            Step::Symlink(target, link) => {
                let at = self.place(link)?;
                remove_symlink(&at)?;
                std::os::unix::fs::symlink(self.fill(target), at)?;
                self.changed(link)?;
            }
            Step::Say(text) => emit(&AgentEvent::Message { text: self.fill(text) })?,
            Step::SleepMs(ms) => std::thread::sleep(Duration::from_millis(*ms)),
            Step::Subtask { id, status } => self.subtask(&self.fill(id), status)?,
            Step::Run(text) => run(&self.fill(text))?,
            Step::Fault(fault) => return self.fault(*fault),
        }
        Ok(None)
    }

    fn subtask(&mut self, id: &str, status: &str) -> anyhow::Result<()> {
        if status == "completed" {
            self.completed.push(id.to_owned());
        } else if self.failed.is_none() {
            self.failed = Some(id.to_owned());
        }
        emit(&AgentEvent::Subtask { id: id.to_owned(), status: status.to_owned() })
    }

    fn fault(&mut self, fault: Fault) -> anyhow::Result<Option<ExitCode>> {
        match fault {
            Fault::Hang => hang(),
            Fault::Crash => {
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
                hang()
            }
            Fault::Exit(code) => return Ok(Some(ExitCode::from(code))),
            Fault::RateLimit(seconds) => {
                emit(&AgentEvent::Failed { message: format!("status: 429 Too Many Requests, try again in {seconds}s") })?;
                return Ok(Some(ExitCode::FAILURE));
            }
            Fault::Auth => {
                emit(&AgentEvent::Failed { message: "status: 401 Unauthorized, the credentials are refused".to_owned() })?;
                return Ok(Some(ExitCode::FAILURE));
            }
            Fault::Model => {
                emit(&AgentEvent::Failed { message: "status: 404 Not Found, the model does not exist".to_owned() })?;
                return Ok(Some(ExitCode::FAILURE));
            }
            Fault::Spew(bytes) => spew(bytes)?,
            Fault::Daemonize => {
                let me = std::env::current_exe()?;
                // Stdout stays open in it: that is what makes it a nuisance.
                let child = std::process::Command::new(me).args(["play", LINGER_ARG]).stdin(Stdio::null()).spawn()?;
                emit(&AgentEvent::Message { text: format!("left process {} behind", child.id()) })?;
            }
            Fault::IgnoreTerm => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
                {
                    let _inside = runtime.enter();
                    // The handler stays for the life of the process, also when nobody listens.
                    drop(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?);
                }
                self.term_ignored = Some(runtime);
            }
            Fault::Garbage => {
                let mut out = std::io::stdout().lock();
                out.write_all(b"\xff\xfe{\"kind\":\"message\"\n{\"kind\":7}\n\x00\x01\x02}}}\n")?;
                emit(&AgentEvent::Message { text: "}{ this is no answer \u{fffd}".to_owned() })?;
                emit(&AgentEvent::Completed)?;
                return Ok(Some(ExitCode::SUCCESS));
            }
        }
        Ok(None)
    }

    /// A path of the playbook in the worktree, with its directories made.
    fn place(&self, path: &str) -> anyhow::Result<PathBuf> {
        let path = self.fill(path);
        let place = PathBuf::from(path.trim_end_matches('/'));
        let inside =
            !place.as_os_str().is_empty() && place.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        anyhow::ensure!(inside, "`{path}` is not a path inside the worktree: make it relative, without `..`");
        // A link that a commit holds does not lead a playbook out of the worktree.
        beneath::make_way(Path::new("."), &place)?;
        Ok(place)
    }

    fn changed(&mut self, path: &str) -> anyhow::Result<()> {
        let path = self.fill(path);
        emit(&AgentEvent::FileChange { paths: vec![path.clone()], ok: true })?;
        self.files.push(path);
        Ok(())
    }

    fn fill(&self, text: &str) -> String {
        let unit = self.data.unit.as_ref().map_or("-", |unit| unit.as_str());
        text.replace("{unit}", unit).replace("{attempt}", &self.data.attempt.to_string()).replace("{title}", &self.data.title)
    }

    fn fill_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.fill(text)),
            Value::Array(values) => values.iter().map(|value| self.fill_value(value)).collect(),
            Value::Object(fields) => Value::Object(fields.iter().map(|(key, value)| (key.clone(), self.fill_value(value))).collect()),
            other => other.clone(),
        }
    }
}

/// Prints an event line and flushes it.
fn emit(event: &AgentEvent) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}

/// Writing to a path replaces a symlink there; it does not follow it.
fn remove_symlink(at: &Path) -> anyhow::Result<()> {
    if std::fs::symlink_metadata(at).is_ok_and(|meta| meta.is_symlink()) {
        std::fs::remove_file(at)?;
    }
    Ok(())
}

fn run(text: &str) -> anyhow::Result<()> {
    emit(&AgentEvent::Exec { command: text.to_owned(), output: None, exit_code: None, ended: false })?;
    // A file, not a pipe: what the command leaves running in the background must not hold the turn up.
    let output = tempfile::tempfile()?;
    let mut command = std::process::Command::new("sh");
    command.args(["-c", text]).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
    let status = command.status()?;
    let mut said = Vec::new();
    let mut output = output;
    std::io::Seek::rewind(&mut output)?;
    output.take(RUN_OUTPUT_BYTES_MAX).read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said).into_owned();
    emit(&AgentEvent::Exec { command: text.to_owned(), output: Some(said), exit_code: status.code(), ended: true })
}

fn spew(bytes: u64) -> anyhow::Result<()> {
    let line = [b"spew ".repeat(19).as_slice(), b"spew\n"].concat();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut left = bytes;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(line.len());
        out.write_all(&line[line.len() - piece..])?;
        left -= piece as u64;
    }
    Ok(out.flush()?)
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}
