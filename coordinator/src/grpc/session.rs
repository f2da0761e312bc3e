//! One worker's control stream: frames become commands, effects come back as frames. Every rule is the core's.

use roundtable_core::Reply;
use roundtable_core::command::{Command, WorkerHello};
use roundtable_core::fleet::SUSPECT_MS;
use roundtable_proto::convert::{WireError, status_of};
use roundtable_proto::protocol::{Speaker, negotiate};
use roundtable_proto::{PROTOCOL, v1};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{HeldLease, LeaseRef, WorkerId};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use tracing::{debug, info, warn};

use super::status;
use crate::driver::{Handle, HandleError, SESSION_QUEUE_MAX, Sessions};
use roundtable_store::SegmentStore;

/// How often workers are to send heartbeats at least and at most, milliseconds. Four go into the time after which silence is suspect.
const HEARTBEAT_MS: std::ops::RangeInclusive<u64> = 5_000..=SUSPECT_MS / 4;
/// Heartbeats of all workers that may come in a second before each is asked for fewer.
const HEARTBEATS_PER_SECOND: u64 = 200;
/// The first frame must come within this.
const HELLO_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Frames to a worker.
pub(super) type Outgoing = mpsc::Receiver<Result<v1::CoordinatorFrame, Status>>;

/// Frames of a worker.
pub(super) trait Frames: Stream<Item = Result<v1::WorkerFrame, Status>> + Send + Unpin + 'static {}

impl<S: Stream<Item = Result<v1::WorkerFrame, Status>> + Send + Unpin + 'static> Frames for S {}

/// What a session needs.
#[derive(Clone)]
pub(super) struct SessionParts {
    /// The driver.
    pub handle: Handle,
    /// Where effects for workers go through.
    pub sessions: Sessions,
    /// Says how far each lease's events are durable.
    pub segments: SegmentStore,
    /// Names the store: another one has not got what a worker delivered to this one.
    pub store: String,
}

/// A session the driver may know of and nobody reads yet: if its caller goes away, or it is refused for another reason than the driver's, the driver is
/// told, so that the worker does not count as connected until it has been silent for long.
struct Unread {
    handle: Handle,
    of: Option<(WorkerId, u64)>,
}

impl Unread {
    /// Somebody reads it from here on, and says when it ends.
    fn disarm(mut self) {
        self.of = None;
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let Some((worker, session)) = self.of.take() else { return };
        // Where the runtime has ended, so has the driver.
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        debug!(%worker, session, "the session ended before it was read");
        let handle = self.handle.clone();
        crate::tasks::spawn("unread-session", async move {
            // If the driver has stopped there is nobody to tell.
            let _ = handle.tell(Command::WorkerGone { worker, session }).await;
        });
    }
}

/// Answers the hello and reads frames in the background until the stream ends.
pub(super) async fn open(parts: SessionParts, worker: WorkerId, number: u64, mut incoming: impl Frames) -> Result<Outgoing, Status> {
    // A slow link, or a host that stood still, is no reason for a worker to leave: it is to come again.
    let not_yet = |why: &str| status_of(ErrorCode::Unreachable, why);
    let first = tokio::time::timeout(HELLO_WITHIN, incoming.next())
        .await
        .map_err(|_| not_yet("no hello came within 10 s"))?
        .ok_or_else(|| not_yet("the stream ended before its hello"))??;
    let Some(v1::worker_frame::Frame::Hello(hello)) = first.frame else {
        return Err(status_of(ErrorCode::InvalidInput, "the first frame must be a hello"));
    };
    let protocol = speak(&worker, &hello)?;
    if !hello.store.is_empty() && hello.store != parts.store {
        return Ok(restored(&worker, &parts.store));
    }
    let introduction: roundtable_shared::Introduction = hello.try_into()?;
    let (offers, version, held) = (offers(&introduction), introduction.version.clone(), introduction.held.len());
    let command = Command::WorkerHello(Box::new(WorkerHello { worker: worker.clone(), session: number, introduction }));
    let unread = Unread { handle: parts.handle.clone(), of: Some((worker.clone(), number)) };
    let reply = parts.handle.command(command).await.map_err(|error| status(&error))?;
    info!(%worker, offers, version, held, "a worker joined");
    let workers = parts.handle.read(|core, _| core.fleet.workers.len());
    let Reply::Welcome { reconciled } = reply else {
        return Err(status_of(ErrorCode::Internal, "the hello got an answer of another kind"));
    };
    let (frames, outgoing) = mpsc::channel(SESSION_QUEUE_MAX);
    let mut answers = Vec::with_capacity(reconciled.len());
    for mut each in reconciled {
        if each.keep {
            each.acked_seq = parts.segments.position(&each.lease.key).await.map_or(0, |position| position.durable_seq);
        }
        answers.push(v1::Reconciled::from(&each));
    }
    let welcome = v1::Welcome {
        protocol,
        session: number,
        coordinator_version: env!("CARGO_PKG_VERSION").to_owned(),
        reconciled: answers,
        heartbeat_ms: heartbeat_ms(workers),
        worker: worker.to_string(),
        store: parts.store.clone(),
    };
    // The channel is new and has room.
    let _ = frames.try_send(Ok(frame(v1::coordinator_frame::Frame::Welcome(welcome))));
    parts.sessions.open(worker.clone(), number, protocol, frames);
    crate::tasks::spawn("session", read(parts, worker, number, incoming));
    unread.disarm();
    Ok(outgoing)
}

