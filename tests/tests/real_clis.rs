//! The real codex, gemini and opencode against the model server on loopback: that each adapter's command line is understood, its stream read
//! rightly, its conversation resumed, and every failure put in its class. `.ci/install-clis` brings the CLIs; without them these tests say so
//! loudly and pass, unless ROUNDTABLE_REQUIRE_CLIS is set.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use roundtable_shared::{AgentEvent, AttemptNo, FailureKind, Role, Switches, TurnData};
use roundtable_tests::model_server::{Home, ModelServer, Script};
use roundtable_worker::backend::{Backend, BackendConfig, EndedBy, ExitFacts, Host, Invocation, StdoutMode, Turn, TurnEnd};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

/// Longer than any turn here takes on a busy machine.
const TURN_MAX: Duration = Duration::from_secs(240);

/// A model server, a home that knows it, and a worktree.
struct Bench {
    server: ModelServer,
    backend: Arc<dyn Backend>,
    dir: tempfile::TempDir,
}

/// What a turn left.
struct Outcome {
    events: Vec<AgentEvent>,
    end: TurnEnd,
}

impl Outcome {
    fn answer(&self) -> Value {
        assert_eq!(self.end.failure, None, "{:#?}", self.events);
        serde_json::from_str(&self.end.answer).unwrap_or_else(|error| panic!("{error}: {}", self.end.answer))
    }

    fn failed(&self) -> FailureKind {
        self.end.failure.clone().unwrap_or_else(|| panic!("no failure: {:#?}", self.events)).kind
    }
}

impl Bench {
    /// `None`, said loudly, if the CLI is not installed.
    async fn open(name: &str, scenario: &str, script: &str) -> Option<Self> {
        let program = program(name.trim_end_matches("-review"))?;
        let dir = tempfile::Builder::new().prefix("cli-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let server = ModelServer::start(Script::parse(script).unwrap()).await.unwrap();
        let home = Home::create(&dir.path().join("home"), &server.scenario_url(scenario)).unwrap();
        for below in ["w", "s"] {
            std::fs::DirBuilder::new().mode(0o700).create(dir.path().join(below)).unwrap();
        }
        std::fs::write(dir.path().join("w/README.md"), "# A repository\n").unwrap();
        let git = std::process::Command::new("git").args(["init", "-q"]).current_dir(dir.path().join("w")).status().unwrap();
        assert!(git.success());
        let mut host = Host::default();
        for variable in ["PATH", "LANG"] {
            host.env.extend(std::env::var_os(variable).map(|value| (variable.into(), value)));
        }
        host.env.extend(home.env().iter().map(|(name, value)| (name.into(), value.into())));
        host.paths.insert(name.to_owned(), program.display().to_string());
        let model = (name == "gemini").then(|| "gemini-2.5-flash".to_owned());
        let mut listed = home.listed();
        listed.push("OPENCODE_MODEL_SERVER_KEY".to_owned());
        host.configs.insert(name.to_owned(), BackendConfig { env: listed, model, ..BackendConfig::default() });
        let backend = Arc::new(host).open(name).unwrap();
        Some(Self { server, backend, dir })
    }

    fn turn(&self, role: Role, index: u32) -> Turn {
        let data = TurnData {
            run: "demo-abcdef".into(),
            unit: Some("1".into()),
            title: "One".into(),
            role,
            attempt: AttemptNo(index),
            turn_index: index,
            round: index,
            reviewer: 0,
            writes: vec![],
            reads: vec![],
            open_subtasks: vec![],
            units: vec![],
        };
        Turn {
            prompt: format!("Do what the plan says.\n\nRoundtable-Turn: {}\n", data.tag()),
            data,
            worktree: std::fs::canonicalize(self.dir.path().join("w")).unwrap(),
            scratch: std::fs::canonicalize(self.dir.path().join("s")).unwrap(),
            resume: None,
            model: None,
            effort: None,
            schema: None,
            switches: Switches::default(),
        }
    }

    async fn play(&self, turn: &Turn) -> Outcome {
        self.play_for(turn, TURN_MAX).await
    }

    /// Runs a turn, and ends it as idle after `limit`.
    async fn play_for(&self, turn: &Turn, limit: Duration) -> Outcome {
        let invocation = self.backend.invocation(turn).unwrap();
        let (stdout, stderr, exit) = run(&invocation, &turn.scratch, limit).await;
        let mut parser = self.backend.parser(turn);
        let mut events = Vec::new();
        for line in stdout.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            parser.stdout_line(line, false, &mut events);
        }
        for line in stderr.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            parser.stderr_line(line, false, &mut events);
        }
        let end = parser.end(&exit, &mut events);
        Outcome { events, end }
    }

    fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.dir.path().join("w").join(path)).ok()
    }
}

