//! The spool survives what its worker does not.
#![allow(clippy::unwrap_used)]

use roundtable_shared::time::WallMs;
use roundtable_shared::view::EventLine;
use roundtable_shared::{AgentEvent, AttemptFacts, AttemptKey, AttemptNo, LeaseId, LeaseRef, Role, Seat, Switches, Usage};

use super::*;

fn lease(unit: &str) -> Lease {
    Lease {
        lease: LeaseRef {
            key: AttemptKey { run: "demo-abcdef".into(), unit: Some(unit.into()), attempt: AttemptNo(1) },
            lease_id: LeaseId(5),
        },
        seat: Seat::Work,
        role: Role::Implement,
        backend: "codex".into(),
        pool: "codex".into(),
        repository: "ab".repeat(20),
        base: "01".repeat(20).into(),
        start: "01".repeat(20).into(),
        prompt: "Do.".into(),
        answer_schema: None,
        turn_data: "{}".into(),
        resume: None,
        model: None,
        effort: None,
        wall_ms: 1,
        idle_ms: 1,
        output_bytes_max: 1,
        setup: None,
        check: None,
        has_attachments: false,
        read_only: false,
        switches: Switches::default(),
    }
}

fn line(text: &str) -> EventLine {
    EventLine { at: WallMs(1), event: AgentEvent::Message { text: text.to_owned() } }
}

fn facts() -> AttemptFacts {
    AttemptFacts {
        failure: None,
        exit_code: Some(0),
        answer: "done".into(),
        commit: None,
        agent_session: None,
        usage: Usage::default(),
        last_event_seq: 0,
    }
}

#[test]
fn events_and_outcome_survive_a_restart_and_acceptance_ends_the_debt() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap();
    let attempt = spool.begin(lease("../odd id")).unwrap();
    attempt.push(&line("one")).unwrap();
    attempt.push(&line("two")).unwrap();
    assert_eq!(attempt.finish(facts()).unwrap().last_event_seq, 2);
    drop(attempt);

    let owed = spool.left_behind().unwrap();
    assert_eq!(owed.len(), 1);
    assert_eq!(owed[0].position(), Position { written_seq: 2, ended: true });
    assert_eq!(owed[0].outcome().unwrap().answer, "done");
    let mut reader = owed[0].reader(2).unwrap();
    let events = reader.read(2).unwrap();
    assert_eq!(serde_json::from_slice::<EventLine>(&events[0]).unwrap(), line("two"));

    owed[0].mark_accepted().unwrap();
    assert!(spool.left_behind().unwrap().is_empty());
}

#[test]
fn a_torn_tail_is_cut_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap();
    let attempt = spool.begin(lease("1")).unwrap();
    attempt.push(&line("one")).unwrap();
    attempt.push(&line("two")).unwrap();
    let file = attempt.dir().join("events");
    drop(attempt);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 3]).unwrap();

    let attempt = spool.left_behind().unwrap().remove(0);
    assert_eq!(attempt.position().written_seq, 1);
    attempt.push(&line("again")).unwrap();
    let events = attempt.reader(1).unwrap().read(2).unwrap();
    assert_eq!(events.len(), 2);
}

#[test]
fn what_is_over_the_bound_is_counted_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = Spool::open(dir.path().join("spool")).unwrap().begin(lease("1")).unwrap();
    let big = line(&"x".repeat(900 << 10));
    for _ in 0..150 {
        attempt.push(&big).unwrap();
    }
    let written = attempt.position().written_seq;
    let facts = attempt.finish(facts()).unwrap();
    assert_eq!(facts.last_event_seq, written + 1);
    let mut reader = attempt.reader(written + 1).unwrap();
    let last: EventLine = serde_json::from_slice(&reader.read(written + 1).unwrap()[0]).unwrap();
    assert!(matches!(last.event, AgentEvent::Elided { bytes } if bytes > 1 << 20));
}

#[test]
fn a_folder_without_a_lease_promised_nothing_and_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap();
    fs::create_dir(dir.path().join("spool/half")).unwrap();
    assert!(spool.left_behind().unwrap().is_empty());
    assert!(!dir.path().join("spool/half").exists());
}

#[test]
fn what_was_accepted_goes_by_age_and_on_demand_and_what_is_owed_never() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap();
    let begin = |unit: &str| {
        let attempt = spool.begin(lease(unit)).unwrap();
        attempt.push(&line("x")).unwrap();
        attempt.finish(facts()).unwrap();
        attempt
    };
    let (old, new, owed) = (begin("1"), begin("2"), begin("3"));
    old.mark_accepted().unwrap();
    new.mark_accepted().unwrap();
    let long_ago = SystemTime::now() - KEEP_ACCEPTED - Duration::from_secs(60);
    fs::File::open(old.dir().join("accepted")).unwrap().set_modified(long_ago).unwrap();
    spool.prune(false).unwrap();
    assert_eq!([&old, &new, &owed].map(|attempt| attempt.dir().is_dir()), [false, true, true]);
    spool.prune(true).unwrap();
    assert_eq!([&new, &owed].map(|attempt| attempt.dir().is_dir()), [false, true]);
}
