//! The link to a coordinator: connect, introduce, speak frames, come back after a break. It owns connection and back-off, not what the frames mean:
//! that is [`Frames`]'s.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::FutureExt;
use roundtable_proto::convert::{message_of, told_code_of};
use roundtable_proto::protocol::{Speaker, negotiate};
use roundtable_proto::v1::fleet_client::FleetClient;
use roundtable_proto::{PROTOCOL, v1};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::limits::{BULK_MESSAGE_BYTES_MAX, RECONNECT_MAX_MS};
use roundtable_shared::{Introduction, Lease, LeaseRef, Reconciled};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tracing::{debug, info, warn};

use super::bulk::Bulk;
use super::dial::{Dial, DialError};
use super::fence::{Beats, Fence};

/// Frames that wait for a slow coordinator. Beyond it speakers wait.
const OUT_MAX: usize = 256;
/// Longest pause between two tries to come back; drawn at random below it, so that a fleet does not come back at once.
const BACKOFF_MAX: Duration = Duration::from_millis(RECONNECT_MAX_MS);
/// First pause.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// A coordinator that is not there at the first try is waited for this long: it may be starting.
const FIRST_CONTACT: Duration = Duration::from_secs(10);
/// Heartbeats if the coordinator names no other interval.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Of a heartbeat's interval: how much earlier or later it may come, so that those of a fleet do not come at once.
const HEARTBEAT_SPREAD_PERCENT: u64 = 20;

/// What frames mean to the worker.
pub trait Frames: Send + Sync {
    /// What the worker says of itself now.
    fn introduce(&self) -> Introduction;
    /// The coordinator knows us; it says of each held lease whether to go on. `bulk` serves for what is large, as long as the link holds.
    fn welcome(&self, worker: &str, reconciled: Vec<Reconciled>, bulk: Bulk, out: mpsc::Sender<v1::WorkerFrame>);
    /// A lease was granted.
    fn lease(&self, lease: Lease);
    /// An attempt is to be stopped. Repeated until it is gone.
    fn revoke(&self, lease: LeaseRef, reason: String);
    /// Whether a person has drained this worker. That is the coordinator's to keep to; here it is told.
    fn drained(&self, is_drained: bool);
    /// What the worker holds now.
    fn held(&self) -> Vec<v1::HeldLease>;
    /// Says how much it can take; with every heartbeat, as what was said before may have been lost on a full queue.
    fn want(&self);
    /// The link broke; `out` and `bulk` of the last welcome are of no use.
    fn broken(&self);
    /// What knows whether the coordinator is heard.
    fn fence(&self) -> &Fence;
    /// The coordinator's store this worker last spoke to; empty if none is known.
    fn store(&self) -> String;
    /// It has another store now, restored from a backup: what was delivered lately may be missing there, and is held again.
    fn restored(&self, store: &str) -> impl Future<Output = ()> + Send;
    /// It has this store, and its welcome was taken.
    fn remember_store(&self, store: &str);
}

/// Why the link ended for good.
#[derive(Debug, thiserror::Error)]
pub enum LinkEnd {
    /// Never reached it.
    #[error("{0}\n  start one with `coordinator serve`, or name it: `worker join https://HOST:7420 …`")]
    Unreachable(String),
    /// It does not want us.
    #[error("{0}")]
    Refused(String),
}

