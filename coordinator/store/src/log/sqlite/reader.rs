//! Reading a store through a connection of its own, while anybody or nobody writes it. Needs no lock and changes nothing in it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::failure::{Failure, Full};
use super::{query, schema};
use crate::log::error::{OpenError, ReadError};
use crate::log::row::{Head, Incarnation, Row};
use crate::log::{LogFuture, LogReader, witness};

/// Reads waiting for the thread; more callers wait for room.
const READ_QUEUE_MAX: usize = 64;

/// A log in a SQLite file, open for reading.
pub struct SqliteReader {
    /// `None` only while dropping.
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    incarnation: Incarnation,
    path: PathBuf,
}

enum Request {
    Read { from_seq: u64, limit: usize, reply: oneshot::Sender<Result<Vec<Row>, ReadError>> },
    Head { reply: oneshot::Sender<Result<Head, ReadError>> },
}

impl SqliteReader {
    /// Opens the store at `path`, which must exist. Blocks on the disk.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let opened = || -> Result<(Connection, Incarnation), Failure> {
            // The witness first: the log can then only be further on.
            let witnessed = witness::read(path).map_err(|error| Failure::Io(error.to_string()))?;
            if !path.exists() {
                return Err(witnessed.filter(|(_, seen)| seen.seq > 0).map_or(Failure::Missing, |(_, seen)| witness::gone(seen).into()));
            }
            let mut conn = open_connection(path)?;
            let tx = conn.transaction_with_behavior(TransactionBehavior::Deferred)?;
            let incarnation = schema::check_readable(&tx, witnessed)?;
            drop(tx);
            Ok((conn, incarnation))
        };
        let (conn, incarnation) = opened().map_err(|failure| failure.on_open(path))?;
        let (requests, queue) = mpsc::channel(READ_QUEUE_MAX);
        let spawned = std::thread::Builder::new().name("log-reader".to_owned()).spawn(move || serve(conn, incarnation, queue));
        let thread = spawned.map_err(|error| OpenError::Io { path: path.to_owned(), detail: error.to_string() })?;
        Ok(Self { requests: Some(requests), thread: Some(thread), incarnation, path: path.to_owned() })
    }

    async fn ask<T>(&self, request: Request, answer: oneshot::Receiver<Result<T, ReadError>>) -> Result<T, ReadError> {
        let requests = self.requests.as_ref().ok_or(ReadError::Closed)?;
        requests.send(request).await.map_err(|_| ReadError::Closed)?;
        answer.await.map_err(|_| ReadError::Closed)?
    }
}

impl LogReader for SqliteReader {
    fn read(&self, from_seq: u64, limit: usize) -> LogFuture<'_, Result<Vec<Row>, ReadError>> {
        let (reply, answer) = oneshot::channel();
        Box::pin(self.ask(Request::Read { from_seq, limit, reply }, answer))
    }

    fn head(&self) -> LogFuture<'_, Result<Head, ReadError>> {
        let (reply, answer) = oneshot::channel();
        Box::pin(self.ask(Request::Head { reply }, answer))
    }

    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }
}

impl Drop for SqliteReader {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for SqliteReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteReader").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A connection that cannot write.
pub(super) fn open_connection(path: &Path) -> Result<Connection, Failure> {
    if !path.is_file() {
        return Err(Failure::Missing);
    }
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    schema::configure(&conn)?;
    Ok(conn)
}

fn serve(mut conn: Connection, incarnation: Incarnation, mut queue: mpsc::Receiver<Request>) {
    while let Some(request) = queue.blocking_recv() {
        match request {
            Request::Read { from_seq, limit, reply } => {
                let rows = in_transaction(&mut conn, |conn| query::read(conn, incarnation, from_seq, limit));
                drop(reply.send(rows));
            }
            Request::Head { reply } => {
                let head = in_transaction(&mut conn, |conn| query::verified_head(conn, incarnation).map(|found| found.head));
                drop(reply.send(head));
            }
        }
    }
}

/// Runs a read that sees one state of the store throughout.
fn in_transaction<T>(conn: &mut Connection, read: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, ReadError> {
    let answer = conn.transaction_with_behavior(TransactionBehavior::Deferred).map_err(Failure::from).and_then(|tx| read(&tx));
    answer.map_err(|failure| failure.on_read().unwrap_or_else(|Full| ReadError::Io { detail: "the disk is full".to_owned() }))
}
