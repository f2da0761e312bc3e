//! The second connection of a link: logs, packs and outcomes go over it, so that none of them ever stands before a heartbeat. It is opened when there is
//! something to send or fetch, and closed once there has been nothing for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use roundtable_proto::v1::fleet_client::FleetClient;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::limits::BULK_MESSAGE_BYTES_MAX;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tonic::transport::Channel;

use super::link::DialError;

/// Closed when nothing has used it for this long.
const IDLE: Duration = Duration::from_secs(10);
/// Chunks of events in flight on one link, of all its attempts: 32 MiB.
const WINDOW: usize = 128;

/// Opens the connection.
type Open = dyn Fn() -> BoxFuture<'static, Result<Channel, DialError>> + Send + Sync;

/// The connection, open or not. Cheap to clone.
#[derive(Clone)]
pub struct Bulk {
    inner: Arc<Inner>,
}

struct Inner {
    open: Box<Open>,
    idle: Duration,
    channel: Mutex<Option<Channel>>,
    /// The present one broke: the next to use it opens another, with whatever credentials there are then.
    is_broken: AtomicBool,
    users: AtomicUsize,
    /// How often it was lent.
    lent: AtomicU64,
    window: Arc<Semaphore>,
}

/// The connection in use.
pub struct Lent {
    client: FleetClient<Channel>,
    user: User,
}

impl Bulk {
    /// Not open yet.
    pub fn new(open: impl Fn() -> BoxFuture<'static, Result<Channel, DialError>> + Send + Sync + 'static) -> Self {
        Self::closing_after(IDLE, open)
    }

