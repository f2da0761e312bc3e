//! Following a live attempt: what is there, then what comes, until it ends.

use std::path::PathBuf;

use roundtable_shared::AttemptKey;
use tokio::sync::watch;

use super::cursor::Cursor;
use super::error::EventsError;
use super::{Position, Progress, StoredEvent};

/// Reads an attempt's events as they come. Slow readers hold nothing back and miss nothing: the events are on disk.
#[derive(Debug)]
pub struct Follower {
    root: PathBuf,
    key: AttemptKey,
    next_seq: u64,
    /// Away while a read is under way; a read that was dropped takes it along.
    cursor: Option<Cursor>,
    progress: watch::Receiver<Progress>,
}

impl Follower {
    pub(super) fn new(root: PathBuf, key: AttemptKey, from_seq: u64, progress: watch::Receiver<Progress>) -> Self {
        Self { root, key, next_seq: from_seq.max(1), cursor: None, progress }
    }

    /// How far the attempt has come.
    pub fn position(&self) -> Position {
        self.progress.borrow().position
    }

    /// The next events, at least one and up to `limit`, as soon as there are any; `None` once the attempt has ended and all were had.
    /// Dropping the future loses nothing.
    pub async fn next(&mut self, limit: usize) -> Result<Option<Vec<StoredEvent>>, EventsError> {
        loop {
            let Progress { position, failed } = *self.progress.borrow_and_update();
            if self.next_seq <= position.written_seq {
                let events = self.read(limit.max(1), position.written_seq).await?;
                self.next_seq += events.len() as u64;
                return Ok(Some(events));
            }
            if position.finished {
                return Ok(None);
            }
            if failed {
                return Err(EventsError::Io { detail: "the store of agent events has failed".to_owned() });
            }
            self.progress.changed().await.map_err(|_| EventsError::Closed)?;
        }
    }

    async fn read(&mut self, limit: usize, through: u64) -> Result<Vec<StoredEvent>, EventsError> {
        let (root, key, next_seq) = (self.root.clone(), self.key.clone(), self.next_seq);
        let cursor = self.cursor.take();
        let read = move || -> Result<_, EventsError> {
            let mut cursor = match cursor {
                Some(cursor) => cursor,
                None => Cursor::open(&root, &key, next_seq)?,
            };
            let batch = cursor.next_batch(limit, Some(through))?;
            Ok((cursor, batch.events))
        };
        let (cursor, events) = tokio::task::spawn_blocking(read).await.map_err(|_| EventsError::Closed)??;
        self.cursor = Some(cursor);
        Ok(events)
    }
}
