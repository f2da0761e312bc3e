//! Which worker's stream is open: effects for a worker go through here. Volatile; a frame for a worker that is not connected is dropped, because the
//! core repeats what matters (revocations in every heartbeat ack, grants by their accept deadline).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roundtable_proto::v1::CoordinatorFrame;
use roundtable_shared::WorkerId;
use tokio::sync::mpsc;
use tonic::Status;

/// Frames that wait for a slow worker; beyond it the session is ended (it will say hello again).
pub const SESSION_QUEUE_MAX: usize = 256;

/// A session's sending side.
#[derive(Clone)]
struct Session {
    number: u64,
    protocol: u32,
    frames: mpsc::Sender<Result<CoordinatorFrame, Status>>,
}

/// The open sessions.
#[derive(Clone, Default)]
pub struct Sessions {
    open: Arc<Mutex<HashMap<WorkerId, Session>>>,
}

impl Sessions {
    /// Makes a session the one frames for this worker go to. It speaks this protocol.
    pub fn open(&self, worker: WorkerId, number: u64, protocol: u32, frames: mpsc::Sender<Result<CoordinatorFrame, Status>>) {
        self.lock().insert(worker, Session { number, protocol, frames });
    }

    /// The protocol that a session speaks; `None` if it is not open.
    pub fn protocol(&self, worker: &WorkerId, number: u64) -> Option<u32> {
        self.lock().get(worker).filter(|session| session.number == number).map(|session| session.protocol)
    }

    /// Forgets a session, unless a newer one has taken its place.
    pub fn close(&self, worker: &WorkerId, number: u64) {
        let mut open = self.lock();
        if open.get(worker).is_some_and(|session| session.number <= number) {
            open.remove(worker);
        }
    }

    /// Ends all sessions: the coordinator stops.
    pub fn close_all(&self) {
        self.lock().clear();
    }

    /// Sends a frame to a worker if this session (or, for `None`, any) is open. `false` if it could not be queued.
    pub fn send(&self, worker: &WorkerId, number: Option<u64>, frame: CoordinatorFrame) -> bool {
        let session = self.lock().get(worker).filter(|session| number.is_none_or(|number| session.number == number)).cloned();
        let Some(session) = session else { return false };
        if session.frames.try_send(Ok(frame)).is_ok() {
            return true;
        }
        // A worker that does not read is not served: it comes back with a hello and is reconciled.
        self.close(worker, session.number);
        false
    }

    /// Frames that wait for workers to read them, of all sessions.
    pub fn waiting(&self) -> usize {
        self.lock().values().map(|session| session.frames.max_capacity() - session.frames.capacity()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkerId, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use roundtable_proto::v1;

    use super::*;

    fn frame() -> CoordinatorFrame {
        CoordinatorFrame { frame: Some(v1::coordinator_frame::Frame::Drain(v1::Drain { reason: "r".into() })) }
    }

    #[test]
    fn frames_go_to_the_named_session_only_and_a_full_queue_ends_it() {
        let sessions = Sessions::default();
        let worker = WorkerId::from("w-1");
        let (sender, mut receiver) = mpsc::channel(1);
        sessions.open(worker.clone(), 2, 1, sender);
        assert!(!sessions.send(&worker, Some(1), frame()), "an older session gets nothing");
        assert_eq!((sessions.protocol(&worker, 1), sessions.protocol(&worker, 2)), (None, Some(1)));
        assert!(sessions.send(&worker, Some(2), frame()));
        assert_eq!(sessions.waiting(), 1);
        assert!(!sessions.send(&worker, None, frame()), "the queue is full");
        assert!(receiver.try_recv().is_ok());
        assert!(!sessions.send(&worker, None, frame()), "and the session was ended");
    }

    #[test]
    fn closing_an_older_session_leaves_the_newer() {
        let sessions = Sessions::default();
        let worker = WorkerId::from("w-1");
        let (sender, _receiver) = mpsc::channel(1);
        sessions.open(worker.clone(), 2, 1, sender);
        sessions.close(&worker, 1);
        assert!(sessions.send(&worker, Some(2), frame()));
    }
}