/// How often each of so many workers is to send heartbeats.
fn heartbeat_ms(workers: usize) -> u32 {
    let shared = u64::try_from(workers).unwrap_or(u64::MAX).saturating_mul(1_000) / HEARTBEATS_PER_SECOND;
    u32::try_from(shared.clamp(*HEARTBEAT_MS.start(), *HEARTBEAT_MS.end())).unwrap_or(u32::MAX)
}

/// The protocol both speak.
fn speak(worker: &WorkerId, hello: &v1::Hello) -> Result<u32, Status> {
    let ours = Speaker { name: format!("this coordinator (version {})", env!("CARGO_PKG_VERSION")), range: PROTOCOL };
    let version: String = hello.version.chars().filter(|c| !c.is_control()).take(40).collect();
    let theirs = Speaker { name: format!("worker {worker} (version {version})"), range: hello.protocol_min..=hello.protocol_max };
    negotiate(ours, theirs).map_err(|mismatch| status_of(ErrorCode::InvalidInput, mismatch.to_string()))
}

/// The store was restored since the worker was last here: it is to come again with what it has delivered since the backup. Nothing is known of this stream.
fn restored(worker: &WorkerId, store: &str) -> Outgoing {
    info!(%worker, "a worker that knows another store comes again");
    let (frames, outgoing) = mpsc::channel(1);
    // The channel is new and has room.
    let _ = frames.try_send(Ok(frame(v1::coordinator_frame::Frame::Restored(v1::Restored { store: store.to_owned() }))));
    outgoing
}

/// Reads frames until the stream ends, then says so.
async fn read(parts: SessionParts, worker: WorkerId, session: u64, mut incoming: impl Frames) {
    let mut said_goodbye = false;
    loop {
        let message = match incoming.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                debug!(%worker, session, %error, "session broke");
                break;
            }
            None => break,
        };
        let Some(message) = message.frame else { continue };
        said_goodbye |= matches!(message, v1::worker_frame::Frame::Goodbye(_));
        match receive(&parts, &worker, session, message).await {
            Ok(()) => {}
            Err(FrameError::Wire(error)) => warn!(%worker, session, %error, "a frame that cannot be read was ignored"),
            Err(FrameError::Driver(HandleError::Rejected(rejection))) => debug!(%worker, session, %rejection, "refused"),
            Err(FrameError::Driver(HandleError::Stopped | HandleError::Unread)) => break,
        }
        // The last word: the worker waits for this side to close, and may still hold its own open.
        if said_goodbye {
            break;
        }
    }
    parts.sessions.close(&worker, session);
    let end = if said_goodbye { Command::WorkerGoodbye { worker, session } } else { Command::WorkerGone { worker, session } };
    // If the driver has stopped there is nobody to tell.
    let _ = parts.handle.tell(end).await;
}

enum FrameError {
    Wire(WireError),
    Driver(HandleError),
}

impl From<WireError> for FrameError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<HandleError> for FrameError {
    fn from(error: HandleError) -> Self {
        Self::Driver(error)
    }
}