    fn closing_after(idle: Duration, open: impl Fn() -> BoxFuture<'static, Result<Channel, DialError>> + Send + Sync + 'static) -> Self {
        let inner = Inner {
            open: Box::new(open),
            idle,
            channel: Mutex::new(None),
            is_broken: AtomicBool::new(false),
            users: AtomicUsize::new(0),
            lent: AtomicU64::new(0),
            window: Arc::new(Semaphore::new(WINDOW)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The connection, which stays open for as long as what this gives is kept.
    pub async fn lend(&self) -> Result<Lent, DialError> {
        let user = User::new(self.clone());
        let mut kept = self.inner.channel.lock().await;
        if self.inner.is_broken.swap(false, Ordering::SeqCst) {
            *kept = None;
        }
        let channel = match kept.as_ref() {
            Some(channel) => channel.clone(),
            None => {
                let opened = (self.inner.open)().await?;
                *kept = Some(opened.clone());
                opened
            }
        };
        let client = FleetClient::new(channel);
        let client = client.max_decoding_message_size(BULK_MESSAGE_BYTES_MAX).max_encoding_message_size(BULK_MESSAGE_BYTES_MAX);
        Ok(Lent { client, user })
    }
}

impl Lent {
    /// To call over it.
    pub fn client(&self) -> FleetClient<Channel> {
        self.client.clone()
    }

    /// What ended a call over it. Where the connection is the reason, whoever comes next gets another: it was cut, or the certificate it was opened with is not
    /// taken any more.
    pub fn failed(&self, told: Option<ErrorCode>) {
        if matches!(told, None | Some(ErrorCode::NotAuthorised)) {
            self.broke();
        }
    }

    /// It did not hold: whoever comes next gets another.
    pub fn broke(&self) {
        self.user.bulk.inner.is_broken.store(true, Ordering::SeqCst);
    }

    /// Waits for room for one more chunk of events, among all attempts.
    pub async fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.user.bulk.inner.window).acquire_owned().await.ok()
    }
}

/// Somebody uses the connection.
struct User {
    bulk: Bulk,
}

impl User {
    fn new(bulk: Bulk) -> Self {
        bulk.inner.users.fetch_add(1, Ordering::SeqCst);
        bulk.inner.lent.fetch_add(1, Ordering::SeqCst);
        Self { bulk }
    }
}

impl Drop for User {
    /// The last one out sees to it that it is closed, if nobody comes meanwhile.
    fn drop(&mut self) {
        if self.bulk.inner.users.fetch_sub(1, Ordering::SeqCst) > 1 {
            return;
        }
        // Where the runtime has ended, so has the connection.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (idle, lent) = (self.bulk.inner.idle, self.bulk.inner.lent.load(Ordering::SeqCst));
        // With the last of its users, the link itself, it goes at once.
        let inner = Arc::downgrade(&self.bulk.inner);
        runtime.spawn(async move {
            tokio::time::sleep(idle).await;
            let Some(inner) = inner.upgrade() else { return };
            let mut kept = inner.channel.lock().await;
            if inner.users.load(Ordering::SeqCst) == 0 && inner.lent.load(Ordering::SeqCst) == lent {
                *kept = None;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures_util::FutureExt;
    use tonic::transport::Endpoint;

    use super::*;

    /// One that nobody answers, and how often it was opened.
    fn counted(idle: Duration) -> (Bulk, Arc<AtomicUsize>) {
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        let bulk = Bulk::closing_after(idle, move || {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(Endpoint::from_static("http://127.0.0.1:9").connect_lazy()) }.boxed()
        });
        (bulk, opened)
    }

    async fn closed(bulk: &Bulk) {
        let closed = async {
            while bulk.inner.channel.lock().await.is_some() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), closed).await.expect("it stays open");
    }

    #[tokio::test]
    async fn it_is_opened_when_it_is_needed_shared_and_closed_when_nobody_needs_it() {
        let (bulk, opened) = counted(Duration::from_millis(20));
        assert_eq!(opened.load(Ordering::SeqCst), 0, "nothing was to be sent yet");
        let (one, two) = (bulk.lend().await.unwrap(), bulk.lend().await.unwrap());
        assert_eq!(opened.load(Ordering::SeqCst), 1);
        drop(one);
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert!(bulk.inner.channel.lock().await.is_some(), "the other still uses it");
        drop(two);
        closed(&bulk).await;
        bulk.lend().await.unwrap();
        assert_eq!(opened.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn one_that_broke_is_opened_anew_for_the_next() {
        let (bulk, opened) = counted(Duration::from_secs(3_600));
        let lent = bulk.lend().await.unwrap();
        lent.broke();
        bulk.lend().await.unwrap();
        bulk.lend().await.unwrap();
        assert_eq!(opened.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_word_on_what_was_sent_leaves_it_open_and_one_on_the_certificate_does_not() {
        let (bulk, opened) = counted(Duration::from_secs(3_600));
        let told = [Some(ErrorCode::Stale), Some(ErrorCode::Exhausted), Some(ErrorCode::NotAuthorised), Some(ErrorCode::Internal), None];
        for (told, wanted) in told.into_iter().zip([1, 1, 2, 2, 3]) {
            bulk.lend().await.unwrap().failed(told);
            bulk.lend().await.unwrap();
            assert_eq!(opened.load(Ordering::SeqCst), wanted, "{told:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_cannot_be_made_is_tried_again_by_the_next() {
        let bulk = Bulk::new(|| async { Err(DialError::Unreachable("nobody".to_owned())) }.boxed());
        assert!(bulk.lend().await.is_err() && bulk.lend().await.is_err());
        assert_eq!(bulk.inner.users.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn all_attempts_together_have_one_window() {
        let (bulk, _) = counted(IDLE);
        let (one, two) = (bulk.lend().await.unwrap(), bulk.lend().await.unwrap());
        let mut held = Vec::new();
        for _ in 0..WINDOW {
            held.push(one.room().await.unwrap());
        }
        assert!(two.room().now_or_never().is_none(), "the window is full");
        held.pop();
        assert!(two.room().now_or_never().flatten().is_some());
    }
}
