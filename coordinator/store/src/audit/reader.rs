//! Reads an audit log in order, each row checked against the chain, also beside the process that writes it. Changes nothing.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::line::{Header, LINE_BYTES_MAX, read_row};
use super::{AuditError, file_name, indices, place_of, witnessed};
use crate::log::{Chain, Head, Incarnation, Row, witness};

/// Where a walk is.
#[derive(Debug)]
pub struct AuditReader {
    dir: PathBuf,
    open: Option<Open>,
    /// Told once the good rows before it have been.
    broken: Option<AuditError>,
    /// The last row that was acknowledged when the walk began, as far as that is known.
    seen: Option<Head>,
}

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Open {
    path: PathBuf,
    index: u64,
    file: BufReader<File>,
    store: Incarnation,
    chain: Chain,
    /// Lines that were read whole.
    lines: u64,
    /// Their bytes.
    bytes: u64,
    /// The beginning of a line that is being written.
    partial: Vec<u8>,
}

impl AuditReader {
    /// From the first row that is kept.
    pub fn open(dir: &Path) -> Self {
        // Before any row: there can only be more of them by then.
        Self { dir: dir.to_owned(), open: None, broken: None, seen: seen(dir) }
    }

    /// Up to `limit` rows more. An empty answer is the present end; later there may be more. After an error nothing more is to be believed.
    pub fn next_batch(&mut self, limit: usize) -> Result<Vec<Row>, AuditError> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let mut rows = Vec::new();
        while rows.len() < limit {
            match self.next_row() {
                Ok(Some(row)) => rows.push(row),
                Ok(None) => break,
                Err(error) => {
                    self.broken = Some(error.clone());
                    return if rows.is_empty() { Err(error) } else { Ok(rows) };
                }
            }
        }
        Ok(rows)
    }

    fn next_row(&mut self) -> Result<Option<Row>, AuditError> {
        loop {
            if let Some(open) = &mut self.open
                && let Some(row) = open.next_row()?
            {
                return self.believed(row);
            }
            let at = self.open.as_ref().map_or(0, |open| open.index);
            let kept = indices(&self.dir)?;
            let Some(next) = kept.iter().copied().find(|index| *index > at) else { return self.ended() };
            // It may have got its last rows between our look at it and the next file's beginning.
            if let Some(open) = &mut self.open
                && let Some(row) = open.next_row()?
            {
                return self.believed(row);
            }
            self.open = Some(self.follow(next, kept.contains(&at))?);
        }
    }

    /// The row that was the last one is the one that was acknowledged.
    fn believed(&self, row: Row) -> Result<Option<Row>, AuditError> {
        match (&self.open, self.seen) {
            (Some(open), Some(seen)) if row.seq == seen.seq && row.hash != seen.hash => {
                let detail = format!("row {}: it is not the row that was acknowledged", row.seq);
                Err(AuditError::Corrupt { place: place_of(open.index, open.lines), detail })
            }
            _ => Ok(Some(row)),
        }
    }

    /// The present end, to which everything has come that was acknowledged.
    fn ended(&self) -> Result<Option<Row>, AuditError> {
        match &self.open {
            Some(open) => open.ends_after(self.seen).map(|()| None),
            None => match self.seen {
                Some(seen) => {
                    let detail = format!("its files are gone, but {} rows were acknowledged", seen.seq);
                    Err(AuditError::Corrupt { place: "audit".to_owned(), detail })
                }
                None => Ok(None),
            },
        }
    }

    /// Opens the next file, which must go on where this one ended, unless those between have gone meanwhile, and this one with them.
    fn follow(&self, next: u64, is_kept: bool) -> Result<Open, AuditError> {
        let opened = Open::at(&self.dir, next)?;
        let Some(before) = &self.open else { return Ok(opened) };
        let corrupt = |line, detail: &str| Err(AuditError::Corrupt { place: place_of(next, line), detail: detail.to_owned() });
        if next != before.index + 1 {
            return if is_kept { corrupt(1, &format!("the file before it, {}, is gone", file_name(next - 1))) } else { Ok(opened) };
        }
        if !before.partial.is_empty() {
            let place = place_of(before.index, before.lines + 1);
            return Err(AuditError::Corrupt { place, detail: "it ends in the middle of a row, yet another file follows".to_owned() });
        }
        if opened.chain.head() != before.chain.head() || opened.store != before.store {
            return corrupt(1, "it does not go on where the file before it ended");
        }
        Ok(opened)
    }
}

