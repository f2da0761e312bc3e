//! Agent events on disk: for each attempt a sequence without gaps, each event exactly once (I11), appended by its worker, read by watchers.
//!
//! An event is bytes here. Who may append for an attempt is the caller's to check; deciding when to forget a run is too.

mod attempt;
mod cursor;
mod error;
mod follow;
mod frame;
mod place;
mod reader;
mod sync;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use roundtable_shared::limits::{BULK_MESSAGE_BYTES_MAX, EVENT_BYTES_MAX};
use roundtable_shared::{AttemptKey, RunId};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use cursor::{Batch, Cursor, check_events};
pub use error::{ChunkError, EventsError};
pub use follow::Follower;
pub(crate) use place::relative_dir;
pub use place::{has_events, is_aside, relative_dir as attempt_dir, run_dir};
pub use reader::Reader;

use self::sync::Syncer;
use self::writer::Request;
use crate::trouble::{Health, Trouble};

/// Largest chunk, bytes of events.
pub const CHUNK_BYTES_MAX: usize = BULK_MESSAGE_BYTES_MAX;
/// Most events of one chunk: as many as have room with nothing in them.
pub const CHUNK_EVENTS_MAX: usize = CHUNK_BYTES_MAX / frame::RECORD_OVERHEAD_BYTES;
/// One read returns no more than about this many bytes of events; at least one event.
pub const READ_BYTES_MAX: usize = 4 << 20;

/// Requests, and bytes of events, that wait for the writer; more callers wait for room.
const REQUEST_QUEUE_MAX: usize = 256;
const QUEUED_BYTES_MAX: usize = 32 << 20;

/// Bounds and rhythm of a segment store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentOptions {
    /// A new file is begun when one has reached this size.
    pub file_bytes_max: u64,
    /// Most bytes of one attempt.
    pub attempt_bytes_max: u64,
    /// Longest time written events wait to be made durable.
    pub sync_ms: u64,
    /// Unsynced bytes of an attempt that start a sync at once.
    pub sync_bytes: u64,
    /// Files kept open for writing.
    pub open_files_max: usize,
    /// Attempts remembered in memory; older ones are looked up on disk again.
    pub attempts_max: usize,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            file_bytes_max: 16 << 20,
            attempt_bytes_max: 256 << 20,
            sync_ms: 500,
            sync_bytes: 1 << 20,
            open_files_max: 256,
            attempts_max: 16_384,
        }
    }
}

/// Events of one attempt with consecutive numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Number of the first event; the first of an attempt is 1.
    pub first_seq: u64,
    /// The events, each some bytes.
    pub events: Vec<Vec<u8>>,
}

/// One event as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredEvent {
    /// Its number within the attempt, from 1.
    pub seq: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// How far an attempt's events have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// Last event that can be read; 0 if there is none.
    pub written_seq: u64,
    /// Last event that survives a crash: acknowledge no later one.
    pub durable_seq: u64,
    /// Whether no more events will come.
    pub finished: bool,
}

/// What followers see: the position, and whether the store has failed.
#[derive(Clone, Copy, Default, Debug)]
struct Progress {
    position: Position,
    failed: bool,
}

/// The events of all attempts under one directory. Clones share it; the last one to go waits for a final sync.
#[derive(Clone, Debug)]
pub struct SegmentStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// `None` only while dropping.
    requests: Option<mpsc::Sender<Request>>,
    room: Arc<Semaphore>,
    health: Arc<Health>,
    thread: Option<JoinHandle<()>>,
    /// Ends after the writer, with a last sync.
    _syncer: Syncer,
}

impl SegmentStore {
    /// Opens the store at `root`, creating the directory. Attempts are looked at when they are first used.
    pub fn open(root: &Path, options: SegmentOptions) -> Result<Self, EventsError> {
        let io = |error: std::io::Error| EventsError::Io { detail: format!("{}: {error}", root.display()) };
        place::create_dir_all(root).map_err(io)?;
        let health = Arc::new(Health::new());
        let syncer = Syncer::start(root.to_owned(), options, Arc::clone(&health)).map_err(io)?;
        let writer = writer::Writer::new(root.to_owned(), options, syncer.queue(), Arc::clone(&health));
        let (requests, queue) = mpsc::channel(REQUEST_QUEUE_MAX);
        let thread = std::thread::Builder::new().name("segment-writer".to_owned()).spawn(move || writer.run(queue)).map_err(io)?;
        let room = Arc::new(Semaphore::new(QUEUED_BYTES_MAX));
        Ok(Self(Arc::new(Inner { root: root.to_owned(), requests: Some(requests), room, health, thread: Some(thread), _syncer: syncer })))
    }

