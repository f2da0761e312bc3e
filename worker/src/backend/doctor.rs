//! Probing an agent CLI: is it there, which version, logged in, able to write, never waiting for an answer? By a real headless call in a
//! directory of its own, which costs a few tokens; offline by its `--version` alone.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use roundtable_shared::{Failure, FailureKind, Role, TurnData};
use serde::Serialize;

use super::text::plain;
use super::{Backend, EndedBy, ExitFacts, Host, Invocation, Listener, Turn, TurnEnd};
use crate::process::{Limits, LineSink, ProcessSpec, Progress, Stop, Stream, Supervisor};

/// Longest `--version`; some start slowly on a busy machine.
const VERSION_MAX: Duration = Duration::from_secs(60);
/// Longest probing turn.
const TURN_MAX: Duration = Duration::from_secs(300);
/// Longest answer to whether somebody is logged in.
const LOGIN_MAX: Duration = Duration::from_secs(30);
/// Why a check that needs a call was not made.
const OFFLINE: &str = "not asked: offline";
/// The file the agent is asked to write.
const PROBE_FILE: &str = "roundtable-probe.txt";
/// Most of a version's output that is looked at, bytes.
const VERSION_BYTES_MAX: usize = 64 << 10;

/// What was found about one backend. Its JSON is what `worker doctor --json` prints, in an array.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct BackendReport {
    /// The backend.
    pub backend: String,
    /// Whether every check that was made succeeded.
    pub ok: bool,
    /// The program, and the script if it is run by an interpreter.
    pub program: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Name of the account whose limits it shares; no secret.
    pub account: Option<String>,
    /// `found`, `version`, `logged_in`, `can_write`, `does_not_prompt`, `may_reach`, in this order.
    pub checks: Vec<Check>,
    /// How long it all took.
    pub duration_ms: u64,
}

/// One question and its answer.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Check {
    /// What was asked.
    pub check: &'static str,
    /// The answer; `None` if it was not asked (offline, or an earlier check failed).
    pub ok: Option<bool>,
    /// For a person: what was seen, and what to do about it.
    pub detail: String,
}

/// Probes a backend. `supervisor` runs what is started; `offline` asks for program and version only.
pub async fn probe(host: &Arc<Host>, name: &str, supervisor: &Supervisor, offline: bool) -> BackendReport {
    let started = Instant::now();
    let mut report = BackendReport {
        backend: name.to_owned(),
        ok: true,
        program: None,
        version: None,
        account: None,
        checks: Vec::new(),
        duration_ms: 0,
    };
    match host.open(name) {
        Ok(backend) => {
            report.account = Some(backend.account());
            examine(&*backend, supervisor, offline, &mut report).await;
        }
        Err(error) => report.add("found", Some(false), error.to_string()),
    }
    for check in ["found", "version", "logged_in", "can_write", "does_not_prompt", "may_reach"] {
        if !report.checks.iter().any(|done| done.check == check) {
            let why = if offline { OFFLINE } else { "not asked" };
            report.add(check, None, why.to_owned());
        }
    }
    report.ok = report.checks.iter().all(|check| check.ok != Some(false));
    report.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    report
}

/// The version of a backend's CLI, or what kept it from telling. `Ok(None)`: it has none.
pub async fn version(backend: &dyn Backend, supervisor: &Supervisor) -> Result<Option<String>, String> {
    let Some(invocation) = backend.version_invocation() else { return Ok(None) };
    let program = shown(&invocation);
    let scratch = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
    let (text, exit) = run(supervisor, invocation, scratch.path(), VERSION_MAX, (Text::default(), Arc::default())).await?;
    let version = backend.read_version(&String::from_utf8_lossy(&text.stdout));
    match (version, exit.code) {
        (Some(version), Some(0)) => Ok(Some(version)),
        (_, code) => {
            let said = String::from_utf8_lossy(if text.stderr.is_empty() { &text.stdout } else { &text.stderr }).trim().to_owned();
            let ended = match (exit.ended_by, code) {
                (Some(_), _) => format!("did not end within {} s", VERSION_MAX.as_secs()),
                (None, Some(code)) => format!("ended with status {code}"),
                (None, None) => "was killed".to_owned(),
            };
            Err(format!("{program} --version {ended}: {}", said.lines().next().unwrap_or("it said nothing")))
        }
    }
}

