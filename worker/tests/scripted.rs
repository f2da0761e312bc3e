//! The scripted backend end to end: playbook, player process, parser. This binary is the player too (`play`), as `worker` and `orchctl` are;
//! hence its own small harness, which speaks as much of libtest's language as the runners need.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use roundtable_runtime::git::{GitProgram, PackRequest, Signature};
use roundtable_shared::answer::{AssignAnswer, OrchestrateAnswer, ReviewAnswer, WorkAnswer};
use roundtable_shared::{
    AgentEvent, AgentSessionId, AttemptFacts, AttemptKey, AttemptNo, CommitId, FailureKind, Lease, LeaseId, LeaseRef, Role, Seat, Severity,
    TurnData, TurnSubtask, TurnUnit, UnitState, UnitType,
};
use roundtable_worker::args::BackendSlots;
use roundtable_worker::backend::{Backend, ExitFacts, Host, Invocation, SessionRecord, Turn, TurnEnd, doctor, play_main};
use roundtable_worker::host::{AgentHost, HostOptions, Quotas};
use roundtable_worker::process::{Supervisor, SupervisorOptions, dispatch_exec_in};
use roundtable_worker::session::{Job, Pieces, Progress, Runner};
use roundtable_worker::spool::Spool;
use tokio::sync::{mpsc, watch};

const TESTS: &[(&str, fn())] = &[
    ("defaults_write_the_manifest_and_report_all", defaults_write_the_manifest_and_report_all),
    ("a_unit_without_a_manifest_changes_something", a_unit_without_a_manifest_changes_something),
    ("turns_are_chosen_by_index_and_the_last_repeats", turns_are_chosen_by_index_and_the_last_repeats),
    ("every_step_does_what_it_says", every_step_does_what_it_says),
    ("a_failed_subtask_is_reported", a_failed_subtask_is_reported),
    ("run_level_roles_answer_sensibly", run_level_roles_answer_sensibly),
    ("faults_end_as_they_should", faults_end_as_they_should),
    ("hanging_and_ignoring_need_a_kill", hanging_and_ignoring_need_a_kill),
    ("what_is_left_behind_outlives_the_player", what_is_left_behind_outlives_the_player),
    ("a_check_is_judged_by_its_exit_status", a_check_is_judged_by_its_exit_status),
    ("bad_playbooks_are_refused_by_name", bad_playbooks_are_refused_by_name),
    ("paths_outside_the_worktree_are_refused", paths_outside_the_worktree_are_refused),
    ("default_answers_are_what_is_asked_for", default_answers_are_what_is_asked_for),
    ("the_doctor_probes_playbooks_too", the_doctor_probes_playbooks_too),
    ("a_fix_whose_conversation_is_lost_is_handed_back_untouched", a_fix_whose_conversation_is_lost_is_handed_back_untouched),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "play") {
        return play_main(std::env::args_os().skip(2));
    }
    if let Some(code) = dispatch_exec_in() {
        return code;
    }
    let ignored = args.iter().any(|arg| arg == "--ignored");
    if args.iter().any(|arg| arg == "--list") {
        if !ignored {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let exact = args.iter().any(|arg| arg == "--exact");
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| {
        filters.is_empty() || filters.iter().any(|filter| if exact { name == *filter } else { name.contains(filter.as_str()) })
    };
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in TESTS.iter().filter(|(name, _)| !ignored && wanted(name)) {
        let ok = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        *(if ok { &mut passed } else { &mut failed }) += 1;
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A directory with a playbook in it, a worktree and a scratch directory.
struct Stage {
    dir: tempfile::TempDir,
    backend: Arc<dyn Backend>,
}

impl Stage {
    fn new(playbook: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("playbook");
        std::fs::write(&file, playbook).unwrap();
        std::fs::create_dir_all(dir.path().join("w")).unwrap();
        std::fs::create_dir_all(dir.path().join("s")).unwrap();
        let backend = host().open(&format!("scripted:{}", file.display())).unwrap();
        Self { dir, backend }
    }

    fn turn(&self, role: Role, index: u32) -> Turn {
        let subtask = |id: &str| TurnSubtask { id: id.into(), title: String::new(), optional: false };
        let data = TurnData {
            unit: Some("2".into()),
            title: "Second".into(),
            attempt: AttemptNo(index + 3),
            turn_index: index,
            round: index,
            reviewer: 1,
            writes: vec!["src/a.py".into(), "docs/".into(), "t/**/*.py".into()],
            open_subtasks: vec![subtask("2.1"), subtask("2.2")],
            ..TurnData::new("demo-abcdef", role)
        };
        Turn::new(data, "", self.dir.path().join("w"), self.dir.path().join("s"))
    }

    fn play(&self, turn: &Turn) -> (Vec<AgentEvent>, TurnEnd) {
        let output = start(&self.backend.invocation(turn).unwrap()).wait_with_output().unwrap();
        let mut parser = self.backend.parser(turn);
        let mut events = Vec::new();
        for line in output.stdout.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            parser.stdout_line(line, false, &mut events);
        }
        for line in output.stderr.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            parser.stderr_line(line, false, &mut events);
        }
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        let end = parser.end(&ExitFacts { code: output.status.code(), signal, ..ExitFacts::default() }, &mut events);
        (events, end)
    }

    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.dir.path().join("w").join(path)).unwrap()
    }
}

