//! One attempt, from worktree to facts: setup, the agent's turn or the check command, the end of its tree, the commit.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use roundtable_runtime::fsx;
use roundtable_runtime::git::Git;
use roundtable_runtime::sweep;
use roundtable_shared::view::EventLine;
use roundtable_shared::{AgentEvent, AttemptFacts, Failure, FailureKind, Lease, OutcomeClass, Role, Usage};
use tokio::sync::watch;

use super::played::{Played, facts};
use super::room::Level;
use super::sink::{AgentSink, CommandSink, Events, now};
use super::tree::Tree;
use super::{AgentHost, report};
use crate::backend::{Backend, EndedBy, ExitFacts, Host, SessionRecord, StdoutMode, Switches, Turn, last_message_at};
use crate::process::{Ended, Exit, Limits, ProcessError, ProcessSpec, Progress as Output, Redactor, Stop, Supervisor, secrets};
use crate::session::{Attachment, Job, Progress};

/// Largest login file that is looked through for secrets, bytes.
const LOGIN_BYTES_MAX: u64 = 1 << 20;
/// Longest `--version` of a CLI.
const VERSION_WITHIN: Duration = Duration::from_secs(30);

/// Runs an attempt to its end. No secret of this host or of the files under `copy` is in what comes of it.
pub(super) async fn run(host: &AgentHost, mut job: Job) -> AttemptFacts {
    let attachments = std::mem::take(&mut job.attachments);
    let redactor = Arc::new(Redactor::new(secrets_of(&host.host, &attachments)));
    let backend = job.lease.backend.clone();
    let mut facts = attempt(host, job, attachments, &redactor).await;
    redactor.facts(&mut facts);
    match &facts.failure {
        None => host.offers.accept(&backend),
        Some(Failure { kind: kind @ (FailureKind::Auth | FailureKind::Misconfigured), message }) => {
            host.offers.refuse(&backend, kind, message)
        }
        Some(_) => {}
    }
    facts
}

/// What the agent could come to know and must not tell.
fn secrets_of(host: &Host, attachments: &[Attachment]) -> Vec<String> {
    let mut found = secrets::of_env(host.env.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())));
    found.extend(attachments.iter().flat_map(|file| secrets::of_file(&file.data)));
    let logins = host.login_files().into_iter().filter_map(|file| fsx::read_bounded(&file, LOGIN_BYTES_MAX).ok().flatten());
    found.extend(logins.flat_map(|login| secrets::of_file(&login)));
    found
}

async fn attempt(host: &AgentHost, job: Job, attachments: Vec<Attachment>, redactor: &Arc<Redactor>) -> AttemptFacts {
    let lease = job.lease.clone();
    let progress = job.progress.clone();
    // Its prompt counts on what the conversation knows; handed back, it comes again with everything in it.
    let resume = lease.resume.as_ref().map(|session| recall(&host.sessions, session.as_str()));
    if resume == Some(None) {
        let why = "the conversation it goes on with is not kept on this worker any more";
        return facts(Played::failed(FailureKind::Interrupted, why), None);
    }
    // Whoever listens may have gone; the attempt goes on.
    let _ = progress.send(Progress::Preparing("worktree".to_owned())).await;
    let made = async {
        let git = host.caches.open(&lease.repository).await?;
        let tree = host.trees.make(&git, &lease, attachments).await?;
        Ok::<_, crate::session::RunnerError>((git, tree))
    };
    let (git, tree) = match made.await {
        Ok(made) => made,
        Err(error) => {
            host.caches.doubt(&lease.repository).await;
            return facts(Played::failed(FailureKind::Disk, format!("the worktree could not be made: {error}")), None);
        }
    };
    for why in &tree.not_brought {
        let text = format!("a file under `copy` was not brought: {why}");
        job.push(EventLine { at: now(), event: AgentEvent::Warning { text } });
    }
    let mut played = play(host, &job, &git, &tree, redactor, resume.flatten()).await;
    let _ = progress.send(Progress::Ending).await;
    if tree.is_lost() {
        let message = "the workspace of this worker was taken away under the attempt".to_owned();
        return facts(Played { failure: Some(Failure { kind: FailureKind::Disk, message }), ..played }, None);
    }
    if let Some(why) = full_disk(host, &job, &played) {
        played.failure = Some(Failure { kind: FailureKind::Disk, message: why });
        host.offers.starve(&lease.lease);
        // The agent's temporary files are of no use any more; the commit may need their room.
        let scratch = tree.scratch.clone();
        let _ = tokio::task::spawn_blocking(move || sweep::remove(&scratch)).await;
        host.room.give_ballast();
    }
    if let Some(session) = &played.session {
        remember(&host.sessions, session);
    }
    if !lease.role.writes() {
        return facts(played, None);
    }
    match host.trees.commit(&git, &lease, &tree).await {
        Ok((commit, left_out)) => {
            if !left_out.is_empty() {
                let text = format!("what the agent left is committed without {left_out}");
                job.push(EventLine { at: now(), event: AgentEvent::Warning { text: redactor.text(&text).into_owned() } });
            }
            // A review or fix of it may start right here.
            if let Err(error) = host.caches.made(&lease.repository, &commit).await {
                tracing::debug!(lease = %lease.lease.key, %error, "the commit will be fetched when it is needed");
            }
            AttemptFacts { left_out, ..facts(played, Some(commit)) }
        }
        Err(error) => {
            let failure = Failure { kind: error.kind(), message: format!("the work could not be committed: {error}") };
            facts(Played { failure: played.failure.or(Some(failure)), ..played }, None)
        }
    }
}

