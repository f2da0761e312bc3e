//! When a snapshot of the state is made, and making it: beside the driver, which hands over the copy that readers have too, and goes on.

use std::io;
use std::time::Duration;

use roundtable_core::state::State;
use roundtable_store::{Head, Incarnation, Label, Snapshots};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::state::{codec, encode_state};

/// The rows since the last snapshot that make another worth its while: about a tenth of a second of a start.
const ROWS_MIN: u64 = 20_000;
/// The same in bytes of their bodies: few rows may be large ones, as of a run that begins.
const BYTES_MIN: u64 = 4 << 20;
/// At the end a snapshot holds up nobody who works, and the next start waits for it.
const ROWS_AT_END_MIN: u64 = 1_000;
const BYTES_AT_END_MIN: u64 = 256 << 10;
/// One is not begun before so many times the time has passed that the last one took: of a state that is large and changes fast, snapshots take no more than
/// that part of a core and of the disk.
const REST_FACTOR: u32 = 10;
/// After one that failed.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Snapshots of one log.
pub(super) struct Snapshotter {
    snapshots: Snapshots,
    incarnation: Incarnation,
    /// What is in the log and in no snapshot.
    rows: u64,
    bytes: u64,
    under_way: Option<JoinHandle<Made>>,
    /// When the next one may begin; `None` = at once.
    not_before: Option<Instant>,
}

/// What came of one: its bytes, and how long it took.
type Made = (io::Result<u64>, Duration);

impl Snapshotter {
    /// Of a log with so much in no snapshot.
    pub(super) fn new(snapshots: Snapshots, incarnation: Incarnation, rows: u64, bytes: u64) -> Self {
        Self { snapshots, incarnation, rows, bytes, under_way: None, not_before: None }
    }

    /// So much more is in the log.
    pub(super) fn note(&mut self, rows: u64, bytes: u64) {
        self.rows += rows;
        self.bytes += bytes;
    }

    /// Begins a snapshot if it is time. The state is the published one, all durable, up to `head`.
    pub(super) async fn make_if_due(&mut self, state: &State, head: Head, now: Instant) {
        if self.under_way.as_ref().is_some_and(JoinHandle::is_finished) {
            self.finish(now).await;
        }
        let is_due = self.rows >= ROWS_MIN || self.bytes >= BYTES_MIN;
        if is_due && self.under_way.is_none() && self.not_before.is_none_or(|at| now >= at) {
            self.begin(state, head);
        }
    }

    /// Makes the last one, and waits for it.
    pub(super) async fn make_at_end(&mut self, state: &State, head: Head, now: Instant) {
        self.finish(now).await;
        if self.rows >= ROWS_AT_END_MIN || self.bytes >= BYTES_AT_END_MIN {
            self.begin(state, head);
            self.finish(now).await;
        }
    }

    fn begin(&mut self, state: &State, head: Head) {
        if state.seq != head.seq {
            return warn!(rows = head.seq, folded = state.seq, "the state is not what the log comes to; no snapshot of it is made");
        }
        (self.rows, self.bytes) = (0, 0);
        // A copy costs next to nothing: it is the one that was published.
        let (state, snapshots) = (state.clone(), self.snapshots.clone());
        let label = Label { incarnation: self.incarnation, head, codec: codec().to_owned() };
        self.under_way = Some(tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let made = snapshots.write(&label, |out| encode_state(&state, out));
            (made, began.elapsed())
        }));
    }

    /// Waits for the one that is under way.
    async fn finish(&mut self, now: Instant) {
        let Some(under_way) = self.under_way.take() else { return };
        let made = under_way.await.unwrap_or_else(|error| (Err(io::Error::other(error)), Duration::ZERO));
        self.note_made(made, now);
    }

    fn note_made(&mut self, (made, took): Made, now: Instant) {
        match made {
            Ok(bytes) => {
                debug!(bytes, ms = took.as_millis(), "a snapshot was made");
                self.not_before = Some(now + took * REST_FACTOR);
            }
            Err(error) => {
                warn!(%error, "a snapshot could not be made; the next start reads more of the log");
                self.not_before = Some(now + AGAIN_AFTER);
                // What it would have held is in none.
                self.rows += ROWS_MIN;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use roundtable_store::RowHash;

    use super::*;

    /// A state of so many rows, and where it stands.
    fn at(seq: u64) -> (State, Head) {
        (State { seq, ..State::default() }, Head { seq, hash: RowHash([1; 32]) })
    }

    impl Snapshotter {
        /// Offers the state of that row, and waits for what comes of it.
        async fn offer(&mut self, seq: u64, now: Instant) {
            let (state, head) = at(seq);
            self.make_if_due(&state, head, now).await;
            self.finish(now).await;
        }
    }

    #[tokio::test]
    async fn one_is_made_for_many_rows_or_large_ones() {
        let dir = tempfile::tempdir().unwrap();
        let (snapshots, later) = (Snapshots::in_dir(dir.path()), Instant::now() + Duration::from_secs(600));
        let mut snapshotter = Snapshotter::new(snapshots.clone(), Incarnation([0; 16]), ROWS_MIN - 1, BYTES_MIN - 1);
        snapshotter.offer(1, Instant::now()).await;
        assert!(snapshots.rows().unwrap().is_empty());
        snapshotter.note(1, 0);
        snapshotter.offer(2, Instant::now()).await;
        assert_eq!(snapshots.rows().unwrap(), [2]);
        snapshotter.note(1, BYTES_MIN);
        snapshotter.offer(3, later).await;
        assert_eq!(snapshots.rows().unwrap(), [3, 2]);
        snapshotter.note(ROWS_AT_END_MIN - 1, 0);
        let (state, head) = at(4);
        snapshotter.make_at_end(&state, head, later).await;
        assert_eq!(snapshots.rows().unwrap(), [3, 2], "too little came after the last");
        snapshotter.note(1, 0);
        snapshotter.make_at_end(&state, head, later).await;
        assert_eq!(snapshots.rows().unwrap(), [4, 3]);
        // A state that is ahead of the log, or behind it, is none of its.
        snapshotter.note(ROWS_MIN, 0);
        snapshotter.make_at_end(&state, Head { seq: 5, ..head }, later).await;
        assert_eq!(snapshots.rows().unwrap(), [4, 3]);
    }

    #[tokio::test]
    async fn the_next_one_waits_for_ten_times_as_long_as_the_last_took_and_for_a_minute_after_one_that_failed() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, began) = (dir.path().join("there"), Instant::now());
        let after = |seconds: u64| began + Duration::from_secs(seconds);
        let snapshots = Snapshots::in_dir(&folder);
        let mut snapshotter = Snapshotter::new(snapshots.clone(), Incarnation([0; 16]), ROWS_MIN, 0);
        snapshotter.note_made((Ok(1), Duration::from_secs(2)), began);
        snapshotter.offer(1, after(19)).await;
        assert!(snapshots.rows().unwrap().is_empty());
        // Nobody can write there for a while.
        std::fs::write(&folder, "in the way").unwrap();
        snapshotter.offer(2, after(21)).await;
        std::fs::remove_file(&folder).unwrap();
        snapshotter.offer(3, after(80)).await;
        assert!(snapshots.rows().unwrap().is_empty());
        snapshotter.offer(4, after(82)).await;
        assert_eq!(snapshots.rows().unwrap(), [4], "no row came since, and what the one that failed would have held is in none");
    }
}
