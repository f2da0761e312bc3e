//! The real codex, gemini and opencode against the model server on loopback: that each adapter's command line is understood, its stream read
//! rightly, its conversation resumed, and every failure put in its class. `.ci/install-clis` brings the CLIs; without them these tests count as
//! ignored, or fail if ROUNDTABLE_REQUIRE_CLIS is set.
#![allow(clippy::unwrap_used)]

mod bench;
mod table;

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use roundtable_shared::{AgentEvent, FailureKind, Role};
use roundtable_worker::backend::doctor;
use roundtable_worker::process::dispatch_exec_in;

use bench::{Bench, program, variable};

type Test = fn() -> Pin<Box<dyn Future<Output = ()>>>;

/// A test: its name, the CLI it needs, and itself.
struct Case {
    name: String,
    cli: &'static str,
    run: Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync>,
}

/// Name, the CLI it needs, and the test.
const TESTS: &[(&str, &str, Test)] = &[
    ("codex::implements_and_resumes_its_conversation", "codex", || Box::pin(implements_and_resumes("codex"))),
    ("codex::a_refused_key_is_auth", "codex", || Box::pin(fails("codex", "401", 2, |kind| *kind == FailureKind::Auth))),
    ("codex::a_rate_limit_is_one", "codex", || Box::pin(fails("codex", "429:1", 2, rate_limit))),
    ("codex::an_exhausted_quota_is_one", "codex", || Box::pin(fails("codex", "quota", 1, quota))),
    ("codex::a_broken_provider_is_unavailable", "codex", || Box::pin(fails("codex", "500", 6, unavailable))),
    ("codex::a_cut_connection_is_unavailable", "codex", || Box::pin(fails("codex", "cut", 2, unavailable))),
    ("codex::a_full_context_is_one", "codex", || Box::pin(fails("codex", "context", 1, |kind| *kind == FailureKind::ContextOverflow))),
    ("codex::an_unknown_model_is_configuration", "codex", || {
        Box::pin(fails("codex", "404", 1, |kind| *kind == FailureKind::Misconfigured))
    }),
    ("codex::a_cut_answer_is_a_failed_turn", "codex", || Box::pin(fails("codex", "length", 1, |kind| *kind == FailureKind::TurnFailed))),
    ("codex::an_empty_answer_is_no_answer", "codex", || Box::pin(fails("codex", "empty", 1, |kind| *kind == FailureKind::BadAnswer))),
    ("codex::a_silent_model_is_ended", "codex", || Box::pin(hangs("codex"))),
    ("codex_review::reviews_without_writing", "codex", || Box::pin(reviews_without_lasting_changes("codex-review"))),
    ("gemini::implements_and_resumes_its_conversation", "gemini", || Box::pin(implements_and_resumes("gemini"))),
    ("gemini::reviews_without_writing", "gemini", || Box::pin(reviews_without_lasting_changes("gemini"))),
    ("gemini::a_refused_key_is_auth", "gemini", || Box::pin(fails("gemini", "401", 1, |kind| *kind == FailureKind::Auth))),
    ("gemini::a_rate_limit_is_one", "gemini", || Box::pin(fails("gemini", "429:1", 3, rate_limit))),
    ("gemini::an_exhausted_quota_is_one", "gemini", || Box::pin(fails("gemini", "quota", 1, quota))),
    ("gemini::a_broken_provider_is_unavailable", "gemini", || Box::pin(fails("gemini", "503", 3, unavailable))),
    ("gemini::a_cut_connection_is_unavailable", "gemini", || Box::pin(fails("gemini", "cut", 3, unavailable))),
    ("gemini::a_full_context_is_one", "gemini", || Box::pin(fails("gemini", "context", 1, |kind| *kind == FailureKind::ContextOverflow))),
    ("gemini::an_unknown_model_is_configuration", "gemini", || {
        Box::pin(fails("gemini", "404", 1, |kind| *kind == FailureKind::Misconfigured))
    }),
    ("gemini::a_silent_model_is_ended", "gemini", || Box::pin(hangs("gemini"))),
    ("opencode::implements_and_resumes_its_conversation", "opencode", || Box::pin(implements_and_resumes("opencode"))),
    ("opencode::reviews_without_writing", "opencode", || Box::pin(reviews_without_lasting_changes("opencode"))),
    ("opencode::a_refused_key_is_auth", "opencode", || Box::pin(fails("opencode", "401", 1, |kind| *kind == FailureKind::Auth))),
    ("opencode::a_rate_limit_is_one", "opencode", || Box::pin(fails("opencode", "429:1", 3, rate_limit))),
    ("opencode::a_full_context_is_one", "opencode", || {
        Box::pin(fails("opencode", "context", 1, |kind| *kind == FailureKind::ContextOverflow))
    }),
    ("opencode::an_unknown_model_is_configuration", "opencode", || {
        Box::pin(fails("opencode", "404", 1, |kind| *kind == FailureKind::Misconfigured))
    }),
    ("opencode::a_cut_answer_is_a_failed_turn", "opencode", || {
        Box::pin(fails("opencode", "length", 1, |kind| *kind == FailureKind::TurnFailed))
    }),
    ("opencode::an_empty_answer_is_no_answer", "opencode", || {
        Box::pin(fails("opencode", "empty", 1, |kind| *kind == FailureKind::BadAnswer))
    }),
    ("opencode::a_silent_model_is_ended", "opencode", || Box::pin(hangs("opencode"))),
    ("codex::doctor_finds_it_well", "codex", || Box::pin(doctor_finds_it_well("codex"))),
    ("gemini::doctor_finds_it_well", "gemini", || Box::pin(doctor_finds_it_well("gemini"))),
    ("opencode::doctor_finds_it_well", "opencode", || Box::pin(doctor_finds_it_well("opencode"))),
    ("codex::doctor_says_how_to_log_in", "codex", || Box::pin(doctor_says_how_to_log_in("codex"))),
];