    /// Why it cannot be written now; `None` while it can. After [`Trouble::Failed`] nothing is written any more, and the process must stop.
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.0.health.watch()
    }

    /// Appends a chunk. Events the attempt has already are passed over, so sending again is harmless; a gap is refused with
    /// [`ChunkError::Nack`]. The events can be read when this returns, but are durable only when [`Position::durable_seq`] says so.
    pub async fn append(&self, key: &AttemptKey, chunk: Chunk) -> Result<Position, ChunkError> {
        let bytes = check_bounds(&chunk)?;
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.0.room).acquire_many_owned(permits).await.map_err(|_| ChunkError::Closed)?;
        self.ask(|reply| Request::Append { key: key.clone(), chunk, room, reply }).await?
    }

    /// Waits until the event `seq` is durable, in the rhythm of the group sync. `seq` must have been written.
    pub async fn durable(&self, key: &AttemptKey, seq: u64) -> Result<Position, ChunkError> {
        let progress = self.progress(key).await?;
        self.wait_durable(progress, seq).await
    }

    /// Makes everything written for the attempt durable now.
    pub async fn flush(&self, key: &AttemptKey) -> Result<Position, ChunkError> {
        let progress = self.ask(|reply| Request::Flush { key: key.clone(), reply }).await??;
        let written = progress.borrow().position.written_seq;
        self.wait_durable(progress, written).await
    }

    /// Ends the attempt: its events become durable, and later ones are refused. Doing it again is harmless.
    pub async fn finish(&self, key: &AttemptKey) -> Result<Position, ChunkError> {
        let mut progress = self.ask(|reply| Request::Finish { key: key.clone(), reply }).await??;
        let ended =
            progress.wait_for(|progress| progress.position.finished || progress.failed).await.map_err(|_| ChunkError::Closed)?.position;
        if ended.finished { Ok(ended) } else { Err(self.failed()) }
    }

    /// How far the attempt has come.
    pub async fn position(&self, key: &AttemptKey) -> Result<Position, ChunkError> {
        Ok(self.progress(key).await?.borrow().position)
    }

    /// Up to `limit` events from `from_seq` on that are there now. Whoever reads on after that takes a [`Reader`], which does not look for its place anew.
    pub async fn read(&self, key: &AttemptKey, from_seq: u64, limit: usize) -> Result<Vec<StoredEvent>, EventsError> {
        self.reader(key, from_seq).next(limit).await
    }

    /// Reads the attempt from `from_seq` on, bit by bit.
    pub fn reader(&self, key: &AttemptKey, from_seq: u64) -> Reader {
        Reader::new(self.clone(), key.clone(), from_seq)
    }

    /// Follows the attempt from `from_seq` on, beyond what is there now.
    pub async fn follow(&self, key: &AttemptKey, from_seq: u64) -> Result<Follower, EventsError> {
        let progress = self.progress(key).await?;
        Ok(Follower::new(self.0.root.clone(), key.clone(), from_seq, progress))
    }

    /// Removes the events of a run, whoever follows them. False, and nothing is done, while some of them are still being written.
    pub async fn forget(&self, run: &RunId) -> Result<bool, ChunkError> {
        match self.ask(|reply| Request::Forget { run: run.clone(), reply }).await?? {
            None => Ok(false),
            Some(aside) => {
                remove_all(vec![aside]).await?;
                Ok(true)
            }
        }
    }

    /// Removes what was put aside to be removed when an earlier life ended.
    pub async fn clear_aside(&self) -> Result<(), ChunkError> {
        remove_all(place::list_aside(&self.0.root)?).await
    }

    async fn progress(&self, key: &AttemptKey) -> Result<watch::Receiver<Progress>, ChunkError> {
        self.ask(|reply| Request::Open { key: key.clone(), reply }).await?
    }

    async fn wait_durable(&self, mut progress: watch::Receiver<Progress>, seq: u64) -> Result<Position, ChunkError> {
        let done = |progress: &Progress| progress.failed || progress.position.durable_seq >= seq;
        let reached = *progress.wait_for(done).await.map_err(|_| ChunkError::Closed)?;
        if reached.position.durable_seq >= seq { Ok(reached.position) } else { Err(self.failed()) }
    }

    fn failed(&self) -> ChunkError {
        ChunkError::Io { detail: self.0.health.failure().unwrap_or_else(|| "an earlier write failed".to_owned()) }
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, ChunkError> {
        let requests = self.0.requests.as_ref().ok_or(ChunkError::Closed)?;
        let (reply, answer) = oneshot::channel();
        requests.send(request(reply)).await.map_err(|_| ChunkError::Closed)?;
        answer.await.map_err(|_| ChunkError::Closed)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Removes directories off the async threads; one that is not there is fine.
async fn remove_all(dirs: Vec<PathBuf>) -> Result<(), ChunkError> {
    let remove = move || {
        dirs.iter().try_for_each(|dir| match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    };
    Ok(tokio::task::spawn_blocking(remove).await.map_err(|_| ChunkError::Closed)??)
}

/// Bytes of the chunk's events, if it is within the bounds.
fn check_bounds(chunk: &Chunk) -> Result<usize, ChunkError> {
    let bytes = chunk.events.iter().map(Vec::len).sum();
    let longest = chunk.events.iter().map(Vec::len).max().unwrap_or(0);
    let detail = if chunk.first_seq == 0 {
        "events are numbered from 1".to_owned()
    } else if longest > EVENT_BYTES_MAX {
        format!("an event of {longest} bytes, at most {EVENT_BYTES_MAX}")
    } else if bytes > CHUNK_BYTES_MAX || chunk.events.len() > CHUNK_EVENTS_MAX {
        format!("{} events of {bytes} bytes in one chunk, at most {CHUNK_EVENTS_MAX} of {CHUNK_BYTES_MAX} bytes", chunk.events.len())
    } else {
        return Ok(bytes);
    };
    Err(ChunkError::Refused { detail })
}

#[cfg(test)]
mod tests;
