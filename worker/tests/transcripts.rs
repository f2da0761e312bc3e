//! Parsers of the agent CLIs over recorded output: what they make of each stream and each way to end. The recordings under `transcripts/` are
//! shortened; each line says where it came from (`out`, `err`), the last one how the process ended.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use roundtable_shared::limits::{ANSWER_BYTES_MAX, EVENT_TEXT_BYTES_MAX};
use roundtable_shared::{AgentEvent, AttemptNo, FailureKind, OutcomeClass, Role, TurnData, Usage};
use roundtable_worker::backend::{Backend, Contact, EndedBy, ExitFacts, Host, LINE_BYTES_MAX, SessionRecord, Switches, Turn, TurnEnd};

fn backend(name: &str) -> Arc<dyn Backend> {
    // Any program will do: nothing is started here.
    let paths: BTreeMap<String, String> = ["codex", "gemini", "opencode"].map(|name| (name.to_owned(), "/bin/sh".to_owned())).into();
    Arc::new(Host { paths, ..Host::default() }).open(name).unwrap()
}

fn turn() -> Turn {
    let data = TurnData {
        run: "demo-abcdef".into(),
        unit: Some("1".into()),
        title: "One".into(),
        role: Role::Implement,
        attempt: AttemptNo(1),
        turn_index: 1,
        round: 1,
        reviewer: 0,
        writes: vec![],
        reads: vec![],
        open_subtasks: vec![],
        units: vec![],
        window: String::new(),
    };
    Turn {
        data,
        prompt: String::new(),
        report_only: false,
        worktree: PathBuf::from("/scratch"),
        scratch: PathBuf::from("/tmp/none"),
        resume: None,
        model: None,
        effort: None,
        schema: None,
        switches: Switches::default(),
    }
}

/// Feeds whole lines, as the supervisor does.
fn feed(name: &str, stdout: &[u8], stderr: &[u8], exit: &ExitFacts) -> (Vec<AgentEvent>, TurnEnd) {
    let mut parser = backend(name).parser(&turn());
    let mut events = Vec::new();
    let lines = |bytes: &[u8]| bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect::<Vec<_>>();
    for line in lines(stdout) {
        parser.stdout_line(&line[..line.len().min(LINE_BYTES_MAX)], line.len() > LINE_BYTES_MAX, &mut events);
    }
    for line in lines(stderr) {
        parser.stderr_line(&line, false, &mut events);
    }
    let end = parser.end(exit, &mut events);
    (events, end)
}

/// A recording: stdout, stderr and how it ended.
fn read_recording(path: &Path) -> (Vec<u8>, Vec<u8>, ExitFacts) {
    let (mut stdout, mut stderr, mut exit) = (Vec::new(), Vec::new(), ExitFacts::default());
    for line in std::fs::read_to_string(path).unwrap().lines() {
        match line.split_once(' ').unwrap() {
            ("out", text) => stdout.extend([text.as_bytes(), b"\n"].concat()),
            ("err", text) => stderr.extend([text.as_bytes(), b"\n"].concat()),
            ("exit", code) => exit.code = Some(code.parse().unwrap()),
            ("signal", signal) => exit.signal = Some(signal.parse().unwrap()),
            _ => panic!("{}: {line}", path.display()),
        }
    }
    (stdout, stderr, exit)
}

