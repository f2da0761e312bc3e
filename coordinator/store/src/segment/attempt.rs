//! The writing side of one attempt: finding its end on disk (and cutting a torn tail), appending records, beginning new files.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::error::ChunkError;
use super::sync::Unsynced;
use super::{Chunk, Position, Progress, SegmentOptions, frame, place};

/// An attempt in the writer's memory.
pub(super) struct Attempt {
    dir: PathBuf,
    /// First event of the file being written; 0 before there is one.
    file_first_seq: u64,
    /// Where the next record goes in it.
    offset: u64,
    /// Bytes of all its files.
    bytes: u64,
    /// Events are refused from here on; the end mark may still be on its way.
    ended: bool,
    file: Option<Arc<File>>,
    progress: Arc<watch::Sender<Progress>>,
    /// When it was last used, in the writer's count.
    pub(super) used: u64,
}

impl Attempt {
    /// Looks for the attempt on disk. A tail that a crash has torn is cut off; `unsynced` then says what to sync.
    pub(super) fn load(dir: PathBuf) -> io::Result<(Self, Unsynced)> {
        let mut unsynced = Unsynced::default();
        let end_mark = read_end_mark(&dir)?;
        let mut files = place::list_files(&dir)?;
        let mut bytes = 0;
        for first in &files {
            bytes += std::fs::metadata(dir.join(place::file_name(*first)))?.len();
        }
        let mut attempt =
            Self { dir, file_first_seq: 0, offset: 0, bytes, ended: end_mark.is_some(), file: None, progress: Arc::default(), used: 0 };
        let mut written = 0;
        if let Some(last) = end_mark {
            // Ended: nothing will be written any more, and what is there is checked by whoever reads it.
            written = last;
        } else {
            while let Some(first) = files.pop() {
                if let Some(last) = attempt.load_file(first, &mut unsynced)? {
                    written = last;
                    break;
                }
            }
        }
        let position = Position { written_seq: written, durable_seq: written, finished: end_mark.is_some() };
        attempt.progress.send_replace(Progress { position, failed: false });
        Ok((attempt, unsynced))
    }

    /// Takes the file as the one to write on, cutting what is torn. `None` if it has not even a header: then it is removed.
    fn load_file(&mut self, first: u64, unsynced: &mut Unsynced) -> io::Result<Option<u64>> {
        let path = self.dir.join(place::file_name(first));
        let content = std::fs::read(&path)?;
        if !frame::has_header(&content, first) {
            tracing::warn!(path = %path.display(), "removing a segment file without a header, as a crash leaves it");
            std::fs::remove_file(&path)?;
            self.bytes -= content.len() as u64;
            unsynced.dirs.push(self.dir.clone());
            return Ok(None);
        }
        let found = frame::scan(&content, first);
        let torn = &content[found.end..];
        if !torn.is_empty() {
            tracing::warn!(path = %path.display(), after_seq = found.last_seq, bytes = torn.len(), "cutting a torn tail");
            if frame::has_record_from(torn, found.last_seq + 1) {
                // More than a crash does. The worker still has these events and sends them again; keep the bytes for whoever investigates.
                std::fs::write(path.with_extension("damaged"), torn)?;
            }
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(found.end as u64)?;
            self.bytes -= torn.len() as u64;
            unsynced.files.push(Arc::new(file));
        }
        self.file_first_seq = first;
        self.offset = found.end as u64;
        Ok(Some(found.last_seq))
    }

    /// Where followers look.
    pub(super) fn progress(&self) -> &Arc<watch::Sender<Progress>> {
        &self.progress
    }

    /// How far it has come.
    pub(super) fn position(&self) -> Position {
        self.progress.borrow().position
    }

    /// Whether a file is open for it.
    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Closes its file until the next append.
    pub(super) fn close_file(&mut self) {
        self.file = None;
    }

    /// Whether everything is on disk.
    pub(super) fn is_settled(&self) -> bool {
        let position = self.position();
        position.durable_seq == position.written_seq && position.finished == self.ended
    }