async fn receive(parts: &SessionParts, worker: &WorkerId, session: u64, message: v1::worker_frame::Frame) -> Result<(), FrameError> {
    use v1::worker_frame::Frame;
    let worker = worker.clone();
    let command = match message {
        Frame::Hello(_) => return Err(WireError::Missing("anything but a second hello").into()),
        Frame::Want(want) => Command::Want { worker, session, pool: want.pool, credits: want.credits },
        Frame::Draining(_) => Command::WorkerDraining { worker, session },
        Frame::Heartbeat(beat) => return heartbeat(parts, worker, session, beat).await,
        Frame::Accepted(each) => Command::LeaseAccepted { worker, lease: lease(each.lease)? },
        Frame::Preparing(each) => Command::LeasePreparing { worker, lease: lease(each.lease)? },
        Frame::Started(each) => Command::LeaseStarted { worker, lease: lease(each.lease)? },
        Frame::Ending(each) => Command::LeaseEnding { worker, lease: lease(each.lease)? },
        Frame::HandBack(each) => Command::HandBack { worker, lease: lease(each.lease)?, reason: each.reason, fault: each.fault },
        Frame::BackendChanged(offer) => Command::BackendChanged { worker, session, offer: offer.try_into()? },
        Frame::Goodbye(_) => return Ok(()),
    };
    parts.handle.tell(command).await?;
    Ok(())
}

/// Heartbeats reconcile both ways: the worker lists what it holds, the answer lists what it must stop.
async fn heartbeat(parts: &SessionParts, worker: WorkerId, session: u64, beat: v1::Heartbeat) -> Result<(), FrameError> {
    let held = beat.held.into_iter().map(HeldLease::try_from).collect::<Result<Vec<_>, _>>()?;
    let reply = parts.handle.command(Command::Heartbeat { worker: worker.clone(), session, held }).await?;
    let Reply::Heartbeat { revoke, drain } = reply else { return Ok(()) };
    let revoke = revoke.into_iter().map(|(lease, reason)| v1::Revoke { lease: Some((&lease).into()), reason }).collect();
    let ack = v1::HeartbeatAck { number: beat.number, revoke, drain };
    parts.sessions.send(&worker, Some(session), frame(v1::coordinator_frame::Frame::HeartbeatAck(ack)));
    Ok(())
}

fn lease(wire: Option<v1::LeaseRef>) -> Result<LeaseRef, WireError> {
    wire.ok_or(WireError::Missing("lease"))?.try_into()
}

pub(crate) fn frame(frame: v1::coordinator_frame::Frame) -> v1::CoordinatorFrame {
    v1::CoordinatorFrame { frame: Some(frame) }
}

