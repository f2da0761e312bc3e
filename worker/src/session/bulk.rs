//! The second connection of a link: logs, packs and outcomes go over it, so that none of them ever stands before a heartbeat. It is opened when there is
//! something to send or fetch, and closed once there has been nothing for a while. Beyond what one connection takes there is another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use roundtable_proto::v1::fleet_client::FleetClient;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::limits::{BULK_MESSAGE_BYTES_MAX, STREAMS_MAX};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tonic::transport::Channel;

use super::dial::DialError;

/// Closed when nothing has used it for this long.
const IDLE: Duration = Duration::from_secs(10);
/// Chunks of events in flight on one link, of all its attempts: 32 MiB.
const WINDOW: usize = 128;
/// Users of one connection, each of which has one call at a time. A call more than the coordinator takes would wait for the end of another's, and a report behind
/// the events of an attempt that runs for hours. Some are left for calls whose end has not been noticed yet.
const USERS_MAX: usize = STREAMS_MAX as usize - 8;

/// Opens a connection.
type Open = dyn Fn() -> BoxFuture<'static, Result<Channel, DialError>> + Send + Sync;

/// The connection, open or not. Cheap to clone.
#[derive(Clone)]
pub struct Bulk {
    inner: Arc<Inner>,
    /// What is spoken over it.
    protocol: u32,
}

struct Inner {
    open: Box<Open>,
    idle: Duration,
    lines: Mutex<Vec<Arc<Line>>>,
    window: Arc<Semaphore>,
}

/// One connection that is open.
struct Line {
    channel: Channel,
    /// The next to come opens another, with whatever credentials there are then.
    is_broken: AtomicBool,
    users: AtomicUsize,
    /// How often it was lent.
    lent: AtomicU64,
}

/// The connection in use.
pub struct Lent {
    client: FleetClient<Channel>,
    user: User,
}

impl Bulk {
    /// Not open yet; to a coordinator whose welcome chose this protocol.
    pub fn new(protocol: u32, open: impl Fn() -> BoxFuture<'static, Result<Channel, DialError>> + Send + Sync + 'static) -> Self {
        Self::closing_after(protocol, IDLE, open)
    }

    fn closing_after(
        protocol: u32,
        idle: Duration,
        open: impl Fn() -> BoxFuture<'static, Result<Channel, DialError>> + Send + Sync + 'static,
    ) -> Self {
        let inner = Inner { open: Box::new(open), idle, lines: Mutex::new(Vec::new()), window: Arc::new(Semaphore::new(WINDOW)) };
        Self { inner: Arc::new(inner), protocol }
    }

    /// The connection, which stays open for as long as what this gives is kept.
    pub async fn lend(&self) -> Result<Lent, DialError> {
        let mut lines = self.inner.lines.lock().await;
        // Who uses one that broke keeps it until it notices.
        lines.retain(|line| !line.is_broken.load(Ordering::SeqCst));
        let line = match lines.iter().find(|line| line.users.load(Ordering::SeqCst) < USERS_MAX) {
            Some(line) => Arc::clone(line),
            None => {
                let line = Arc::new(Line::new((self.inner.open)().await?));
                lines.push(Arc::clone(&line));
                line
            }
        };
        let client = FleetClient::new(line.channel.clone());
        let client = client.max_decoding_message_size(BULK_MESSAGE_BYTES_MAX).max_encoding_message_size(BULK_MESSAGE_BYTES_MAX);
        Ok(Lent { client, user: User::new(self.clone(), line) })
    }
}

impl Line {
    fn new(channel: Channel) -> Self {
        Self { channel, is_broken: AtomicBool::new(false), users: AtomicUsize::new(0), lent: AtomicU64::new(0) }
    }
}

impl Lent {
    /// To call over it.
    pub fn client(&self) -> FleetClient<Channel> {
        self.client.clone()
    }

    /// The protocol to speak over it.
    pub fn protocol(&self) -> u32 {
        self.user.bulk.protocol
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
        self.user.line.is_broken.store(true, Ordering::SeqCst);
    }

    /// Waits for room for one more chunk of events, among all attempts.
    pub async fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.user.bulk.inner.window).acquire_owned().await.ok()
    }
}

/// Somebody uses a connection.
struct User {
    bulk: Bulk,
    line: Arc<Line>,
}

impl User {
    fn new(bulk: Bulk, line: Arc<Line>) -> Self {
        line.users.fetch_add(1, Ordering::SeqCst);
        line.lent.fetch_add(1, Ordering::SeqCst);
        Self { bulk, line }
    }
}

impl Drop for User {
    /// The last one out sees to it that it is closed, if nobody comes meanwhile.
    fn drop(&mut self) {
        if self.line.users.fetch_sub(1, Ordering::SeqCst) > 1 {
            return;
        }
        // Where the runtime has ended, so has the connection.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (idle, lent) = (self.bulk.inner.idle, self.line.lent.load(Ordering::SeqCst));
        // With the last of its users, the link itself, it goes at once.
        let (inner, line) = (Arc::downgrade(&self.bulk.inner), Arc::downgrade(&self.line));
        runtime.spawn(async move {
            tokio::time::sleep(idle).await;
            let (Some(inner), Some(line)) = (inner.upgrade(), line.upgrade()) else { return };
            let mut lines = inner.lines.lock().await;
            if line.users.load(Ordering::SeqCst) == 0 && line.lent.load(Ordering::SeqCst) == lent {
                lines.retain(|each| !Arc::ptr_eq(each, &line));
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
        let bulk = Bulk::closing_after(1, idle, move || {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(Endpoint::from_static("http://127.0.0.1:9").connect_lazy()) }.boxed()
        });
        (bulk, opened)
    }

    async fn closed(bulk: &Bulk) {
        let closed = async {
            while !bulk.inner.lines.lock().await.is_empty() {
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
        assert!(!bulk.inner.lines.lock().await.is_empty(), "the other still uses it");
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
        let bulk = Bulk::new(1, || async { Err(DialError::Unreachable("nobody".to_owned())) }.boxed());
        assert!(bulk.lend().await.is_err() && bulk.lend().await.is_err());
        assert!(bulk.inner.lines.lock().await.is_empty());
    }

    #[tokio::test]
    async fn more_than_one_connection_takes_go_over_another() {
        let (bulk, opened) = counted(Duration::from_secs(3_600));
        let mut lent = Vec::new();
        for _ in 0..2 * USERS_MAX {
            lent.push(bulk.lend().await.unwrap());
        }
        assert_eq!(opened.load(Ordering::SeqCst), 2);
        // One that leaves makes room on its own; what breaks is one of the two.
        lent.pop();
        lent.push(bulk.lend().await.unwrap());
        assert_eq!(opened.load(Ordering::SeqCst), 2);
        lent[0].broke();
        let _third = bulk.lend().await.unwrap();
        assert_eq!((opened.load(Ordering::SeqCst), bulk.inner.lines.lock().await.len()), (3, 2));
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