    /// Whether it can be forgotten: nobody follows it and everything is on disk.
    pub(super) fn is_idle(&self) -> bool {
        self.progress.receiver_count() == 0 && self.is_settled()
    }

    /// Ends it: no event is taken any more. Harmless if it had ended before.
    pub(super) fn end(&mut self, unsynced: &mut Unsynced) -> io::Result<()> {
        if !self.ended {
            self.create_dir(unsynced)?;
            unsynced.end_mark = Some(self.dir.clone());
            self.ended = true;
            self.file = None;
        }
        Ok(())
    }

    /// Appends what is new in the chunk. On an error nothing of it counts, whatever bytes were written.
    pub(super) fn append(&mut self, chunk: &Chunk, options: &SegmentOptions, unsynced: &mut Unsynced) -> Result<Position, ChunkError> {
        let before = self.position();
        let expected = before.written_seq + 1;
        if chunk.first_seq > expected {
            return Err(ChunkError::Nack { expected });
        }
        let known = usize::try_from(expected - chunk.first_seq).unwrap_or(usize::MAX);
        let Some(new) = chunk.events.get(known..).filter(|new| !new.is_empty()) else { return Ok(before) };
        if self.ended {
            return Err(ChunkError::Finished { last_seq: before.written_seq });
        }
        let mut records = Vec::with_capacity(new.iter().map(|event| event.len() + frame::RECORD_OVERHEAD_BYTES).sum());
        (expected..).zip(new).for_each(|(seq, event)| frame::push_record(&mut records, seq, event));
        if self.bytes + records.len() as u64 > options.attempt_bytes_max {
            return Err(ChunkError::Quota { bytes_max: options.attempt_bytes_max });
        }
        let file = self.file_for(expected, options, unsynced)?;
        file.write_all_at(&records, self.offset)?;
        self.offset += records.len() as u64;
        self.bytes += records.len() as u64;
        let written_seq = before.written_seq + new.len() as u64;
        unsynced.add(&file, written_seq, records.len() as u64);
        self.progress.send_modify(|progress| progress.position.written_seq = written_seq);
        Ok(self.position())
    }

    /// The file that takes event `next_seq`: the current one, or a new one if that is full.
    fn file_for(&mut self, next_seq: u64, options: &SegmentOptions, unsynced: &mut Unsynced) -> io::Result<Arc<File>> {
        let begin = self.file_first_seq == 0 || self.offset >= options.file_bytes_max;
        if begin {
            self.create_dir(unsynced)?;
            let path = self.dir.join(place::file_name(next_seq));
            // Left over if an earlier try found no space for its header.
            let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
            file.write_all_at(&frame::header(next_seq), 0)?;
            unsynced.dirs.push(self.dir.clone());
            self.file_first_seq = next_seq;
            self.offset = frame::HEADER_BYTES as u64;
            self.bytes += self.offset;
            self.file = Some(Arc::new(file));
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => Arc::new(OpenOptions::new().write(true).open(self.dir.join(place::file_name(self.file_first_seq)))?),
        };
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Creates its directory; the names of new directories must be synced in their parents.
    fn create_dir(&self, unsynced: &mut Unsynced) -> io::Result<()> {
        if self.dir.is_dir() {
            return Ok(());
        }
        place::create_dir_all(&self.dir)?;
        unsynced.dirs.extend(self.dir.ancestors().skip(1).take(3).map(Path::to_path_buf));
        Ok(())
    }
}

/// The last event of an attempt that has ended; `None` if it has not. A damaged mark is an error: its attempt must not be taken for a live one.
pub(super) fn read_end_mark(dir: &Path) -> io::Result<Option<u64>> {
    match std::fs::read(dir.join(place::END_NAME)) {
        Ok(bytes) => match frame::read_end_mark(&bytes) {
            Some(last) => Ok(Some(last)),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{}: the end mark is damaged", dir.display()))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
