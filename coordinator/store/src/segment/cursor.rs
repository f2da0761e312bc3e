//! Reading one attempt's events in order, from the files alone: works beside a writer, after one, and without any.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use roundtable_shared::AttemptKey;

use super::attempt::read_end_mark;
use super::error::EventsError;
use super::{READ_BYTES_MAX, StoredEvent, frame, place};

/// Events that are checked in one go.
const CHECKED_AT_ONCE: usize = 4096;
/// Read from a file at a time.
const BLOCK_BYTES: usize = 128 << 10;

/// A place in an attempt's events. Blocking.
#[derive(Debug)]
pub struct Cursor {
    dir: PathBuf,
    /// The directory as errors name it.
    name: String,
    next_seq: u64,
    /// Events before this one are passed over.
    from_seq: u64,
    /// The file that holds `next_seq`, and where in it.
    file: Option<(u64, File)>,
    offset: u64,
    block: Vec<u8>,
    block_used: usize,
    /// The last event, if the attempt has ended.
    last_seq: Option<u64>,
}

/// Where a cursor has come to, for another that goes on there without reading what comes before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bookmark {
    /// The event that comes next.
    pub(super) next_seq: u64,
    /// The file that holds it, by its first event, and where in it.
    file: Option<(u64, u64)>,
}

/// Some events in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Bytes after the last event that are no whole record, as a crash in the middle of a write leaves them.
    pub torn_bytes: u64,
}

/// Checks that an attempt has its events up to `count`, each of them good; damage names the file and the first event that cannot be had.
pub fn check_events(root: &Path, key: &AttemptKey, count: u64) -> Result<(), EventsError> {
    let mut cursor = Cursor::open(root, key, 1)?;
    if let Some(last) = cursor.last_seq.filter(|last| *last < count) {
        let detail = format!("the end mark says that {last} is the last, the log counts {count}");
        return Err(EventsError::Corrupt { file: format!("{}/{}", cursor.name, place::END_NAME), seq: last + 1, detail });
    }
    while cursor.next_seq() <= count {
        cursor.next_batch(CHECKED_AT_ONCE, Some(count))?;
    }
    Ok(())
}

impl Cursor {
    /// A cursor before event `from_seq` (from 1) of the attempt, in the store at `root`.
    pub fn open(root: &Path, key: &AttemptKey, from_seq: u64) -> Result<Self, EventsError> {
        Self::open_dir(root, &place::relative_dir(key), from_seq)
    }