/// What a CLI says that asked whether somebody is logged in says no; `None` if it says yes, does not say, or cannot be asked.
async fn logged_out(backend: &dyn Backend, supervisor: &Supervisor) -> Option<String> {
    let invocation = backend.login_invocation()?;
    let scratch = tempfile::tempdir().ok()?;
    let (text, exit) = run(supervisor, invocation, scratch.path(), LOGIN_MAX, (Text::default(), Arc::default())).await.ok()?;
    let said = [text.stdout, text.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let no = said.lines().map(str::trim).find(|line| line.to_lowercase().starts_with("not logged in"))?;
    (exit.code == Some(1)).then(|| plain(no))
}

async fn examine(backend: &dyn Backend, supervisor: &Supervisor, offline: bool, report: &mut BackendReport) {
    let stage = match Stage::new() {
        Ok(stage) => stage,
        Err(error) => {
            return report.add("found", Some(false), format!("no temporary directory for the probe: {error}; make room or set TMPDIR"));
        }
    };
    let turn = stage.turn();
    let invocation = match backend.invocation(&turn) {
        Ok(invocation) => invocation,
        Err(error) => return report.add("found", Some(false), error.to_string()),
    };
    let program = shown(&invocation);
    report.program = Some(program.clone());
    report.add("found", Some(true), program);
    match version(backend, supervisor).await {
        Ok(version) => {
            let detail = version.clone().unwrap_or_else(|| "has no version".to_owned());
            report.add("version", version.as_ref().map(|_| true), detail);
            report.version = version;
        }
        Err(why) => return report.add("version", Some(false), format!("{why}; install it anew")),
    }
    let reach = reach(backend, &turn, &invocation);
    if offline {
        for check in ["logged_in", "can_write", "does_not_prompt"] {
            report.add(check, None, OFFLINE.to_owned());
        }
        return report.add("may_reach", None, reach);
    }
    // A turn without a login may take minutes to fail.
    if let Some(said) = logged_out(backend, supervisor).await {
        return report.add("logged_in", Some(false), format!("{said}; {}", login_hint(&report.backend)));
    }
    let progress = Arc::new(Progress::default());
    let sink = Ending(Listener::new(backend.parser(&turn), Arc::clone(&progress)));
    let end = match run(supervisor, invocation.clone(), &turn.scratch, TURN_MAX, (sink, progress)).await {
        Ok((Ending(listener), mut exit)) => {
            exit.last_message = invocation.read_last_message();
            (listener.end(&exit).0, exit.ended_by)
        }
        Err(why) => return report.add("logged_in", Some(false), why),
    };
    judge(end, stage.worktree().join(PROBE_FILE).is_file(), report);
    if report.checks.iter().any(|check| check.check == "does_not_prompt" && check.ok == Some(true)) {
        report.add("may_reach", Some(true), reach);
    }
}

/// What its command lines leave to the agent: where it writes, and where it only reads.
fn reach(backend: &dyn Backend, turn: &Turn, writing: &Invocation) -> String {
    let mut reading = turn.clone();
    reading.data.role = Role::Review;
    let writing = backend.reach(writing);
    match backend.invocation(&reading).map(|invocation| backend.reach(&invocation)) {
        Ok(reading) if reading != writing => format!("{writing}; in reviews it {reading}"),
        _ => writing.to_string(),
    }
}

/// What the probing turn's end says about the rest.
fn judge((end, ended_by): (TurnEnd, Option<EndedBy>), wrote: bool, report: &mut BackendReport) {
    let name = report.backend.clone();
    // Where its provider was the cause, the failure says so.
    if matches!(ended_by, Some(EndedBy::Wall | EndedBy::Idle | EndedBy::Output | EndedBy::Disk | EndedBy::Interrupt)) {
        let detail =
            format!("no end within {} s: it waits for an answer, or its model does not answer; try it by hand", TURN_MAX.as_secs());
        return report.add("does_not_prompt", Some(false), detail);
    }
    match end.failure {
        Some(Failure { kind: FailureKind::Auth, message }) => {
            return report.add("logged_in", Some(false), format!("{message}; {}", login_hint(&name)));
        }
        Some(Failure { kind: FailureKind::RateLimit { .. } | FailureKind::Quota { .. }, message }) => {
            report.add("logged_in", Some(true), format!("yes, but at its limit now: {message}"));
            return;
        }
        Some(Failure { kind: FailureKind::Misconfigured, message }) => {
            let detail = format!("{message}; correct `model` and `args` of [backend.{name}], or its own configuration");
            return report.add("logged_in", Some(false), detail);
        }
        Some(Failure { message, .. }) => return report.add("logged_in", Some(false), format!("the probing call failed: {message}")),
        None => report.add("logged_in", Some(true), "a model answered".to_owned()),
    }
    if wrote {
        report.add("can_write", Some(true), "it wrote a file where it was told".to_owned());
    } else {
        let detail = "its call succeeded but the file is not there: its sandbox may not work here (codex needs user namespaces; \
                      CODEX_BYPASS_SANDBOX=1 does without), or the model did not do as asked";
        report.add("can_write", Some(false), detail.to_owned());
    }
    report.add("does_not_prompt", Some(true), "it ended by itself".to_owned());
}

fn login_hint(backend: &str) -> &'static str {
    match backend {
        "codex" | "codex-review" => "log in with `codex login`, or set CODEX_API_KEY",
        "gemini" => "log in by starting `gemini` once, or set GEMINI_API_KEY",
        "opencode" => "log in with `opencode auth login`, and name a model (`model` in [backend.opencode])",
        _ => "log in as its documentation says",
    }
}

