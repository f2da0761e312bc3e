//! Ten thousand outcomes of the dead over the wire, at the real services: under leases that ended when their worker came back without them, of other attempts, by
//! another worker, with a made-up lease, with words that were changed on the way, and from before a restore. Each is refused; nothing of the run moves.
#![allow(clippy::unwrap_used, missing_docs)]

mod served;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use roundtable_coordinator::backup;
use roundtable_coordinator::serve::{Running, ServeOptions, start};
use roundtable_core::Core;
use roundtable_proto::convert::code_of;
use roundtable_proto::v1;
use roundtable_proto::v1::coordinator_frame::Frame as Told;
use roundtable_proto::v1::fleet_client::FleetClient;
use roundtable_proto::v1::verdict::Kind;
use roundtable_proto::v1::worker_frame::Frame as Said;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{AttemptFacts, BackendOffer, CommitId, Introduction, LeftOut, Origin, UnitState, Usage};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use self::served::{channel, submitted};

/// Units, and so many leases at once.
const UNITS: u32 = 12;
/// How often the worker comes back with nothing.
const STARTS: u64 = 4;
/// Calls that are on their way together.
const AT_ONCE: usize = 16;
const WITHIN: Duration = Duration::from_secs(60);
/// How often each kind is tried; ten thousand in all.
const LATE: usize = 4_000;
const OTHER_WORKER: usize = 2_000;
const OTHER_ATTEMPT: usize = 1_000;
const MADE_UP: usize = 1_000;
const CHANGED: usize = 300;
const NOT_THERE: usize = 200;
const RESTORED: usize = 1_500;
const ZOMBIES: usize = LATE + OTHER_WORKER + OTHER_ATTEMPT + MADE_UP + CHANGED + NOT_THERE + RESTORED;
const _: () = assert!(ZOMBIES == 10_000);

/// One start of worker `a`: its session, and the leases it has been granted.
struct Session {
    to: mpsc::Sender<v1::WorkerFrame>,
    from: Streaming<v1::CoordinatorFrame>,
}

impl Session {
    async fn begin(channel: &Channel, incarnation: u64) -> Self {
        let offer = BackendOffer {
            name: "codex".into(),
            pool: "codex".to_owned(),
            slots: UNITS,
            version: "1".to_owned(),
            account: "account".to_owned(),
            serves_all: false,
            unavailable: String::new(),
        };
        let introduction = Introduction {
            incarnation,
            name: "a".to_owned(),
            version: "1".to_owned(),
            labels: BTreeMap::new(),
            backends: vec![offer],
            held: Vec::new(),
            repositories: Vec::new(),
            origin: Origin { workspace: "w".to_owned(), life: incarnation.to_string(), place: String::new() },
        };
        let (to, frames) = mpsc::channel(64);
        let say = |frame| v1::WorkerFrame { frame: Some(frame) };
        to.send(say(Said::Hello((&introduction).into()))).await.unwrap();
        to.send(say(Said::Want(v1::Want { pool: "codex".to_owned(), credits: UNITS }))).await.unwrap();
        let from = FleetClient::new(channel.clone()).session(ReceiverStream::new(frames)).await.unwrap().into_inner();
        Self { to, from }
    }

    async fn say(&self, frame: Said) {
        self.to.send(v1::WorkerFrame { frame: Some(frame) }).await.unwrap();
    }

    /// A lease for each unit, taken and begun.
    async fn leases(&mut self) -> Vec<v1::LeaseRef> {
        let mut leases = Vec::new();
        while leases.len() < UNITS as usize {
            let next = tokio::time::timeout(WITHIN, self.from.message()).await.expect("a lease for each unit").unwrap();
            if let Some(Told::Lease(lease)) = next.expect("the session goes on").frame {
                let lease = lease.lease.unwrap();
                self.say(Said::Accepted(v1::Accepted { lease: Some(lease.clone()) })).await;
                self.say(Said::Started(v1::Started { lease: Some(lease.clone()) })).await;
                leases.push(lease);
            }
        }
        leases
    }

