//! Read models: what commands show, and the exact commands they name.

use roundtable_coordinator::view::{self, SelectError};
use roundtable_core::command::Act;
use roundtable_shared::view::{ExistingPulse, Query, RunSelector, UnitView};
use roundtable_shared::{
    AttemptOutcome, Choice, FailureKind, Mode, OutcomeClass, Role, RunStatus, Severity, UnitState, WaitKind, WorkerStatus,
};
use serde_json::Value;

use super::world::*;

const TWO: &str = "- [ ] 1. First\n  - _writes: a_\n- [ ] 2. Second\n  - Depends on: 1\n  - _writes: b_\n";

fn stuck() -> World {
    let again = || finds("critical", "injection");
    plan(TWO).start().script("1", Role::Review, [again(), again(), again(), again()]).play()
}

#[test]
fn status_shows_who_works_and_what_the_others_wait_for() {
    let world = plan(TWO).start().grant();
    let status = world.status();
    assert_eq!((status.status.known(), status.exit, status.branch.as_str()), (Some(RunStatus::Running), None, "roundtable/ledger-k3v9q2"));
    assert_eq!((status.counts.total(), status.counts.running(), status.counts.of(UnitState::InProgress)), (2, 1, 1));
    assert!(status.slots >= 8, "{}", status.slots);
    let (first, second) = (world.shown("1"), world.shown("2"));
    assert_eq!(
        (first.worker.as_deref(), first.role, first.backend.as_deref()),
        (Some("alpha-1"), Some(Role::Implement.into()), Some("codex"))
    );
    assert_eq!((second.waiting[0].kind.known(), second.waiting[0].on.as_str()), (Some(WaitKind::Dependency), "1"));
    let workers = view::workers(&world.core.state, &world.core.fleet, world.now);
    assert_eq!(workers[0].status, WorkerStatus::Busy);
    assert_eq!((workers[0].backends["codex"].busy, workers[0].backends["codex"].slots), (1, 4));
    assert_eq!(workers[0].leases, ["ledger-k3v9q2/1/1"]);
}

/// Between the end of its time and its probe it would seem to be over.
#[test]
fn a_park_is_told_until_a_model_has_answered() {
    let refused = fails(FailureKind::RateLimit { retry_after_ms: None });
    let mut world = plan(TWO).start().script("1", Role::Implement, [refused]).grant().play_one();
    let first = world.status().parks;
    assert_eq!((first.len(), first[0].backend.as_str(), first[0].probed_by.as_deref()), (1, "codex", None));
    assert!(first[0].goes_on.starts_with("again in "), "{first:?}");
    world.pass(16_000);
    let due = world.status().parks;
    assert_eq!(due.iter().map(|park| park.goes_on.as_str()).collect::<Vec<_>>(), ["again with the next attempt that needs it"]);
    let world = world.grant();
    let probed = world.status().parks;
    assert_eq!(probed.iter().map(|park| park.probed_by.as_deref()).collect::<Vec<_>>(), [Some("ledger-k3v9q2/1/2")]);
    let world = world.play_one();
    assert!(world.status().parks.is_empty() && world.status().exit.is_none(), "the probe was served");
}

#[test]
fn a_finished_run_names_how_to_look_and_how_to_accept() {
    let world = plan(TWO).start().play();
    let summary = world.summary();
    assert_eq!((summary.exit, summary.status, summary.started_branch.as_deref()), (Some(0), RunStatus::Complete.into(), Some("main")));
    assert_eq!(summary.next, ["orchctl diff ledger-k3v9q2", "orchctl accept ledger-k3v9q2"]);
    let first = &summary.units[0];
    assert_eq!((first.files.as_slice(), first.attempts), (["a".to_owned()].as_slice(), 2));
    assert!(summary.usage.input_tokens >= 40);
    let head = world.run().branch.tip.clone();
    let accepted = world.act(Act::RecordAccept { branch: "main".to_owned(), commit: head });
    assert_eq!((accepted.summary().accepted.as_deref(), accepted.summary().next.len()), (Some("main"), 0));
}