/// Keeps the link until `stop` is true or the coordinator refuses us. `patience`: how long a coordinator that was there once is waited for;
/// `None` = as long as it takes.
pub async fn keep<D: Dial + 'static>(
    dial: &Arc<D>,
    frames: &impl Frames,
    mut stop: watch::Receiver<bool>,
    patience: Option<Duration>,
) -> Result<(), LinkEnd> {
    let mut joined = false;
    let mut pauses = pauses();
    let mut alone_since = tokio::time::Instant::now();
    loop {
        if *stop.borrow() {
            return Ok(());
        }
        let dialled = tokio::select! {
            dialled = dial.dial() => dialled,
            () = stopped(&mut stop) => return Ok(()),
        };
        let broke = match dialled {
            Ok(channel) => match session(channel, |protocol| bulk_of(dial, protocol), frames, stop.clone(), dial.outlived()).await {
                SessionEnd::Stopped => return Ok(()),
                SessionEnd::Refused(why) => return Err(LinkEnd::Refused(why)),
                SessionEnd::Broken { welcomed, why } => {
                    if welcomed {
                        joined = true;
                        pauses = self::pauses();
                        alone_since = tokio::time::Instant::now();
                        frames.broken();
                    }
                    why
                }
                SessionEnd::Restored => {
                    // It is there, however long it took to look for what it lacks.
                    joined = true;
                    alone_since = tokio::time::Instant::now();
                    frames.broken();
                    "the coordinator was restored from a backup".to_owned()
                }
            },
            Err(DialError::Refused(why)) => return Err(LinkEnd::Refused(why)),
            Err(DialError::Unreachable(why)) => why,
        };
        let alone = alone_since.elapsed();
        if (!joined && alone >= FIRST_CONTACT) || patience.is_some_and(|patience| alone >= patience) {
            return Err(LinkEnd::Unreachable(broke));
        }
        let pause = pauses.next().unwrap_or(BACKOFF_MAX);
        debug!(%broke, pause_ms = pause.as_millis() as u64, "no link; trying again");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = dial.news() => {}
            () = stopped(&mut stop) => return Ok(()),
        }
    }
}

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default().with_min_delay(BACKOFF_MIN).with_max_delay(BACKOFF_MAX).with_jitter().without_max_times().build()
}

/// Another connection to where the link goes, once it is needed.
fn bulk_of<D: Dial + 'static>(dial: &Arc<D>, protocol: u32) -> Bulk {
    let dial = Arc::clone(dial);
    Bulk::new(protocol, move || {
        let dial = Arc::clone(&dial);
        async move { dial.another().await }.boxed()
    })
}

enum SessionEnd {
    Stopped,
    Refused(String),
    /// It is of no use any more, or there is a better one to be had.
    Broken {
        welcomed: bool,
        why: String,
    },
    /// The coordinator has another store: it is to be introduced to anew.
    Restored,
}