/// Whether an attempt met a full disk, and how that showed: then its end says nothing about the unit. An agent that went on regardless may have written
/// half of a file.
fn full_disk(host: &AgentHost, job: &Job, played: &Played) -> Option<String> {
    let said = match &played.failure {
        Some(Failure { kind: FailureKind::Disk, message }) => return Some(message.clone()),
        Some(Failure { kind: FailureKind::Interrupted, .. }) => return None,
        Some(failure) => &failure.message,
        None => "the attempt ended while nothing could be written",
    };
    let class = played.failure.as_ref().map(|failure| failure.kind.class());
    let phrases = ["No space left on device", "ENOSPC", "Disk quota exceeded"];
    let says_so = class == Some(OutcomeClass::Unit) && phrases.iter().any(|phrase| said.contains(phrase));
    let is_full = *job.events.lost().borrow() || host.room.look() == Level::Dire || says_so;
    is_full.then(|| format!("the disk of this worker is full: {said}"))
}

async fn play(host: &AgentHost, job: &Job, git: &Git, tree: &Tree, redactor: &Arc<Redactor>, resume: Option<SessionRecord>) -> Played {
    let lease = &job.lease;
    if let Some(setup) = &lease.setup {
        let _ = job.progress.send(Progress::Preparing("setup".to_owned())).await;
        let turn = tokio::select! {
            turn = host.setups.turn(git, lease, setup, tree) => turn,
            () = cancelled(job) => return Played::failed(FailureKind::Interrupted, "stopped before setup"),
        };
        let restored = match &turn {
            Some(turn) => host.setups.restore(turn, tree).await,
            None => false,
        };
        if !restored {
            if let Some(failed) = set_up(host, job, tree, setup, redactor).await {
                return failed;
            }
            if let Some(turn) = &turn
                && host.room.look() == Level::Enough
            {
                host.setups.keep(turn, git, tree).await;
            }
        }
    }
    let turn = turn(host, lease, tree, resume);
    // The one place that says who judges: a playbook that this worker plays and that has an entry for the check, else the command.
    let player = if lease.role == Role::Check { host.plays_check(&turn.data) } else { host.backend(&lease.backend) };
    match (player, &lease.check, lease.role) {
        (Some(backend), _, _) => agent(host, job, tree, redactor, (backend.as_ref(), turn)).await,
        (None, Some(command), Role::Check) => check(host, job, tree, command, redactor).await,
        (None, _, _) => Played::failed(FailureKind::Config, format!("this worker does not serve {}", lease.backend)),
    }
}

/// Runs the setup command; `Some` if it failed.
async fn set_up(host: &AgentHost, job: &Job, tree: &Tree, command: &str, redactor: &Arc<Redactor>) -> Option<Played> {
    let events = Events::new(job.events.clone(), Arc::clone(redactor));
    let (ended, output) = shell(host, job, tree, command, events).await;
    match ended {
        Ok(ended) if ended.ended_by == Some(EndedBy::Interrupt) => Some(Played::failed(FailureKind::Interrupted, "stopped during setup")),
        Ok(ended) if ended.exit == Exit::Code(0) => None,
        Ok(ended) if ended.ended_by == Some(EndedBy::Disk) => {
            Some(Played::failed(FailureKind::Disk, "`setup` was ended because the disk is full"))
        }
        Ok(ended) => Some(Played::failed(FailureKind::Setup, format!("`setup` ended with {}\n{}", said(&ended), last_lines(&output)))),
        Err(error) => Some(Played::failed(FailureKind::Config, format!("`setup` could not be run: {error}"))),
    }
}