#[test]
fn gemini_that_waits_for_its_provider_is_no_idle_unit() {
    // The retry is read before the first line of the followed file, and its delay is on the second line.
    let exit = ExitFacts { ended_by: Some(EndedBy::Idle), ..ExitFacts::default() };
    let stderr = b"Attempt 2 failed: Rate limit reached for this model\nSuggested retry after 7s.. Retrying after 11816ms...\n";
    let (_, end) = feed("gemini", b"", stderr, &exit);
    assert_eq!(end.failure.unwrap().kind, FailureKind::RateLimit { retry_after_ms: Some(7_000) });
    // What it says later shows that it got through.
    let mut parser = backend("gemini").parser(&turn());
    let mut events = Vec::new();
    parser.stderr_line(b"Attempt 1 failed with status 500. Retrying with backoff...", false, &mut events);
    parser.stdout_line(br#"{"type":"message","role":"assistant","content":"Hm","delta":true}"#, false, &mut events);
    let end = parser.end(&exit, &mut events).failure.unwrap();
    assert!(end.kind == FailureKind::ProviderUnavailable && end.message.contains("heard no more of its provider"), "{end:?}");
}

#[test]
fn silence_is_the_providers_unless_a_tool_is_at_work() {
    let exit = ExitFacts { ended_by: Some(EndedBy::Idle), ..ExitFacts::default() };
    let started = r#"{"type":"thread.started","thread_id":"t"}"#;
    let tool = |kind: &str| format!(r#"{{"type":"item.{kind}","item":{{"id":"item_1","type":"command_execution","command":"make"}}}}"#);
    let kind = |stdout: String| feed("codex", stdout.as_bytes(), b"", &exit).1.failure.unwrap().kind;
    assert_eq!(kind(started.to_owned()), FailureKind::ProviderUnavailable);
    assert_eq!(kind(format!("{started}\n{}", tool("started"))), FailureKind::IdleLimit);
    assert_eq!(kind(format!("{started}\n{}\n{}", tool("started"), tool("completed"))), FailureKind::ProviderUnavailable);
    let use_tool = r#"{"type":"tool_use","tool_name":"run_shell_command","tool_id":"a","parameters":{"command":"make"}}"#;
    assert_eq!(feed("gemini", use_tool.as_bytes(), b"", &exit).1.failure.unwrap().kind, FailureKind::IdleLimit);
}

#[test]
fn whether_the_provider_was_heard_is_told_while_the_turn_goes_on() {
    let told = |name: &str, lines: &[(bool, &str)]| {
        let mut parser = backend(name).parser(&turn());
        let mut seen = vec![parser.contact()];
        for (is_stdout, line) in lines {
            let mut events = Vec::new();
            match is_stdout {
                true => parser.stdout_line(line.as_bytes(), false, &mut events),
                false => parser.stderr_line(line.as_bytes(), false, &mut events),
            }
            seen.push(parser.contact());
        }
        seen
    };
    use Contact::{Awaited, Blurred, Heard, Refusing, Unknown};
    let otel = |event: &str| {
        format!("2026-11-30T01:02:39Z  INFO codex_otel.trace_safe: event.name=\"codex.{event}\" http.response.status_code=200")
    };
    let codex = told("codex", &[(false, &otel("startup_phase")), (false, &otel("user_prompt")), (false, &otel("api_request"))]);
    assert_eq!(codex, [Unknown, Unknown, Awaited, Heard]);
    let connected = |well: &str| otel("websocket_connect") + &format!(" success=\"{well}\"");
    let by_socket = told("codex", &[(false, &connected("true")), (false, &otel("user_prompt"))]);
    assert_eq!(by_socket, [Unknown, Unknown, Unknown], "what comes over a WebSocket is not told");
    let fallen_back = told("codex", &[(false, &connected("false")), (false, &otel("user_prompt")), (false, &connected("true"))]);
    assert_eq!(fallen_back, [Unknown, Unknown, Awaited, Unknown]);
    let attempt = "Attempt 1 failed with status 500. Retrying with backoff...";
    let says = r#"{"type":"message","role":"assistant","content":"Hm","delta":true}"#;
    assert_eq!(
        told("gemini", &[(false, attempt), (true, says), (false, attempt), (false, attempt)]),
        [Unknown, Unknown, Heard, Heard, Refusing]
    );
    let refused = r#"timestamp=2026-11-30T01:03:57.448Z level=ERROR message="stream error" small=false error.error="AI_APICallError: Rate limit reached""#;
    let begun = r#"{"type":"step_start","sessionID":"s","part":{}}"#;
    assert_eq!(told("opencode", &[(false, refused), (true, begun), (false, refused)]), [Awaited, Awaited, Blurred, Refusing]);
    let unfinished = r#"{"type":"step_finish","sessionID":"s","part":{"reason":"unknown"}}"#;
    assert_eq!(told("opencode", &[(true, unfinished), (true, begun), (true, unfinished)]), [Awaited, Blurred, Blurred, Refusing]);
    let text = r#"{"type":"text","sessionID":"s","part":{"text":"Hm"}}"#;
    let finished = r#"{"type":"step_finish","sessionID":"s","part":{"reason":"tool-calls"}}"#;
    let log = |rest: &str| format!("timestamp=2026-11-30T05:53:34.889Z level=INFO run=9826347b message={rest}");
    let (step, asks) = (log("loop session.id=ses_1 step=1"), log("stream modelID=m session.id=ses_1 small=false agent=build"));
    let (title, other) = (log("stream session.id=ses_1 small=true agent=title"), log("stream session.id=ses_2 small=false agent=explore"));
    let (step, asks, title, other) = ((false, step.as_str()), (false, asks.as_str()), (false, title.as_str()), (false, other.as_str()));
    assert_eq!(
        told("opencode", &[step, title, asks, (true, begun), (true, text), asks, (true, begun), (true, text), asks]),
        [Awaited, Awaited, Awaited, Awaited, Blurred, Blurred, Blurred, Blurred, Blurred, Refusing],
        "a request within a step shows that the one before it was cut"
    );
    assert_eq!(
        told("opencode", &[step, asks, other, title, (true, begun), step, asks, step, asks, (true, finished), step, asks]).last(),
        Some(&Blurred),
        "each step asks, and so does each conversation"
    );
    assert_eq!(
        told("opencode", &[step, asks, asks, (true, begun), (true, finished), step, asks, asks]).last(),
        Some(&Blurred),
        "an answer that came to its end makes good for those before"
    );
    let exit = ExitFacts { ended_by: Some(EndedBy::Refused), signal: Some(15), ..ExitFacts::default() };
    let (_, end) = feed("opencode", begun.as_bytes(), [asks.1, asks.1, asks.1].join("\n").as_bytes(), &exit);
    let failure = end.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::ProviderUnavailable);
    assert!(failure.message.contains("broke in the middle of an answer"), "{}", failure.message);
    let (_, end) = feed("opencode", b"", refused.as_bytes(), &exit);
    assert_eq!(end.failure.unwrap().kind, FailureKind::RateLimit { retry_after_ms: None });
}

#[test]
fn the_last_line_a_cli_prints_is_part_of_why_it_failed() {
    let exit = ExitFacts { code: Some(3), ..ExitFacts::default() };
    let stderr = b"\x1b[31mfirst\x1b[0m\nError: the licence ran out\n    at main (file.js:1:2)\n}\n";
    let (_, end) = feed("codex", br#"{"type":"thread.started","thread_id":"t"}"#, stderr, &exit);
    assert!(end.failure.unwrap().message.contains("Error: the licence ran out"));
    let exit = ExitFacts { ended_by: Some(EndedBy::Wall), ..ExitFacts::default() };
    let (_, end) = feed("gemini", b"Do you trust this folder?\n", &[b'x'; 5000], &exit);
    let message = end.failure.unwrap().message;
    assert!(message.starts_with("gemini ran longer than the wall limit (last line: xxx") && message.len() < 500, "{message}");
}

/// All recordings of a CLI as what the parser made of them.
fn render(cli: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut text = String::new();
    for path in paths {
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name.split('-').next() != Some(cli) {
            continue;
        }
        let (stdout, stderr, exit) = read_recording(&path);
        let (events, end) = feed(cli, &stdout, &stderr, &exit);
        text += &format!("## {name}\n");
        for event in events {
            text += &format!("{}\n", serde_json::to_string(&event).unwrap());
        }
        match end.failure {
            None => text += "=> ended well\n",
            Some(failure) => text += &format!("=> {:?} ({}): {}\n", failure.kind, failure.kind.class(), failure.message),
        }
        text += &format!("   answer {:?}\n", end.answer);
        let usage = end.usage;
        text += &format!(
            "   tokens {} ({} cached) + {}, cost {:?}\n",
            usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.cost_usd
        );
        text += &format!("   session {:?}\n\n", end.session.map(|session| session.session));
    }
    text
}

#[test]
fn codex_recordings() {
    insta::assert_snapshot!(render("codex"));
}

#[test]
fn gemini_recordings() {
    insta::assert_snapshot!(render("gemini"));
}

#[test]
fn opencode_recordings() {
    insta::assert_snapshot!(render("opencode"));
}

#[test]
fn codex_counts_tokens_over_the_conversation() {
    let line = br#"{"type":"thread.started","thread_id":"t"}
{"type":"item.completed","item":{"type":"agent_message","text":"x"}}
{"type":"turn.completed","usage":{"input_tokens":370,"cached_input_tokens":60,"output_tokens":90}}"#;
    let before = Usage { input_tokens: 250, cached_input_tokens: 40, output_tokens: 60, cost_usd: None };
    let mut turn = turn();
    turn.resume = Some(SessionRecord { session: "t".into(), worktree: "/scratch".into(), total: before });
    let mut parser = backend("codex").parser(&turn);
    let mut events = Vec::new();
    for line in line.split(|b| *b == b'\n') {
        parser.stdout_line(line, false, &mut events);
    }
    let end = parser.end(&ExitFacts { code: Some(0), ..ExitFacts::default() }, &mut events);
    assert_eq!((end.usage.input_tokens, end.usage.cached_input_tokens, end.usage.output_tokens), (120, 20, 30));
    assert_eq!(end.session.unwrap().total.input_tokens, 370);
}

#[test]
fn ending_it_ourselves_is_never_success() {
    let stdout = br#"{"type":"thread.started","thread_id":"t"}
{"type":"item.completed","item":{"type":"agent_message","text":"x"}}
{"type":"turn.completed","usage":{}}"#;
    for (ended_by, class) in [
        (EndedBy::Wall, OutcomeClass::Unit),
        (EndedBy::Idle, OutcomeClass::Unit),
        (EndedBy::Unanswered, OutcomeClass::Provider),
        (EndedBy::Refused, OutcomeClass::Provider),
        (EndedBy::Stalled, OutcomeClass::Provider),
        (EndedBy::Output, OutcomeClass::Unit),
        (EndedBy::Disk, OutcomeClass::Infra),
        (EndedBy::Interrupt, OutcomeClass::Infra),
    ] {
        let exit = ExitFacts { code: Some(0), ended_by: Some(ended_by), ..ExitFacts::default() };
        let (_, end) = feed("codex", stdout, b"", &exit);
        assert_eq!(end.failure.unwrap().kind.class(), class, "{ended_by:?}");
        assert_eq!(end.session.unwrap().session.as_str(), "t", "what was begun can be gone on with");
    }
    // Idle while the CLI retries a refusing provider is the provider's failure.
    let stdout =
        b"{\"type\":\"thread.started\",\"thread_id\":\"t\"}\n{\"type\":\"error\",\"message\":\"Reconnecting... 1/5 (last status: 429)\"}";
    let exit = ExitFacts { signal: Some(9), ended_by: Some(EndedBy::Idle), ..ExitFacts::default() };
    let (_, end) = feed("codex", stdout, b"", &exit);
    assert_eq!(end.failure.unwrap().kind, FailureKind::RateLimit { retry_after_ms: None });
}

#[test]
fn a_line_too_long_to_read_still_leaves_the_last_message() {
    let long =
        format!("{{\"type\":\"item.completed\",\"item\":{{\"type\":\"agent_message\",\"text\":\"{}\"}}}}", "x".repeat(LINE_BYTES_MAX));
    let stdout = format!("{{\"type\":\"thread.started\",\"thread_id\":\"t\"}}\n{long}\n{{\"type\":\"turn.completed\",\"usage\":{{}}}}");
    let exit = ExitFacts { code: Some(0), last_message: Some("the end".to_owned()), ..ExitFacts::default() };
    let (events, end) = feed("codex", stdout.as_bytes(), b"", &exit);
    assert!(events.iter().any(|event| matches!(event, AgentEvent::Warning { text } if text.contains("longer than"))));
    assert_eq!((end.failure, end.answer.as_str()), (None, "the end"));
}

#[test]
fn what_is_kept_is_bounded() {
    let text = "y".repeat(3 << 20);
    let stdout = format!(
        "{{\"type\":\"step_start\",\"sessionID\":\"s\",\"part\":{{}}}}\n{{\"type\":\"text\",\"sessionID\":\"s\",\"part\":{{\"text\":\"{text}\"}}}}\n{{\"type\":\"step_finish\",\"part\":{{\"reason\":\"stop\"}}}}"
    );
    let (events, end) = feed("opencode", stdout.as_bytes(), b"", &ExitFacts { code: Some(0), ..ExitFacts::default() });
    assert_eq!(end.answer.len(), ANSWER_BYTES_MAX);
    assert!(end.failure.is_none());
    assert!(events.iter().all(|event| serde_json::to_vec(event).unwrap().len() < EVENT_TEXT_BYTES_MAX + 200));
}

/// For a person: what the parsers make of a directory of whole recordings (`NAME.jsonl`, `.stderr`, `.exit`, `.last`).
#[test]
#[ignore = "run by hand, with ROUNDTABLE_CAPTURES"]
fn show_captures() {
    let dir = PathBuf::from(std::env::var_os("ROUNDTABLE_CAPTURES").expect("set ROUNDTABLE_CAPTURES to a directory"));
    let mut names: Vec<String> = std::fs::read_dir(&dir)
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".exit").map(str::to_owned))
        .collect();
    names.sort();
    for name in names {
        let read = |extension: &str| std::fs::read(dir.join(format!("{name}.{extension}"))).unwrap_or_default();
        let code: i32 = String::from_utf8_lossy(&read("exit")).trim().parse().unwrap();
        let exit = ExitFacts {
            code: (code >= 0).then_some(code),
            signal: (code < 0).then_some(-code),
            last_message: Path::new(&dir).join(format!("{name}.last")).exists().then(|| String::from_utf8(read("last")).unwrap()),
            ..ExitFacts::default()
        };
        let cli = name.split('-').next().unwrap();
        let (events, end) = feed(cli, &read("jsonl"), &read("stderr"), &exit);
        let kinds: Vec<String> =
            events.iter().map(|event| serde_json::to_value(event).unwrap()["kind"].as_str().unwrap().to_owned()).collect();
        let mut short: Vec<(String, usize)> = Vec::new();
        for kind in kinds {
            match short.last_mut() {
                Some((last, n)) if *last == kind => *n += 1,
                _ => short.push((kind, 1)),
            }
        }
        let short: Vec<String> = short.into_iter().map(|(kind, n)| if n > 1 { format!("{kind}*{n}") } else { kind }).collect();
        let failure = end.failure.map(|failure| format!("{:?} | {:.160}", failure.kind, failure.message.replace('\n', "/")));
        println!(
            "{name} [{code}] {}\n    {}\n    answer={:.60?} usage={:?} session={}",
            failure.unwrap_or("OK".into()),
            short.join(" "),
            end.answer,
            end.usage,
            end.session.is_some()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn parsers_survive_anything(lines in prop::collection::vec(any_line(), 0..40), code in prop::option::of(0..256i32), ended in any::<bool>()) {
        let exit = ExitFacts { code, signal: code.is_none().then_some(9), ended_by: ended.then_some(EndedBy::Idle), ..ExitFacts::default() };
        for name in ["codex", "gemini", "opencode"] {
            let stdout = lines.join(&b"\n"[..]);
            let (_, end) = feed(name, &stdout, &stdout, &exit);
            prop_assert!(end.failure.is_none() || !end.failure.unwrap().message.is_empty());
        }
    }
}

/// Garbage, or JSON with the right words in wrong places.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "timestamp=1 level=ERROR",
        " message=\"stream error\"",
        " message=failed error=\"",
        " error.error=\"a\\",
        " codex_otel event.name=\"codex.user_prompt\"",
        "\"type\":",
        "\"item.completed\"",
        "\"item\":{",
        "\"result\"",
        "\"part\":{",
        "\"step_finish\"",
        "\"tool_use\"",
        "\"usage\":",
        "1e999",
        "-1",
        "null",
        "[",
        "}",
        "{",
        ",",
        "\"text\":\"é\u{1b}[1m\"",
        "\"turn.failed\"",
        "\"error\":{",
        "\"message\":7",
        "\"thread.started\"",
        "\"thread_id\":[]",
        "\"session_id\":\"x\"",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>().prop_map(|b| if b == b'\n' { b'n' } else { b }), 0..200),
        prop::collection::vec(words, 0..20).prop_map(|words| words.concat().into_bytes()),
        prop::sample::select(vec![
            r#"{"type":"item.completed","item":{"type":"agent_message","text":{}}}"#,
            r#"{"type":"turn.completed","usage":{"input_tokens":18446744073709551615,"output_tokens":-3}}"#,
            r#"{"type":"step_finish","part":{"reason":"stop","tokens":{"input":18446744073709551615,"cache":{"read":9}},"cost":1e308}}"#,
            r#"{"type":"result","status":"success","stats":7}"#,
            r#"{"type":"tool_use","tool_name":"write_file","tool_id":null,"parameters":[]}"#,
        ])
        .prop_map(|line| line.as_bytes().to_vec()),
    ]
}
