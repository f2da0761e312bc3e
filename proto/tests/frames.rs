//! Frames as builds of before encoded them (`frames/<protocol>.txt`, hex): they are read as what they were, and said again to the byte. Those of protocol 1 are of
//! the last build that spoke nothing else.
#![allow(missing_docs, clippy::unwrap_used)]

use prost::Message;
use roundtable_proto::convert::{chunk_in, events_of, facts_of, lease_in, report_in};
use roundtable_proto::{PROTOCOL, v1};
use roundtable_shared::time::WallMs;
use roundtable_shared::view::EventLine;
use roundtable_shared::{
    AgentEvent, AttemptFacts, AttemptKey, AttemptNo, Failure, FailureKind, Lease, LeaseId, LeaseRef, LeftOut, Role, Seat, Switches,
    TurnData, TurnSubtask, TurnUnit, UnitState, UnitType, Usage,
};

fn reference() -> LeaseRef {
    let key = AttemptKey { run: "demo-abcdef".into(), unit: Some("2".into()), attempt: AttemptNo(3) };
    LeaseRef { key, lease_id: LeaseId(7) }
}

fn turn_data() -> TurnData {
    TurnData {
        unit: Some("2".into()),
        title: "Größe".into(),
        attempt: AttemptNo(3),
        turn_index: 2,
        round: 1,
        reviewer: 2,
        writes: vec!["src/a.rs".into()],
        reads: vec!["doc/".into()],
        open_subtasks: vec![TurnSubtask { id: "2.1".into(), title: "Part".into(), optional: true }],
        units: vec![TurnUnit {
            id: "1".into(),
            title: "First".into(),
            unit_type: UnitType::Ui,
            writes: vec!["b".into()],
            reads: Vec::new(),
            state: UnitState::Completed,
        }],
        window: "w1".into(),
        ..TurnData::new("demo-abcdef", Role::Review)
    }
}

fn facts() -> AttemptFacts {
    AttemptFacts {
        failure: Some(Failure { kind: FailureKind::ExitStatus { code: Some(2), signal: None }, message: "it broke".into() }),
        exit_code: Some(2),
        answer: "{\"severity\":\"none\"}".into(),
        commit: Some("03".repeat(20).into()),
        left_out: LeftOut { files: vec!["big.bin: too large".into()], count: 1 },
        done: vec!["2.1".into()],
        agent_session: Some("session-1".into()),
        usage: Usage { input_tokens: 1_000, cached_input_tokens: 10, output_tokens: 200, cost_usd: Some(0.1) },
        last_event_seq: 9,
    }
}

fn lines() -> Vec<EventLine> {
    let exec = AgentEvent::Exec { command: "make".into(), output: Some("ok\n".into()), exit_code: Some(0), ended: true };
    let events = [AgentEvent::Message { text: "\u{1}hé".into() }, exec, AgentEvent::Completed];
    (1..).zip(events).map(|(at, event)| EventLine { at: WallMs(at), event }).collect()
}

fn lease() -> Lease {
    Lease {
        lease: reference(),
        seat: Seat::Review(2),
        role: Role::Review,
        backend: "codex-review".into(),
        pool: "codex".into(),
        repository: "ab".repeat(20),
        base: "01".repeat(20).into(),
        start: "02".repeat(20).into(),
        prompt: "Look.".into(),
        answer_schema: Some("{}".into()),
        turn_data: turn_data(),
        resume: Some("session-0".into()),
        model: None,
        effort: Some("high".into()),
        wall_ms: 1,
        idle_ms: 2,
        output_bytes_max: 3,
        save_ms: 4,
        setup: None,
        check: Some("make test".into()),
        has_attachments: true,
        read_only: true,
        switches: Switches {
            bypass_sandbox: Some(true),
            skip_permissions: None,
            opencode_agent: Some("build".into()),
            opencode_model: None,
        },
    }
}

/// The frame of that name, in hex.
fn kept(protocol: u32, name: &str) -> &'static str {
    let frames = match protocol {
        1 => include_str!("frames/1.txt"),
        2 => include_str!("frames/2.txt"),
        other => panic!("keep frames of protocol {other} in frames/{other}.txt"),
    };
    frames.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap()
}

fn hex(message: &impl Message) -> String {
    message.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read<M: Message + Default>(hex: &str) -> M {
    let bytes = hex.as_bytes().chunks(2).map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 16).unwrap());
    M::decode(&bytes.collect::<Vec<_>>()[..]).unwrap()
}

#[test]
fn a_lease_is_what_it_was() {
    for protocol in PROTOCOL {
        let kept = kept(protocol, "lease");
        let said = v1::CoordinatorFrame { frame: Some(v1::coordinator_frame::Frame::Lease(lease_in(protocol, &lease()))) };
        assert_eq!(hex(&said), kept, "protocol {protocol}");
        let Some(v1::coordinator_frame::Frame::Lease(heard)) = read::<v1::CoordinatorFrame>(kept).frame else {
            panic!("a lease");
        };
        assert_eq!(Lease::try_from(heard).unwrap(), lease(), "protocol {protocol}");
    }
}

#[test]
fn a_report_is_what_it_was() {
    for protocol in PROTOCOL {
        let kept = kept(protocol, "report");
        assert_eq!(hex(&report_in(protocol, &reference(), &facts())), kept, "protocol {protocol}");
        let heard: v1::OutcomeReport = read(kept);
        assert_eq!(heard.digest, "8c3eb22e42e26536fdcd0c6d4097a2bed9cf4bde082d706db3ee0cf63e5a7d78", "protocol {protocol}");
        assert_eq!(LeaseRef::try_from(heard.lease.clone().unwrap()).unwrap(), reference(), "protocol {protocol}");
        assert_eq!(facts_of(heard).unwrap(), facts(), "protocol {protocol}");
    }
}

#[test]
fn a_chunk_of_events_is_what_it_was() {
    let json = lines().iter().map(|line| serde_json::to_vec(line).unwrap()).collect::<Vec<_>>();
    for protocol in PROTOCOL {
        let kept = kept(protocol, "chunk");
        assert_eq!(hex(&chunk_in(protocol, (&reference()).into(), 5, json.clone())), kept, "protocol {protocol}");
        let heard: v1::EventChunk = read(kept);
        assert_eq!((heard.first_seq, events_of(heard)), (5, lines()), "protocol {protocol}");
    }
}