/// The last row of which the folder knows that it was acknowledged. A witness that cannot be read says nothing.
pub(super) fn seen(dir: &Path) -> Option<Head> {
    let (_, head) = witness::read(&witnessed(dir)).ok().flatten()?;
    (head.seq > 0).then_some(head)
}

impl Open {
    /// Whether the rows that were read go as far as those that were acknowledged.
    pub(super) fn ends_after(&self, seen: Option<Head>) -> Result<(), AuditError> {
        let Some(seen) = seen.filter(|seen| seen.seq > self.chain.head().seq) else { return Ok(()) };
        let detail = format!("missing: the log ends here, but {} rows were acknowledged", seen.seq);
        Err(AuditError::Corrupt { place: place_of(self.index, self.lines + 1), detail })
    }

    /// Opens a file and reads its header.
    pub(super) fn at(dir: &Path, index: u64) -> Result<Self, AuditError> {
        let path = dir.join(file_name(index));
        let file = File::open(&path).map_err(|error| AuditError::Io { path: path.clone(), detail: error.to_string() })?;
        let nowhere = Header::first(Incarnation([0; 16]));
        let (file, chain) = (BufReader::new(file), Chain::after(nowhere.after));
        let mut opened = Self { path, index, file, store: nowhere.store, chain, lines: 0, bytes: 0, partial: Vec::new() };
        let corrupt = |detail: String| AuditError::Corrupt { place: place_of(index, 1), detail };
        let line = opened.next_line()?.ok_or_else(|| corrupt("its header is missing".to_owned()))?;
        let header = Header::read(&line).map_err(corrupt)?;
        opened.store = header.store;
        opened.chain = Chain::after(header.after);
        Ok(opened)
    }

    /// The next row; `None` at the present end, and where a row is not whole.
    pub(super) fn next_row(&mut self) -> Result<Option<Row>, AuditError> {
        let Some(line) = self.next_line()? else { return Ok(None) };
        let corrupt = |detail: String| AuditError::Corrupt { place: place_of(self.index, self.lines), detail };
        let row = read_row(&line).map_err(corrupt)?;
        self.chain
            .check(&row)
            .map_err(|corruption| AuditError::Corrupt { place: place_of(self.index, self.lines), detail: corruption.to_string() })?;
        Ok(Some(row))
    }

    pub(super) fn store(&self) -> Incarnation {
        self.store
    }

    pub(super) fn head(&self) -> Head {
        self.chain.head()
    }

    /// Bytes of the lines that were read whole.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A line that is there whole, without its end.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, AuditError> {
        let room = (LINE_BYTES_MAX + 1).saturating_sub(self.partial.len()) as u64;
        let read = Read::take(&mut self.file, room).read_until(b'\n', &mut self.partial);
        read.map_err(|error| AuditError::Io { path: self.path.clone(), detail: error.to_string() })?;
        if self.partial.last() != Some(&b'\n') {
            let detail = format!("longer than {LINE_BYTES_MAX} bytes");
            let place = place_of(self.index, self.lines + 1);
            return if self.partial.len() > LINE_BYTES_MAX { Err(AuditError::Corrupt { place, detail }) } else { Ok(None) };
        }
        self.lines += 1;
        self.bytes += self.partial.len() as u64;
        let mut line = std::mem::take(&mut self.partial);
        line.pop();
        Ok(Some(line))
    }
}
