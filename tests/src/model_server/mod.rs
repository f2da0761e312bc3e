//! A model provider on loopback that plays a playbook: real agent CLIs talk to it in their own dialects (OpenAI responses and chat completions,
//! Gemini generateContent) and are made to write files, answer, be slow, or meet every error a provider has. It holds no state about turns: what
//! comes next follows from the conversation in the request, so retries, resumes and parallel agents do not disturb each other.

mod chat;
mod exchange;
mod gemini;
mod homes;
mod http;
mod mind;
mod odd;
mod prompt;
mod responses;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roundtable_worker::backend::scripted::Playbook;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use exchange::{Asked, Refusal, Reply, Stream, StreamEnd};
pub use homes::Home;

/// Most connections at once; more wait in the listener's queue.
const CONNECTIONS_MAX: usize = 256;
/// Most requests that are remembered.
const SEEN_MAX: usize = 100_000;
/// Most prompts that are remembered with them: the first request of a turn each.
const PROMPTS_MAX: usize = 1_000;

/// What the models do.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Turns by unit and role, as for the scripted backend; steps become tool calls, faults become the provider's.
    pub playbook: Playbook,
    /// What each unit may write, where it is not what its prompt says: the default steps of a unit's turn write these.
    pub writes: BTreeMap<String, Vec<String>>,
    /// What the first requests of a turn meet, by `<unit>/<role>/<index>`.
    pub trouble: BTreeMap<String, Trouble>,
    /// Whether the assignment gives a unit that names no path a folder called by its title, as a model does that may choose where new code goes.
    pub lays_out_folders: bool,
}

/// What the first requests of a turn meet.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trouble {
    /// A scenario as in addresses: `429:30`, `401`, `hang`, …
    pub scenario: String,
    /// How many requests meet it; what follows is played as if nothing had been.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

impl Script {
    /// Reads a script: a playbook, or an object with `playbook`, `writes`, `trouble` and `lays_out_folders`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let value: Option<Value> = serde_json::from_str(text).ok();
        match value.filter(|value| ["playbook", "writes", "trouble", "lays_out_folders"].iter().any(|key| value.get(key).is_some())) {
            Some(value) => Ok(serde_json::from_value(value)?),
            None => Ok(Self { playbook: Playbook::parse(text)?, ..Self::default() }),
        }
    }
}

/// A request as it came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// `responses`, `chat`, `gemini`, or `other`.
    pub dialect: &'static str,
    /// The scenario of the address, or empty.
    pub scenario: String,
    /// `<run>/<unit>/<role>/<index>` of the prompt, or empty.
    pub tag: String,
    /// How many tool results had come back.
    pub step: usize,
    /// The key it brought.
    pub key: String,
    /// Whether a JSON schema for the answer came with it.
    pub schema: bool,
    /// Whether tools came with it; opencode asks for titles without.
    pub tools: bool,
    /// What was answered, in a word.
    pub reply: String,
    /// What the agent was told in this turn, as it reached the model; in the turn's first request alone.
    pub prompt: String,
}

/// A running server; ends when dropped.
pub struct ModelServer {
    addr: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

/// What connections share.
struct State {
    script: Script,
    seen: Mutex<Vec<Seen>>,
    /// Requests of scenarios that change after some requests.
    counts: Mutex<BTreeMap<String, u32>>,
}

impl ModelServer {
    /// Starts on a free port of loopback.
    pub async fn start(script: Script) -> anyhow::Result<Self> {
        Self::start_on(0, script).await
    }

    /// Starts on that port of loopback.
    pub async fn start_on(port: u16, script: Script) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State { script, seen: Mutex::default(), counts: Mutex::default() });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { addr, state, task })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The address under which every request meets `scenario` (`429:30`, `hang`, `first2.500`, …).
    pub fn scenario_url(&self, scenario: &str) -> String {
        format!("http://{}/s/{scenario}", self.addr)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().map(|seen| seen.clone()).unwrap_or_default()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn note(&self, mut seen: Seen) {
        if let Some(mut all) = self.seen.lock().ok().filter(|all| all.len() < SEEN_MAX) {
            let is_first = all.iter().all(|other| other.tag != seen.tag || other.prompt.is_empty());
            if !is_first || all.iter().filter(|other| !other.prompt.is_empty()).count() >= PROMPTS_MAX {
                seen.prompt.clear();
            }
            all.push(seen);
        }
    }

    /// Counts a request of `what`; from 0.
    fn count(&self, what: &str) -> u32 {
        let Ok(mut counts) = self.counts.lock() else { return 0 };
        let count = counts.entry(what.to_owned()).or_default();
        *count += 1;
        *count - 1
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let permits = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let state = Arc::clone(&state);
        connections.spawn(async move {
            // A peer that goes away in the middle is an agent being killed: nothing to say about it.
            let _ = serve(stream, &state).await;
            drop(permit);
        });
    }
}