#[test]
fn a_decision_names_its_evidence_and_a_command_per_option() {
    let world = stuck();
    let decision = &world.decisions()[0];
    assert_eq!(decision.commands.len(), decision.options.len());
    assert_eq!(decision.commands[0], "orchctl decide ledger-k3v9q2/human-fallback-1 resume");
    assert_eq!(
        decision.evidence,
        [
            "orchctl diff ledger-k3v9q2 1",
            "orchctl findings ledger-k3v9q2 1",
            "orchctl logs ledger-k3v9q2 1",
            "orchctl checkout ledger-k3v9q2 1 /tmp/ledger-k3v9q2-1"
        ]
    );
    let summary = world.summary();
    assert_eq!(summary.next[0], "orchctl decisions ledger-k3v9q2");
    assert_eq!(summary.next[1], "orchctl run --spec /home/user/ledger/specs/ledger --workdir /home/user/ledger --mode deterministic");
    assert_eq!((summary.status.known(), summary.findings[0].severity.known()), (Some(RunStatus::Waiting), Some(Severity::Critical)));
    let answered = world.decide("human-fallback-1", Choice::Skip);
    let all = view::decisions(answered.run(), answered.now.wall, true);
    assert_eq!(all[0].answer.as_ref().map(|answer| (answer.choice.as_str(), answer.by.as_str())), Some(("skip", "ada")));
    assert!(answered.decisions().is_empty());
}

#[test]
fn show_and_explain_tell_everything_about_a_unit() {
    let world = stuck();
    let show = view::show(&world.core.state, &world.core.fleet, world.now, world.run(), world.unit("1"));
    assert_eq!((show.attempt_list.len(), show.findings.len(), show.decisions.len(), show.tasks.len()), (8, 4, 1, 1));
    assert!(show.attempt_list[6].escalated && show.attempt_list[6].role == Role::Fix);
    let explain = view::explain(&world.core.state, &world.core.fleet, world.now, world.run(), world.unit("2"));
    assert_eq!(explain.waiting[0].kind, WaitKind::Dependency);
    assert!(explain.text.contains("Blocked upstream: Upstream task 1"), "{}", explain.text);
}

/// Ten thousand units that wait for one file each had a line for every one before them.
#[test]
fn of_many_reasons_the_first_are_listed_and_the_others_counted() {
    let tasks: String = (1..=30).map(|n| format!("- [ ] {n}. Unit\n  - _writes: one.txt_\n")).collect();
    let world = plan(&tasks).start().grant();
    let (second, last) = (world.shown("2"), world.shown("30"));
    assert_eq!((second.waiting_left_out, last.waiting.len(), last.waiting_left_out), (0, 8, 22));
    let keys = |unit: &UnitView| serde_json::to_value(unit).unwrap().get("waiting_left_out").cloned();
    assert_eq!((keys(&second), keys(&last)), (None, Some(22.into())));
    let explain = view::explain(&world.core.state, &world.core.fleet, world.now, world.run(), world.unit("30"));
    assert_eq!(explain.waiting.len(), 30, "29 come first, and the first of them holds the file");
    assert_eq!(explain.waiting[..8], last.waiting[..]);
}

#[test]
fn who_waits_for_a_person_blocks_whoever_waits_for_it_however_indirectly() {
    let never = || fails(FailureKind::WallLimit);
    let world = plan(
        "- [ ] 1. First\n  - _writes: lib/a.py_\n- [ ] 2. Second\n  - _writes: lib/b.py_\n  - _reads: lib/_\n\
         - [ ] 3. Third\n  - _writes: docs/c.md_\n  - _reads: lib/b.*_\n- [ ] 4. Fourth\n  - _writes: docs/d.md_\n\
         - [ ] 5. Fifth\n- [ ] 6. Sixth\n  - _writes: docs/e.md_\n",
    );
    let world = world.start().script("1", Role::Implement, [never(), never(), never(), never(), never(), never()]).play();
    let blocked = |unit: &str| world.shown(unit).blocked_by;
    assert_eq!(
        ["1", "2", "3", "4", "5", "6"].map(blocked),
        [None, Some("1"), Some("1"), None, Some("1"), Some("1")].map(|by| by.map(str::to_owned))
    );
    assert_eq!(world.shown("4").status, UnitState::Completed);
    let shown = world.shown("6");
    assert_eq!(shown.status, UnitState::Blocked);
    assert!(shown.blocked_reason.unwrap().starts_with("Upstream task 1: "));
}

#[test]
fn a_failed_attempt_says_what_failed_and_who_pays() {
    let world = plan(TWO).start().script("1", Role::Implement, [fails(FailureKind::WallLimit)]).play();
    let attempts = view::attempts(world.unit("1"));
    assert_eq!(
        (attempts[0].outcome.known(), attempts[0].class.clone(), attempts[0].error.as_deref()),
        (Some(AttemptOutcome::Failed), Some(OutcomeClass::Unit.into()), Some("boom"))
    );
    assert_eq!((attempts[1].attempt, attempts[1].seat.as_str(), attempts[1].resumed_from), (2, "work", Some(1)));
    let told = &world.told("1", Role::Implement)[1].text;
    assert!(told.contains("The worktree already holds the work of attempt 1") && told.contains("attempt 1 failed: boom"), "{told}");
}