    pub(crate) fn open_dir(root: &Path, relative: &Path, from_seq: u64) -> Result<Self, EventsError> {
        let dir = root.join(relative);
        let name = relative.display().to_string();
        let last_seq = match read_end_mark(&dir) {
            Ok(last) => last,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(EventsError::Corrupt {
                    file: format!("{name}/end"),
                    seq: from_seq.max(1),
                    detail: "the end mark is damaged".to_owned(),
                });
            }
            Err(error) => return Err(EventsError::Io { detail: format!("{}: {error}", dir.display()) }),
        };
        let block = Vec::new();
        let mut cursor = Self { dir, name, next_seq: 1, from_seq, file: None, offset: 0, block, block_used: 0, last_seq };
        let files = place::list_files(&cursor.dir).map_err(|error| cursor.io(&error))?;
        cursor.next_seq = files.into_iter().rev().find(|first| *first <= from_seq).unwrap_or(1);
        Ok(cursor)
    }

    /// Goes on where another cursor of the attempt has come to.
    pub(super) fn resume(mut self, at: Bookmark) -> Result<Self, EventsError> {
        let Some((first, offset)) = at.file else { return Ok(self) };
        match File::open(self.dir.join(place::file_name(first))) {
            Ok(file) => {
                (self.file, self.offset, self.next_seq) = (Some((first, file)), offset, at.next_seq);
                Ok(self)
            }
            // Whoever reads on from the file before it says what is missing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self),
            Err(error) => Err(self.io(&error)),
        }
    }

    /// Where it is, between two batches.
    pub(super) fn bookmark(&self) -> Bookmark {
        Bookmark { next_seq: self.next_seq, file: self.file.as_ref().map(|(first, _)| (*first, self.offset)) }
    }

    /// The event that comes next.
    pub fn next_seq(&self) -> u64 {
        self.next_seq.max(self.from_seq)
    }

    /// The attempt's last event, if it has ended.
    pub fn last_seq(&self) -> Option<u64> {
        self.last_seq
    }

    /// Up to `limit` events (and [`READ_BYTES_MAX`]). `through` is the last event known to be written: up to it everything must be there, beyond it
    /// nothing is looked at, as it may be half written. Without it the events end where the files do.
    pub fn next_batch(&mut self, limit: usize, through: Option<u64>) -> Result<Batch, EventsError> {
        let through = self.last_seq.or(through);
        let mut batch = Batch::default();
        let mut bytes = 0;
        while batch.events.len() < limit && bytes < READ_BYTES_MAX && through.is_none_or(|through| self.next_seq <= through) {
            match self.step(through)? {
                Step::Event(event) => {
                    let seq = self.next_seq - 1;
                    if seq >= self.from_seq {
                        bytes += event.len();
                        batch.events.push(StoredEvent { seq, bytes: event });
                    }
                }
                Step::End { torn_bytes } => {
                    batch.torn_bytes = torn_bytes;
                    break;
                }
            }
        }
        // What was read ahead may have been half written; read it again next time.
        self.drop_block();
        Ok(batch)
    }

    /// The next event, or the end.
    fn step(&mut self, through: Option<u64>) -> Result<Step, EventsError> {
        loop {
            if self.file.is_none() && !self.open_file()? {
                return self.end(through, 0, "the file that begins with it is not there, or empty");
            }
            if let Some(event) = self.whole_record()? {
                let used = event.len() + frame::RECORD_OVERHEAD_BYTES;
                self.block_used += used;
                self.next_seq += 1;
                return Ok(Step::Event(event));
            }
            let rest = self.rest_of_file()?;
            let next_exists = self.dir.join(place::file_name(self.next_seq)).exists();
            if rest.is_empty() && next_exists && self.file.as_ref().is_some_and(|(first, _)| *first != self.next_seq) {
                self.file = None;
                continue;
            }
            let later_file =
                place::list_files(&self.dir).map_err(|error| self.io(&error))?.last().is_some_and(|first| *first > self.next_seq);
            if !rest.is_empty() && (later_file || frame::has_record_from(&rest, self.next_seq)) {
                return Err(self.corrupt("its record is damaged; others follow"));
            }
            if later_file {
                return Err(self.corrupt("its file ends too soon; others follow"));
            }
            return self.end(through, rest.len() as u64, "the last file ends before it");
        }
    }

    fn end(&self, through: Option<u64>, torn_bytes: u64, missing: &str) -> Result<Step, EventsError> {
        if through.is_some_and(|through| self.next_seq <= through) { Err(self.corrupt(missing)) } else { Ok(Step::End { torn_bytes }) }
    }

    /// Opens the file that begins with the next event. False if there is none, or only the stump of one.
    fn open_file(&mut self) -> Result<bool, EventsError> {
        let file = match File::open(self.dir.join(place::file_name(self.next_seq))) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(self.io(&error)),
        };
        let mut head = [0; frame::HEADER_BYTES];
        let got = read_at(&file, &mut head, 0).map_err(|error| self.io(&error))?;
        if !frame::has_header(&head[..got], self.next_seq) {
            let bytes = file.metadata().map_err(|error| self.io(&error))?.len();
            return if bytes > frame::HEADER_BYTES as u64 { Err(self.corrupt("its file's header is damaged")) } else { Ok(false) };
        }
        self.file = Some((self.next_seq, file));
        self.offset = frame::HEADER_BYTES as u64;
        self.block.clear();
        self.block_used = 0;
        Ok(true)
    }

    /// The record at the cursor, if a whole one with the right number stands there.
    fn whole_record(&mut self) -> Result<Option<Vec<u8>>, EventsError> {
        if !self.fill(frame::RECORD_OVERHEAD_BYTES)? {
            return Ok(None);
        }
        let Some(bytes) = frame::record_bytes(&self.block[self.block_used..]) else { return Ok(None) };
        if !self.fill(bytes)? {
            return Ok(None);
        }
        Ok(frame::record(&self.block[self.block_used..], self.next_seq).map(<[u8]>::to_vec))
    }

    /// Has at least `bytes` bytes from the cursor on in the block; false if the file ends before.
    fn fill(&mut self, bytes: usize) -> Result<bool, EventsError> {
        if self.block.len() - self.block_used >= bytes {
            return Ok(true);
        }
        let kept = self.block.split_off(self.block_used);
        self.offset += self.block_used as u64;
        self.block_used = 0;
        let had = kept.len();
        self.block = vec![0; had.max(bytes) + BLOCK_BYTES];
        self.block[..had].copy_from_slice(&kept);
        let Some((_, file)) = &self.file else { return Ok(false) };
        let got = read_at(file, &mut self.block[had..], self.offset + had as u64);
        let got = got.map_err(|error| self.io(&error))?;
        self.block.truncate(had + got);
        Ok(self.block.len() >= bytes)
    }

    /// Everything from the cursor to the end of its file: little, unless the file is damaged.
    fn rest_of_file(&mut self) -> Result<Vec<u8>, EventsError> {
        self.drop_block();
        let Some((_, file)) = &self.file else { return Ok(Vec::new()) };
        let bytes = file.metadata().map_err(|error| self.io(&error))?.len().saturating_sub(self.offset);
        let mut rest = vec![0; usize::try_from(bytes).unwrap_or(0)];
        let got = read_at(file, &mut rest, self.offset).map_err(|error| self.io(&error))?;
        rest.truncate(got);
        Ok(rest)
    }

    fn drop_block(&mut self) {
        self.offset += self.block_used as u64;
        self.block.clear();
        self.block_used = 0;
    }

    fn io(&self, error: &io::Error) -> EventsError {
        EventsError::Io { detail: format!("{}: {error}", self.dir.display()) }
    }

    fn corrupt(&self, detail: &str) -> EventsError {
        let file = self.file.as_ref().map_or(self.next_seq, |(first, _)| *first);
        EventsError::Corrupt { file: format!("{}/{}", self.name, place::file_name(file)), seq: self.next_seq, detail: detail.to_owned() }
    }
}

enum Step {
    Event(Vec<u8>),
    End { torn_bytes: u64 },
}

/// Fills `buffer` from `offset` on as far as the file goes.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
