//! Appends to an audit log: one write and one sync an append, another file when one is full. Blocking. A sync that failed is never tried again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use tokio::sync::watch;

use super::line::{Header, LINE_BYTES_MAX, of_row};
use super::reader::{Open, seen};
use super::{AUDIT_BODY_BYTES_MAX, AuditError, AuditOptions, file_name, indices, witnessed};
use crate::log::witness::Witness;
use crate::log::{Chain, Incarnation, NewRow, ROW_NAME_BYTES_MAX};
use crate::trouble::{is_refusal, words};

/// A new file until it is whole.
const DRAFT_NAME: &str = "next.new";
/// Most rows of one append.
const APPEND_ROWS_MAX: usize = 64;

/// The file that is written, and where its chain is.
#[derive(Debug)]
pub(super) struct Writer {
    dir: PathBuf,
    options: AuditOptions,
    store: Incarnation,
    file: File,
    index: u64,
    bytes: u64,
    chain: Chain,
    /// A refused write has left something behind `bytes`.
    is_torn: bool,
    /// Notices a log that was cut short; one that cannot be written notices less.
    witness: Option<Witness>,
    failed: watch::Sender<Option<String>>,
}

impl Writer {
    pub(super) fn open(
        dir: &Path,
        options: AuditOptions,
        store: Incarnation,
        failed: watch::Sender<Option<String>>,
    ) -> Result<Self, AuditError> {
        let unusable = |error: io::Error| AuditError::Io { path: dir.to_owned(), detail: error.to_string() };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unusable)?;
        let index = match indices(dir)?.last() {
            Some(index) => *index,
            None => {
                create(dir, 1, &Header::first(store)).map_err(unusable)?;
                1
            }
        };
        let mut newest = Open::at(dir, index)?;
        while newest.next_row()?.is_some() {}
        newest.ends_after(seen(dir))?;
        let file = OpenOptions::new().append(true).open(dir.join(file_name(index))).map_err(unusable)?;
        // What a crash left in the middle of a row was never acknowledged.
        let is_torn = file.metadata().map_err(unusable)?.len() > newest.bytes();
        let chain = Chain::after(newest.head());
        let (store, bytes) = (newest.store(), newest.bytes());
        let witness = Witness::open(&witnessed(dir), store);
        let witness = witness.inspect_err(|error| tracing::warn!(%error, "the end of the audit log is not witnessed")).ok();
        let mut writer = Self { dir: dir.to_owned(), options, store, file, index, bytes, chain, is_torn, witness, failed };
        match writer.mend() {
            // It is tried again before the first append.
            Ok(()) | Err(AuditError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        writer.reserve();
        writer.bear_witness();
        Ok(writer)
    }

    /// Takes the room of the whole file now: when the disk is full, people must still be able to stop what fills it.
    fn reserve(&self) {
        let room = self.options.file_bytes_max + LINE_BYTES_MAX as u64;
        if let Err(error) = fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, room) {
            // Not every file system can; then a full one refuses commands.
            tracing::debug!(%error, "no room could be reserved for the audit log");
        }
    }

    /// What was acknowledged is noted where a cut of the log does not reach.
    fn bear_witness(&mut self) {
        let head = self.chain.head();
        if let Some(witness) = &mut self.witness
            && let Err(error) = witness.record(head)
        {
            tracing::warn!(%error, seq = head.seq, "the witness of the audit log's end cannot be written");
        }
    }

    /// All rows, or none.
    pub(super) fn append(&mut self, rows: Vec<NewRow>) -> Result<u64, AuditError> {
        if let Some(detail) = self.failed.borrow().clone() {
            return Err(AuditError::Failed { detail });
        }
        check_bounds(&rows)?;
        self.mend()?;
        if self.bytes >= self.options.file_bytes_max {
            self.begin_next()?;
        }
        let mut chain = self.chain;
        let mut lines = Vec::new();
        for row in rows {
            lines.extend(of_row(&chain.extend(0, row)));
        }
        if let Err(error) = self.file.write_all(&lines) {
            self.is_torn = true;
            let refused = self.refusal(&error);
            // What it left must not stand before the next row; where it cannot be cut now, it is before the next append.
            return self.mend().and(Err(refused));
        }
        if let Err(error) = self.file.sync_data() {
            return Err(self.fail(&error));
        }
        self.chain = chain;
        self.bytes += lines.len() as u64;
        self.bear_witness();
        Ok(self.chain.head().seq)
    }

    /// Cuts off what is no whole row.
    fn mend(&mut self) -> Result<(), AuditError> {
        if self.is_torn {
            self.file.set_len(self.bytes).map_err(|error| self.refusal(&error))?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// Goes on in another file; the oldest go.
    fn begin_next(&mut self) -> Result<(), AuditError> {
        let next = self.index + 1;
        let header = Header { store: self.store, after: self.chain.head() };
        create(&self.dir, next, &header).map_err(|error| self.refusal(&error))?;
        let opened = OpenOptions::new().append(true).open(self.dir.join(file_name(next)));
        self.file = opened.map_err(|error| self.refusal(&error))?;
        self.index = next;
        self.bytes = header.line().len() as u64;
        self.reserve();
        let kept = indices(&self.dir)?;
        for index in kept.iter().take(kept.len().saturating_sub(self.options.files_max.max(1))) {
            if let Err(error) = fs::remove_file(self.dir.join(file_name(*index))) {
                tracing::warn!(file = %file_name(*index), %error, "an old file of the audit log could not be removed");
            }
        }
        Ok(())
    }

    /// What a failed write comes to; nothing is written after one whose result is unknown.
    fn refusal(&self, error: &io::Error) -> AuditError {
        if is_refusal(error) { AuditError::Refused { detail: words(error) } } else { self.fail(error) }
    }

    fn fail(&self, error: &io::Error) -> AuditError {
        let detail = words(error);
        self.failed.send_replace(Some(detail.clone()));
        AuditError::Failed { detail }
    }
}

/// Makes a file that is there whole or not at all.
fn create(dir: &Path, index: u64, header: &Header) -> io::Result<()> {
    let draft = dir.join(DRAFT_NAME);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&header.line())?;
    file.sync_all()?;
    fs::rename(&draft, dir.join(file_name(index)))?;
    File::open(dir)?.sync_all()
}

fn check_bounds(rows: &[NewRow]) -> Result<(), AuditError> {
    let refuse = |detail: String| Err(AuditError::Refused { detail });
    if rows.is_empty() || rows.len() > APPEND_ROWS_MAX {
        return refuse(format!("{} rows in one append, at most {APPEND_ROWS_MAX}", rows.len()));
    }
    for row in rows {
        if row.body.len() > AUDIT_BODY_BYTES_MAX {
            return refuse(format!("a row of {} bytes, at most {AUDIT_BODY_BYTES_MAX}", row.body.len()));
        }
        if row.kind.len().max(row.run.as_ref().map_or(0, String::len)) > ROW_NAME_BYTES_MAX {
            return refuse(format!("a row's kind or run is longer than {ROW_NAME_BYTES_MAX} bytes"));
        }
    }
    Ok(())
}