/// Runs the check command: the exit status is its answer.
async fn check(host: &AgentHost, job: &Job, tree: &Tree, command: &str, redactor: &Arc<Redactor>) -> Played {
    let _ = job.progress.send(Progress::Started).await;
    let events = Events::new(job.events.clone(), Arc::clone(redactor));
    let (ended, output) = shell(host, job, tree, command, events).await;
    match ended {
        Ok(ended) => {
            let failure = (ended.exit != Exit::Code(0) || ended.ended_by.is_some()).then(|| Failure {
                kind: limit_kind(&ended).unwrap_or(match ended.exit {
                    Exit::Code(code) => FailureKind::ExitStatus { code: Some(code), signal: None },
                    Exit::Signal(signal) => FailureKind::ExitStatus { code: None, signal: Some(signal) },
                }),
                message: format!("the check ended with {}", said(&ended)),
            });
            let exit_code = if let Exit::Code(code) = ended.exit { Some(code) } else { None };
            Played { failure, exit_code, answer: output, session: None, usage: Usage::default() }
        }
        Err(error) => Played::failed(FailureKind::Config, format!("the check could not be run: {error}")),
    }
}

/// Plays a turn of a backend; one that ends without an answer that can be read is asked for that alone.
async fn agent(host: &AgentHost, job: &Job, tree: &Tree, redactor: &Arc<Redactor>, (backend, turn): (&dyn Backend, Turn)) -> Played {
    let begun = Instant::now();
    let limits = limits(&job.lease);
    let first = play_turn(host, job, tree, redactor, (backend, &turn), limits).await;
    let Some(why) = report::unreadable(job.lease.role, &first) else { return first };
    let (again, left) = (report::turn(backend, &turn, &first, &why), report::limits(&limits, begun.elapsed()));
    let (Some(again), Some(left)) = (again, left) else { return first };
    if job.cancel.borrow().is_some() {
        return first;
    }
    let text = redactor.text(&format!("asked again for its report: {why}")).into_owned();
    job.push(EventLine { at: now(), event: AgentEvent::Warning { text } });
    let second = play_turn(host, job, tree, redactor, (backend, &again), left).await;
    report::merge(first, second)
}

/// One process of an agent, from its command line to what it said.
async fn play_turn(
    host: &AgentHost,
    job: &Job,
    tree: &Tree,
    redactor: &Arc<Redactor>,
    (backend, turn): (&dyn Backend, &Turn),
    limits: Limits,
) -> Played {
    let invocation = match backend.invocation(turn) {
        Ok(invocation) => invocation,
        Err(error) => return Played::failed(FailureKind::Misconfigured, error.to_string()),
    };
    let last_message = invocation.last_message.clone();
    // What an earlier turn of the attempt said is not this one's last word.
    if let Some(file) = &last_message {
        let _ = std::fs::remove_file(file);
    }
    if let Err(error) = invocation.prepare() {
        return Played::failed(FailureKind::Disk, format!("files for {} could not be written: {error}", backend.name()));
    }
    let events = Events::new(job.events.clone(), Arc::clone(redactor));
    let output = Arc::new(Output::default());
    let sink = AgentSink::new(backend.parser(turn), events, Arc::clone(&output));
    let spec = ProcessSpec::new(invocation, limits, &tree.scratch, job.lease.lease.key.to_string());
    let stop = stop_of(host, job);
    let _ = job.progress.send(Progress::Started).await;
    let run = host.supervisor.run(spec, sink, stop, output).await;
    let mut exit = match &run.ended {
        Ok(ended) => ended.exit_facts(),
        Err(error) => {
            let missing = matches!(error, ProcessError::NotStarted { missing: true, .. });
            ExitFacts { spawn_error: Some(error.to_string()), missing, ..ExitFacts::default() }
        }
    };
    exit.last_message = last_message.as_deref().and_then(last_message_at);
    let Some(sink) = run.sink else {
        return Played::failed(FailureKind::Bug, "reading the agent's output broke");
    };
    let end = sink.end(&exit);
    Played { failure: end.failure, exit_code: exit.code, answer: end.answer, session: end.session, usage: end.usage }
}

fn turn(host: &AgentHost, lease: &Lease, tree: &Tree, resume: Option<SessionRecord>) -> Turn {
    let own = host.host.switches();
    let asked = &lease.switches;
    let switches = Switches {
        bypass_sandbox: asked.bypass_sandbox.or(own.bypass_sandbox),
        skip_permissions: asked.skip_permissions.or(own.skip_permissions),
        opencode_agent: asked.opencode_agent.clone().or(own.opencode_agent),
        opencode_model: asked.opencode_model.clone().or(own.opencode_model),
    };
    Turn {
        data: lease.turn_data.clone(),
        prompt: lease.prompt.clone(),
        report_only: false,
        worktree: tree.dir.clone(),
        scratch: tree.scratch.clone(),
        resume,
        model: lease.model.clone(),
        effort: lease.effort.clone(),
        schema: lease.answer_schema.clone(),
        switches,
    }
}