/// This binary is also the helper under which process trees run; hence its own small harness, which speaks as much of libtest's language as the
/// runners need. A test whose CLI is not installed is listed as ignored.
fn main() -> ExitCode {
    if let Some(code) = dispatch_exec_in() {
        return code;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    if has("--list") {
        // Runners ask twice: for all tests, and for the ignored ones.
        let listed = cases().into_iter().filter(|case| !has("--ignored") || program(case.cli).is_none());
        listed.for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let matches = |name: &str, filter: &str| if has("--exact") { name == filter } else { name.contains(filter) };
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| matches(name, filter));
    let threads = args.iter().find_map(|arg| arg.strip_prefix("--test-threads=")?.parse().ok());
    let threads = threads.or(std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    run_all(&cases().into_iter().filter(|case| wanted(&case.name)).collect::<Vec<_>>(), threads)
}

/// All tests: those with a name of their own, and the cells of the table.
fn cases() -> Vec<Case> {
    let own = TESTS.iter().map(|(name, cli, test)| Case { name: (*name).to_owned(), cli, run: Box::new(test) });
    let cells = table::ROWS.iter().enumerate().flat_map(|(row, each)| {
        table::CLIS.iter().enumerate().map(move |(column, cli)| Case {
            name: format!("table::{cli}::{}", each.name.replace([' ', ','], "_")),
            cli,
            run: Box::new(move || Box::pin(table::play(row, column))),
        })
    });
    own.chain(cells).collect()
}

/// Runs tests side by side and says what libtest would say.
fn run_all(tests: &[Case], threads: usize) -> ExitCode {
    let (next, passed, failed, ignored) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let required = std::env::var_os("ROUNDTABLE_REQUIRE_CLIS").is_some();
    let work = || {
        while let Some(Case { name, cli, run }) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
            if program(cli).is_none() && !required {
                println!("test {name} ... ignored, {cli} is not installed: run .ci/install-clis or set {}", variable(cli));
                ignored.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let ok = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(run()))).is_ok();
            println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
            if ok { &passed } else { &failed }.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let (passed, failed, ignored) = (passed.into_inner(), failed.into_inner(), ignored.into_inner());
    print!("\n{}", table::seen());
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const WORK: &str = r#"{"units": {"1": {
    "implement": [{"steps": [{"write": {"path": "src/a.txt", "text": "one\ntwo\n"}}, {"run": "echo seen-by-agent; exit 3"}, {"say": "Nearly there."}],
                   "result": {"summary": "written"}}],
    "fix": [{"steps": [{"run": "printf three >> src/a.txt"}], "result": {"summary": "fixed"}}]}}}"#;