fn host() -> Arc<Host> {
    Arc::new(Host::current(BTreeMap::new(), BTreeMap::new()).unwrap())
}

fn start(invocation: &Invocation) -> Child {
    for dir in &invocation.dirs {
        std::fs::create_dir_all(dir).unwrap();
    }
    let mut child = std::process::Command::new(&invocation.program)
        .args(&invocation.args)
        .current_dir(&invocation.cwd)
        .env_clear()
        .envs(&invocation.env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&invocation.stdin).unwrap();
    child
}

fn answer(end: &TurnEnd) -> serde_json::Value {
    serde_json::from_str(&end.answer).unwrap()
}

fn defaults_write_the_manifest_and_report_all() {
    let stage = Stage::new("{}");
    let turn = stage.turn(Role::Implement, 1);
    let (events, end) = stage.play(&turn);
    assert_eq!(end.failure, None);
    assert_eq!(stage.text("src/a.py"), "unit 2 (Second)\nrole implement\nattempt 4\n");
    assert!(stage.text("docs/2.txt").contains("implement") && stage.text("t/2.py").contains("attempt 4"));
    let said = answer(&end);
    assert_eq!((said["status"].as_str(), said["completed_subtasks"].to_string()), (Some("completed"), r#"["2.1","2.2"]"#.to_owned()));
    let reported = events.iter().filter(|event| matches!(event, AgentEvent::Subtask { status, .. } if status == "completed")).count();
    assert_eq!(reported, 2);
    // A conversation goes on where it is asked to.
    let mut fix = stage.turn(Role::Fix, 1);
    fix.resume =
        Some(SessionRecord { session: end.session.clone().unwrap().session, worktree: fix.worktree.clone(), total: Default::default() });
    let (_, fixed) = stage.play(&fix);
    assert_eq!(fixed.session.unwrap().session, end.session.unwrap().session);
    assert!(stage.text("src/a.py").contains("role fix"));
    let (_, review) = stage.play(&stage.turn(Role::Review, 1));
    assert_eq!(answer(&review)["severity"], "none");
}

fn a_unit_without_a_manifest_changes_something() {
    let stage = Stage::new("");
    let mut turn = stage.turn(Role::Implement, 1);
    turn.data.writes.clear();
    assert_eq!(stage.play(&turn).1.failure, None);
    assert!(stage.text("unit-2.txt").contains("Second"));
    std::fs::remove_file(stage.dir.path().join("w/unit-2.txt")).unwrap();
    turn.data.title = "Checkpoint - all green".into();
    assert_eq!(stage.play(&turn).1.failure, None);
    assert_eq!(std::fs::read_dir(stage.dir.path().join("w")).unwrap().count(), 0);
}

fn turns_are_chosen_by_index_and_the_last_repeats() {
    let stage = Stage::new(
        r#"{"default": {"review": [{"result": {"summary": "by default"}}]},
            "units": {"2": {"review": [{"result": {"severity": "critical"}}, {"result": {"severity": "minor", "summary": "{unit}/{attempt}"}, "usage": {"input_tokens": 7, "output_tokens": 3}}]}}}"#,
    );
    for (index, severity, summary) in [(1, "critical", "Nothing found in unit 2, round 1."), (2, "minor", "2/5"), (9, "minor", "2/12")] {
        let (_, end) = stage.play(&stage.turn(Role::Review, index));
        assert_eq!((answer(&end)["severity"].as_str(), answer(&end)["summary"].as_str()), (Some(severity), Some(summary)));
        assert_eq!(end.usage.input_tokens, if index == 1 { 0 } else { 7 });
    }
    let mut other = stage.turn(Role::Review, 1);
    other.data.unit = Some("3".into());
    assert_eq!(answer(&stage.play(&other).1)["summary"], "by default");
}

fn every_step_does_what_it_says() {
    // TOML is read as well.
    let stage = Stage::new(
        r#"
[[default.implement]]
steps = [
  {write = {path = "a/{unit}.txt", text = "one {title}\n"}}, {append = {path = "a/2.txt", text = "two {attempt}"}}, {write = {path = "gone", text = ""}},
  {delete = "gone"}, {write = {path = "old", text = "x"}}, {rename = ["old", "new/name"]}, {symlink = ["new/name", "link"]}, {say = "hello from {unit}"},
  {sleep_ms = 1}, {subtask = {id = "2.1", status = "completed"}}, {run = "echo out; echo err >&2; sleep 60 & exit 3"},
]
"#,
    );
    let started = Instant::now();
    let (events, end) = stage.play(&stage.turn(Role::Implement, 1));
    assert_eq!(end.failure, None);
    assert!(started.elapsed() < Duration::from_secs(30), "a background job must not hold the turn up");
    assert_eq!(stage.text("a/2.txt"), "one Second\ntwo 4");
    assert_eq!(stage.text("link"), "x");
    assert!(!stage.dir.path().join("w/gone").exists() && !stage.dir.path().join("w/old").exists());
    assert!(events.contains(&AgentEvent::Message { text: "hello from 2".into() }));
    assert!(events.contains(&AgentEvent::Subtask { id: "2.1".into(), status: "completed".into() }));
    let ran = events.iter().any(
        |event| matches!(event, AgentEvent::Exec { output: Some(output), exit_code: Some(3), ended: true, .. } if output == "out\nerr\n"),
    );
    assert!(ran, "{events:?}");
    let none = Stage::new(r#"{"units": {"2": {"implement": [{"steps": []}]}}}"#);
    assert_eq!(none.play(&none.turn(Role::Implement, 1)).1.failure, None);
    assert_eq!(std::fs::read_dir(none.dir.path().join("w")).unwrap().count(), 0);
}

fn a_failed_subtask_is_reported() {
    let stage = Stage::new(
        r#"{"default": {"implement": [{"steps": [{"subtask": {"id": "2.1"}}, {"subtask": {"id": "2.2", "status": "failed"}}], "result": {"error": "no"}}]}}"#,
    );
    let (_, end) = stage.play(&stage.turn(Role::Implement, 1));
    let said = answer(&end);
    assert_eq!(said["status"], "failed");
    assert_eq!(
        (said["completed_subtasks"].to_string().as_str(), said["failed_subtask"].as_str(), said["error"].as_str()),
        (r#"["2.1"]"#, Some("2.2"), Some("no"))
    );
}

fn run_level_roles_answer_sensibly() {
    let stage = Stage::new("{}");
    let mut turn = stage.turn(Role::Assign, 1);
    turn.data.unit = None;
    let unit = |state| TurnUnit {
        id: "1".into(),
        title: "One".into(),
        unit_type: UnitType::Ui,
        writes: vec!["a".into()],
        reads: vec!["b".into()],
        state,
    };
    turn.data.units = vec![unit(UnitState::NotStarted)];
    let said = answer(&stage.play(&turn).1);
    assert_eq!(said["dispatch_units"][0].to_string(), r#"{"owner_agent":"codex","reads":["b"],"task_id":"1","type":"ui","writes":["a"]}"#);
    turn.data.role = Role::Orchestrate;
    assert_eq!(answer(&stage.play(&turn).1)["decision"], "CONTINUE");
    turn.data.units = vec![unit(UnitState::Completed), unit(UnitState::Skipped)];
    assert_eq!(answer(&stage.play(&turn).1)["decision"], "COMPLETE");
}

fn faults_end_as_they_should() {
    let fault = |fault: &str| {
        let stage = Stage::new(&format!(r#"{{"default": {{"implement": [{{"steps": [{{"fault": "{fault}"}}]}}]}}}}"#));
        stage.play(&stage.turn(Role::Implement, 1))
    };
    let kind = |name: &str| fault(name).1.failure.unwrap().kind;
    assert_eq!(kind("rate_limit:30"), FailureKind::RateLimit { retry_after_ms: Some(30_000) });
    assert_eq!(kind("auth"), FailureKind::Auth);
    assert_eq!(kind("model"), FailureKind::Misconfigured);
    assert_eq!(kind("exit:7"), FailureKind::ExitStatus { code: Some(7), signal: None });
    assert_eq!(kind("exit:0"), FailureKind::Truncated);
    assert_eq!(kind("crash"), FailureKind::ExitStatus { code: None, signal: Some(9) });
    let (events, end) = fault("garbage");
    assert_eq!(end.failure, None);
    assert!(serde_json::from_str::<serde_json::Value>(&end.answer).is_err());
    assert!(events.iter().any(|event| matches!(event, AgentEvent::Raw { .. })));
    let (events, end) = fault("spew:1000050");
    assert_eq!(end.failure, None);
    let raw: usize = events.iter().map(|event| if let AgentEvent::Raw { text, .. } = event { text.len() + 1 } else { 0 }).sum();
    assert!(raw >= 1_000_050, "{raw}");
}

fn hanging_and_ignoring_need_a_kill() {
    for (steps, dies_of_term) in [
        (r#"{"say": "now"}, {"fault": "hang"}"#, true),
        (r#"{"fault": "ignore_term"}, {"say": "now"}, {"fault": "hang"}"#, false),
        (r#"{"say": "now"}, {"fault": "ignore_term"}"#, false),
    ] {
        let stage = Stage::new(&format!(r#"{{"default": {{"implement": [{{"steps": [{steps}]}}]}}}}"#));
        let mut child = start(&stage.backend.invocation(&stage.turn(Role::Implement, 1)).unwrap());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("now")));
        let pid = rustix::process::Pid::from_child(&child);
        if !dies_of_term {
            // Wait until the handler is there: the kernel shows caught signals as a mask.
            until(|| caught_signals(child.id()) & (1 << 14) != 0);
        }
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        if dies_of_term {
            until(|| child.try_wait().unwrap().is_some());
        } else {
            // Two more of them, each of which would have ended it.
            for _ in 0..2 {
                rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
                std::thread::yield_now();
                assert!(child.try_wait().unwrap().is_none());
            }
        }
        let _ = child.kill();
        child.wait().unwrap();
    }
}

fn what_is_left_behind_outlives_the_player() {
    let stage = Stage::new(r#"{"default": {"implement": [{"steps": [{"fault": "daemonize"}]}]}}"#);
    let mut child = start(&stage.backend.invocation(&stage.turn(Role::Implement, 1)).unwrap());
    assert!(child.wait().unwrap().success());
    let mut stdout = child.stdout.take().unwrap();
    let mut said = String::new();
    let mut byte = [0];
    // Not to its end: the process left behind holds it open.
    while !said.contains("behind") && stdout.read(&mut byte).unwrap() == 1 {
        said.push(char::from(byte[0]));
    }
    let pid: i32 = said.split("left process ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
}

fn a_check_is_judged_by_its_exit_status() {
    let stage = Stage::new(r#"{"units": {"2": {"check": [{"result": {"status": "failed", "summary": "red"}}, {}]}}}"#);
    let mut turn = stage.turn(Role::Check, 1);
    assert!(stage.backend.plays_check(&turn.data));
    let (_, end) = stage.play(&turn);
    assert_eq!(end.failure.unwrap().kind, FailureKind::ExitStatus { code: Some(1), signal: None });
    assert!(end.answer.contains("red"));
    turn.data.turn_index = 2;
    assert_eq!(stage.play(&turn).1.failure, None);
    turn.data.unit = Some("3".into());
    assert!(!stage.backend.plays_check(&turn.data));
}

fn bad_playbooks_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for (text, why) in [
        (r#"{"default": {"implment": []}}"#, "implment"),
        (r#"{"default": {"implement": [{"steps": [{"fault": "explode"}]}]}}"#, "unknown fault `explode`"),
        (r#"{"default": {"implement": [{"steps": [{"wrote": 1}]}]}}"#, "wrote"),
        ("x = = 1", "not a playbook"),
    ] {
        let file = dir.path().join("p.json");
        std::fs::write(&file, text).unwrap();
        let error = host().open(&format!("scripted:{}", file.display())).err().unwrap().to_string();
        assert!(error.contains(why) && error.contains("p.json"), "{error}");
    }
    assert!(host().open("scripted:/no/such/file").err().unwrap().to_string().contains("/no/such/file"));
}

fn paths_outside_the_worktree_are_refused() {
    for path in ["/tmp/x", "../x", "a/../../x", ""] {
        let stage =
            Stage::new(&format!(r#"{{"default": {{"implement": [{{"steps": [{{"write": {{"path": "{path}", "text": "x"}}}}]}}]}}}}"#));
        let failure = stage.play(&stage.turn(Role::Implement, 1)).1.failure.unwrap();
        assert!(failure.message.contains("not a path inside the worktree"), "{}", failure.message);
    }
    for step in [
        r#"{"write": {"path": "out/x", "text": "x"}}"#,
        r#"{"append": {"path": "out/x", "text": "x"}}"#,
        r#"{"delete": "out/canary"}"#,
        r#"{"rename": ["out/canary", "x"]}"#,
        r#"{"symlink": ["x", "out/x"]}"#,
    ] {
        let stage =
            Stage::new(&format!(r#"{{"default": {{"implement": [{{"steps": [{{"symlink": ["../outside", "out"]}}, {step}]}}]}}}}"#));
        let outside = stage.dir.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("canary"), "alive").unwrap();
        let failure = stage.play(&stage.turn(Role::Implement, 1)).1.failure.unwrap();
        assert!(failure.message.contains("lies behind out"), "{step}: {}", failure.message);
        assert_eq!(std::fs::read(outside.join("canary")).unwrap(), b"alive", "{step}");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1, "{step}");
    }
}

fn default_answers_are_what_is_asked_for() {
    let stage = Stage::new("{}");
    let mut turn = stage.turn(Role::Implement, 1);
    let said = |turn: &Turn| stage.play(turn).1.answer;
    let work = WorkAnswer::parse(&said(&turn)).unwrap();
    assert_eq!(work.completed_subtasks.len(), 2);
    turn.data.role = Role::Review;
    assert_eq!(ReviewAnswer::parse(&said(&turn)).unwrap().severity, Severity::None);
    turn.data.role = Role::Assign;
    let unit = TurnUnit {
        id: "1".into(),
        title: "One".into(),
        unit_type: UnitType::Code,
        writes: vec![],
        reads: vec![],
        state: UnitState::NotStarted,
    };
    turn.data.units = vec![unit];
    assert_eq!(AssignAnswer::parse(&said(&turn)).unwrap().dispatch_units.len(), 1);
    turn.data.role = Role::Orchestrate;
    OrchestrateAnswer::parse(&said(&turn)).unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn the_doctor_probes_playbooks_too() {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let supervisor = Supervisor::start(SupervisorOptions { warm: 0, ..SupervisorOptions::new(dir.path()) }).await.unwrap();
        let report = async |playbook: &str| {
            let file = dir.path().join("p.json");
            std::fs::write(&file, playbook).unwrap();
            doctor::probe(&host(), &format!("scripted:{}", file.display()), &supervisor, false).await
        };
        let verdict = |report: &doctor::BackendReport, name: &str| report.checks.iter().find(|check| check.check == name).unwrap().ok;
        let good = report("{}").await;
        assert!(good.ok, "{good:#?}");
        assert_eq!((verdict(&good, "can_write"), verdict(&good, "version")), (Some(true), None));
        let idle = report(r#"{"default": {"implement": [{"steps": []}]}}"#).await;
        assert_eq!((idle.ok, verdict(&idle, "logged_in"), verdict(&idle, "can_write")), (false, Some(true), Some(false)));
        let refused = report(r#"{"default": {"implement": [{"steps": [{"fault": "auth"}]}]}}"#).await;
        assert_eq!((verdict(&refused, "logged_in"), verdict(&refused, "can_write")), (Some(false), None));
        let absent = doctor::probe(&host(), "no-such-backend", &supervisor, true).await;
        assert_eq!((absent.ok, verdict(&absent, "found")), (false, Some(false)));
    });
}

/// A worker that serves a playbook, and has a repository of one commit.
struct Worker {
    host: AgentHost,
    spool: Spool,
    base: CommitId,
    stage: Stage,
}

const REPOSITORY: &str = "abababababababababababababababababababab";

impl Worker {
    async fn open(playbook: &str) -> Self {
        let stage = Stage::new(playbook);
        let place = |name: &str| stage.dir.path().join(name);
        let backends = vec![BackendSlots { name: stage.backend.name().to_string(), slots: Some(1) }];
        let park_probe = Duration::from_secs(900);
        let (workspace, shared, quotas) = (place("workspace"), place("."), Quotas::default());
        let options = HostOptions { workspace, shared, host: host(), backends, park_probe, tmux: None, quotas };
        let (host, spool) = (AgentHost::open(options).await.unwrap(), Spool::open(place("spool")).unwrap());
        std::fs::create_dir(place("user")).unwrap();
        std::fs::write(place("user/README.md"), "# Demo\n").unwrap();
        let program = GitProgram::find().await.unwrap();
        program.create_repository(&place("user"), "main", &Signature::roundtable(1), "base\n").await.unwrap();
        let git = program.own(place("user/.git")).unwrap();
        let base = git.resolve_commit("HEAD").await.unwrap();
        let mut pack = Vec::<u8>::new();
        git.pack(&PackRequest { wants: vec![base.clone()], haves: vec![], history_max: None }, &mut pack).await.unwrap();
        let (sender, pieces): (_, Pieces) = mpsc::channel(1);
        sender.send(Ok(pack.into())).await.unwrap();
        drop(sender);
        host.receive(REPOSITORY, &base.commit_id(), pieces).await.unwrap();
        Self { host, spool, base: base.commit_id(), stage }
    }

    fn lease(&self, turn: &TurnData, resume: Option<AgentSessionId>) -> Lease {
        let key = AttemptKey { run: turn.run.clone(), unit: turn.unit.clone(), attempt: turn.attempt };
        Lease {
            lease: LeaseRef { lease_id: LeaseId(u128::from(turn.attempt.0)), key },
            seat: Seat::Work,
            role: turn.role,
            backend: self.stage.backend.name().clone(),
            pool: self.stage.backend.name().to_string(),
            repository: REPOSITORY.to_owned(),
            base: self.base.clone(),
            start: self.base.clone(),
            prompt: String::new(),
            answer_schema: None,
            turn_data: turn.clone(),
            resume,
            model: None,
            effort: None,
            wall_ms: 120_000,
            idle_ms: 120_000,
            output_bytes_max: 1 << 20,
            save_ms: 0,
            setup: None,
            check: None,
            has_attachments: false,
            read_only: false,
            switches: Default::default(),
        }
    }

    /// Runs an attempt to its end: what came of it, and how far it told that it was.
    async fn run(&self, lease: Lease) -> (AttemptFacts, Vec<Progress>) {
        let (progress, mut told) = mpsc::channel(16);
        let (_keep, cancel) = watch::channel(None);
        let events = self.spool.begin(lease.clone()).unwrap();
        let facts = Box::pin(self.host.run(Job { lease, attachments: vec![], events, progress, cancel })).await;
        (facts, std::iter::from_fn(|| told.try_recv().ok()).collect())
    }

    /// The files of the conversations it has.
    fn conversations(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.stage.dir.path().join("workspace/sessions")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

/// The prompt of a resumed fix leaves out what its conversation knows already: in a fresh one it would be half a task.
fn a_fix_whose_conversation_is_lost_is_handed_back_untouched() {
    runtime().block_on(async {
        let worker = Worker::open("{}").await;
        let turn = |role, index| worker.stage.turn(role, index).data;
        let (done, _) = worker.run(worker.lease(&turn(Role::Implement, 1), None)).await;
        assert_eq!(done.failure, None);
        let conversation = done.agent_session.unwrap();

        // It goes on with the one it has, whatever becomes of the record while the worktree is set up.
        let setup = Some(format!("rm '{}'", worker.conversations()[0].display()));
        let fix = Lease { setup, ..worker.lease(&turn(Role::Fix, 2), Some(conversation.clone())) };
        let (fixed, told) = worker.run(fix).await;
        assert_eq!((fixed.failure, fixed.agent_session), (None, Some(conversation.clone())));
        assert!(fixed.commit.is_some() && told.contains(&Progress::Started), "{told:?}");

        let ways_to_lose: [fn(&Path); 2] = [|file| std::fs::write(file, "{").unwrap(), |file| std::fs::remove_file(file).unwrap()];
        for (index, lose) in (3..).zip(ways_to_lose) {
            worker.conversations().iter().for_each(|file| lose(file));
            let (handed_back, told) = worker.run(worker.lease(&turn(Role::Fix, index), Some(conversation.clone()))).await;
            let failure = handed_back.failure.unwrap();
            assert_eq!(failure.kind, FailureKind::Interrupted, "{}", failure.message);
            assert_eq!((handed_back.commit, handed_back.agent_session, told), (None, None, vec![]), "nothing was begun");
        }
        // The same fix with a conversation of its own.
        let (fixed, _) = worker.run(worker.lease(&turn(Role::Fix, 5), None)).await;
        assert_eq!(fixed.failure, None);
        assert_ne!(fixed.agent_session.unwrap(), conversation);
    });
}

fn caught_signals(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0").trim();
    u64::from_str_radix(mask, 16).unwrap()
}

/// Waits for a condition, with a deadline.
fn until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}
