//! A log in memory, for tests and simulations, with switches that make it fail the way disks do. Same contract as the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::{AppendError, ReadError};
use super::row::{Chain, Head, Incarnation, NewRow, Row};
use super::{Appended, Log, LogFuture, LogReader, READ_BYTES_MAX, check_bounds};

/// How an append is made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// No space: nothing is written, later appends may succeed.
    Full,
    /// The write fails: nothing is written, the handle is dead.
    Io,
    /// The write reaches the disk but its acknowledgement fails: the rows are there, the handle is dead.
    IoAfterWrite,
}

/// What outlives a [`MemoryLog`], as a disk outlives a process. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryDisk(Arc<Mutex<Disk>>);

#[derive(Debug)]
struct Disk {
    incarnation: Incarnation,
    epoch: u64,
    rows: Vec<Row>,
    appends: u64,
    faults: BTreeMap<u64, Fault>,
}

impl MemoryDisk {
    /// An empty disk that bears the given store identity.
    pub fn new(incarnation: Incarnation) -> Self {
        Self(Arc::new(Mutex::new(Disk { incarnation, epoch: 0, rows: Vec::new(), appends: 0, faults: BTreeMap::new() })))
    }

    /// Makes the `nth` append from now on fail (1 = the next one).
    pub fn fail_append(&self, nth: u64, fault: Fault) {
        let mut disk = self.lock();
        let at = disk.appends + nth;
        disk.faults.insert(at, fault);
    }

    /// Changes a stored row behind the log's back, as a flipped bit does. False if there is no such row.
    pub fn damage(&self, seq: u64, change: impl FnOnce(&mut Row)) -> bool {
        let mut disk = self.lock();
        let row = usize::try_from(seq).ok().and_then(|seq| seq.checked_sub(1)).and_then(|index| disk.rows.get_mut(index));
        row.map(change).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new(Incarnation([0; 16]))
    }
}

/// A handle on a [`MemoryDisk`]. Opening another one deposes it.
#[derive(Debug)]
pub struct MemoryLog {
    disk: MemoryDisk,
    epoch: u64,
    dead: Mutex<Option<AppendError>>,
}

impl MemoryLog {
    /// Begins a new epoch on the disk.
    pub fn open(disk: &MemoryDisk) -> Self {
        let epoch = {
            let mut inner = disk.lock();
            inner.epoch += 1;
            inner.epoch
        };
        Self { disk: disk.clone(), epoch, dead: Mutex::new(None) }
    }

    fn append_now(&self, expected_seq: u64, rows: Vec<NewRow>) -> Result<Appended, AppendError> {
        check_bounds(expected_seq, &rows)?;
        let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &*dead {
            return Err(error.clone());
        }
        let mut disk = self.disk.lock();
        if disk.epoch != self.epoch {
            return Err(AppendError::Deposed { epoch: self.epoch, by: disk.epoch });
        }
        let head = disk.head();
        if head.seq != expected_seq {
            return Err(AppendError::Moved { actual: head.seq });
        }
        disk.appends += 1;
        let count = disk.appends;
        let fault = disk.faults.remove(&count);
        if fault == Some(Fault::Full) {
            return Err(AppendError::Full);
        }
        let mut chain = Chain::after(head);
        if fault != Some(Fault::Io) {
            disk.rows.extend(rows.into_iter().map(|row| chain.extend(self.epoch, row)));
        }
        if fault.is_some() {
            let error = AppendError::Io { detail: "injected fault".to_owned() };
            *dead = Some(error.clone());
            return Err(error);
        }
        Ok(Appended { last_seq: chain.head().seq, head_hash: chain.head().hash })
    }
}

impl Disk {
    fn head(&self) -> Head {
        match self.rows.last() {
            Some(row) => Head { seq: row.seq, hash: row.hash },
            None => Head { seq: 0, hash: self.incarnation.genesis() },
        }
    }

    fn read(&self, from_seq: u64, limit: usize) -> Result<Vec<Row>, ReadError> {
        let skip = usize::try_from(from_seq.max(1) - 1).unwrap_or(usize::MAX);
        let Some(rest) = self.rows.get(skip..) else { return Ok(Vec::new()) };
        let before = match skip.checked_sub(1).and_then(|index| self.rows.get(index)) {
            Some(row) => Head { seq: skip as u64, hash: row.hash },
            None => Head { seq: 0, hash: self.incarnation.genesis() },
        };
        let mut chain = Chain::after(before);
        let mut rows: Vec<Row> = Vec::new();
        let mut bytes = 0;
        for row in rest.iter().take(limit) {
            bytes += row.body.len();
            if bytes > READ_BYTES_MAX && !rows.is_empty() {
                break;
            }
            chain.check(row).map_err(ReadError::Corrupt)?;
            rows.push(row.clone());
        }
        Ok(rows)
    }
}

impl LogReader for MemoryLog {
    fn read(&self, from_seq: u64, limit: usize) -> LogFuture<'_, Result<Vec<Row>, ReadError>> {
        Box::pin(async move { self.disk.lock().read(from_seq, limit) })
    }

    fn head(&self) -> LogFuture<'_, Result<Head, ReadError>> {
        Box::pin(async move { Ok(self.disk.lock().head()) })
    }

    fn incarnation(&self) -> Incarnation {
        self.disk.lock().incarnation
    }
}

impl Log for MemoryLog {
    fn append(&self, expected_seq: u64, rows: Vec<NewRow>) -> LogFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move { self.append_now(expected_seq, rows) })
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }
}