#[test]
fn a_try_is_an_implement_turn_and_all_else_is_counted_apart() {
    let refused = fails(FailureKind::RateLimit { retry_after_ms: Some(3_000) });
    let world = plan(TWO)
        .options(|options| options.check = Some("make test".to_owned()))
        .start()
        .script("1", Role::Implement, [fails(FailureKind::WallLimit), refused])
        .script("1", Role::Review, [finds("major", "a hole")])
        .play();
    assert_eq!(world.exit(), 0);
    let of_role = |role: Role| world.unit("1").attempts.iter().filter(|attempt| attempt.granted.role == role).count();
    assert_eq!((of_role(Role::Implement), of_role(Role::Fix), of_role(Role::Review), of_role(Role::Check)), (3, 1, 2, 1));
    let first = world.shown("1");
    assert_eq!((first.attempts, first.tries), (7, 2), "the provider's refusal repeats the turn and is none of its own");
    assert_eq!((first.fix_attempts, first.reviews, first.checks), (1, 2, 1));
    let under_way = plan(TWO).start().grant().shown("1");
    assert_eq!((under_way.attempts, under_way.tries, under_way.reviews), (1, 1, 0));
}

/// Neither its time nor the probe that is under way ends a refusal: only then would it be true that it is over.
#[test]
fn a_provider_that_refuses_is_told_until_its_model_has_answered() {
    let refused = fails(FailureKind::RateLimit { retry_after_ms: None });
    let mut world = plan("- [ ] 1. Only\n").start().script("1", Role::Implement, [refused]).grant().play_one();
    let told =
        |world: &World| world.status().parks.into_iter().map(|park| format!("{}: {}", park.backend, park.goes_on)).collect::<Vec<_>>();
    assert!(matches!(told(&world).as_slice(), [only] if only.starts_with("codex: again in ")), "{:?}", told(&world));
    world.pass(16_000);
    assert_eq!(told(&world), ["codex: again with the next attempt that needs it"]);
    let world = world.grant();
    assert_eq!(told(&world), ["codex: unit 1 tries it now"]);
    let world = world.play_one();
    assert_eq!(told(&world), Vec::<String>::new());
}

#[test]
fn every_transition_is_a_json_line_with_its_common_keys() {
    let world = stuck();
    assert!(world.log.len() > 50);
    for (at, transition) in world.log.iter().enumerate() {
        let line = view::transition_line(at as u64 + 1, transition.at.0, transition);
        assert!(!line.contains('\n'));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((value["seq"].as_u64(), value["kind"].as_str()), (Some(at as u64 + 1), Some(transition.kind())));
        assert!(value["at"].as_str().unwrap().ends_with('Z'));
        assert!(value.get("spec").is_none() && value.get("outline").is_none());
    }
    let moved = world.log.iter().find(|transition| transition.kind() == "unit_moved").unwrap();
    let value: Value = serde_json::from_str(&view::transition_line(7, moved.at.0, moved)).unwrap();
    assert_eq!(
        (value["unit"].as_str(), value["to"].as_str(), value["run"].as_str()),
        (Some("1"), Some("in_progress"), Some("ledger-k3v9q2"))
    );
}

