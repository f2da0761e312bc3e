//! The log in one SQLite file: opening it, and the handles behind which a writer thread and a reader thread own the connections.
//!
//! The data directory's lock is the caller's; what keeps a second writer out here is the epoch.

mod copy;
mod failure;
mod query;
mod reader;
mod schema;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, oneshot, watch};

use self::failure::Failure;
use super::error::{AppendError, Corruption, OpenError, ReadError};
use super::row::{Head, Incarnation, NewRow, Row};
use super::witness;
use super::{Appended, Log, LogFuture, LogReader, check_bounds};

pub use copy::{Copied, copy_store};
pub use reader::SqliteReader;

/// Appends waiting for the writer; more callers wait for room.
const APPEND_QUEUE_MAX: usize = 1024;

/// How a store is opened for writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SqliteOptions {
    /// Largest size of the store, bytes; appends beyond it answer [`AppendError::Full`]. `None`: what the disk holds.
    pub bytes_max: Option<u64>,
}

/// Is told how long each commit took, its sync included; called on the writer's thread, so it must be short.
pub type CommitTimes = Arc<dyn Fn(Duration) + Send + Sync>;

/// A log in a SQLite file, open for appending. Dropping it waits for the writer thread to end.
pub struct SqliteLog {
    /// This and the next two are `None` only while dropping.
    requests: Option<mpsc::Sender<writer::Request>>,
    thread: Option<JoinHandle<()>>,
    reader: Option<SqliteReader>,
    path: PathBuf,
    incarnation: Incarnation,
    published: watch::Receiver<Head>,
    epoch: u64,
}

impl SqliteLog {
    /// Opens the store at `path`, creating or upgrading it, and begins a new epoch. Blocks on the disk.
    ///
    /// Checks the store's identity, its last row and that no acknowledged row is missing; the rows before are checked as they are read.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        Self::open_with(path, options, None)
    }

    /// The same, telling how long each commit takes.
    pub fn open_timed(path: &Path, options: SqliteOptions, commit_times: CommitTimes) -> Result<Self, OpenError> {
        Self::open_with(path, options, Some(commit_times))
    }

    fn open_with(path: &Path, options: SqliteOptions, commit_times: Option<CommitTimes>) -> Result<Self, OpenError> {
        let (conn, opened) = open_writer(path, options).map_err(|failure| failure.on_open(path))?;
        let reader = SqliteReader::open(path)?;
        let io = |error: std::io::Error| OpenError::Io { path: path.to_owned(), detail: error.to_string() };
        let mut witness = witness::Witness::open(path, opened.incarnation).map_err(io)?;
        witness.record(opened.head).map_err(io)?;
        let (requests, queue) = mpsc::channel(APPEND_QUEUE_MAX);
        let (publish, published) = watch::channel(opened.head);
        let Opened { incarnation, epoch, .. } = opened;
        let writer = writer::Writer::new(conn, path.to_owned(), opened, witness, publish).timed(commit_times);
        let thread = std::thread::Builder::new().name("log-writer".to_owned()).spawn(move || writer.run(queue)).map_err(io)?;
        Ok(Self {
            requests: Some(requests),
            thread: Some(thread),
            reader: Some(reader),
            path: path.to_owned(),
            incarnation,
            published,
            epoch,
        })
    }

    async fn enqueue(&self, expected_seq: u64, rows: Vec<NewRow>) -> Result<Appended, AppendError> {
        check_bounds(expected_seq, &rows)?;
        let requests = self.requests.as_ref().ok_or(AppendError::Closed)?;
        let (reply, answer) = oneshot::channel();
        requests.send(writer::Request { expected_seq, rows, reply }).await.map_err(|_| AppendError::Closed)?;
        answer.await.map_err(|_| AppendError::Closed)?
    }
}

impl LogReader for SqliteLog {
    fn read(&self, from_seq: u64, limit: usize) -> LogFuture<'_, Result<Vec<Row>, ReadError>> {
        match &self.reader {
            Some(reader) => reader.read(from_seq, limit),
            None => Box::pin(std::future::ready(Err(ReadError::Closed))),
        }
    }

    fn head(&self) -> LogFuture<'_, Result<Head, ReadError>> {
        let head = *self.published.borrow();
        Box::pin(std::future::ready(Ok(head)))
    }

    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }
}

impl Log for SqliteLog {
    fn append(&self, expected_seq: u64, rows: Vec<NewRow>) -> LogFuture<'_, Result<Appended, AppendError>> {
        Box::pin(self.enqueue(expected_seq, rows))
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Drop for SqliteLog {
    fn drop(&mut self) {
        // The reader first: the last connection to close folds the write-ahead log into the store, and a reader may not.
        drop(self.reader.take());
        drop(self.requests.take());
        // The file must be closed when the caller goes on to release the data directory. A writer that panicked has nothing left to close.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for SqliteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLog").field("path", &self.path).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// What opening found.
#[derive(Clone, Copy)]
struct Opened {
    incarnation: Incarnation,
    epoch: u64,
    head: Head,
}

fn open_writer(path: &Path, options: SqliteOptions) -> Result<(Connection, Opened), Failure> {
    create_file(path).map_err(|error| Failure::Io(error.to_string()))?;
    let witnessed = witness::read(path).map_err(|error| Failure::Io(error.to_string()))?;
    let mut conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    schema::configure(&conn)?;
    // Whose file it is comes first: nothing of someone else's database may be changed.
    schema::recognise(&conn)?;
    schema::configure_writer(&conn, options.bytes_max)?;
    let opened = schema::begin_epoch(&mut conn, witnessed)?;
    Ok((conn, opened))
}

/// Creates the file readable by its owner only (SQLite would use the umask) and makes its name durable.
fn create_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_path_buf);
            std::fs::File::open(dir)?.sync_all()
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// What `PRAGMA integrity_check` complains of, beyond what the chain can see; `None` if nothing.
pub(crate) fn page_damage(path: &Path) -> Result<Option<Corruption>, OpenError> {
    let check = || -> Result<Option<Corruption>, Failure> {
        let conn = reader::open_connection(path)?;
        let first: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        Ok((first != "ok").then(|| Corruption::store(first)))
    };
    check().map_err(|failure| failure.on_open(path))
}
