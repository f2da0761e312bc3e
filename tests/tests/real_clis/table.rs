//! The ways in which a model and its provider misbehave, each met by each real CLI: what kind of failure it is taken for, what it costs the unit, how
//! many requests and seconds are lost, and what a person reads. A cell is a test; the table of those that ran is printed at the end.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use roundtable_shared::answer::{WorkAnswer, WorkStatus};
use roundtable_shared::{Failure, FailureKind, OutcomeClass, Role};
use roundtable_worker::process::Limits;

use crate::bench::{Bench, Outcome};

/// The columns.
pub const CLIS: [&str; 3] = ["codex", "gemini", "opencode"];

/// Longest line that is shown, characters.
const LINE_CHARS_MAX: usize = 110;

/// What the agent is to do where nothing keeps it from doing so.
const WORK: &str = r#"{"units": {"1": {"implement": [{"steps": [{"write": {"path": "src/a.txt", "text": "one\n"}}], "result": {"summary": "written"}}]}}}"#;

/// A misbehaviour and what each CLI makes of it.
pub struct Row {
    /// What happens, in words.
    pub name: &'static str,
    /// The model server's name for it.
    scenario: &'static str,
    cells: [Cell; 3],
}

/// What is expected of one CLI.
struct Cell {
    /// What it comes to: a kind of failure, or `completed` or `no answer` where the turn ended well.
    kind: &'static str,
    /// Most requests.
    requests_max: usize,
    /// Most seconds, on a busy machine.
    seconds_max: u64,
    /// A part of what a person reads.
    says: &'static str,
}

const fn cell(kind: &'static str, requests_max: usize, seconds_max: u64, says: &'static str) -> Cell {
    Cell { kind, requests_max, seconds_max, says }
}

const fn row(name: &'static str, scenario: &'static str, cells: [Cell; 3]) -> Row {
    Row { name, scenario, cells }
}

/// The same of all three but for the requests.
const fn all(kind: &'static str, requests_max: [usize; 3], seconds_max: u64, says: &'static str) -> [Cell; 3] {
    let [codex, gemini, opencode] = requests_max;
    [cell(kind, codex, seconds_max, says), cell(kind, gemini, seconds_max, says), cell(kind, opencode, seconds_max, says)]
}

/// The rows.
pub const ROWS: &[Row] = &[
    row(
        "429 without a delay",
        "429",
        [
            cell("rate limit", 2, 60, "429 Too Many Requests"),
            cell("rate limit", 3, 60, "Rate limit reached"),
            cell("rate limit", 3, 90, "Rate limit reached"),
        ],
    ),
    row(
        "429 with a delay of 3 s",
        "429:3",
        [
            cell("rate limit", 2, 60, "429 Too Many Requests"),
            cell("rate limit", 3, 60, "retry after 3s"),
            cell("rate limit", 3, 90, "Rate limit reached"),
        ],
    ),
    row(
        "quota used up",
        "quota",
        [cell("quota", 1, 60, "Quota exceeded"), cell("quota", 1, 60, "quota"), cell("quota", 3, 90, "exceeded your current quota")],
    ),
    row(
        "two 500s, then well",
        "first2.500",
        [cell("completed", 6, 90, ""), cell("unavailable", 3, 60, "500"), cell("unavailable", 3, 90, "The server had an error")],
    ),
    row(
        "503 for ever",
        "503",
        [
            cell("unavailable", 6, 60, "503 Service Unavailable"),
            cell("unavailable", 3, 60, "overloaded"),
            cell("unavailable", 3, 90, "Service overloaded"),
        ],
    ),
    row(
        "connection cut once",
        "first1.cut",
        [cell("completed", 4, 90, ""), cell("unavailable", 1, 60, "terminated"), cell("completed", 4, 120, "")],
    ),
    // gemini asks again, up to twice, where the cut comes after it has read a piece, and not where both come at once: the machine decides which.
    row(
        "connection cut for ever",
        "cut",
        [
            cell("unavailable", 2, 60, "stream disconnected"),
            cell("unavailable", 3, 60, "terminated"),
            cell("unavailable", 3, 90, "connection"),
        ],
    ),
    row("answer in drips", "slow:400", all("completed", [3, 3, 3], 120, "")),
    row(
        "hangs before the first byte",
        "hang",
        [
            cell("unavailable", 1, 60, "heard nothing of its provider for the limit of a first answer"),
            cell("unavailable", 1, 90, "heard nothing of its provider for the idle limit"),
            cell("unavailable", 1, 60, "heard nothing of its provider for the limit of a first answer"),
        ],
    ),
    row(
        "hangs in the middle of an answer",
        "midhang",
        [
            cell("unavailable", 2, 90, ""),
            cell("unavailable", 1, 90, "heard no more of its provider for the idle limit"),
            cell("unavailable", 1, 120, "heard no more of its provider"),
        ],
    ),
    row("wrong model", "404", all("misconfigured", [1, 1, 1], 60, "The model does not exist")),
    row("refuses in words", "refusal", all("no answer", [1, 1, 1], 60, "")),
    row(
        "context exceeded",
        "context",
        [cell("context", 1, 60, "context window"), cell("context", 1, 60, "input token count"), cell("context", 2, 90, "context")],
    ),
    row("prose without JSON", "prose", all("no answer", [1, 1, 1], 60, "")),
    row("JSON in a fence", "fences", all("completed", [2, 2, 2], 90, "")),
    row("two answers", "two", all("completed", [2, 2, 2], 90, "")),
    row(
        "ends without an end",
        "unfinished",
        [
            cell("unavailable", 2, 60, "stream closed before response.completed"),
            cell("unavailable", 4, 90, "without a finish reason"),
            cell("unavailable", 3, 90, "without a finish reason"),
        ],
    ),
    row("calls a tool that does not exist", "unknown_tool", all("completed", [3, 3, 3], 120, "")),
    row("writes outside its worktree", "outside", all("completed", [3, 3, 3], 120, "")),
    row(
        "malformed events",
        "garbage",
        [
            cell("unavailable", 2, 60, "stream closed before response.completed"),
            cell("unavailable", 1, 60, "in JSON at position"),
            cell("unavailable", 3, 90, "JSON"),
        ],
    ),
    row(
        "answer cut at the token limit",
        "length",
        [cell("turn failed", 1, 60, "max_output_tokens"), cell("no answer", 1, 60, ""), cell("turn failed", 1, 60, "output limit")],
    ),
    row(
        "empty answer",
        "empty",
        [
            cell("bad answer", 1, 60, "without a final message"),
            cell("bad answer", 4, 90, "empty response"),
            cell("bad answer", 1, 60, "without a final message"),
        ],
    ),
    row("401", "401", all("auth", [2, 1, 1], 60, "Incorrect API key provided")),
    row("403", "403", all("auth", [2, 1, 1], 60, "You do not have access")),
    row("answer of 1 MB", "huge", all("completed", [2, 2, 2], 120, "")),
    row(
        "the same tool call for ever",
        "loop",
        [cell("wall", 1000, 90, "wall limit"), cell("turn failed", 20, 90, "Loop detected"), cell("wall", 1000, 90, "wall limit")],
    ),
];

