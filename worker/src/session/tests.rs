//! Packs over links that are cut, with a coordinator that cuts them.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::FutureExt;
use roundtable_proto::convert::{self, status_of};
use roundtable_proto::v1::fleet_server::{Fleet, FleetServer};
use roundtable_proto::v1::put_pack_frame::Frame;
use roundtable_proto::{PROTOCOL, v1};
use roundtable_runtime::clock::ManualClock;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::time::WallMs;
use roundtable_shared::view::EventLine;
use roundtable_shared::{
    AgentEvent, AttemptKey, AttemptNo, Failure, FailureKind, HeldLease, Introduction, LeaseId, LeasePhase, LeaseRef, LeftOut, Role, Seat,
    Switches, TurnData, Usage,
};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use super::bulk::Bulk;
use super::link::Frames;
use super::put::PutError;
use super::*;
use crate::spool::Spool;

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the coordinator does, and what it has seen.
#[derive(Default)]
struct Script {
    pack: Vec<u8>,
    /// What the pack is called over each link; the last name stays.
    names: VecDeque<String>,
    /// Bytes that pass over each link before it is cut; links beyond these are whole.
    cuts: VecDeque<usize>,
    refuses: Option<ErrorCode>,
    is_old: bool,
    asked: Vec<(String, u64)>,
    received: Vec<u8>,
    headers: Vec<v1::PutPackHeader>,
    saves: Vec<v1::PutPackHeader>,
    sessions: u32,
    goodbyes: u32,
    /// The protocol it chooses; 0 = the newest.
    protocol: u32,
    /// It takes events and outcomes.
    takes: bool,
    chunks: Vec<v1::EventChunk>,
    reports: Vec<v1::OutcomeReport>,
}

#[derive(Clone, Default)]
struct Coordinator(Arc<Mutex<Script>>);

impl Coordinator {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    /// A connection to it.
    async fn channel(&self) -> tonic::transport::Channel {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = FleetServer::new(self.clone());
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
        Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
    }

    /// A link to it.
    async fn link(&self) -> (watch::Sender<Option<Bulk>>, deliver::Client) {
        let channel = self.channel().await;
        let bulk = Bulk::new(*PROTOCOL.end(), move || std::future::ready(Ok(channel.clone())).boxed());
        watch::channel(Some(bulk))
    }
}

#[tonic::async_trait]
impl Fleet for Coordinator {
    type SessionStream = Out<v1::CoordinatorFrame>;
    type PutEventsStream = Out<v1::EventAck>;
    type FetchPackStream = Out<v1::Chunk>;
    type FetchAttachmentsStream = Out<v1::Attachment>;

    async fn session(&self, request: Request<Streaming<v1::WorkerFrame>>) -> Result<Response<Self::SessionStream>, Status> {
        let protocol = {
            let mut script = self.script();
            script.sessions += 1;
            if script.protocol == 0 { *PROTOCOL.end() } else { script.protocol }
        };
        let welcome = v1::Welcome { protocol, worker: "w".to_owned(), ..v1::Welcome::default() };
        let welcome = v1::CoordinatorFrame { frame: Some(v1::coordinator_frame::Frame::Welcome(welcome)) };
        let coordinator = self.clone();
        let heard = request.into_inner().filter_map(move |frame| {
            let is_goodbye = matches!(frame, Ok(v1::WorkerFrame { frame: Some(v1::worker_frame::Frame::Goodbye(_)) }));
            coordinator.script().goodbyes += u32::from(is_goodbye);
            None
        });
        let stream: Self::SessionStream = Box::pin(tokio_stream::once(Ok(welcome)).chain(heard));
        Ok(Response::new(stream))
    }

    async fn put_events(&self, request: Request<Streaming<v1::EventChunk>>) -> Result<Response<Self::PutEventsStream>, Status> {
        if !self.script().takes {
            return Err(Status::unimplemented("not here"));
        }
        let coordinator = self.clone();
        let acks = request.into_inner().map(move |chunk| {
            let chunk = chunk?;
            let through_seq = chunk.first_seq + convert::count_of(&chunk) as u64 - 1;
            let ack = v1::EventAck { lease: chunk.lease.clone(), through_seq, ..v1::EventAck::default() };
            coordinator.script().chunks.push(chunk);
            Ok(ack)
        });
        Ok(Response::new(Box::pin(acks)))
    }

