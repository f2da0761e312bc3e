//! The thread that makes written events durable, in groups: after a while, after many bytes, or on demand. It never retries a sync.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use roundtable_shared::AttemptKey;
use tokio::sync::watch;

use super::{Progress, SegmentOptions, frame, place};

/// What has been written and not synced for one attempt, or by one step of the writer.
#[derive(Default)]
pub(super) struct Unsynced {
    pub(super) files: Vec<Arc<File>>,
    /// Directories that have new names in them.
    pub(super) dirs: Vec<PathBuf>,
    /// Where to write the end mark, after everything else.
    pub(super) end_mark: Option<PathBuf>,
    through_seq: u64,
    bytes: u64,
    progress: Option<Arc<watch::Sender<Progress>>>,
}

impl Unsynced {
    /// Notes an append.
    pub(super) fn add(&mut self, file: &Arc<File>, through_seq: u64, bytes: u64) {
        self.files.push(Arc::clone(file));
        self.through_seq = through_seq;
        self.bytes += bytes;
    }

    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.dirs.is_empty() && self.end_mark.is_none()
    }

    fn merge(&mut self, later: Unsynced) {
        for file in later.files {
            if !self.files.iter().any(|known| Arc::ptr_eq(known, &file)) {
                self.files.push(file);
            }
        }
        for dir in later.dirs {
            if !self.dirs.contains(&dir) {
                self.dirs.push(dir);
            }
        }
        self.end_mark = self.end_mark.take().or(later.end_mark);
        self.through_seq = self.through_seq.max(later.through_seq);
        self.bytes += later.bytes;
        self.progress = later.progress.or(self.progress.take());
    }

    /// Makes it durable: content, then names, then the end mark.
    fn sync(&self) -> io::Result<()> {
        self.files.iter().try_for_each(|file| file.sync_data())?;
        self.dirs.iter().try_for_each(|dir| sync_dir(dir))?;
        self.end_mark.as_ref().map_or(Ok(()), |dir| {
            let seq = self.progress.as_ref().map_or(0, |progress| progress.borrow().position.written_seq);
            write_end_mark(dir, seq)
        })
    }
}

/// Where the writer puts what is to be synced. Bounded by the bytes the writer lets wait: see [`SyncQueue::put`].
#[derive(Clone)]
pub(super) struct SyncQueue(Arc<Shared>);

struct Shared {
    options: SegmentOptions,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    attempts: HashMap<AttemptKey, Unsynced>,
    /// When the oldest of them must be synced.
    due: Option<Instant>,
    closing: bool,
}

impl SyncQueue {
    /// Adds to what waits for the attempt. `now` asks for a sync at once.
    pub(super) fn put(&self, key: &AttemptKey, mut unsynced: Unsynced, progress: &Arc<watch::Sender<Progress>>, now: bool) {
        if unsynced.is_empty() && !now {
            return;
        }
        unsynced.progress = Some(Arc::clone(progress));
        let mut waiting = self.lock();
        let entry = waiting.attempts.entry(key.clone()).or_default();
        entry.merge(unsynced);
        let now = now || entry.bytes >= self.0.options.sync_bytes || entry.end_mark.is_some();
        let due = Instant::now() + if now { Duration::ZERO } else { Duration::from_millis(self.0.options.sync_ms) };
        if waiting.due.is_none_or(|earlier| due < earlier) {
            waiting.due = Some(due);
            self.0.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is due, once it is. `None` when the queue is closed and empty.
    fn take(&self) -> Option<HashMap<AttemptKey, Unsynced>> {
        let mut waiting = self.lock();
        loop {
            let now = Instant::now();
            match waiting.due {
                Some(due) if due <= now || waiting.closing => {
                    waiting.due = None;
                    return Some(std::mem::take(&mut waiting.attempts));
                }
                Some(due) => waiting = self.0.changed.wait_timeout(waiting, due - now).unwrap_or_else(PoisonError::into_inner).0,
                None if waiting.closing => return None,
                None => waiting = self.0.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// The thread. Dropping it syncs what is left and waits for that.
pub(super) struct Syncer {
    queue: SyncQueue,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Starts the thread; `failure` is set, once and for all, if a sync fails.
    pub(super) fn start(options: SegmentOptions, failure: Arc<OnceLock<String>>) -> io::Result<Self> {
        let queue = SyncQueue(Arc::new(Shared { options, waiting: Mutex::default(), changed: Condvar::new() }));
        let theirs = queue.clone();
        let thread = std::thread::Builder::new().name("segment-sync".to_owned()).spawn(move || {
            while let Some(attempts) = theirs.take() {
                attempts.into_values().for_each(|unsynced| sync_one(&unsynced, &failure));
            }
        })?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Where the writer puts its work.
    pub(super) fn queue(&self) -> SyncQueue {
        self.queue.clone()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.queue.lock().closing = true;
        self.queue.0.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Syncer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Syncer")
    }
}

/// Syncs one attempt and tells its followers. After a failure nothing is synced any more: the kernel may have dropped the pages, so that a later
/// sync would succeed without them.
fn sync_one(unsynced: &Unsynced, failure: &OnceLock<String>) {
    if failure.get().is_none()
        && let Err(error) = unsynced.sync()
    {
        tracing::error!(%error, "agent events cannot be made durable");
        let _ = failure.set(error.to_string());
    }
    let Some(progress) = &unsynced.progress else { return };
    let failed = failure.get().is_some();
    progress.send_modify(|progress| {
        progress.failed = failed;
        if !failed {
            progress.position.durable_seq = progress.position.durable_seq.max(unsynced.through_seq);
            progress.position.finished |= unsynced.end_mark.is_some();
        }
    });
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Writes the end mark so that it is there whole or not at all.
fn write_end_mark(dir: &Path, last_seq: u64) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let draft = dir.join("end.new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&frame::end_mark(last_seq))?;
    file.sync_all()?;
    std::fs::rename(&draft, dir.join(place::END_NAME))?;
    sync_dir(dir)
}