async fn serve(stream: tokio::net::TcpStream, state: &State) -> std::io::Result<()> {
    let mut connection = http::Connection::new(stream);
    while let Some(request) = connection.read_request().await? {
        if answer(&mut connection, &request, state).await? == After::Cut {
            return connection.reset();
        }
    }
    Ok(())
}

/// What becomes of a connection after an answer.
#[derive(PartialEq, Eq)]
enum After {
    Stay,
    Cut,
}

async fn answer(connection: &mut http::Connection, request: &http::Request, state: &State) -> std::io::Result<After> {
    let (scenario, path) = request.scenario_and_path();
    let body = serde_json::from_slice::<Value>(&request.body).unwrap_or_default();
    let key = request.key();
    let dialect: &dyn Dialect = if path.ends_with("/responses") {
        &responses::Responses
    } else if path.ends_with("/chat/completions") {
        &chat::Chat
    } else if path.contains(":streamGenerateContent") || path.contains(":generateContent") {
        &gemini::Gemini
    } else {
        state.note(Seen { dialect: "other", scenario, key, reply: format!("404 {path}"), ..Seen::default() });
        connection.send_json(404, &[], &json!({"error": {"message": "no such endpoint", "type": "invalid_request_error"}})).await?;
        return Ok(After::Stay);
    };
    if request.method != "POST" {
        connection.send_json(405, &[], &json!({"error": {"message": "POST only"}})).await?;
        return Ok(After::Stay);
    }
    let asked = dialect.read(&body);
    // `login`: who brings a key is served, who brings none is refused, as by a provider.
    let met = match scenario.as_str() {
        "login" if key.is_empty() => "401",
        "login" => "play",
        other => other,
    };
    let reply = mind::reply(state, met, &asked);
    state.note(Seen {
        dialect: dialect.name(),
        scenario,
        tag: asked.tag.clone(),
        step: asked.step,
        key,
        schema: asked.schema,
        tools: !asked.tools.is_empty(),
        reply: reply.word(),
        prompt: asked.prompt.clone(),
    });
    match reply {
        Reply::Refuse(refusal) => {
            let headers: Vec<(&str, String)> =
                refusal.retry_after_s.map(|seconds| ("retry-after", seconds.to_string())).into_iter().collect();
            connection.send_json(refusal.status, &headers, &dialect.refusal(&refusal)).await?;
            Ok(After::Stay)
        }
        Reply::Hang => {
            connection.hang().await?;
            Ok(After::Cut)
        }
        Reply::Stream(stream) => send_stream(connection, dialect, &body, &asked, &stream).await,
    }
}

async fn send_stream(
    connection: &mut http::Connection,
    dialect: &dyn Dialect,
    body: &Value,
    asked: &Asked,
    stream: &Stream,
) -> std::io::Result<After> {
    connection.begin_stream().await?;
    for event in dialect.stream(body, asked, stream) {
        connection.send_chunk(&event).await?;
        if stream.pause_ms > 0 {
            tokio::time::sleep(Duration::from_millis(stream.pause_ms)).await;
        }
    }
    match stream.end {
        StreamEnd::Hang => connection.hang().await?,
        StreamEnd::Cut => {}
        _ => {
            connection.end_stream().await?;
            return Ok(After::Stay);
        }
    }
    Ok(After::Cut)
}

/// One provider's way to ask and to answer.
trait Dialect: Sync {
    /// Its name in the log.
    fn name(&self) -> &'static str;

    /// What a request asks.
    fn read(&self, body: &Value) -> Asked;

    /// The body of an error status.
    fn refusal(&self, refusal: &Refusal) -> Value;

    /// The server-sent events of an answer, ready to send.
    fn stream(&self, body: &Value, asked: &Asked, stream: &Stream) -> Vec<String>;
}
