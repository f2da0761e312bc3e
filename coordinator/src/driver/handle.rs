//! The cloneable handle through which everything else speaks to the driver. Nobody sees a channel.

use roundtable_core::command::{Command, Now};
use roundtable_core::{Core, Rejection, Reply};
use roundtable_shared::error::ErrorCode;
use tokio::sync::{mpsc, oneshot};

/// Commands and reads that wait for the driver. Beyond it callers wait, which is the backpressure.
pub(super) const QUEUE_MAX: usize = 4096;

/// A read of the state between two batches.
pub(super) type Read = Box<dyn FnOnce(&Core, Now) + Send>;

/// What the driver's queue carries.
pub(super) enum Message {
    /// A command, answered after its batch is durable.
    Command(Box<Command>, Option<oneshot::Sender<Result<Reply, Rejection>>>),
    /// A read, done between two batches, so that it sees durable state only.
    Read(Read),
}

/// Speaks to the driver.
#[derive(Clone)]
pub struct Handle {
    queue: mpsc::Sender<Message>,
}

/// Why the driver did not answer with what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HandleError {
    /// The core refused.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// The driver has stopped: the coordinator is shutting down or has met an error it must not survive.
    #[error("the coordinator is stopping; try again when it is back")]
    Stopped,
}

impl HandleError {
    /// The code this maps to at every edge.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Rejected(rejection) => rejection.code,
            Self::Stopped => ErrorCode::Unreachable,
        }
    }
}

impl Handle {
    pub(super) fn new(queue: mpsc::Sender<Message>) -> Self {
        Self { queue }
    }

    /// Commands and reads that wait for the driver.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Whether the driver has ended.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Carries out a command; returns when what it changed is durable.
    pub async fn command(&self, command: Command) -> Result<Reply, HandleError> {
        let (sender, receiver) = oneshot::channel();
        self.queue.send(Message::Command(Box::new(command), Some(sender))).await.map_err(|_| HandleError::Stopped)?;
        receiver.await.map_err(|_| HandleError::Stopped)?.map_err(HandleError::Rejected)
    }

    /// Carries out a command whose answer nobody waits for (signs of life, answers of the shell).
    pub async fn tell(&self, command: Command) -> Result<(), HandleError> {
        self.queue.send(Message::Command(Box::new(command), None)).await.map_err(|_| HandleError::Stopped)
    }

    /// Reads the state; sees only what is durable. The closure must be short: nothing else happens meanwhile.
    pub async fn read<T: Send + 'static>(&self, read: impl FnOnce(&Core, Now) -> T + Send + 'static) -> Result<T, HandleError> {
        let (sender, receiver) = oneshot::channel();
        let read: Read = Box::new(move |core, now| {
            // The reader may have gone; then nobody wants the answer.
            let _ = sender.send(read(core, now));
        });
        self.queue.send(Message::Read(read)).await.map_err(|_| HandleError::Stopped)?;
        receiver.await.map_err(|_| HandleError::Stopped)
    }
}