/// Lines of the table, by row and column.
static SEEN: Mutex<BTreeMap<(usize, usize), String>> = Mutex::new(BTreeMap::new());

/// Plays a cell.
pub async fn play(at: usize, cli: usize) {
    let (row, expected) = (&ROWS[at], &ROWS[at].cells[cli]);
    let bench = Bench::open(CLIS[cli], row.scenario, WORK).await;
    let started = Instant::now();
    let done = bench.play_within(&bench.turn(Role::Implement, 1), limits(row.scenario)).await;
    let seconds = started.elapsed().as_secs_f64();
    // Requests without tools are opencode's for a title.
    let requests = bench.server.seen().iter().filter(|seen| seen.tools).count();
    let (kind, line) = (kind_of(&done), line_of(&done));
    let (class, attempts) = cost_of(&done);
    let told = format!("| {} | {} | {kind} | {class} | {attempts} | {requests} | {seconds:.0} | {line} |", row.name, CLIS[cli]);
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).insert((at, cli), told.clone());
    assert_eq!(kind, expected.kind, "{told}\n{:?}\n{:#?}", done.end.failure, done.events);
    assert!(requests <= expected.requests_max && seconds <= expected.seconds_max as f64, "{told}");
    assert!(done.end.failure.as_ref().is_none_or(|failure| failure.message.contains(expected.says)), "{told}\n{:?}", done.end.failure);
    if kind == "completed" {
        assert_eq!(bench.text("src/a.txt").as_deref(), Some("one\n"), "{told}");
    }
    assert_eq!(bench.text("../outside.txt"), None, "{told}");
}

/// Short ones where only a limit ends the turn.
fn limits(scenario: &str) -> Limits {
    let seconds = Duration::from_secs;
    let usual = Limits { wall: seconds(240), ..Limits::default() };
    match scenario {
        "hang" => Limits { first_byte: seconds(15), idle: seconds(20), ..usual },
        "midhang" => Limits { idle: seconds(15), silence: seconds(15), ..usual },
        "loop" => Limits { wall: seconds(40), ..usual },
        _ => usual,
    }
}

fn kind_of(done: &Outcome) -> &'static str {
    match done.end.failure.as_ref().map(|failure| &failure.kind) {
        None => match WorkAnswer::parse(&done.end.answer) {
            Ok(answer) if answer.status == WorkStatus::Completed => "completed",
            _ => "no answer",
        },
        Some(FailureKind::RateLimit { .. }) => "rate limit",
        Some(FailureKind::Quota { .. }) => "quota",
        Some(FailureKind::Auth) => "auth",
        Some(FailureKind::Misconfigured) => "misconfigured",
        Some(FailureKind::ProviderUnavailable) => "unavailable",
        Some(FailureKind::ContextOverflow) => "context",
        Some(FailureKind::TurnFailed) => "turn failed",
        Some(FailureKind::BadAnswer) => "bad answer",
        Some(FailureKind::WallLimit) => "wall",
        Some(FailureKind::IdleLimit) => "idle",
        Some(_) => "other",
    }
}

/// The class, and the attempts the unit pays.
fn cost_of(done: &Outcome) -> (String, u32) {
    match &done.end.failure {
        None if kind_of(done) == "completed" => ("–".to_owned(), 0),
        None => ("unit, once the JSON alone was asked for".to_owned(), 1),
        Some(Failure { kind: FailureKind::Auth | FailureKind::Misconfigured, .. }) => ("provider, on that worker".to_owned(), 0),
        Some(failure) => (failure.kind.class().to_string(), u32::from(failure.kind.class() == OutcomeClass::Unit)),
    }
}

fn line_of(done: &Outcome) -> String {
    let line = done.end.failure.as_ref().map_or("", |failure| failure.message.as_str());
    let cut: String = line.replace('\n', " ").replace('|', "/").chars().take(LINE_CHARS_MAX).collect();
    if cut.len() < line.len() { format!("{cut}…") } else { cut }
}

/// The table of the cells that ran; empty if none did.
pub fn seen() -> String {
    let seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.is_empty() {
        return String::new();
    }
    let head = "| misbehaviour | CLI | kind | class | attempts | requests | seconds | line |\n|-|-|-|-|-|-|-|-|\n";
    seen.values().fold(head.to_owned(), |text, line| text + line + "\n")
}