/// Implements, then fixes in the same conversation.
async fn implements_and_resumes(name: &'static str) {
    let bench = Bench::open(name, "play", WORK).await;
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

/// Reviews: writes at most into a worktree that is thrown away, where its CLI can run commands at all, and answers with JSON.
async fn reviews_without_lasting_changes(name: &'static str) {
    let script = r#"{"units": {"1": {"review": [{"steps": [{"write": {"path": "hacked.txt", "text": "x\n"}}],
        "result": {"severity": "critical", "summary": "bad", "issues": [{"description": "d", "severity": "critical", "file": "src/a.txt", "line": 1}]}}]}}}"#;
    let bench = Bench::open(name, "play", script).await;
    let mut turn = bench.turn(Role::Review, 1);
    turn.schema = Some(
        r#"{"type":"object","properties":{"severity":{"type":"string"},"summary":{"type":"string"}},"required":["severity","summary"],"additionalProperties":false}"#.into(),
    );
    let done = bench.play(&turn).await;
    assert_eq!(done.answer()["severity"], "critical");
    let may_write = name.starts_with("codex");
    assert_eq!(bench.text("hacked.txt").is_some(), may_write, "tests write; CLIs without commands in reviews have no need to");
    let schema = bench.server.seen().iter().any(|seen| seen.schema);
    assert_eq!(schema, bench.backend.capabilities().schema);
}

/// A failure of the provider, its kind, and how often the CLI itself tries at most.
async fn fails(name: &'static str, scenario: &'static str, requests_max: usize, matches: fn(&FailureKind) -> bool) {
    let bench = Bench::open(name, scenario, "{}").await;
    let done = bench.play(&bench.turn(Role::Implement, 1)).await;
    let kind = done.failed();
    assert!(matches(&kind), "{name} under {scenario}: {kind:?}: {:?}\n{:#?}", done.end.failure, done.events);
    // Requests without tools are opencode's for a title.
    let requests = bench.server.seen().iter().filter(|seen| seen.tools).count();
    assert!((1..=requests_max).contains(&requests), "{name} under {scenario}: {requests} requests");
}

/// A model that says nothing is ended by our limit.
async fn hangs(name: &'static str) {
    let bench = Bench::open(name, "midhang", "{}").await;
    let done = bench.play_for(&bench.turn(Role::Implement, 1), Duration::from_secs(25)).await;
    let kind = done.failed();
    // codex notices by itself that a stream has gone silent.
    assert!(matches!(kind, FailureKind::WallLimit | FailureKind::ProviderUnavailable), "{kind:?}");
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

async fn doctor_finds_it_well(name: &'static str) {
    let script = r#"{"units": {"probe": {"implement": [{"steps": [{"write": {"path": "roundtable-probe.txt", "text": "ok\n"}}]}]}}}"#;
    let bench = Bench::open(name, "play", script).await;
    let report = doctor::probe(&bench.host, name, &bench.supervisor, false).await;
    assert!(report.ok && report.checks.iter().all(|check| check.ok == Some(true)), "{report:#?}");
    assert!(report.version.is_some_and(|version| version.contains('.')));
    let offline = doctor::probe(&bench.host, name, &bench.supervisor, true).await;
    let asked: Vec<&str> = offline.checks.iter().filter(|check| check.ok.is_some()).map(|check| check.check).collect();
    assert_eq!(asked, ["found", "version"]);
}

async fn doctor_says_how_to_log_in(name: &'static str) {
    let bench = Bench::open(name, "401", "{}").await;
    let report = doctor::probe(&bench.host, name, &bench.supervisor, false).await;
    let login = report.checks.iter().find(|check| check.check == "logged_in").unwrap();
    assert!(!report.ok && login.ok == Some(false) && login.detail.contains("codex login"), "{report:#?}");
}
