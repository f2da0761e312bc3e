//! The thread that makes written events durable, in groups: after a while, after many bytes, or on demand. It never retries a sync that failed; what could
//! not even be begun (a folder that cannot be opened, an end mark for which there is no room) it tries again.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use roundtable_shared::{AttemptKey, RunId};
use tokio::sync::watch;

use super::{Progress, SegmentOptions, frame, place};
use crate::trouble::{self, Health};

/// How often what was refused is tried again; the thread wakes up for it.
const AGAIN_EVERY: Duration = Duration::from_millis(500);

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
    fn sync(&self) -> Result<(), SyncError> {
        self.files.iter().try_for_each(|file| file.sync_data()).map_err(SyncError::Failed)?;
        self.dirs.iter().try_for_each(|dir| sync_dir(dir))?;
        self.end_mark.as_ref().map_or(Ok(()), |dir| {
            let seq = self.progress.as_ref().map_or(0, |progress| progress.borrow().position.written_seq);
            write_end_mark(dir, seq)
        })
    }
}

/// Why something is not durable.
enum SyncError {
    /// It could not be begun: to be tried again.
    Refused(io::Error),
    /// A sync failed, or what is on the disk is unknown.
    Failed(io::Error),
}

/// Of anything but a sync.
fn begun<T>(result: io::Result<T>) -> Result<T, SyncError> {
    result.map_err(|error| if trouble::is_refusal(&error) { SyncError::Refused(error) } else { SyncError::Failed(error) })
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
    /// The thread is at work on what it took.
    syncing: bool,
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

    /// Drops what waits for a run's attempts; false while the thread may be at work on some of it.
    pub(super) fn forget(&self, run: &RunId) -> bool {
        let mut waiting = self.lock();
        if !waiting.syncing {
            waiting.attempts.retain(|key, _| key.run != *run);
        }
        !waiting.syncing
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts back what could not be begun, for another time. What was added meanwhile stays.
    fn put_back(&self, key: AttemptKey, unsynced: Unsynced) {
        let mut waiting = self.lock();
        let later = waiting.attempts.remove(&key).unwrap_or_default();
        let mut all = unsynced;
        all.merge(later);
        waiting.attempts.insert(key, all);
        let due = Instant::now() + AGAIN_EVERY;
        waiting.due = Some(waiting.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// What is due, once it is, or nothing after a while. `None` when the queue is closed and empty.
    fn take(&self) -> Option<HashMap<AttemptKey, Unsynced>> {
        let mut waiting = self.lock();
        loop {
            let now = Instant::now();
            match waiting.due {
                Some(due) if due <= now || waiting.closing => {
                    waiting.due = None;
                    waiting.syncing = true;
                    return Some(std::mem::take(&mut waiting.attempts));
                }
                Some(due) => waiting = self.0.changed.wait_timeout(waiting, due - now).unwrap_or_else(PoisonError::into_inner).0,
                None if waiting.closing => return None,
                None => {
                    let (guard, waited) = self.0.changed.wait_timeout(waiting, AGAIN_EVERY).unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() {
                        return Some(HashMap::new());
                    }
                    waiting = guard;
                }
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
    /// Starts the thread; `health` is told if a sync fails, and is looked after while writes are refused.
    pub(super) fn start(root: PathBuf, options: SegmentOptions, health: Arc<Health>) -> io::Result<Self> {
        let queue = SyncQueue(Arc::new(Shared { options, waiting: Mutex::default(), changed: Condvar::new() }));
        let theirs = queue.clone();
        let thread = std::thread::Builder::new().name("segment-sync".to_owned()).spawn(move || {
            while let Some(attempts) = theirs.take() {
                let refused: Vec<_> = attempts.into_iter().filter(|(_, unsynced)| !sync_one(unsynced, &health)).collect();
                // At the end nobody comes again: what was never acknowledged as durable is sent again in the next life.
                if !theirs.lock().closing {
                    refused.into_iter().for_each(|(key, unsynced)| theirs.put_back(key, unsynced));
                    health.try_again(&root);
                }
                theirs.lock().syncing = false;
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

/// Syncs one attempt and tells its followers; false if it could not be begun. After a failure nothing is synced any more.
fn sync_one(unsynced: &Unsynced, health: &Health) -> bool {
    if health.failure().is_none() {
        match unsynced.sync() {
            Ok(()) => {}
            Err(SyncError::Refused(error)) => {
                health.refused(&trouble::words(&error), 0);
                return false;
            }
            Err(SyncError::Failed(error)) => health.failed(&error.to_string()),
        }
    }
    let Some(progress) = &unsynced.progress else { return true };
    let failed = health.failure().is_some();
    progress.send_modify(|progress| {
        progress.failed = failed;
        if !failed {
            progress.position.durable_seq = progress.position.durable_seq.max(unsynced.through_seq);
            progress.position.finished |= unsynced.end_mark.is_some();
        }
    });
    true
}

fn sync_dir(dir: &Path) -> Result<(), SyncError> {
    begun(File::open(dir))?.sync_all().map_err(SyncError::Failed)
}

/// Writes the end mark so that it is there whole or not at all.
fn write_end_mark(dir: &Path, last_seq: u64) -> Result<(), SyncError> {
    use std::os::unix::fs::OpenOptionsExt;
    let draft = dir.join("end.new");
    let mut file = begun(std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft))?;
    begun(file.write_all(&frame::end_mark(last_seq)))?;
    file.sync_all().map_err(SyncError::Failed)?;
    begun(std::fs::rename(&draft, dir.join(place::END_NAME)))?;
    sync_dir(dir)
}