    async fn fetch_pack(&self, request: Request<v1::FetchPackRequest>) -> Result<Response<Self::FetchPackStream>, Status> {
        let request = request.into_inner();
        let mut script = self.script();
        script.asked.push((request.pack.clone(), request.offset));
        if let Some(code) = script.refuses {
            // A certificate that has ended is refused once: the next one is younger.
            script.refuses = script.refuses.filter(|code| *code != ErrorCode::NotAuthorised);
            return Err(status_of(code, "it is gone"));
        }
        let name =
            if script.names.len() > 1 { script.names.pop_front().unwrap() } else { script.names.front().cloned().unwrap_or_default() };
        let from = if request.pack == name { usize::try_from(request.offset).unwrap() } else { 0 };
        let cut = script.cuts.pop_front();
        let end = cut.map_or(script.pack.len(), |bytes| from + bytes);
        let mut chunks = vec![Ok(v1::Chunk { data: Vec::new(), pack: name })];
        chunks.extend(script.pack[from..end].chunks(1000).map(|data| Ok(v1::Chunk { data: data.to_vec(), pack: String::new() })));
        chunks.extend(cut.map(|_| Err(Status::unavailable("cut"))));
        let stream: Self::FetchPackStream = Box::pin(tokio_stream::iter(chunks));
        Ok(Response::new(stream))
    }

    async fn fetch_attachments(&self, _: Request<v1::LeaseRef>) -> Result<Response<Self::FetchAttachmentsStream>, Status> {
        let mut script = self.script();
        if let Some(code) = script.refuses {
            return Err(status_of(code, "it is over"));
        }
        let piece = |data: &[u8]| Ok::<_, Status>(v1::Attachment { path: ".env".to_owned(), data: data.to_vec(), mode: 0o600 });
        let rest = script.cuts.pop_front().map_or_else(|| piece(b"B=2\n"), |_| Err(Status::unavailable("cut")));
        let stream: Self::FetchAttachmentsStream = Box::pin(tokio_stream::iter(vec![piece(b"A=1\n"), rest]));
        Ok(Response::new(stream))
    }

    async fn pack_received(&self, _: Request<v1::PackReceivedRequest>) -> Result<Response<v1::PackReceivedReply>, Status> {
        let script = self.script();
        if script.is_old {
            return Err(Status::unimplemented("not yet"));
        }
        Ok(Response::new(v1::PackReceivedReply { bytes: script.received.len() as u64 }))
    }

    async fn put_pack(&self, request: Request<Streaming<v1::PutPackFrame>>) -> Result<Response<v1::PutPackReply>, Status> {
        let mut frames = request.into_inner();
        let Some(Frame::Header(header)) = frames.next().await.unwrap()?.frame else { panic!("no header") };
        let mut left = {
            let mut script = self.script();
            script.received.truncate(usize::try_from(header.offset).unwrap());
            script.headers.push(header);
            script.cuts.pop_front().unwrap_or(usize::MAX)
        };
        while let Some(frame) = frames.next().await {
            let Some(Frame::Chunk(chunk)) = frame?.frame else { panic!("no chunk") };
            let passes = chunk.data.len().min(left);
            self.script().received.extend_from_slice(&chunk.data[..passes]);
            left -= passes;
            if passes < chunk.data.len() {
                return Err(Status::unavailable("cut"));
            }
        }
        Ok(Response::new(v1::PutPackReply::default()))
    }

    async fn save_work(&self, request: Request<Streaming<v1::PutPackFrame>>) -> Result<Response<v1::PutPackReply>, Status> {
        let mut frames = request.into_inner();
        let Some(Frame::Header(header)) = frames.next().await.unwrap()?.frame else { panic!("no header") };
        let mut left = {
            let mut script = self.script();
            script.received.truncate(usize::try_from(header.offset).unwrap());
            script.saves.push(header);
            script.cuts.pop_front().unwrap_or(usize::MAX)
        };
        if let Some(code) = self.script().refuses {
            return Err(status_of(code, "it is too large"));
        }
        while let Some(frame) = frames.next().await {
            let Some(Frame::Chunk(chunk)) = frame?.frame else { panic!("no chunk") };
            let passes = chunk.data.len().min(left);
            self.script().received.extend_from_slice(&chunk.data[..passes]);
            left -= passes;
            if passes < chunk.data.len() {
                return Err(Status::unavailable("cut"));
            }
        }
        let script = self.script();
        // The first one is lost on its way back.
        if script.saves.len() == 1 { Err(Status::unavailable("cut")) } else { Ok(Response::new(v1::PutPackReply::default())) }
    }

