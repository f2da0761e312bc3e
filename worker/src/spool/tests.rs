//! The spool survives what its worker does not.
#![allow(clippy::unwrap_used)]

use roundtable_shared::time::WallMs;
use roundtable_shared::view::EventLine;
use roundtable_shared::{
    AgentEvent, AttemptFacts, AttemptKey, AttemptNo, LeaseId, LeaseRef, Role, Seat, Switches, TaskId, TurnData, Usage,
};

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
        turn_data: TurnData::new("demo-abcdef", Role::Implement),
        resume: None,
        model: None,
        effort: None,
        wall_ms: 1,
        idle_ms: 1,
        output_bytes_max: 1,
        save_ms: 0,
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
        left_out: Default::default(),
        done: Vec::new(),
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
    attempt.push(line("one")).unwrap();
    attempt.push(line("two")).unwrap();
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

/// As builds that spoke protocol 1 wrote it.
const LEASE_OF_PROTOCOL_1: &str = concat!(
    r#"{"lease":{"key":{"run":"demo-abcdef","unit":"1","attempt":1},"lease_id":"00000000000000000000000000000005"},"seat":{"seat":"work"},"#,
    r#""role":"implement","backend":"codex","pool":"codex","repository":"ab","base":"01","start":"01","prompt":"Do.","answer_schema":null,"#,
    r#""turn_data":"{\"run\":\"demo-abcdef\",\"unit\":\"1\",\"title\":\"A unit\",\"role\":\"implement\",\"attempt\":1,\"turn_index\":1,\"round\":1,"#,
    r#"\"reviewer\":0,\"writes\":[\"a\"],\"reads\":[],\"open_subtasks\":[],\"units\":[],\"window\":\"task-1\"}","#,
    r#""resume":null,"model":null,"effort":null,"wall_ms":1,"idle_ms":1,"output_bytes_max":1,"save_ms":0,"setup":null,"check":null,"#,
    r#""has_attachments":false,"read_only":false,"#,
    r#""switches":{"bypass_sandbox":true,"skip_permissions":null,"opencode_agent":null,"opencode_model":null}}"#
);
const OUTCOME_OF_PROTOCOL_1: &str = concat!(
    r#"{"failure":{"kind":"exit_status","code":1,"signal":null,"message":"no"},"exit_code":1,"answer":"","commit":"02","agent_session":null,"#,
    r#""usage":{"input_tokens":1,"cached_input_tokens":0,"output_tokens":2,"cost_usd":0.30000000000000004},"last_event_seq":1}"#
);

#[test]
fn what_the_build_before_left_is_owed_with_the_digest_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap();
    let attempt = spool.begin(lease("1")).unwrap();
    attempt.push(line("one")).unwrap();
    let folder = attempt.dir().to_owned();
    drop(attempt);
    fs::write(folder.join("lease.json"), LEASE_OF_PROTOCOL_1).unwrap();
    fs::write(folder.join("outcome.json"), OUTCOME_OF_PROTOCOL_1).unwrap();

    let owed = spool.left_behind().unwrap().remove(0);
    let turn = &owed.lease().turn_data;
    assert_eq!((turn.title.as_str(), turn.window.as_str(), &turn.writes[..]), ("A unit", "task-1", &["a".to_owned()][..]));
    assert_eq!(owed.outcome().unwrap().digest(), blake3::hash(OUTCOME_OF_PROTOCOL_1.as_bytes()).to_hex().to_string());
    // The build before reads what this one leaves.
    assert_eq!(serde_json::to_string(owed.lease()).unwrap(), LEASE_OF_PROTOCOL_1);
    assert_eq!(serde_json::to_string(&owed.outcome().unwrap()).unwrap(), OUTCOME_OF_PROTOCOL_1);
}

#[test]
fn what_a_later_build_left_is_kept_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap();
    let (other, known) = (spool.begin(lease("1")).unwrap(), spool.begin(lease("2")).unwrap());
    let (folder, kept) = (other.dir().to_owned(), known.lease().clone());
    drop((other, known));
    let later = fs::read_to_string(folder.join("lease.json")).unwrap().replace("implement", "improvise");
    fs::write(folder.join("lease.json"), &later).unwrap();

    let owed = spool.left_behind().unwrap();
    assert_eq!(owed.iter().map(|attempt| attempt.lease().clone()).collect::<Vec<_>>(), [kept]);
    assert_eq!(fs::read_to_string(folder.join("lease.json")).unwrap(), later);
}

