//! A worker of the release before, over the wire at the real services: it is told and understood in protocol 1, and goes on in the next one where it stopped.
#![allow(clippy::unwrap_used, missing_docs)]

mod served;

use std::time::Duration;

use roundtable_coordinator::serve::{ServeOptions, start};
use roundtable_proto::v1::coordinator_frame::Frame as Told;
use roundtable_proto::v1::fleet_client::FleetClient;
use roundtable_proto::v1::verdict::Kind;
use roundtable_proto::v1::worker_frame::Frame as Said;
use roundtable_proto::{convert, v1};
use roundtable_shared::time::WallMs;
use roundtable_shared::view::EventLine;
use roundtable_shared::{
    AgentEvent, AttemptFacts, BackendOffer, Failure, FailureKind, Introduction, Lease, LeaseRef, LeftOut, Origin, Role, Usage,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use self::served::{channel, submitted};

const WITHIN: Duration = Duration::from_secs(60);

fn hello() -> v1::Hello {
    let offer = BackendOffer {
        name: "codex".into(),
        pool: "codex".to_owned(),
        slots: 1,
        version: "1".to_owned(),
        account: "account".to_owned(),
        serves_all: false,
        unavailable: String::new(),
    };
    let introduction = Introduction {
        incarnation: 1,
        name: "a".to_owned(),
        version: "1".to_owned(),
        labels: Default::default(),
        backends: vec![offer],
        held: Vec::new(),
        repositories: Vec::new(),
        origin: Origin { workspace: "w".to_owned(), life: "1".to_owned(), place: String::new() },
    };
    v1::Hello { protocol_min: 1, protocol_max: 1, ..v1::Hello::from(&introduction) }
}

/// The welcome and the first lease of a session that speaks protocol 1. It lasts as long as the sender.
async fn first_lease(channel: &Channel) -> (v1::Welcome, v1::Lease, mpsc::Sender<v1::WorkerFrame>) {
    let (to, frames) = mpsc::channel(64);
    let say = |frame| v1::WorkerFrame { frame: Some(frame) };
    to.send(say(Said::Hello(hello()))).await.unwrap();
    to.send(say(Said::Want(v1::Want { pool: "codex".to_owned(), credits: 1 }))).await.unwrap();
    let mut from = FleetClient::new(channel.clone()).session(ReceiverStream::new(frames)).await.unwrap().into_inner();
    let mut next = async || tokio::time::timeout(WITHIN, from.message()).await.expect("a word in time").unwrap().unwrap().frame;
    let Some(Told::Welcome(welcome)) = next().await else { panic!("no welcome") };
    let lease = loop {
        if let Some(Told::Lease(lease)) = next().await {
            break lease;
        }
    };
    for frame in [Said::Accepted(v1::Accepted { lease: lease.lease.clone() }), Said::Started(v1::Started { lease: lease.lease.clone() })] {
        to.send(say(frame)).await.unwrap();
    }
    // Read on, as a worker does.
    tokio::spawn(async move { while let Ok(Some(_)) = from.message().await {} });
    (welcome, lease, to)
}

fn facts() -> AttemptFacts {
    AttemptFacts {
        failure: Some(Failure { kind: FailureKind::Interrupted, message: "stopped".to_owned() }),
        exit_code: None,
        answer: String::new(),
        commit: None,
        left_out: LeftOut::default(),
        done: Vec::new(),
        agent_session: None,
        usage: Usage { input_tokens: 3, cost_usd: Some(0.1 + 0.2), ..Usage::default() },
        last_event_seq: 2,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_the_release_before_is_served_in_its_own_protocol() {
    let home = tempfile::tempdir().unwrap();
    let running = start(ServeOptions::embedded(&home.path().join("data"), "test")).await.unwrap();
    submitted(&running.parts, 1).await;
    let own = channel(&running, "a").await;
    let (welcome, wire, _session) = first_lease(&own).await;
    assert_eq!(welcome.protocol, 1);
    assert!(wire.turn_data.is_none() && wire.switches.is_none(), "a worker of the release before would not look at them");
    let lease = Lease::try_from(wire).unwrap();
    assert_eq!((lease.turn_data.role, lease.turn_data.unit.clone()), (Role::Implement, lease.lease.key.unit.clone()));
    let lease: LeaseRef = lease.lease;

    let mut client = FleetClient::new(own.clone());
    let line = |at| EventLine { at: WallMs(at), event: AgentEvent::Message { text: "hello".to_owned() } };
    let events: Vec<Vec<u8>> = [1, 2].map(|at| serde_json::to_vec(&line(at)).unwrap()).into();
    let chunk = convert::protocol_1::chunk((&lease).into(), 1, events.clone());
    let mut acks = client.put_events(tokio_stream::once(chunk)).await.unwrap().into_inner();
    let ack = tokio::time::timeout(WITHIN, acks.message()).await.expect("it is acknowledged").unwrap().unwrap();
    assert_eq!((ack.through_seq, ack.expected_seq, ack.stale), (2, 0, false));
    let kept = running.parts.segments.read(&lease.key, 1, 10).await.unwrap();
    assert_eq!(kept.into_iter().map(|event| event.bytes).collect::<Vec<_>>(), events);

    let facts = facts();
    let told = convert::protocol_1::report(&lease, &facts);
    let changed = convert::protocol_1::report(&lease, &AttemptFacts { exit_code: Some(1), ..facts.clone() });
    let changed = v1::OutcomeReport { digest: told.digest.clone(), ..changed };
    let judged = async |report| FleetClient::new(own.clone()).report(report).await.unwrap().into_inner();
    assert_eq!(judged(changed).await.kind(), Kind::Rejected);
    assert_eq!(judged(told.clone()).await.kind(), Kind::Accepted);
    assert_eq!(judged(told).await.kind(), Kind::Accepted, "the same again");
    // Its verdict was lost on the way, and meanwhile the worker was brought up to date.
    assert_eq!(judged(convert::report(&lease, &facts)).await.kind(), Kind::Accepted);
    let other = convert::report(&lease, &AttemptFacts { exit_code: Some(1), ..facts });
    let other = judged(other).await;
    assert!(other.kind() == Kind::Rejected && other.reason.contains("another outcome"), "{other:?}");
    running.stop().await.unwrap();
}
