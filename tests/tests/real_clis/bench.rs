//! What a test of one real CLI needs: the model server, a home that knows it, a worktree, and the adapter's turn under the supervisor.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use roundtable_shared::{AgentEvent, AttemptNo, FailureKind, Role, TurnData};
use roundtable_tests::model_server::{Home, ModelServer, Script};
use roundtable_worker::backend::{Backend, BackendConfig, Host, Listener, Turn, TurnEnd};
use roundtable_worker::process::{Limits, LineSink, ProcessSpec, Progress, Stop, Stream, Supervisor, SupervisorOptions};
use serde_json::Value;

/// Longer than any turn here takes on a busy machine.
const TURN_MAX: Duration = Duration::from_secs(240);

/// A model server, a home that knows it, and a worktree.
pub struct Bench {
    pub server: ModelServer,
    pub host: Arc<Host>,
    pub backend: Arc<dyn Backend>,
    pub supervisor: Supervisor,
    pub dir: tempfile::TempDir,
}

/// What a turn left.
pub struct Outcome {
    pub events: Vec<AgentEvent>,
    pub end: TurnEnd,
}

impl Outcome {
    pub fn answer(&self) -> Value {
        assert_eq!(self.end.failure, None, "{:#?}", self.events);
        serde_json::from_str(&self.end.answer).unwrap_or_else(|error| panic!("{error}: {}", self.end.answer))
    }

    pub fn failed(&self) -> FailureKind {
        self.end.failure.clone().unwrap_or_else(|| panic!("no failure: {:#?}", self.events)).kind
    }
}

impl Bench {
    pub async fn open(name: &str, scenario: &str, script: &str) -> Self {
        let program = program(name.trim_end_matches("-review")).expect("the CLI is required and not installed");
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
        let host = Arc::new(host);
        let backend = host.open(name).unwrap();
        let supervisor = Supervisor::start(SupervisorOptions { warm: 0, ..SupervisorOptions::new(dir.path()) }).await.unwrap();
        Self { server, host, backend, supervisor, dir }
    }

    pub fn turn(&self, role: Role, index: u32) -> Turn {
        let data = TurnData {
            unit: Some("1".into()),
            title: "One".into(),
            attempt: AttemptNo(index),
            turn_index: index,
            round: index,
            ..TurnData::new("demo-abcdef", role)
        };
        let prompt = format!("Do what the plan says.\n\nRoundtable-Turn: {}\n", data.tag());
        let place = |below: &str| std::fs::canonicalize(self.dir.path().join(below)).unwrap();
        Turn::new(data, prompt, place("w"), place("s"))
    }

    pub async fn play(&self, turn: &Turn) -> Outcome {
        self.play_for(turn, TURN_MAX).await
    }

    /// Runs a turn, and ends it after `limit`.
    pub async fn play_for(&self, turn: &Turn, limit: Duration) -> Outcome {
        self.play_within(turn, Limits { wall: limit, ..Limits::default() }).await
    }

    /// Runs a turn within these limits.
    pub async fn play_within(&self, turn: &Turn, limits: Limits) -> Outcome {
        let invocation = self.backend.invocation(turn).unwrap();
        invocation.prepare().unwrap();
        let limits = Limits { grace: Duration::from_secs(1), ..limits };
        let spec = ProcessSpec::new(invocation.clone(), limits, &turn.scratch, "real-cli");
        let (_keep, stop) = tokio::sync::watch::channel(Stop::No);
        let progress = Arc::new(Progress::default());
        let sink = Keeping { listener: Listener::new(self.backend.parser(turn), Arc::clone(&progress)), events: Vec::new() };
        let run = self.supervisor.run(spec, sink, stop, progress).await;
        let ended = run.ended.unwrap();
        assert_eq!(ended.survivors, Vec::<String>::new());
        let mut exit = ended.exit_facts();
        exit.last_message = invocation.read_last_message();
        let Keeping { listener, mut events } = run.sink.unwrap();
        let (end, last) = listener.end(&exit);
        events.extend(last);
        Outcome { events, end }
    }

    pub fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.dir.path().join("w").join(path)).ok()
    }
}

/// Where a CLI is: named by the environment, else installed by `.ci/install-clis`.
pub fn program(name: &str) -> Option<PathBuf> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../build/clis/node_modules/.bin").join(name);
    std::env::var_os(variable(name)).map(PathBuf::from).or_else(|| installed.exists().then_some(installed))
}

pub fn variable(name: &str) -> String {
    if name == "gemini" { "GEMINI_JS".to_owned() } else { format!("{}_BIN", name.to_uppercase()) }
}

/// Listens as the worker does, and keeps all events.
struct Keeping {
    listener: Listener,
    events: Vec<AgentEvent>,
}

impl LineSink for Keeping {
    fn line(&mut self, stream: Stream, line: &[u8], truncated: bool) {
        self.events.extend(self.listener.line(stream, line, truncated));
    }

    fn elided(&mut self, _stream: Stream, bytes: u64) {
        self.events.push(AgentEvent::Elided { bytes });
    }
}