/// Runs `sh -c` in the worktree, with the environment of a plain user's shell and none of ours.
async fn shell(host: &AgentHost, job: &Job, tree: &Tree, command: &str, events: Events) -> (Result<Ended, ProcessError>, String) {
    const PASSED: [&str; 10] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TERM", "TMPDIR", "SHELL", "TZ", "XDG_RUNTIME_DIR"];
    let passed =
        |name: &OsString| name.to_str().is_some_and(|name| PASSED.contains(&name) || name.starts_with("LC_") || name.starts_with("XDG_"));
    let env: BTreeMap<OsString, OsString> =
        host.host.env.iter().filter(|(name, _)| passed(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
    let spec = ProcessSpec {
        program: PathBuf::from("/bin/sh"),
        args: vec!["-c".into(), command.into()],
        env,
        cwd: tree.dir.clone(),
        stdin: Vec::new(),
        stdout: StdoutMode::Pipe,
        scratch: tree.scratch.clone(),
        limits: limits(&job.lease),
        name: job.lease.lease.key.to_string(),
    };
    let run = host.supervisor.run(spec, CommandSink::new(Some(events)), stop_of(host, job), Arc::new(Output::default())).await;
    (run.ended, run.sink.map(CommandSink::end).unwrap_or_default())
}

fn limits(lease: &Lease) -> Limits {
    Limits {
        wall: Duration::from_millis(lease.wall_ms),
        idle: Duration::from_millis(lease.idle_ms),
        output_bytes_max: lease.output_bytes_max,
        ..Limits::default()
    }
}

/// Cancelling the job ends the tree, and so does a disk that is full.
fn stop_of(host: &AgentHost, job: &Job) -> watch::Receiver<Stop> {
    let (sender, receiver) = watch::channel(Stop::No);
    let (mut cancel, mut lost, mut level) = (job.cancel.clone(), job.events.lost(), host.room.watch());
    tokio::spawn(async move {
        let why = tokio::select! {
            Ok(_) = cancel.wait_for(Option::is_some) => EndedBy::Interrupt,
            Ok(_) = lost.wait_for(|lost| *lost) => EndedBy::Disk,
            Ok(_) = level.wait_for(|level| *level == Level::Dire) => EndedBy::Disk,
            () = sender.closed() => return,
        };
        sender.send_replace(Stop::End(why));
    });
    receiver
}

/// Returns once the attempt is to stop.
async fn cancelled(job: &Job) {
    if job.cancel.clone().wait_for(Option::is_some).await.is_err() {
        // Nobody can cancel it any more.
        std::future::pending::<()>().await;
    }
}

fn limit_kind(ended: &Ended) -> Option<FailureKind> {
    Some(match ended.ended_by? {
        EndedBy::Wall => FailureKind::WallLimit,
        EndedBy::Idle => FailureKind::IdleLimit,
        EndedBy::Unanswered | EndedBy::Stalled | EndedBy::Refused => FailureKind::ProviderUnavailable,
        EndedBy::Output => FailureKind::OutputLimit,
        EndedBy::Disk => FailureKind::Disk,
        EndedBy::Interrupt => FailureKind::Interrupted,
    })
}

fn said(ended: &Ended) -> String {
    match ended.exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
    }
}

fn last_lines(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Keeps what is needed to resume a conversation here. Losing it costs a hand-back and a fresh conversation, no more.
fn remember(dir: &Path, record: &SessionRecord) {
    if let Ok(text) = serde_json::to_vec(record) {
        let _ = std::fs::write(dir.join(file_of(record.session.as_str())), text);
    }
}

fn recall(dir: &Path, session: &str) -> Option<SessionRecord> {
    serde_json::from_slice(&std::fs::read(dir.join(file_of(session))).ok()?).ok()
}

fn file_of(session: &str) -> String {
    format!("{}.json", blake3::hash(session.as_bytes()).to_hex())
}

/// What a CLI says its version is; `None` if it has none or does not say.
pub(super) async fn version(supervisor: &Supervisor, workspace: &Path, backend: &dyn Backend) -> Option<String> {
    let invocation = backend.version_invocation()?;
    let limits = Limits { wall: VERSION_WITHIN, idle: VERSION_WITHIN, ..Limits::default() };
    let spec = ProcessSpec::new(invocation, limits, workspace, "version");
    let (_stop, receiver) = watch::channel(Stop::No);
    let run = supervisor.run(spec, CommandSink::new(None), receiver, Arc::new(Output::default())).await;
    let output = run.sink.map(CommandSink::end)?;
    backend.read_version(&output)
}