#[test]
fn an_agent_event_is_a_line_that_says_whose_it_is() {
    let key = roundtable_shared::AttemptKey { run: "r-1".into(), unit: Some("2".into()), attempt: roundtable_shared::AttemptNo(3) };
    let line = view::agent_event_line(&key, 9, br#"{"at":1767225600000,"kind":"message","text":"hello"}"#).unwrap();
    let value: Value = serde_json::from_str(&line.1).unwrap();
    assert_eq!((value["seq"].as_u64(), value["attempt"].as_u64(), value["unit"].as_str()), (Some(9), Some(3), Some("2")));
    assert_eq!(
        (value["kind"].as_str(), value["text"].as_str(), value["at"].as_str()),
        (Some("message"), Some("hello"), Some("2026-01-01T00:00:00.000Z"))
    );
    assert_eq!(view::agent_event_line(&key, 9, b"not an event"), None);
}

#[test]
fn runs_are_found_by_id_by_beginning_and_by_being_the_only_one() {
    let world = plan(TWO).start();
    let state = &world.core.state;
    let select = |run: Option<&str>, git_dir: Option<&str>| {
        view::select_run(state, &RunSelector { run: run.map(str::to_owned), git_dir: git_dir.map(str::to_owned) }).map(|id| id.to_string())
    };
    assert_eq!(select(Some("ledger-k3v9q2"), None).unwrap(), "ledger-k3v9q2");
    assert_eq!(select(Some("led"), None).unwrap(), "ledger-k3v9q2");
    assert_eq!(select(None, Some("/home/user/ledger/.git")).unwrap(), "ledger-k3v9q2");
    assert!(matches!(select(Some("other"), None), Err(SelectError::UnknownRun { .. })));
    assert!(matches!(select(None, Some("/elsewhere/.git")), Err(SelectError::NoRuns { .. })));
    let unit = |wanted: &str| view::select_unit(world.run(), wanted).map(|id| id.to_string());
    assert_eq!(unit("2").unwrap(), "2");
    assert!(unit("9").unwrap_err().to_string().contains("it has 1, 2"));
}

#[test]
fn questions_are_answered_as_their_documentation_says() {
    let world = stuck();
    let run = RunSelector { run: Some("ledger".to_owned()), git_dir: None };
    let ask = |query: Query| view::answer(&world.core, world.now, &query);
    assert_eq!(ask(Query::Runs).unwrap()[0]["status"], "waiting");
    assert_eq!(ask(Query::Status { run: run.clone() }).unwrap()["units"][0]["blocked_reason"], "human_intervention_required");
    assert_eq!(ask(Query::Summary { run: run.clone() }).unwrap()["exit"], 2);
    assert_eq!(ask(Query::Show { run: run.clone(), unit: "1".to_owned() }).unwrap()["tasks"][0]["id"], "1");
    assert_eq!(ask(Query::Findings { run: run.clone(), unit: None }).unwrap().as_array().unwrap().len(), 4);
    assert_eq!(ask(Query::Attempts { run: run.clone(), unit: "-".to_owned() }).unwrap()[0]["role"], "assign");
    assert_eq!(ask(Query::Decisions { run: RunSelector::default(), all: false }).unwrap()[0]["run"], "ledger-k3v9q2");
    assert_eq!(ask(Query::Explain { run: run.clone(), unit: "1".to_owned() }).unwrap()["waiting"][0]["kind"], "decision");
    assert!(ask(Query::Workers).unwrap()[0]["backends"]["codex-review"].is_object());
    assert!(ask(Query::Mirror { run: run.clone(), existing: ExistingPulse::default() }).unwrap()["pulse"].is_string());
    let source = |spec: &str| Query::FindSource { git_dir: "/home/user/ledger/.git".to_owned(), spec_path: spec.to_owned() };
    assert_eq!(ask(source("/home/user/ledger/specs/ledger")).unwrap()["run"], "ledger-k3v9q2");
    assert!(ask(source("/elsewhere")).unwrap().is_null());
    assert!(ask(Query::Diff { run: run.clone(), unit: None }).is_err());
    assert!(ask(Query::Show { run, unit: "9".to_owned() }).unwrap_err().to_string().contains("no unit 9"));
}

#[test]
fn a_halted_run_says_how_to_go_on() {
    let world = plan(TWO).start().grant().act(Act::Halt { reason: "interrupted".to_owned() }).play();
    let summary = world.summary();
    assert_eq!((summary.exit, summary.status), (Some(1), RunStatus::Halted.into()));
    assert_eq!(summary.next[0], "orchctl run --spec /home/user/ledger/specs/ledger --workdir /home/user/ledger --mode deterministic");
    let running = plan(TWO).mode(Mode::Legacy).start().grant().summary();
    assert_eq!(running.next, ["orchctl status ledger-k3v9q2 --watch", "orchctl wait ledger-k3v9q2"]);
}

/// Nobody has found out yet whether the provider serves again: what waited for it would else seem to wait for nothing.
#[test]
fn a_park_whose_time_has_come_is_told_until_somebody_has_tried() {
    let refused = fails(FailureKind::RateLimit { retry_after_ms: None });
    let mut world = plan("- [ ] 1. Only\n").start().script("1", Role::Implement, [refused]).grant().play_one();
    let told = |world: &World| world.status().parks.into_iter().map(|park| park.goes_on).collect::<Vec<_>>();
    assert!(told(&world)[0].starts_with("again in "), "{:?}", told(&world));
    world.pass(16_000);
    assert_eq!(told(&world), ["again with the next attempt that needs it"]);
    let world = world.play();
    assert_eq!((world.exit(), told(&world)), (0, Vec::new()));
}