/// Where a CLI is: named by the environment, else installed by `.ci/install-clis`.
fn program(name: &str) -> Option<PathBuf> {
    let variable = if name == "gemini" { "GEMINI_JS".to_owned() } else { format!("{}_BIN", name.to_uppercase()) };
    let named = std::env::var_os(&variable).map(PathBuf::from);
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/clis/node_modules/.bin").join(name);
    let found = named.or_else(|| installed.exists().then_some(installed));
    if found.is_none() {
        assert!(std::env::var_os("ROUNDTABLE_REQUIRE_CLIS").is_none(), "{name} is required: run .ci/install-clis or set {variable}");
        eprintln!("SKIPPED: {name} is not installed: run .ci/install-clis or set {variable}");
    }
    found
}

async fn run(invocation: &Invocation, scratch: &Path, limit: Duration) -> (Vec<u8>, Vec<u8>, ExitFacts) {
    for dir in &invocation.dirs {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).unwrap();
    }
    for (path, text) in &invocation.files {
        std::fs::write(path, text).unwrap();
    }
    let (out, err) = (scratch.join("stdout"), scratch.join("stderr"));
    let mut command = tokio::process::Command::new(&invocation.program);
    command.args(&invocation.args).current_dir(&invocation.cwd).env_clear().envs(&invocation.env).kill_on_drop(true).process_group(0);
    assert!(matches!(invocation.stdout, StdoutMode::Pipe | StdoutMode::File));
    command.stdin(Stdio::piped()).stdout(std::fs::File::create(&out).unwrap()).stderr(std::fs::File::create(&err).unwrap());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&invocation.stdin).await.unwrap();
    drop(stdin);
    let mut exit = ExitFacts::default();
    let status = match tokio::time::timeout(limit, child.wait()).await {
        Ok(status) => status.unwrap(),
        Err(_) => {
            exit.ended_by = Some(EndedBy::Idle);
            child.start_kill().unwrap();
            child.wait().await.unwrap()
        }
    };
    exit.code = status.code();
    exit.signal = std::os::unix::process::ExitStatusExt::signal(&status);
    exit.last_message = invocation.last_message.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
    (std::fs::read(out).unwrap(), std::fs::read(err).unwrap(), exit)
}

const WORK: &str = r#"{"units": {"1": {
    "implement": [{"steps": [{"write": {"path": "src/a.txt", "text": "one\ntwo\n"}}, {"run": "echo seen-by-agent; exit 3"}, {"say": "Nearly there."}],
                   "result": {"summary": "written"}}],
    "fix": [{"steps": [{"run": "printf three >> src/a.txt"}], "result": {"summary": "fixed"}}]}}}"#;

/// Implements, then fixes in the same conversation.
async fn implements_and_resumes(name: &str) {
    let Some(bench) = Bench::open(name, "play", WORK).await else { return };
    let done = bench.play(&bench.turn(Role::Implement, 1)).await;
    let text = done.end.answer.clone();
    assert_eq!(done.end.failure, None, "{:#?}", done.events);
    assert!(text.contains("Nearly there.") && text.contains("\"summary\":\"written\""), "{text}");
    assert_eq!(bench.text("src/a.txt").as_deref(), Some("one\ntwo\n"));
    let changed = done.events.iter().any(|event| matches!(event, AgentEvent::FileChange { paths, ok: true } if paths == &["src/a.txt"]));
    assert!(changed, "{:#?}", done.events);
    let ran = done.events.iter().any(
        |event| matches!(event, AgentEvent::Exec { output: Some(output), ended: true, command, .. } if output.contains("seen-by-agent") && command.contains("exit 3")),
    );
    assert!(ran, "{:#?}", done.events);
    // Three requests of 100, 110 and 120 tokens.
    assert_eq!((done.end.usage.input_tokens, done.end.usage.cached_input_tokens), (330, 60), "{:?}", done.end.usage);
    assert!(done.end.usage.output_tokens >= 90);
    let session = done.end.session.unwrap();

    let mut fix = bench.turn(Role::Fix, 1);
    fix.resume = Some(session.clone());
    let fixed = bench.play(&fix).await;
    assert_eq!(fixed.answer()["summary"], "fixed");
    assert_eq!(bench.text("src/a.txt").as_deref(), Some("one\ntwo\nthree"));
    let again = fixed.end.session.unwrap();
    assert_eq!(again.session, session.session);
    assert_eq!(fixed.end.usage.input_tokens, 210, "this turn alone: 100 + 110");
    assert!(bench.server.seen().iter().all(|seen| seen.key.ends_with("-test-key")), "{:?}", bench.server.seen());
}

/// Reviews: cannot write, and answers with JSON.
async fn reviews_read_only(name: &str) {
    let script = r#"{"units": {"1": {"review": [{"steps": [{"write": {"path": "hacked.txt", "text": "x\n"}}],
        "result": {"severity": "critical", "summary": "bad", "issues": [{"description": "d", "severity": "critical", "file": "src/a.txt", "line": 1}]}}]}}}"#;
    let Some(bench) = Bench::open(name, "play", script).await else { return };
    let mut turn = bench.turn(Role::Review, 1);
    turn.schema = Some(
        r#"{"type":"object","properties":{"severity":{"type":"string"},"summary":{"type":"string"}},"required":["severity","summary"],"additionalProperties":false}"#.into(),
    );
    let done = bench.play(&turn).await;
    assert_eq!(done.answer()["severity"], "critical");
    assert_eq!(bench.text("hacked.txt"), None, "a reviewer must not write");
    let schema = bench.server.seen().iter().any(|seen| seen.schema);
    assert_eq!(schema, bench.backend.capabilities().schema);
}