#[test]
fn a_torn_tail_is_cut_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap();
    let attempt = spool.begin(lease("1")).unwrap();
    attempt.push(line("one")).unwrap();
    attempt.push(line("two")).unwrap();
    let file = attempt.dir().join("events");
    drop(attempt);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 3]).unwrap();

    let attempt = spool.left_behind().unwrap().remove(0);
    assert_eq!(attempt.position().written_seq, 1);
    attempt.push(line("again")).unwrap();
    let events = attempt.reader(1).unwrap().read(2).unwrap();
    assert_eq!(events.len(), 2);
}

fn read_all(attempt: &AttemptSpool) -> Vec<AgentEvent> {
    let through = attempt.position().written_seq;
    let mut reader = attempt.reader(1).unwrap();
    let mut events = Vec::new();
    while reader.next_seq() <= through {
        events.extend(reader.read(through).unwrap().iter().map(|event| serde_json::from_slice::<EventLine>(event).unwrap().event));
    }
    events
}

fn raw(number: u32) -> EventLine {
    let text = format!("{number:08} {}", "x".repeat(1000));
    EventLine { at: WallMs(1), event: AgentEvent::Raw { stream: "stdout".to_owned(), text } }
}

#[test]
fn of_too_much_output_the_beginning_and_the_end_stay_and_events_keep_what_led_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = Spool::open(dir.path().join("spool")).unwrap().begin(lease("1")).unwrap();
    (0..40_000).for_each(|number| attempt.push(raw(number)).unwrap());
    attempt.push(line("in between")).unwrap();
    (40_000..80_000).for_each(|number| attempt.push(raw(number)).unwrap());
    attempt.push(EventLine { at: WallMs(1), event: AgentEvent::Elided { bytes: 7 } }).unwrap();
    attempt.push(line("the last words")).unwrap();
    let facts = attempt.finish(facts()).unwrap();
    let events = read_all(&attempt);
    assert_eq!(events.len() as u64, facts.last_event_seq);
    let number = |event: &AgentEvent| if let AgentEvent::Raw { text, .. } = event { text[..8].parse().ok() } else { None };
    assert_eq!(number(&events[0]), Some(0_u32));
    assert_eq!(events.last(), Some(&line("the last words").event));
    assert_eq!(number(&events[events.len() - 2]), Some(79_999));
    let between = events.iter().position(|event| *event == line("in between").event).unwrap();
    assert_eq!(number(&events[between - 1]), Some(39_999));
    // Nothing comes twice or in another order, and what is missing is counted.
    let kept: Vec<u32> = events.iter().filter_map(number).collect();
    assert!(kept.is_sorted_by(|a, b| a < b));
    let elided: u64 = events.iter().filter_map(|event| if let AgentEvent::Elided { bytes } = event { Some(*bytes) } else { None }).sum();
    assert_eq!(elided, (80_000 - kept.len() as u64) * 1009 + 7);
    assert!(fs::metadata(attempt.dir().join("events")).unwrap().len() < 40 << 20);
}

#[test]
fn the_whole_is_bounded_and_its_end_is_there_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = Spool::open(dir.path().join("spool")).unwrap().begin(lease("1")).unwrap();
    let big = "x".repeat(900 << 10);
    for _ in 0..200 {
        attempt.push(line(&big)).unwrap();
    }
    attempt.push(line("the last words")).unwrap();
    attempt.finish(facts()).unwrap();
    assert!(fs::metadata(attempt.dir().join("events")).unwrap().len() < ATTEMPT_BYTES_MAX);
    let events = read_all(&attempt);
    assert_eq!(events.last(), Some(&line("the last words").event));
    assert!(events.iter().any(|event| matches!(event, AgentEvent::Elided { bytes } if *bytes > 1 << 20)));
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
fn a_lease_that_cannot_be_read_now_is_not_taken_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap();
    let attempt = spool.begin(lease("1")).unwrap();
    attempt.finish(facts()).unwrap();
    let (place, away) = (attempt.dir().join("lease.json"), dir.path().join("away"));
    fs::rename(&place, &away).unwrap();
    // Reading it fails, as on a disk that fails.
    fs::create_dir(&place).unwrap();
    assert!(matches!(spool.left_behind(), Err(SpoolError::Io(_))));
    fs::remove_dir(&place).unwrap();
    fs::rename(&away, &place).unwrap();
    assert_eq!(spool.left_behind().unwrap().len(), 1, "it is owed all the same");
}

