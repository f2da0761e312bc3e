//! The thread that owns the writing connection: group commit, compare-and-append, checkpoints. The only place that changes a log.

use std::path::PathBuf;
use std::time::Instant;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot, watch};

use super::failure::Failure;
use super::{CommitTimes, Opened, query, schema};
use crate::log::Appended;
use crate::log::error::{AppendError, Corruption};
use crate::log::row::{Chain, Head, Incarnation, NewRow};
use crate::log::witness::Witness;

/// Most rows and bytes of bodies that wait for one commit.
const GROUP_ROWS_MAX: usize = 16_384;
const GROUP_BYTES_MAX: usize = 8 << 20;
/// The write-ahead log is copied into the store after about this many bytes.
const CHECKPOINT_BYTES: usize = 4 << 20;
/// What a commit writes to the write-ahead log besides the rows themselves, about.
const COMMIT_OVERHEAD_BYTES: usize = 6 << 10;
const ROW_OVERHEAD_BYTES: usize = 96;

/// An append on its way to the writer.
pub(super) struct Request {
    pub(super) expected_seq: u64,
    pub(super) rows: Vec<NewRow>,
    pub(super) reply: oneshot::Sender<Result<Appended, AppendError>>,
}

/// The writer's state.
pub(super) struct Writer {
    conn: Connection,
    path: PathBuf,
    incarnation: Incarnation,
    epoch: u64,
    head: Head,
    witness: Witness,
    publish: watch::Sender<Head>,
    /// Bytes in the write-ahead log since the last checkpoint, about.
    wal_bytes: usize,
    /// Set by the first fatal failure; every later append gets it too. A failed sync in particular is never tried again: the kernel may have
    /// dropped the pages, and a second sync would report success for them.
    dead: Option<AppendError>,
    commit_times: Option<CommitTimes>,
}

type Answers = Vec<Result<Appended, AppendError>>;

impl Writer {
    pub(super) fn new(conn: Connection, path: PathBuf, opened: Opened, witness: Witness, publish: watch::Sender<Head>) -> Self {
        let Opened { incarnation, epoch, head } = opened;
        Self { conn, path, incarnation, epoch, head, witness, publish, wal_bytes: 0, dead: None, commit_times: None }
    }

    /// The same, telling how long each commit took.
    pub(super) fn timed(self, commit_times: Option<CommitTimes>) -> Self {
        Self { commit_times, ..self }
    }

    /// Serves appends until every handle is gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut group = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            collect(&mut group, first, &mut queue);
            self.serve(&mut group);
        }
    }

    /// Commits a group and answers each of its requests.
    fn serve(&mut self, group: &mut Vec<Request>) {
        let result = match &self.dead {
            Some(error) => Err(error.clone()),
            None => self.commit(group).map_err(|failure| failure.on_append(&self.path)),
        };
        if let Err(error) = &result
            && error.is_fatal()
        {
            self.dead.get_or_insert_with(|| error.clone());
        }
        match result {
            Ok(answers) => group.drain(..).zip(answers).for_each(|(request, answer)| drop(request.reply.send(answer))),
            Err(error) => group.drain(..).for_each(|request| drop(request.reply.send(Err(error.clone())))),
        }
        self.checkpoint_if_due();
    }

    /// One transaction for the whole group; each request is compared with the head that those before it leave.
    fn commit(&mut self, group: &mut [Request]) -> Result<Answers, Failure> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (_, epoch) = schema::identity(&tx)?.ok_or_else(|| Corruption::store("the store has lost its identity"))?;
        if epoch != self.epoch {
            return Ok(group.iter().map(|_| Err(AppendError::Deposed { epoch: self.epoch, by: epoch })).collect());
        }
        if query::head(&tx, self.incarnation)? != self.head {
            return Err(Corruption::store("the log changed under its writer").into());
        }
        let mut chain = Chain::after(self.head);
        let mut answers = Vec::with_capacity(group.len());
        let mut bytes = 0;
        for request in group {
            let actual = chain.head().seq;
            if request.expected_seq != actual {
                answers.push(Err(AppendError::Moved { actual }));
                continue;
            }
            for new in std::mem::take(&mut request.rows) {
                let row = chain.extend(self.epoch, new);
                bytes += row.body.len() + row.kind.len() + ROW_OVERHEAD_BYTES;
                query::insert(&tx, &row)?;
            }
            answers.push(Ok(Appended { last_seq: chain.head().seq, head_hash: chain.head().hash }));
        }
        let began = Instant::now();
        tx.commit()?;
        if chain.head() != self.head {
            if let Some(tell) = &self.commit_times {
                tell(began.elapsed());
            }
            self.advance(chain.head(), bytes);
        }
        Ok(answers)
    }

    fn advance(&mut self, head: Head, bytes: usize) {
        self.head = head;
        self.wal_bytes += bytes + COMMIT_OVERHEAD_BYTES;
        // A witness that lags only notices less, so failing to write it is no reason to fail the append.
        if let Err(error) = self.witness.record(head) {
            tracing::warn!(%error, seq = head.seq, "the witness of the log's head cannot be written");
        }
        self.publish.send_replace(head);
    }

    /// Copies the write-ahead log into the store once it is long enough. Answers have gone out before; a failed sync here is as fatal as one there.
    fn checkpoint_if_due(&mut self) {
        if self.wal_bytes < CHECKPOINT_BYTES || self.dead.is_some() {
            return;
        }
        self.wal_bytes = 0;
        let done = self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        match done.map_err(Failure::from) {
            Ok(()) => {}
            Err(failure) => match failure.on_append(&self.path) {
                error if error.is_fatal() => {
                    tracing::error!(%error, "checkpoint of the log failed");
                    self.dead = Some(error);
                }
                error => tracing::warn!(%error, "the write-ahead log cannot be copied into the store yet"),
            },
        }
    }
}

/// Takes what is queued, up to the bounds of a group. Waits for nothing: while one group syncs, the next one gathers.
fn collect(group: &mut Vec<Request>, first: Request, queue: &mut mpsc::Receiver<Request>) {
    let size = |request: &Request| (request.rows.len(), request.rows.iter().map(|row| row.body.len()).sum::<usize>());
    let (mut rows, mut bytes) = size(&first);
    group.push(first);
    while rows < GROUP_ROWS_MAX && bytes < GROUP_BYTES_MAX {
        let Ok(next) = queue.try_recv() else { break };
        let (more_rows, more_bytes) = size(&next);
        rows += more_rows;
        bytes += more_bytes;
        group.push(next);
    }
}