/// `codex 2, codex-review 2` as a worker introduces itself.
fn offers(introduction: &roundtable_shared::Introduction) -> String {
    let each = introduction.backends.iter().map(|offer| format!("{} {}", offer.name, offer.slots));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use roundtable_core::Core;
    use roundtable_proto::convert::code_of;
    use roundtable_runtime::clock::SystemClock;
    use roundtable_store::{MemoryDisk, MemoryLog, SegmentOptions, Snapshots};
    use tokio::sync::watch;

    use super::*;
    use crate::driver::{Driver, Parts};

    #[test]
    fn many_workers_send_fewer_heartbeats_each_and_never_so_few_that_one_is_suspect() {
        assert_eq!([1, 1_000, 1_200, 100_000].map(heartbeat_ms), [5_000, 5_000, 6_000, 7_500]);
    }

    #[tokio::test]
    async fn a_hello_whose_caller_goes_away_leaves_nobody_connected() {
        let dir = tempfile::tempdir().unwrap();
        let segments = SegmentStore::open(dir.path(), SegmentOptions::default()).unwrap();
        let log = Arc::new(MemoryLog::open(&MemoryDisk::default()));
        let snapshots = Snapshots::in_dir(&dir.path().join("snapshots"));
        let (effects, _shell) = mpsc::channel(8);
        let (driver, links) = Driver::open(Parts { log, snapshots, clock: Arc::new(SystemClock), seed: 1, effects }).await.unwrap();
        let parts = SessionParts { handle: links.handle.clone(), sessions: Sessions::default(), segments, store: "s".to_owned() };
        let hello =
            v1::Hello { protocol_min: *PROTOCOL.start(), protocol_max: *PROTOCOL.end(), name: "w".to_owned(), ..Default::default() };
        let hello = v1::WorkerFrame { frame: Some(v1::worker_frame::Frame::Hello(hello)) };
        {
            let frames = tokio_stream::once(Ok(hello)).chain(tokio_stream::pending());
            let mut opening = pin!(open(parts, "w".into(), 7, frames));
            // The hello is queued; the driver does not run yet, so that there is no answer.
            assert!(opening.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        let (_shutdown, ended) = watch::channel(false);
        tokio::spawn(driver.run(ended));
        let of_worker = || links.handle.read(|core: &Core, _| core.fleet.workers.get(&WorkerId::from("w")).map(|known| known.connected));
        let gone = async {
            while of_worker() != Some(false) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("it counts as connected still");
    }

    async fn first_frame(hello: v1::Hello) -> Result<v1::coordinator_frame::Frame, Status> {
        let hello = v1::WorkerFrame { frame: Some(v1::worker_frame::Frame::Hello(hello)) };
        first_frame_of(tokio_stream::once(Ok(hello)).chain(tokio_stream::pending())).await
    }

    async fn first_frame_of(frames: impl Frames) -> Result<v1::coordinator_frame::Frame, Status> {
        let dir = tempfile::tempdir().unwrap();
        let segments = SegmentStore::open(dir.path(), SegmentOptions::default()).unwrap();
        let log = Arc::new(MemoryLog::open(&MemoryDisk::default()));
        let snapshots = Snapshots::in_dir(&dir.path().join("snapshots"));
        let (effects, _shell) = mpsc::channel(8);
        let (driver, links) = Driver::open(Parts { log, snapshots, clock: Arc::new(SystemClock), seed: 1, effects }).await.unwrap();
        let (_shutdown, ended) = watch::channel(false);
        tokio::spawn(driver.run(ended));
        let parts = SessionParts { handle: links.handle.clone(), sessions: Sessions::default(), segments, store: "this".to_owned() };
        let mut outgoing = open(parts, "w".into(), 7, frames).await?;
        Ok(outgoing.recv().await.unwrap().unwrap().frame.unwrap())
    }

    fn hello(protocol: std::ops::RangeInclusive<u32>, store: &str) -> v1::Hello {
        let (protocol_min, protocol_max) = protocol.into_inner();
        v1::Hello { protocol_min, protocol_max, name: "w".to_owned(), store: store.to_owned(), ..Default::default() }
    }

    #[tokio::test]
    async fn a_worker_of_another_store_is_told_so_in_place_of_a_welcome() {
        use v1::coordinator_frame::Frame;
        for store in ["", "this"] {
            let Frame::Welcome(welcome) = first_frame(hello(PROTOCOL, store)).await.unwrap() else { panic!("a welcome") };
            assert_eq!((welcome.store.as_str(), welcome.protocol), ("this", *PROTOCOL.end()));
        }
        let Frame::Restored(restored) = first_frame(hello(PROTOCOL, "yesterday's")).await.unwrap() else { panic!("no welcome") };
        assert_eq!(restored.store, "this");
    }

    #[tokio::test]
    async fn a_worker_without_a_common_protocol_is_told_who_is_too_old() {
        let newer = *PROTOCOL.end() + 1;
        let refused = first_frame(hello(newer..=newer + 2, "")).await.unwrap_err();
        assert!(refused.message().contains("this coordinator") && refused.message().contains("is too old"), "{refused:?}");
        let spoken = first_frame(hello(*PROTOCOL.start()..=newer, "")).await.unwrap();
        assert!(matches!(spoken, v1::coordinator_frame::Frame::Welcome(welcome) if welcome.protocol == *PROTOCOL.end()));
    }

    #[tokio::test]
    async fn a_worker_whose_hello_was_cut_off_is_to_come_again() {
        let refused = first_frame_of(tokio_stream::empty()).await.unwrap_err();
        assert_eq!(code_of(&refused), ErrorCode::Unreachable, "{refused:?}");
    }

    #[test]
    fn what_version_tells_is_what_is_spoken() {
        let spoken = format!("protocol {}..{})", PROTOCOL.start(), PROTOCOL.end());
        assert!(crate::VERSION_LONG.ends_with(&spoken), "{} does not tell {spoken}", crate::VERSION_LONG);
    }
}