#[test]
fn what_was_accepted_goes_by_age_and_on_demand_and_what_is_owed_never() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap();
    let begin = |unit: &str| {
        let attempt = spool.begin(lease(unit)).unwrap();
        attempt.push(line("x")).unwrap();
        attempt.finish(facts()).unwrap();
        attempt
    };
    let (old, new, owed) = (begin("1"), begin("2"), begin("3"));
    old.mark_accepted().unwrap();
    new.mark_accepted().unwrap();
    let long_ago = SystemTime::now() - KeepLimits::default().time - Duration::from_secs(60);
    fs::File::open(old.dir().join("accepted")).unwrap().set_modified(long_ago).unwrap();
    spool.prune(false).unwrap();
    assert_eq!([&old, &new, &owed].map(|attempt| attempt.dir().is_dir()), [false, true, true]);
    spool.prune(true).unwrap();
    assert_eq!([&new, &owed].map(|attempt| attempt.dir().is_dir()), [false, true]);
    let small = begin("4");
    small.mark_accepted().unwrap();
    spool.clone().keeping(KeepLimits { bytes: 1 << 20, ..KeepLimits::default() }).prune(false).unwrap();
    assert!(small.dir().is_dir());
    spool.clone().keeping(KeepLimits { bytes: 1, ..KeepLimits::default() }).prune(false).unwrap();
    assert!(!small.dir().is_dir() && owed.dir().is_dir(), "what is owed is under no limit");
}

#[test]
fn subtasks_are_known_as_done_once_they_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = Spool::open(dir.path().join("spool")).unwrap().begin(lease("2")).unwrap();
    let report = |id: &str, status: &str| {
        let event = AgentEvent::Subtask { id: id.to_owned(), status: status.to_owned() };
        attempt.push(EventLine { at: WallMs(1), event }).unwrap();
    };
    assert!(attempt.done().is_empty());
    for (id, status) in [("2.2", "completed"), ("2.1", "completed"), ("2.1", "completed"), ("2.3", "failed"), ("2.2", "failed")] {
        report(id, status);
    }
    assert_eq!(attempt.done(), ["2.1"]);
    drop(attempt);

    // The next life of the worker knows it from what was written, and says it at the end.
    let owed = Spool::open(dir.path().join("spool")).unwrap().left_behind().unwrap();
    assert_eq!(owed[0].done(), ["2.1"]);
    assert_eq!(owed[0].finish(facts()).unwrap().done, [TaskId::new("2.1")]);
}

#[test]
fn what_was_delivered_to_another_store_is_owed_again() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap();
    assert_eq!(spool.store(), "");
    spool.remember_store("aa").unwrap();
    spool.remember_store("").unwrap();
    assert_eq!(Spool::open(dir.path().join("spool")).unwrap().store(), "aa");
    let (delivered, handed_back) = (spool.begin(lease("1")).unwrap(), spool.begin(lease("2")).unwrap());
    delivered.push(line("x")).unwrap();
    delivered.finish(facts()).unwrap();
    delivered.mark_accepted().unwrap();
    handed_back.mark_accepted().unwrap();
    // What cannot be read keeps nothing else back.
    let broken = spool.begin(lease("3")).unwrap();
    broken.finish(facts()).unwrap();
    broken.mark_accepted().unwrap();
    fs::remove_file(broken.dir().join("events")).unwrap();
    fs::create_dir(broken.dir().join("events")).unwrap();
    assert!(spool.left_behind().unwrap().is_empty());
    let again = spool.owe_again().unwrap();
    assert_eq!(again.iter().map(|spool| spool.lease().lease.key.unit.clone()).collect::<Vec<_>>(), [Some("1".into())]);
    assert_eq!(spool.left_behind().unwrap().len(), 1, "also after another start");
    assert!(spool.owe_again().unwrap().is_empty());
}

#[test]
fn what_was_delivered_last_is_owed_again_first_and_holds_no_file_open() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap();
    for (unit, ago_s) in [("1", 30), ("2", 10), ("3", 20)] {
        let delivered = spool.begin(lease(unit)).unwrap();
        delivered.push(line("x")).unwrap();
        delivered.finish(facts()).unwrap();
        delivered.mark_accepted().unwrap();
        let mark = fs::File::options().write(true).open(delivered.dir().join("accepted")).unwrap();
        mark.set_modified(SystemTime::now() - Duration::from_secs(ago_s)).unwrap();
    }
    let again = spool.owe_again().unwrap();
    let units: Vec<_> = again.iter().map(|spool| spool.lease().lease.key.unit.as_ref().unwrap().to_string()).collect();
    assert_eq!(units, ["2", "3", "1"]);
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    assert_eq!(open.filter(|path| path.starts_with(dir.path())).count(), 0);
    assert_eq!(again[0].reader(1).unwrap().read(1).unwrap().len(), 1);
}
