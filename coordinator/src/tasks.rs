//! The one place that starts background tasks, so that a panic in one is logged with its name and never swallowed.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::error;

/// Starts a task. If it panics, that is logged here; the rest of the coordinator goes on.
pub(crate) fn spawn<T: Send + 'static>(name: &'static str, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<Option<T>> {
    let inner = tokio::spawn(task);
    tokio::spawn(async move {
        match inner.await {
            Ok(value) => Some(value),
            Err(failure) if failure.is_panic() => {
                error!(task = name, %failure, "a background task panicked");
                None
            }
            Err(_) => None,
        }
    })
}