/// One stream, from hello to its end. Its second connection is made once the protocol is chosen.
async fn session(
    channel: Channel,
    bulk: impl Fn(u32) -> Bulk,
    frames: &impl Frames,
    mut stop: watch::Receiver<bool>,
    outlived: impl Future<Output = ()>,
) -> SessionEnd {
    tokio::pin!(outlived);
    // Prompts come this way too.
    let client = FleetClient::new(channel);
    let mut client = client.max_decoding_message_size(BULK_MESSAGE_BYTES_MAX).max_encoding_message_size(BULK_MESSAGE_BYTES_MAX);
    let mut pulse = Pulse::begin(frames.fence().clone());
    let (out, queue) = mpsc::channel(OUT_MAX);
    let hello = v1::Hello { store: frames.store(), ..v1::Hello::from(&frames.introduce()) };
    if out.send(frame(v1::worker_frame::Frame::Hello(hello))).await.is_err() {
        return SessionEnd::Broken { welcomed: false, why: "the link closed at once".to_owned() };
    }
    let opened = tokio::select! {
        opened = client.session(ReceiverStream::new(queue)) => opened,
        () = stopped(&mut stop) => return SessionEnd::Stopped,
    };
    let mut incoming = match opened {
        Ok(response) => response.into_inner(),
        Err(status) => return ended(&status, false),
    };
    let next_beat = tokio::time::sleep(HEARTBEAT);
    tokio::pin!(next_beat);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => {
                leave(out, &mut incoming, frames.held().is_empty()).await;
                return SessionEnd::Stopped;
            }
            () = &mut next_beat, if pulse.welcomed => {
                // Also after a time in which this process or its host stood still: what it holds may be others' by now, and that is asked first.
                if frames.fence().is_cut_off() {
                    return SessionEnd::Broken { welcomed: true, why: "the coordinator has answered no heartbeat for 20 s".to_owned() };
                }
                next_beat.as_mut().reset(tokio::time::Instant::now() + spread(pulse.interval));
                let beat = v1::Heartbeat { number: pulse.beats.sending(), held: frames.held() };
                if out.try_send(frame(v1::worker_frame::Frame::Heartbeat(beat))).is_err() {
                    debug!("a heartbeat waits for a full queue");
                }
                frames.want();
            }
            // At its end it would be cut, in the middle of whatever is being said.
            () = &mut outlived, if pulse.welcomed => {
                return SessionEnd::Broken { welcomed: true, why: "this worker has a younger certificate".to_owned() };
            }
            message = incoming.next() => match message {
                None => return SessionEnd::Broken { welcomed: pulse.welcomed, why: "the coordinator closed the link".to_owned() },
                Some(Err(status)) => return ended(&status, pulse.welcomed),
                Some(Ok(v1::CoordinatorFrame { frame: Some(v1::coordinator_frame::Frame::Restored(restored)) })) => {
                    return begin_anew(frames, &restored.store, &mut stop).await;
                }
                Some(Ok(v1::CoordinatorFrame { frame: Some(message) })) => {
                    if let v1::coordinator_frame::Frame::Welcome(welcome) = &message {
                        if let Err(mismatch) = understood(welcome) {
                            return SessionEnd::Refused(mismatch);
                        }
                        pulse.welcome(welcome.heartbeat_ms);
                        next_beat.as_mut().reset(tokio::time::Instant::now() + spread(pulse.interval));
                    }
                    receive(message, frames, &bulk, &out, &mut pulse);
                }
                Some(Ok(v1::CoordinatorFrame { frame: None })) => warn!("a frame of a kind this release does not know was ignored"),
            },
        }
    }
}

/// Before the coordinator is introduced to anew, what it may have lost is held again.
async fn begin_anew(frames: &impl Frames, store: &str, stop: &mut watch::Receiver<bool>) -> SessionEnd {
    warn!("the coordinator was restored from a backup; what was delivered lately is offered again");
    tokio::select! {
        () = frames.restored(store) => SessionEnd::Restored,
        () = stopped(stop) => SessionEnd::Stopped,
    }
}

/// The last word. The stream is closed from our side; what the coordinator still says no longer matters. Whoever holds something still goes without a goodbye:
/// that would give its leases to others, and end an identity that was lent, while the next start could hand in what there is.
async fn leave(out: mpsc::Sender<v1::WorkerFrame>, incoming: &mut tonic::Streaming<v1::CoordinatorFrame>, is_for_good: bool) {
    if is_for_good {
        let goodbye = v1::worker_frame::Frame::Goodbye(v1::Goodbye { reason: "stopped".to_owned() });
        let _ = out.try_send(frame(goodbye));
    }
    drop(out);
    let _ = tokio::time::timeout(Duration::from_secs(1), async { while incoming.next().await.is_some() {} }).await;
}

/// The rhythm of a session.
struct Pulse {
    welcomed: bool,
    interval: Duration,
    beats: Beats,
}

impl Pulse {
    fn begin(fence: Fence) -> Self {
        Self { welcomed: false, interval: HEARTBEAT, beats: Beats::begin(fence) }
    }

    /// The hello was answered, with how often heartbeats are wanted.
    fn welcome(&mut self, heartbeat_ms: u32) {
        self.welcomed = true;
        self.beats.answered(0);
        if heartbeat_ms > 0 {
            self.interval = Duration::from_millis(heartbeat_ms.into());
        }
    }
}

/// The interval, a little shorter or longer.
fn spread(interval: Duration) -> Duration {
    let drawn = getrandom::u64().unwrap_or(HEARTBEAT_SPREAD_PERCENT) % (2 * HEARTBEAT_SPREAD_PERCENT + 1);
    let percent = u32::try_from(100 - HEARTBEAT_SPREAD_PERCENT + drawn).unwrap_or(100);
    interval * percent / 100
}