/// A failure of the provider, its kind, and how often the CLI itself tries at most.
async fn fails(name: &str, scenario: &str, requests_max: usize, matches: impl Fn(&FailureKind) -> bool) {
    let Some(bench) = Bench::open(name, scenario, "{}").await else { return };
    let done = bench.play(&bench.turn(Role::Implement, 1)).await;
    let kind = done.failed();
    assert!(matches(&kind), "{name} under {scenario}: {kind:?}: {:?}\n{:#?}", done.end.failure, done.events);
    // Requests without tools are opencode's for a title.
    let requests = bench.server.seen().iter().filter(|seen| seen.tools).count();
    assert!((1..=requests_max).contains(&requests), "{name} under {scenario}: {requests} requests");
}

/// A model that says nothing is ended by the idle limit; what was begun can be resumed.
async fn hangs(name: &str) {
    let Some(bench) = Bench::open(name, "midhang", "{}").await else { return };
    let done = bench.play_for(&bench.turn(Role::Implement, 1), Duration::from_secs(25)).await;
    let kind = done.failed();
    // codex notices by itself that a stream has gone silent.
    assert!(matches!(kind, FailureKind::IdleLimit | FailureKind::ProviderUnavailable), "{kind:?}");
}

fn rate_limit(kind: &FailureKind) -> bool {
    matches!(kind, FailureKind::RateLimit { .. })
}

fn unavailable(kind: &FailureKind) -> bool {
    *kind == FailureKind::ProviderUnavailable
}

fn quota(kind: &FailureKind) -> bool {
    matches!(kind, FailureKind::Quota { .. })
}

macro_rules! clis {
    ($($module:ident { $($test:ident => $body:expr;)* })*) => {
        $(mod $module {
            use super::*;
            $(#[tokio::test]
            async fn $test() {
                $body.await;
            })*
        })*
    };
}

clis! {
    codex {
        implements_and_resumes_its_conversation => implements_and_resumes("codex");
        a_refused_key_is_auth => fails("codex", "401", 2, |kind| *kind == FailureKind::Auth);
        a_rate_limit_is_one => fails("codex", "429:1", 2, rate_limit);
        an_exhausted_quota_is_one => fails("codex", "quota", 1, quota);
        a_broken_provider_is_unavailable => fails("codex", "500", 6, unavailable);
        a_cut_connection_is_unavailable => fails("codex", "cut", 2, unavailable);
        a_full_context_is_one => fails("codex", "context", 1, |kind| *kind == FailureKind::ContextOverflow);
        an_unknown_model_is_configuration => fails("codex", "404", 1, |kind| *kind == FailureKind::Config);
        a_cut_answer_is_a_failed_turn => fails("codex", "length", 1, |kind| *kind == FailureKind::TurnFailed);
        an_empty_answer_is_no_answer => fails("codex", "empty", 1, |kind| *kind == FailureKind::BadAnswer);
        a_silent_model_is_ended => hangs("codex");
    }
    codex_review {
        reviews_without_writing => reviews_read_only("codex-review");
    }
    gemini {
        implements_and_resumes_its_conversation => implements_and_resumes("gemini");
        reviews_without_writing => reviews_read_only("gemini");
        a_refused_key_is_auth => fails("gemini", "401", 1, |kind| *kind == FailureKind::Auth);
        a_rate_limit_is_one => fails("gemini", "429:1", 3, rate_limit);
        an_exhausted_quota_is_one => fails("gemini", "quota", 1, quota);
        a_broken_provider_is_unavailable => fails("gemini", "503", 3, unavailable);
        a_cut_connection_is_unavailable => fails("gemini", "cut", 1, unavailable);
        a_full_context_is_one => fails("gemini", "context", 1, |kind| *kind == FailureKind::ContextOverflow);
        an_unknown_model_is_configuration => fails("gemini", "404", 1, |kind| *kind == FailureKind::Config);
        a_silent_model_is_ended => hangs("gemini");
    }
    opencode {
        implements_and_resumes_its_conversation => implements_and_resumes("opencode");
        reviews_without_writing => reviews_read_only("opencode");
        a_refused_key_is_auth => fails("opencode", "401", 1, |kind| *kind == FailureKind::Auth);
        a_rate_limit_is_one => fails("opencode", "429:1", 6, rate_limit);
        a_full_context_is_one => fails("opencode", "context", 1, |kind| *kind == FailureKind::ContextOverflow);
        an_unknown_model_is_configuration => fails("opencode", "404", 1, |kind| *kind == FailureKind::Config);
        a_cut_answer_is_a_failed_turn => fails("opencode", "length", 1, |kind| *kind == FailureKind::TurnFailed);
        an_empty_answer_is_no_answer => fails("opencode", "empty", 1, |kind| *kind == FailureKind::BadAnswer);
        a_silent_model_is_ended => hangs("opencode");
    }
}