    /// It lives, and holds these, until the task is ended.
    fn beats(&self, leases: &[v1::LeaseRef]) -> JoinHandle<()> {
        let held = |lease: &v1::LeaseRef| v1::HeldLease {
            lease: Some(lease.clone()),
            phase: v1::Phase::Running.into(),
            last_event_seq: 0,
            waiting: String::new(),
        };
        let (to, held): (_, Vec<v1::HeldLease>) = (self.to.clone(), leases.iter().map(held).collect());
        tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_secs(2));
            for number in 1.. {
                every.tick().await;
                let beat = Said::Heartbeat(v1::Heartbeat { number, held: held.clone() });
                if to.send(v1::WorkerFrame { frame: Some(beat) }).await.is_err() {
                    return;
                }
            }
        })
    }
}

/// An outcome that says all went well, the n-th of its kind.
fn outcome(lease: &v1::LeaseRef, n: usize, commit: Option<CommitId>) -> v1::OutcomeReport {
    let facts = AttemptFacts {
        failure: None,
        exit_code: Some(0),
        answer: format!(r#"{{"status":"completed","summary":"zombie {n}"}}"#),
        commit,
        left_out: LeftOut::default(),
        done: Vec::new(),
        agent_session: None,
        usage: Usage::default(),
        last_event_seq: 0,
    };
    v1::OutcomeReport { lease: Some(lease.clone()), outcome: Some((&facts).into()), digest: facts.digest(), ..v1::OutcomeReport::default() }
}

/// Hands them in, some at a time; each must be answered with that verdict, or with no verdict at all but that it is stale.
async fn are_refused(
    channel: &Channel,
    what: &str,
    expected: Option<Kind>,
    outcomes: impl IntoIterator<Item = v1::OutcomeReport>,
) -> usize {
    let client = FleetClient::new(channel.clone());
    let (mut calls, mut refused) = (JoinSet::new(), 0);
    let mut outcomes = outcomes.into_iter();
    loop {
        while calls.len() < AT_ONCE
            && let Some(outcome) = outcomes.next()
        {
            let mut client = client.clone();
            calls.spawn(async move { tokio::time::timeout(WITHIN, client.report(outcome)).await.expect("it is answered") });
        }
        let Some(answered) = calls.join_next().await else { return refused };
        match (answered.unwrap(), expected) {
            (Ok(verdict), Some(expected)) => {
                let verdict = verdict.into_inner();
                assert_eq!(verdict.kind(), expected, "{what}: {}", verdict.reason);
                assert!(!verdict.reason.is_empty(), "{what}");
            }
            (Err(status), None) => assert_eq!(code_of(&status), ErrorCode::Stale, "{what}: {status:?}"),
            (answer, _) => panic!("{what}: {answer:?}"),
        }
        refused += 1;
    }
}

/// States of all units, what was accepted of them, and the live leases.
fn standing(running: &Running) -> (Vec<UnitState>, usize, BTreeSet<String>) {
    running.parts.links.handle.read(|core: &Core, _| {
        let run = core.state.runs.values().next().expect("the run is there");
        let states = run.units().map(|unit| unit.state()).collect();
        let accepted = run.units().filter(|unit| unit.work.accepted.is_some()).count();
        let live = core.state.live_attempts().map(|(_, attempt)| attempt.granted.lease_id.to_string()).collect();
        (states, accepted, live)
    })
}

/// Waits until the coordinator has heard that these run.
async fn all_run(running: &Running, leases: &[v1::LeaseRef]) {
    let ids: BTreeSet<String> = leases.iter().map(|lease| lease.lease_id.clone()).collect();
    let all = async {
        loop {
            let (states, _, live) = standing(running);
            if live == ids && states.iter().all(|state| *state == UnitState::InProgress) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WITHIN, all).await.expect("each unit has one lease");
}

fn changed_key(lease: &v1::LeaseRef, change: impl FnOnce(&mut v1::LeaseRef)) -> v1::LeaseRef {
    let mut lease = lease.clone();
    change(&mut lease);
    lease
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_outcomes_of_the_dead_are_refused_over_the_wire() {
    let home = tempfile::tempdir().unwrap();
    let running = start(ServeOptions::embedded(&home.path().join("data"), "test")).await.unwrap();
    submitted(&running.parts, UNITS).await;
    let saved = home.path().join("backup");
    backup::take(&home.path().join("data"), &saved).await.unwrap();

    let (own, other) = (channel(&running, "a").await, channel(&running, "b").await);
    let (mut dead, mut live): (Vec<v1::LeaseRef>, Vec<v1::LeaseRef>) = (Vec::new(), Vec::new());
    let mut session = Session::begin(&own, 1).await;
    for incarnation in 1..=STARTS {
        if incarnation > 1 {
            session = Session::begin(&own, incarnation).await;
        }
        dead.append(&mut live);
        live = session.leases().await;
        all_run(&running, &live).await;
    }
    let beating = session.beats(&live);
    let before = standing(&running);
    let any = |list: &[v1::LeaseRef], n: usize| list[n % list.len()].clone();
    let all: Vec<v1::LeaseRef> = dead.iter().chain(&live).cloned().collect();
    let mut refused = 0;
    let late = (0..LATE).map(|n| outcome(&any(&dead, n), n, None));
    refused += are_refused(&own, "late", Some(Kind::Stale), late).await;
    let others = (0..OTHER_WORKER).map(|n| outcome(&any(&all, n), n, None));
    refused += are_refused(&other, "of another worker", None, others).await;
    let attempts = (0..OTHER_ATTEMPT).map(|n| {
        let away = u32::try_from(n % 7).unwrap() + 1;
        outcome(&changed_key(&any(&all, n), |lease| lease.attempt += away), n, None)
    });
    refused += are_refused(&own, "of another attempt", None, attempts).await;
    let made_up = (0..MADE_UP).map(|n| outcome(&changed_key(&any(&all, n), |lease| lease.lease_id = format!("{n:032x}")), n, None));
    refused += are_refused(&own, "under a lease that is made up", None, made_up).await;
    let changed = (0..CHANGED).map(|n| v1::OutcomeReport { digest: "00".repeat(32), ..outcome(&any(&live, n), n, None) });
    refused += are_refused(&own, "changed on the way", Some(Kind::Rejected), changed).await;
    let commit = |n: usize| Some(CommitId::new(format!("{:040x}", n + 1)));
    let not_there = (0..NOT_THERE).map(|n| outcome(&any(&live, n), n, commit(n)));
    refused += are_refused(&own, "of a commit that never came", Some(Kind::Rejected), not_there).await;
    assert_eq!(standing(&running), before, "nothing of the run has moved");
    assert_eq!((before.1, before.2.len()), (0, UNITS as usize));
    beating.abort();
    drop(session);
    running.stop().await.unwrap();

    // The coordinator goes on from before all of it; the same attempts are granted again, under leases of their own.
    let data_dir = home.path().join("restored");
    backup::restore(&saved, &data_dir, false).await.unwrap();
    let running = start(ServeOptions::embedded(&data_dir, "test")).await.unwrap();
    let own = channel(&running, "a").await;
    let mut session = Session::begin(&own, STARTS + 1).await;
    let again = session.leases().await;
    all_run(&running, &again).await;
    let beating = session.beats(&again);
    let before = standing(&running);
    assert!(
        again.iter().any(|lease| all.iter().any(|old| (&old.unit, old.attempt) == (&lease.unit, lease.attempt))),
        "numbers are used again"
    );
    let restored = (0..RESTORED).map(|n| outcome(&any(&all, n), n, None));
    refused += are_refused(&own, "from before the restore", None, restored).await;
    assert_eq!(standing(&running), before, "nothing of the run has moved");
    assert_eq!(refused, ZOMBIES);
    beating.abort();
    running.stop().await.unwrap();
}
