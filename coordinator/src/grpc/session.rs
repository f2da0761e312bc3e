//! One worker's control stream: frames become commands, effects come back as frames. Every rule is the core's.

use roundtable_core::Reply;
use roundtable_core::command::{Command, WorkerHello};
use roundtable_proto::convert::{WireError, status_of};
use roundtable_proto::{PROTOCOL, v1};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{HeldLease, LeaseRef, WorkerId};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::status;
use crate::driver::{Handle, HandleError, SESSION_QUEUE_MAX, Sessions};
use roundtable_store::SegmentStore;

/// How often workers are to send heartbeats, milliseconds. A quarter of the time after which silence is suspect.
const HEARTBEAT_MS: u32 = 5_000;
/// The first frame must come within this.
const HELLO_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Frames to a worker.
pub(super) type Outgoing = mpsc::Receiver<Result<v1::CoordinatorFrame, Status>>;

/// What a session needs.
#[derive(Clone)]
pub(super) struct SessionParts {
    /// The driver.
    pub handle: Handle,
    /// Where effects for workers go through.
    pub sessions: Sessions,
    /// Says how far each lease's events are durable.
    pub segments: SegmentStore,
}

/// Answers the hello and reads frames in the background until the stream ends.
pub(super) async fn open(
    parts: SessionParts,
    worker: WorkerId,
    number: u64,
    mut incoming: Streaming<v1::WorkerFrame>,
) -> Result<Outgoing, Status> {
    let first = tokio::time::timeout(HELLO_WITHIN, incoming.next())
        .await
        .map_err(|_| status_of(ErrorCode::InvalidInput, "no hello came within 10 s"))?
        .ok_or_else(|| status_of(ErrorCode::InvalidInput, "the stream ended before its hello"))??;
    let Some(v1::worker_frame::Frame::Hello(hello)) = first.frame else {
        return Err(status_of(ErrorCode::InvalidInput, "the first frame must be a hello"));
    };
    if hello.protocol_max < *PROTOCOL.start() || hello.protocol_min > *PROTOCOL.end() {
        let text = format!(
            "this coordinator speaks protocol {}..{}, the worker {}..{}: use releases that are closer",
            PROTOCOL.start(),
            PROTOCOL.end(),
            hello.protocol_min,
            hello.protocol_max
        );
        return Err(status_of(ErrorCode::InvalidInput, text));
    }
    let introduction: roundtable_shared::Introduction = hello.try_into()?;
    let (offers, version, held) = (offers(&introduction), introduction.version.clone(), introduction.held.len());
    let command = Command::WorkerHello(Box::new(WorkerHello { worker: worker.clone(), session: number, introduction }));
    let reply = parts.handle.command(command).await.map_err(|error| status(&error))?;
    info!(%worker, offers, version, held, "a worker joined");
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
        protocol: *PROTOCOL.end(),
        session: number,
        coordinator_version: env!("CARGO_PKG_VERSION").to_owned(),
        reconciled: answers,
        heartbeat_ms: HEARTBEAT_MS,
        worker: worker.to_string(),
    };
    // The channel is new and has room.
    let _ = frames.try_send(Ok(frame(v1::coordinator_frame::Frame::Welcome(welcome))));
    parts.sessions.open(worker.clone(), number, frames);
    crate::tasks::spawn("session", read(parts, worker, number, incoming));
    Ok(outgoing)
}

/// Reads frames until the stream ends, then says so.
async fn read(parts: SessionParts, worker: WorkerId, session: u64, mut incoming: Streaming<v1::WorkerFrame>) {
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
            Err(FrameError::Driver(HandleError::Stopped)) => break,
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
