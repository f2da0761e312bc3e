//! What is published: the copy of the core that readers see, without going through the driver. Written by the driver alone, after the append and before
//! anybody is answered.

use std::sync::Arc;

use roundtable_core::Core;
use roundtable_core::command::Now;
use roundtable_runtime::clock::Clock;
use tokio::sync::{Semaphore, watch};
use tracing::error;

/// Views that are made at the same time. More wait, so that a crowd of lookers-on leaves cores to the driver.
pub(super) const VIEWS_MAX: usize = 4;

/// The last copy, and the clock it is judged by.
#[derive(Clone)]
pub(super) struct Published {
    last: watch::Receiver<Arc<Core>>,
    clock: Arc<dyn Clock>,
    views: Arc<Semaphore>,
}

impl Published {
    /// Begins with this one. The sender is the driver's.
    pub(super) fn new(first: Core, clock: Arc<dyn Clock>) -> (watch::Sender<Arc<Core>>, Self) {
        let (sender, last) = watch::channel(Arc::new(first));
        (sender, Self { last, clock, views: Arc::new(Semaphore::new(VIEWS_MAX)) })
    }

    /// The last one, with the present.
    pub(super) fn last(&self) -> (Arc<Core>, Now) {
        let core = Arc::clone(&self.last.borrow());
        (core, now(self.clock.as_ref()))
    }

    /// Reads on a thread where it keeps nobody from anything. `None` if the reader has panicked.
    pub(super) async fn view<T: Send + 'static>(&self, read: impl FnOnce(&Core, Now) -> T + Send + 'static) -> Option<T> {
        // Never closed.
        let turn = Arc::clone(&self.views).acquire_owned().await.ok()?;
        // Taken with its turn: no older one is kept while others are read.
        let (core, now) = self.last();
        let viewed = tokio::task::spawn_blocking(move || {
            // Also where whoever asked has gone.
            let _turn = turn;
            read(&core, now)
        });
        let viewed = viewed.await;
        viewed.inspect_err(|failure| error!(%failure, "a view panicked")).ok()
    }

    /// Waits for another one; false once the driver has ended.
    pub(super) async fn changed(&mut self) -> bool {
        self.last.mark_unchanged();
        self.last.changed().await.is_ok()
    }
}

/// The present.
pub(super) fn now(clock: &dyn Clock) -> Now {
    Now { mono_ms: clock.boot_ms(), wall: clock.wall() }
}