    async fn report(&self, request: Request<v1::OutcomeReport>) -> Result<Response<v1::Verdict>, Status> {
        let mut script = self.script();
        if !script.takes {
            return Err(Status::unimplemented("not here"));
        }
        script.reports.push(request.into_inner());
        Ok(Response::new(v1::Verdict { kind: v1::verdict::Kind::Accepted.into(), reason: String::new() }))
    }
}

/// Keeps what it is given.
#[derive(Default)]
struct Keeps {
    pack: Vec<u8>,
    packed: AtomicU32,
    taken: Mutex<Vec<Vec<u8>>>,
    /// What lies in the worktree at each look; the last stays.
    done: Mutex<VecDeque<Option<CommitId>>>,
    /// Why what ran was stopped.
    stopped: Mutex<Vec<String>>,
    /// What was asked for of each lease: `owes`, `pack`, `forget`.
    asked: Mutex<Vec<&'static str>>,
}

impl Keeps {
    fn note(&self, what: &'static str) {
        self.asked.lock().unwrap().push(what);
    }
}

impl Runner for Keeps {
    fn offers(&self) -> Vec<BackendOffer> {
        Vec::new()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    async fn attend(&self) {}

    fn full(&self) -> Option<String> {
        None
    }

    fn make_room(&self) {}

    fn tidy(&self, _: &[Lease], _: &[Lease]) {}

    fn owes(&self, _: &Lease) {
        self.note("owes");
    }

    fn repositories(&self) -> Vec<String> {
        Vec::new()
    }

    async fn has(&self, _: &str, _: &CommitId) -> Result<bool, RunnerError> {
        Ok(false)
    }

    async fn haves(&self, _: &str) -> Result<Vec<CommitId>, RunnerError> {
        Ok(Vec::new())
    }

    async fn receive(&self, _: &str, _: &CommitId, mut pieces: Pieces) -> Result<(), RunnerError> {
        let mut taken = Vec::new();
        while let Some(piece) = pieces.recv().await {
            taken.extend_from_slice(&piece?);
        }
        self.taken.lock().unwrap().push(taken);
        Ok(())
    }

    async fn pack(&self, _: &str, _: &CommitId, _: &[CommitId]) -> Result<Pieces, RunnerError> {
        self.packed.fetch_add(1, Ordering::Relaxed);
        self.note("pack");
        let pieces: Vec<_> = self.pack.chunks(100_000).map(Bytes::copy_from_slice).collect();
        let (sender, receiver) = mpsc::channel(pieces.len().max(1));
        pieces.into_iter().for_each(|piece| sender.try_send(Ok(piece)).unwrap());
        Ok(receiver)
    }

    /// Runs until it is stopped.
    async fn run(&self, mut job: Job) -> AttemptFacts {
        job.progress.send(Progress::Started).await.unwrap();
        let reason = job.cancel.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        self.stopped.lock().unwrap().push(reason.clone());
        interrupted(&reason, None)
    }

    async fn in_progress(&self, _: &Lease) -> Result<Option<CommitId>, RunnerError> {
        let mut done = self.done.lock().unwrap();
        Ok(if done.len() > 1 { done.pop_front().unwrap() } else { done.front().cloned().flatten() })
    }

    async fn salvage(&self, _: &Lease) -> Option<CommitId> {
        None
    }

    async fn forget(&self, _: &Lease) {
        self.note("forget");
    }
}

fn interrupted(why: &str, commit: Option<CommitId>) -> AttemptFacts {
    AttemptFacts {
        failure: Some(Failure { kind: FailureKind::Interrupted, message: why.to_owned() }),
        exit_code: None,
        answer: String::new(),
        commit,
        left_out: LeftOut::default(),
        done: Vec::new(),
        agent_session: None,
        usage: Usage::default(),
        last_event_seq: 0,
    }
}

fn introduction() -> Introduction {
    Introduction {
        incarnation: 1,
        name: "w".to_owned(),
        version: String::new(),
        labels: Default::default(),
        backends: Vec::new(),
        held: Vec::new(),
        repositories: Vec::new(),
        origin: Default::default(),
    }
}

fn lease() -> Lease {
    Lease {
        lease: LeaseRef {
            key: AttemptKey { run: "demo-abcdef".into(), unit: Some("1".into()), attempt: AttemptNo(1) },
            lease_id: LeaseId(5),
        },
        seat: Seat::Work,
        role: Role::Implement,
        backend: "codex".into(),
        pool: "codex".into(),
        repository: "ab".repeat(20),
        base: "01".repeat(20).into(),
        start: "01".repeat(20).into(),
        prompt: String::new(),
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

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

/// Fetches over that coordinator; what git got.
async fn fetched(coordinator: &Coordinator) -> (Result<(), RunnerError>, Vec<Vec<u8>>) {
    let (_link, mut client) = coordinator.link().await;
    let runner = Keeps::default();
    let end = fetch::start_commit(&mut client, &runner, &lease(), || {}).await;
    (end, runner.taken.into_inner().unwrap())
}

#[tokio::test]
async fn a_pack_goes_on_where_its_link_was_cut() {
    let coordinator = Coordinator::default();
    *coordinator.script() = Script { pack: bytes(9_000), names: ["n".to_owned()].into(), cuts: [2_500, 0, 1].into(), ..Script::default() };
    let (end, taken) = fetched(&coordinator).await;
    end.unwrap();
    assert!(taken == [bytes(9_000)], "git gets it in one piece");
    let asked = [("", 0), ("n", 2_500), ("n", 2_500), ("n", 2_501)].map(|(name, offset)| (name.to_owned(), offset));
    assert_eq!(coordinator.script().asked, asked);
}

#[tokio::test]
async fn a_pack_that_is_not_kept_is_sent_once_more() {
    let coordinator = Coordinator::default();
    let names = ["n".to_owned(), "m".to_owned()].into();
    *coordinator.script() = Script { pack: bytes(9_000), names, cuts: [2_500].into(), ..Script::default() };
    let (end, taken) = fetched(&coordinator).await;
    end.unwrap();
    assert!(taken == [bytes(9_000)], "git never gets the end of one behind the beginning of another");
    // So it is with one that has no name.
    let coordinator = Coordinator::default();
    *coordinator.script() = Script { pack: bytes(9_000), cuts: [2_500].into(), ..Script::default() };
    let (end, taken) = fetched(&coordinator).await;
    end.unwrap();
    assert!(taken == [bytes(9_000)]);
}

#[tokio::test]
async fn what_the_coordinator_refuses_is_not_asked_for_again() {
    let coordinator = Coordinator::default();
    coordinator.script().refuses = Some(ErrorCode::NotFound);
    let (end, taken) = fetched(&coordinator).await;
    assert!(end.unwrap_err().0.contains("it is gone") && taken.is_empty());
    assert_eq!(coordinator.script().asked.len(), 1);
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_no_word_on_what_was_asked_for() {
    let coordinator = Coordinator::default();
    *coordinator.script() = Script { pack: bytes(9_000), refuses: Some(ErrorCode::NotAuthorised), ..Script::default() };
    let (end, taken) = fetched(&coordinator).await;
    end.unwrap();
    assert!(taken == [bytes(9_000)] && coordinator.script().asked.len() == 2);
}

/// Dials that coordinator, and has another certificate whenever it is told so.
struct Renewing {
    channel: tonic::transport::Channel,
    younger: watch::Sender<()>,
}

impl Dial for Renewing {
    async fn dial(&self) -> Result<tonic::transport::Channel, DialError> {
        Ok(self.channel.clone())
    }

    async fn outlived(&self) {
        let _ = self.younger.subscribe().changed().await;
    }
}

#[tokio::test]
async fn a_session_is_made_anew_once_there_is_a_younger_certificate() {
    let home = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::default();
    let dial = Arc::new(Renewing { channel: coordinator.channel().await, younger: watch::Sender::new(()) });
    let fence = Fence::new(Arc::new(ManualClock::new(1_000_000, WallMs(0))));
    let spool = Spool::open(home.path().join("spool")).unwrap();
    let work = Work::new(Arc::new(Keeps::default()), spool, introduction(), watch::channel(false).0, false, fence);
    let (stop, stopped) = watch::channel(false);
    let played = async {
        while coordinator.script().sessions < 1 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(coordinator.script().sessions, 1, "it lasts");
        // However often: none of them waits longer for its session than the one before.
        while coordinator.script().sessions < 12 {
            dial.younger.send_replace(());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        stop.send_replace(true);
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), async { tokio::join!(keep(&dial, &work, stopped, None), played) });
    ended.await.unwrap().0.unwrap();
}

#[tokio::test]
async fn a_worker_that_owes_an_outcome_goes_without_a_goodbye() {
    for (owes, goodbyes) in [(false, 1), (true, 0)] {
        let home = tempfile::tempdir().unwrap();
        let coordinator = Coordinator::default();
        let dial = Arc::new(Renewing { channel: coordinator.channel().await, younger: watch::Sender::new(()) });
        let spool = Spool::open(home.path().join("spool")).unwrap();
        if owes {
            spool.begin(lease()).unwrap().finish(interrupted("once", None)).unwrap();
        }
        let left = spool.left_behind().unwrap();
        let fence = Fence::new(Arc::new(ManualClock::new(1_000_000, WallMs(0))));
        let (joined, mut is_joined) = watch::channel(false);
        let work = Work::new(Arc::new(Keeps::default()), spool, introduction(), joined, false, fence);
        work.take_up(left).await;
        assert_eq!(work.count(), usize::from(owes));
        let (stop, stopped) = watch::channel(false);
        let played = async {
            is_joined.wait_for(|joined| *joined).await.unwrap();
            stop.send_replace(true);
        };
        let both = async { tokio::join!(keep(&dial, &work, stopped, None), played) };
        tokio::time::timeout(std::time::Duration::from_secs(20), both).await.unwrap().0.unwrap();
        assert_eq!(coordinator.script().goodbyes, goodbyes, "owes: {owes}");
    }
}

/// What a worker owes is delivered in the protocol that its coordinator speaks; the outcome has the same digest in each.
#[tokio::test]
async fn a_coordinator_of_the_release_before_gets_what_it_reads() {
    let mut digests = Vec::new();
    for protocol in [1, 2] {
        let home = tempfile::tempdir().unwrap();
        let coordinator = Coordinator::default();
        *coordinator.script() = Script { protocol, takes: true, ..Script::default() };
        let dial = Arc::new(Renewing { channel: coordinator.channel().await, younger: watch::Sender::new(()) });
        let spool = Spool::open(home.path().join("spool")).unwrap();
        let attempt = spool.begin(lease()).unwrap();
        let line = EventLine { at: WallMs(3), event: AgentEvent::Message { text: "\"hello\"".to_owned() } };
        attempt.push(line.clone()).unwrap();
        let usage = Usage { cost_usd: Some(0.1 + 0.2), ..Usage::default() };
        let facts = attempt.finish(AttemptFacts { usage, ..interrupted("once", None) }).unwrap();
        let left = spool.left_behind().unwrap();
        let fence = Fence::new(Arc::new(ManualClock::new(1_000_000, WallMs(0))));
        let work = Work::new(Arc::new(Keeps::default()), spool, introduction(), watch::channel(false).0, false, fence);
        work.take_up(left).await;
        let (stop, stopped) = watch::channel(false);
        let mut changes = work.changes();
        let played = async {
            while work.count() > 0 {
                changes.changed().await.unwrap();
            }
            stop.send_replace(true);
        };
        let both = async { tokio::join!(keep(&dial, &work, stopped, None), played) };
        tokio::time::timeout(std::time::Duration::from_secs(20), both).await.unwrap().0.unwrap();
        let script = coordinator.script();
        let [report] = &script.reports[..] else { panic!("{} reports", script.reports.len()) };
        let [chunk] = &script.chunks[..] else { panic!("{} chunks", script.chunks.len()) };
        assert_eq!((report.outcome.is_some(), !chunk.events.is_empty()), (protocol > 1, protocol > 1));
        assert_eq!(convert::facts_of(report.clone()).unwrap(), facts);
        assert_eq!(convert::events_of(chunk.clone()), [line]);
        digests.push(report.digest.clone());
    }
    assert_eq!(digests[0], digests[1]);
}

#[tokio::test]
async fn files_under_copy_come_whole_over_links_that_are_cut() {
    let coordinator = Coordinator::default();
    coordinator.script().cuts = [0, 0].into();
    let (_up, mut client) = coordinator.link().await;
    let lease = Lease { has_attachments: true, ..lease() };
    let files = fetch::attachments(&mut client, &lease).await.unwrap();
    assert_eq!(files, [Attachment { path: ".env".into(), mode: 0o600, data: b"A=1\nB=2\n".to_vec() }]);
    coordinator.script().refuses = Some(ErrorCode::Stale);
    let refused = fetch::attachments(&mut client, &lease).await.unwrap_err();
    assert_eq!(refused.0, "it is over");
}

#[tokio::test]
async fn a_large_commit_goes_on_where_its_link_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap().begin(lease()).unwrap();
    let runner = Keeps { pack: bytes(3 << 20), ..Keeps::default() };
    let coordinator = Coordinator::default();
    coordinator.script().cuts = [1_500_000, 0].into();
    let (_sender, mut client) = coordinator.link().await;
    let link = deliver::lent(&mut client).await.unwrap();
    let (commit, mut large) = (CommitId::new("02".repeat(20)), None);
    for _ in 0..2 {
        let put = put::put_pack(&link.client(), &runner, &spool, &commit, &mut large).await;
        assert!(matches!(put, Err(PutError::Status(_))), "{put:?}");
    }
    put::put_pack(&link.client(), &runner, &spool, &commit, &mut large).await.unwrap();
    let script = coordinator.script();
    assert!(script.received == runner.pack);
    let offsets: Vec<u64> = script.headers.iter().map(|header| header.offset).collect();
    assert_eq!(offsets, [0, 1_500_000, 1_500_000]);
    let whole = (blake3::hash(&runner.pack).to_hex().to_string(), runner.pack.len() as u64);
    assert!(script.headers.iter().all(|header| (header.digest.clone(), header.bytes) == whole));
    assert_eq!(runner.packed.load(Ordering::Relaxed), 1, "it is made once");
}

#[tokio::test]
async fn small_commits_and_old_coordinators_need_no_questions() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap().begin(lease()).unwrap();
    let commit = CommitId::new("02".repeat(20));
    for (count, is_old) in [(5_000, false), (3 << 20, true)] {
        let runner = Keeps { pack: bytes(count), ..Keeps::default() };
        let coordinator = Coordinator::default();
        coordinator.script().is_old = is_old;
        let (_sender, mut client) = coordinator.link().await;
        let link = deliver::lent(&mut client).await.unwrap();
        put::put_pack(&link.client(), &runner, &spool, &commit, &mut None).await.unwrap();
        let script = coordinator.script();
        assert!(script.received == runner.pack && script.headers.len() == 1);
        assert_eq!((script.headers[0].digest.as_str(), script.headers[0].offset), ("", 0));
    }
}

/// A worker with one running attempt, heard at the clock's zero.
async fn working(coordinator: &Coordinator, home: &std::path::Path) -> (Work<Keeps>, Arc<Keeps>, ManualClock, watch::Sender<Option<Bulk>>) {
    *coordinator.script() = Script { pack: bytes(10), ..Script::default() };
    let (link, client) = coordinator.link().await;
    let clock = ManualClock::new(1_000_000, WallMs(0));
    let (runner, fence) = (Arc::new(Keeps::default()), Fence::new(Arc::new(clock.clone())));
    fence.heard(fence.now_ms());
    let spool = Spool::open(home.join("spool")).unwrap();
    let work = Work::new(Arc::clone(&runner), spool, introduction(), watch::channel(false).0, false, fence);
    let (out, mut said) = mpsc::channel(64);
    tokio::spawn(async move { while said.recv().await.is_some() {} });
    let bulk = client.borrow().clone().unwrap();
    work.welcome("w", Vec::new(), bulk, out);
    work.lease(lease());
    let runs = |held: &HeldLease| held.phase == LeasePhase::Running;
    while !work.introduce().held.iter().any(runs) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    (work, runner, clock, link)
}

#[tokio::test]
async fn agents_are_stopped_when_no_coordinator_is_heard_where_that_was_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::default();
    let within = std::time::Duration::from_secs(20);
    let (work, runner, clock, _link) = tokio::time::timeout(within, working(&coordinator, home.path())).await.unwrap();
    let stopped = || runner.stopped.lock().unwrap().clone();
    let ends = async {
        // It is heard: nothing is stopped, however often it is looked.
        tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
        assert!(stopped().is_empty());
        clock.advance(20_001);
        while work.introduce().held.iter().any(|held| held.phase != LeasePhase::Reported) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = work.stop_when_cut_off() => panic!("it looks for as long as it is asked to"),
        ended = tokio::time::timeout(within, ends) => ended.unwrap(),
    }
    assert_eq!(stopped(), ["the worker is cut off from its coordinator"]);
    assert_eq!(work.count(), 1, "what it came to is owed");
}

/// What was delivered, and is missing at a coordinator that was restored: no quota takes away what it is made of before it is sent again.
#[tokio::test]
async fn what_is_owed_again_is_held_before_it_is_looked_at() {
    for (pack, asked, count) in [(bytes(10), vec!["owes", "pack"], 1), (Vec::new(), vec!["owes", "pack", "forget"], 0)] {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path().join("spool")).unwrap();
        let delivered = spool.begin(lease()).unwrap();
        delivered.finish(interrupted("once", Some(CommitId::new("02".repeat(20))))).unwrap();
        delivered.mark_accepted().unwrap();
        drop(delivered);
        let runner = Arc::new(Keeps { pack, ..Keeps::default() });
        let fence = Fence::new(Arc::new(ManualClock::new(1_000_000, WallMs(0))));
        let work = Work::new(Arc::clone(&runner), spool, introduction(), watch::channel(false).0, false, fence);
        work.restored("another").await;
        assert_eq!(work.introduce().held.len(), 1, "the next hello says so");
        assert_eq!(work.store(), "another");
        let looked = async {
            while (runner.asked.lock().unwrap().clone(), work.count()) != (asked.clone(), count) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let looked = tokio::time::timeout(std::time::Duration::from_secs(20), looked).await;
        looked.unwrap_or_else(|_| panic!("{asked:?}: {:?}", runner.asked.lock().unwrap()));
    }
}

/// Its verdict was the former store's, and what lets go of it lets go of all that is kept for it.
#[tokio::test]
async fn what_settles_while_a_store_is_restored_is_owed_anew_once_it_has() {
    let home = tempfile::tempdir().unwrap();
    let spool = Spool::open(home.path().join("spool")).unwrap();
    let delivered = spool.begin(lease()).unwrap();
    delivered.finish(interrupted("once", Some(CommitId::new("02".repeat(20))))).unwrap();
    delivered.mark_accepted().unwrap();
    let runner = Arc::new(Keeps { pack: bytes(10), ..Keeps::default() });
    let fence = Fence::new(Arc::new(ManualClock::new(1_000_000, WallMs(0))));
    let work = Work::new(Arc::clone(&runner), spool, introduction(), watch::channel(false).0, false, fence);
    work.settles(&delivered);
    work.restored("another").await;
    assert_eq!((work.count(), runner.asked.lock().unwrap().len()), (1, 0), "nothing is kept for it yet");
    work.has_settled(&delivered.lease().lease);
    let again = async {
        while (runner.asked.lock().unwrap().as_slice(), work.count()) != (["owes", "pack"].as_slice(), 1) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), again).await.expect("it is offered again");
}

