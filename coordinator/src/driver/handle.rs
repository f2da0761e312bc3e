//! The cloneable handle through which everything else speaks to the driver, and reads what it has published. Nobody sees a channel.

use roundtable_core::command::{Command, Now};
use roundtable_core::{Core, Rejection, Reply};
use roundtable_shared::error::ErrorCode;
use tokio::sync::{mpsc, oneshot};

use super::published::Published;

/// Commands that wait for the driver. Beyond it callers wait, which is the backpressure.
pub(super) const QUEUE_MAX: usize = 4096;

/// A command on its way to the driver, with who is answered once its batch is durable.
pub(super) struct Message {
    pub(super) command: Box<Command>,
    pub(super) waiting: Option<oneshot::Sender<Result<Reply, Rejection>>>,
}

/// Speaks to the driver, and reads beside it.
#[derive(Clone)]
pub struct Handle {
    queue: mpsc::Sender<Message>,
    published: Published,
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
    /// A bug here: whoever was to read has panicked.
    #[error("the answer could not be made, which is a bug; the coordinator's log has more")]
    Unread,
}

impl HandleError {
    /// The code this maps to at every edge.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Rejected(rejection) => rejection.code,
            Self::Stopped => ErrorCode::Unreachable,
            Self::Unread => ErrorCode::Internal,
        }
    }
}

impl Handle {
    pub(super) fn new(queue: mpsc::Sender<Message>, published: Published) -> Self {
        Self { queue, published }
    }

    /// Commands that wait for the driver.
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
        self.queue.send(Message { command: Box::new(command), waiting: Some(sender) }).await.map_err(|_| HandleError::Stopped)?;
        receiver.await.map_err(|_| HandleError::Stopped)?.map_err(HandleError::Rejected)
    }

    /// Carries out a command whose answer nobody waits for (signs of life, answers of the shell).
    pub async fn tell(&self, command: Command) -> Result<(), HandleError> {
        self.queue.send(Message { command: Box::new(command), waiting: None }).await.map_err(|_| HandleError::Stopped)
    }

    /// Reads what was last published: durable state, with the effect of every command that was answered before. Waits for nobody, so also while an append
    /// does not end. To be short, as it keeps its thread.
    pub fn read<T>(&self, read: impl FnOnce(&Core, Now) -> T) -> T {
        let (core, now) = self.published.last();
        read(&core, now)
    }

    /// The same for what looks at many units: on a thread of its own, a few at a time.
    pub async fn view<T: Send + 'static>(&self, read: impl FnOnce(&Core, Now) -> T + Send + 'static) -> Result<T, HandleError> {
        self.published.view(read).await.ok_or(HandleError::Unread)
    }

    /// Returns once the driver has ended another batch, as it does a few times a second at least.
    pub async fn next_batch(&self) -> Result<(), HandleError> {
        if self.published.clone().changed().await { Ok(()) } else { Err(HandleError::Stopped) }
    }
}
