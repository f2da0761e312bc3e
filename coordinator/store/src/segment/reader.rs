//! Reading an attempt bit by bit, as far as it is there: each read goes on where the one before ended, whatever lies before that, and nothing stays open
//! between them.

use roundtable_shared::AttemptKey;

use super::cursor::{Bookmark, Cursor};
use super::error::{ChunkError, EventsError};
use super::{SegmentStore, StoredEvent};

/// A place in an attempt's events that moves with each read.
#[derive(Debug)]
pub struct Reader {
    store: SegmentStore,
    key: AttemptKey,
    from_seq: u64,
    at: Option<Bookmark>,
}

impl Reader {
    pub(super) fn new(store: SegmentStore, key: AttemptKey, from_seq: u64) -> Self {
        Self { store, key, from_seq, at: None }
    }

    /// Up to `limit` of the next events that are there now. An empty answer means there are none yet; a short one does not
    /// (see [`READ_BYTES_MAX`](super::READ_BYTES_MAX)). Dropping the future loses nothing.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<StoredEvent>, EventsError> {
        // A damaged attempt is left to the cursor, which says where the damage is.
        let written = match self.store.progress(&self.key).await {
            Err(ChunkError::Corrupt { .. }) => None,
            progress => Some(progress?.borrow().position.written_seq),
        };
        let at = self.at;
        let next_seq = at.map_or(self.from_seq, |at| at.next_seq.max(self.from_seq));
        if written.is_some_and(|written| next_seq > written) {
            return Ok(Vec::new());
        }
        let (root, key) = (self.store.0.root.clone(), self.key.clone());
        let read = move || -> Result<_, EventsError> {
            let opened = Cursor::open(&root, &key, next_seq)?;
            let mut cursor = match at {
                Some(at) => opened.resume(at)?,
                None => opened,
            };
            let batch = cursor.next_batch(limit, written)?;
            Ok((cursor.bookmark(), batch.events))
        };
        let (at, events) = tokio::task::spawn_blocking(read).await.map_err(|_| EventsError::Closed)??;
        self.at = Some(at);
        Ok(events)
    }
}
