//! The thread that writes all attempts' events: one request at a time, in the order they came, so no two writers meet in a file.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use roundtable_shared::{AttemptKey, RunId};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::attempt::Attempt;
use super::error::ChunkError;
use super::sync::{SyncQueue, Unsynced};
use super::{Chunk, Position, Progress, SegmentOptions, frame, place};
use crate::trouble::Health;

type Answer<T> = oneshot::Sender<Result<T, ChunkError>>;

/// What the writer is asked.
pub(super) enum Request {
    /// Append; `room` is given back when it is done.
    Append { key: AttemptKey, chunk: Chunk, room: OwnedSemaphorePermit, reply: Answer<Position> },
    /// Look at an attempt.
    Open { key: AttemptKey, reply: Answer<watch::Receiver<Progress>> },
    /// Make what is written durable at once.
    Flush { key: AttemptKey, reply: Answer<watch::Receiver<Progress>> },
    /// Take no more events.
    Finish { key: AttemptKey, reply: Answer<watch::Receiver<Progress>> },
    /// Put a run's events aside and know of them no more; where they are then. `None`: something of it is still being written.
    Forget { run: RunId, reply: Answer<Option<PathBuf>> },
}

/// The writer's state.
pub(super) struct Writer {
    root: PathBuf,
    options: SegmentOptions,
    sync: SyncQueue,
    health: Arc<Health>,
    attempts: HashMap<AttemptKey, Attempt>,
    open_files: usize,
    /// Counts requests: the clock by which attempts are forgotten.
    tick: u64,
}

impl Writer {
    pub(super) fn new(root: PathBuf, options: SegmentOptions, sync: SyncQueue, health: Arc<Health>) -> Self {
        Self { root, options, sync, health, attempts: HashMap::new(), open_files: 0, tick: 0 }
    }

    /// Serves requests until every handle is gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(request) = queue.blocking_recv() {
            match request {
                Request::Append { key, chunk, room, reply } => {
                    let answer = self.step(&key, false, |attempt, options, unsynced| attempt.append(&chunk, options, unsynced));
                    let bytes = chunk.events.iter().map(|event| event.len() + frame::RECORD_OVERHEAD_BYTES).sum();
                    self.note(&answer, bytes);
                    drop((chunk, room));
                    let _ = reply.send(answer);
                }
                Request::Open { key, reply } => {
                    let answer = self.step(&key, false, |attempt, _, _| Ok(attempt.progress().subscribe()));
                    self.note(&answer, 0);
                    let _ = reply.send(answer);
                }
                Request::Flush { key, reply } => {
                    let answer = self.step(&key, true, |attempt, _, _| Ok(attempt.progress().subscribe()));
                    self.note(&answer, 0);
                    let _ = reply.send(answer);
                }
                Request::Finish { key, reply } => {
                    let answer = self.step(&key, true, |attempt, _, unsynced| {
                        attempt.end(unsynced)?;
                        Ok(attempt.progress().subscribe())
                    });
                    self.note(&answer, 0);
                    let _ = reply.send(answer);
                }
                Request::Forget { run, reply } => {
                    let _ = reply.send(self.forget(&run));
                }
            }
        }
    }

    fn forget(&mut self, run: &RunId) -> Result<Option<PathBuf>, ChunkError> {
        let mut known = self.attempts.iter().filter(|(key, _)| key.run == *run);
        if known.any(|(_, attempt)| !attempt.is_settled()) || !self.sync.forget(run) {
            return Ok(None);
        }
        self.attempts.retain(|key, _| key.run != *run);
        self.open_files = self.attempts.values().filter(|attempt| attempt.has_file()).count();
        // Renamed here, where nobody else writes; removed by whoever asked, so that other attempts need not wait for it.
        let aside = place::free_aside(&self.root, run);
        match std::fs::rename(self.root.join(place::run_dir(run)), &aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(Some(aside)),
        }
    }

    /// Does something with an attempt, then hands on what has to be synced.
    fn step<T>(
        &mut self,
        key: &AttemptKey,
        sync_now: bool,
        act: impl FnOnce(&mut Attempt, &SegmentOptions, &mut Unsynced) -> Result<T, ChunkError>,
    ) -> Result<T, ChunkError> {
        self.check_failure()?;
        self.load(key)?;
        self.tick += 1;
        let Some(attempt) = self.attempts.get_mut(key) else { return Err(ChunkError::Closed) };
        attempt.used = self.tick;
        let had_file = attempt.has_file();
        let mut unsynced = Unsynced::default();
        let answer = act(attempt, &self.options, &mut unsynced);
        self.open_files = self.open_files + usize::from(attempt.has_file()) - usize::from(had_file);
        self.sync.put(key, unsynced, attempt.progress(), sync_now);
        self.close_files();
        answer
    }

    /// What became of a request, for all who must know: one that was refused whole is asked again, after anything worse nothing is written any more.
    fn note<T>(&self, answer: &Result<T, ChunkError>, bytes: usize) {
        match answer {
            Err(ChunkError::Unwritable { detail }) => self.health.refused(detail, bytes),
            Err(ChunkError::Io { detail }) => self.health.failed(detail),
            _ => {}
        }
    }

    fn check_failure(&self) -> Result<(), ChunkError> {
        self.health.failure().map_or(Ok(()), |detail| Err(ChunkError::Io { detail }))
    }

    fn load(&mut self, key: &AttemptKey) -> Result<(), ChunkError> {
        if self.attempts.contains_key(key) {
            return Ok(());
        }
        self.forget_idle();
        let (attempt, unsynced) = Attempt::load(self.root.join(place::relative_dir(key)))?;
        self.sync.put(key, unsynced, attempt.progress(), false);
        self.attempts.insert(key.clone(), attempt);
        Ok(())
    }

    /// Keeps the number of open files within the bound.
    fn close_files(&mut self) {
        if self.open_files <= self.options.open_files_max.max(1) {
            return;
        }
        // Half at once, so that the search is rare.
        let mut open: Vec<&mut Attempt> = self.attempts.values_mut().filter(|attempt| attempt.has_file()).collect();
        open.sort_unstable_by_key(|attempt| attempt.used);
        let close = open.len() - self.options.open_files_max.max(1).div_ceil(2);
        open.into_iter().take(close).for_each(Attempt::close_file);
        self.open_files -= close;
    }

    /// Keeps the number of remembered attempts within the bound, as far as they are idle.
    fn forget_idle(&mut self) {
        if self.attempts.len() < self.options.attempts_max {
            return;
        }
        let mut idle: Vec<(u64, AttemptKey)> =
            self.attempts.iter().filter(|(_, attempt)| attempt.is_idle()).map(|(key, attempt)| (attempt.used, key.clone())).collect();
        idle.sort_unstable();
        let forget = idle.len().div_ceil(2);
        for (_, key) in idle.into_iter().take(forget) {
            let forgotten = self.attempts.remove(&key);
            self.open_files -= usize::from(forgotten.is_some_and(|attempt| attempt.has_file()));
        }
    }
}