#[tokio::test]
async fn of_many_that_are_owed_again_all_are_held_and_few_are_on_their_way() {
    let home = tempfile::tempdir().unwrap();
    let spool = Spool::open(home.path().join("spool")).unwrap();
    for unit in 0..40_u64 {
        let mut lease = lease();
        (lease.lease.key.unit, lease.lease.lease_id) = (Some(unit.to_string().as_str().into()), LeaseId(unit.into()));
        let delivered = spool.begin(lease).unwrap();
        delivered.finish(interrupted("once", Some(CommitId::new("02".repeat(20))))).unwrap();
        delivered.mark_accepted().unwrap();
    }
    let runner = Arc::new(Keeps { pack: bytes(10), ..Keeps::default() });
    let fence = Fence::new(Arc::new(ManualClock::new(1_000_000, WallMs(0))));
    let work = Work::new(Arc::clone(&runner), spool, introduction(), watch::channel(false).0, false, fence);
    work.restored("another").await;
    assert_eq!(work.introduce().held.len(), 40);
    let looked = || runner.packed.load(Ordering::Relaxed);
    let under_way = async {
        while looked() < 32 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), under_way).await.unwrap();
    // There is no link: none of them ends, and no other begins.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!((looked(), work.count()), (32, 40));
}

#[tokio::test]
async fn what_is_done_so_far_is_handed_in_once_and_with_what_was_reported_by_then() {
    let dir = tempfile::tempdir().unwrap();
    let lease = Lease { save_ms: 1, ..lease() };
    let spool = Spool::open(dir.path().join("spool")).unwrap().begin(lease).unwrap();
    let report = |id: &str| {
        let event = AgentEvent::Subtask { id: id.to_owned(), status: "completed".to_owned() };
        spool.push(EventLine { at: WallMs(1), event }).unwrap();
    };
    let commit = |n: u32| Some(CommitId::new(format!("{n:040}")));
    // Nothing yet; then a commit; then the same for ever.
    let runner = Keeps { pack: bytes(5_000), done: Mutex::new([None, commit(1), commit(1), commit(2)].into()), ..Keeps::default() };
    let coordinator = Coordinator::default();
    let (_link, client) = coordinator.link().await;
    report("1.1");
    let saves = |count: usize| {
        let coordinator = &coordinator;
        async move {
            while coordinator.script().saves.len() < count {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    };
    let played = async {
        saves(3).await;
        report("1.2");
        saves(4).await;
        // Rounds in which nothing is new.
        tokio::time::sleep(std::time::Duration::from_millis(800)).await;
    };
    tokio::select! {
        () = save::keep_up(spool.clone(), &runner, client) => panic!("it ends with its attempt alone"),
        played = tokio::time::timeout(std::time::Duration::from_secs(20), played) => played.unwrap(),
    }
    let saves = coordinator.script().saves.iter().map(|header| (header.commit.clone(), header.done.join(" "))).collect::<Vec<_>>();
    let id = |n: u32| format!("{n:040}");
    let expected = [(id(1), "1.1"), (id(1), "1.1"), (id(2), "1.1"), (id(2), "1.1 1.2")];
    assert_eq!(saves, expected.map(|(commit, done)| (commit, done.to_owned())), "what was cut comes again, what came does not");
}

/// What a cut has interrupted goes on where it was, and comes before anything newer.
#[tokio::test]
async fn large_work_in_progress_goes_on_where_its_link_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap().begin(Lease { save_ms: 1, ..lease() }).unwrap();
    let commit = |n: u32| Some(CommitId::new(format!("{n:040}")));
    let runner = Keeps { pack: bytes(3 << 20), done: Mutex::new([commit(1), commit(2)].into()), ..Keeps::default() };
    let coordinator = Coordinator::default();
    coordinator.script().cuts = [1_500_000].into();
    let (_link, client) = coordinator.link().await;
    let played = async {
        while coordinator.script().saves.len() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = save::keep_up(spool.clone(), &runner, client) => panic!("it ends with its attempt alone"),
        played = tokio::time::timeout(std::time::Duration::from_secs(20), played) => played.unwrap(),
    }
    let script = coordinator.script();
    let saves: Vec<(String, u64)> = script.saves.iter().map(|header| (header.commit.clone(), header.offset)).collect();
    let id = |n: u32| format!("{n:040}");
    assert_eq!(saves[..2], [(id(1), 0), (id(1), 1_500_000)]);
    assert_eq!(saves[2].0, id(2), "what came after it");
    assert!(script.saves[0].digest == script.saves[1].digest && !script.saves[0].digest.is_empty());
}

/// What is refused for its size is made again no more often than it could be sent.
#[tokio::test]
async fn large_work_that_is_refused_is_not_made_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path().join("spool")).unwrap().begin(Lease { save_ms: 1, ..lease() }).unwrap();
    let commit = Some(CommitId::new(format!("{:040}", 1)));
    let runner = Keeps { pack: bytes(3 << 20), done: Mutex::new([commit].into()), ..Keeps::default() };
    let coordinator = Coordinator::default();
    coordinator.script().refuses = Some(ErrorCode::InvalidInput);
    let (_link, client) = coordinator.link().await;
    let played = async {
        while coordinator.script().saves.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        // Some rounds, if it were not for its size.
        tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    };
    tokio::select! {
        () = save::keep_up(spool.clone(), &runner, client) => panic!("it ends with its attempt alone"),
        played = tokio::time::timeout(std::time::Duration::from_secs(20), played) => played.unwrap(),
    }
    assert_eq!((coordinator.script().saves.len(), runner.packed.load(Ordering::Relaxed)), (1, 1));
}