fn receive(
    message: v1::coordinator_frame::Frame,
    frames: &impl Frames,
    bulk: &impl Fn(u32) -> Bulk,
    out: &mpsc::Sender<v1::WorkerFrame>,
    pulse: &mut Pulse,
) {
    use v1::coordinator_frame::Frame;
    match message {
        Frame::Welcome(welcome) => {
            info!(worker = %welcome.worker, "welcome");
            frames.remember_store(&welcome.store);
            let reconciled = welcome.reconciled.into_iter().filter_map(|each| each.try_into().ok()).collect();
            frames.welcome(&welcome.worker, reconciled, bulk(welcome.protocol), out.clone());
        }
        Frame::Lease(lease) => match Lease::try_from(lease) {
            Ok(lease) => frames.lease(lease),
            Err(error) => warn!(%error, "a lease that cannot be read was ignored; it will be granted elsewhere"),
        },
        Frame::HeartbeatAck(ack) => {
            pulse.beats.answered(ack.number);
            for revoke in ack.revoke {
                receive_revoke(revoke, frames);
            }
            frames.drained(ack.drain);
        }
        Frame::Revoke(revoke) => receive_revoke(revoke, frames),
        Frame::Drain(_) => frames.drained(true),
        // Dealt with where the stream is ended.
        Frame::Restored(_) => {}
    }
}

/// Whether the coordinator chose a protocol that this worker speaks. It must: a hello names all of them.
fn understood(welcome: &v1::Welcome) -> Result<(), String> {
    let ours = Speaker { name: "this worker".to_owned(), range: PROTOCOL };
    let name = format!("the coordinator (version {})", welcome.coordinator_version);
    let theirs = Speaker { name, range: welcome.protocol..=welcome.protocol };
    negotiate(ours, theirs).map(|_| ()).map_err(|mismatch| mismatch.to_string())
}

fn receive_revoke(revoke: v1::Revoke, frames: &impl Frames) {
    match revoke.lease.map(LeaseRef::try_from) {
        Some(Ok(lease)) => frames.revoke(lease, revoke.reason),
        _ => warn!("a revocation that names no lease was ignored"),
    }
}

/// Only the coordinator's own word ends a worker: a status that something on the way made up, or a frame that was too large, is nobody's refusal.
fn ended(status: &tonic::Status, welcomed: bool) -> SessionEnd {
    match told_code_of(status) {
        // A conflict does not end by itself either: another worker bears this one's name.
        Some(ErrorCode::NotAuthorised | ErrorCode::InvalidInput | ErrorCode::Conflict) => SessionEnd::Refused(message_of(status)),
        _ => SessionEnd::Broken { welcomed, why: message_of(status) },
    }
}

/// Returns once the link is to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody can ask any more.
        std::future::pending::<()>().await;
    }
}

fn frame(frame: v1::worker_frame::Frame) -> v1::WorkerFrame {
    v1::WorkerFrame { frame: Some(frame) }
}

#[cfg(test)]
mod tests {
    use roundtable_proto::convert::status_of;
    use tonic::{Code, Status};

    use super::*;

    #[test]
    fn only_the_coordinators_own_word_ends_a_worker() {
        for code in (0..=16).map(Code::from_i32) {
            assert!(matches!(ended(&Status::new(code, "why"), true), SessionEnd::Broken { welcomed: true, .. }), "{code:?}");
        }
        for code in [ErrorCode::NotAuthorised, ErrorCode::InvalidInput, ErrorCode::Conflict] {
            assert!(matches!(ended(&status_of(code, "why"), true), SessionEnd::Refused(_)), "{code:?}");
        }
        for code in [ErrorCode::Unreachable, ErrorCode::Exhausted, ErrorCode::Internal, ErrorCode::Stale, ErrorCode::NotFound] {
            assert!(matches!(ended(&status_of(code, "why"), true), SessionEnd::Broken { .. }), "{code:?}");
        }
    }
}