fn shown(invocation: &Invocation) -> String {
    let script = invocation.args.first().filter(|arg| Path::new(arg).is_absolute());
    let program = invocation.program.display();
    script.map_or_else(|| program.to_string(), |script| format!("{program} {}", Path::new(script).display()))
}

impl BackendReport {
    fn add(&mut self, check: &'static str, ok: Option<bool>, detail: String) {
        self.checks.push(Check { check, ok, detail });
    }
}

/// Directories of a probe.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> std::io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("roundtable-doctor-").tempdir()?;
        for below in ["w", "s"] {
            std::fs::DirBuilder::new().mode(0o700).create(dir.path().join(below))?;
        }
        Ok(Self { dir })
    }

    fn worktree(&self) -> PathBuf {
        std::fs::canonicalize(self.dir.path().join("w")).unwrap_or_else(|_| self.dir.path().join("w"))
    }

    fn turn(&self) -> Turn {
        let data = TurnData {
            unit: Some("probe".into()),
            title: "Probe".to_owned(),
            writes: vec![PROBE_FILE.to_owned()],
            ..TurnData::new("doctor-000000", Role::Implement)
        };
        let prompt = format!(
            "This is a test of your installation. Create the file {PROBE_FILE} in the current directory with the single word ok in it, do \
             nothing else, and then answer with exactly this JSON: {{\"status\": \"completed\"}}\n\nRoundtable-Turn: {}\n",
            data.tag()
        );
        Turn::new(data, prompt, self.worktree(), self.dir.path().join("s"))
    }
}

/// Collects raw output.
#[derive(Default)]
struct Text {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl LineSink for Text {
    fn line(&mut self, stream: Stream, line: &[u8], _truncated: bool) {
        let text = if stream == Stream::Stdout { &mut self.stdout } else { &mut self.stderr };
        if text.len() + line.len() < VERSION_BYTES_MAX {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
    }

    fn elided(&mut self, _stream: Stream, _bytes: u64) {}
}

/// Listens for the end alone.
struct Ending(Listener);

impl LineSink for Ending {
    fn line(&mut self, stream: Stream, line: &[u8], truncated: bool) {
        drop(self.0.line(stream, line, truncated));
    }

    fn elided(&mut self, _stream: Stream, _bytes: u64) {}
}

/// Runs an invocation to the end of its tree; what the sink knows of the provider stands in the progress beside it.
async fn run<S: LineSink + 'static>(
    supervisor: &Supervisor,
    invocation: Invocation,
    scratch: &Path,
    wall: Duration,
    (sink, progress): (S, Arc<Progress>),
) -> Result<(S, ExitFacts), String> {
    invocation.prepare().map_err(|error| format!("its files cannot be written: {error}"))?;
    let limits = Limits { wall, idle: wall, grace: Duration::from_secs(5), ..Limits::default() };
    let spec = ProcessSpec::new(invocation, limits, scratch, "doctor");
    // Nobody asks it to stop: the limits do.
    let (_keep, stop) = tokio::sync::watch::channel(Stop::No);
    let run = supervisor.run(spec, sink, stop, progress).await;
    let ended = run.ended.map_err(|error| error.to_string())?;
    let sink = run.sink.ok_or("its output could not be read")?;
    Ok((sink, ended.exit_facts()))
}
