//! One attempt's spool: its lease, its events in order, and in the end its outcome. Events are written at once and synced in a rhythm; the outcome is
//! durable before anyone is told.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use roundtable_shared::limits::OUTPUT_KEPT_BYTES;
use roundtable_shared::view::EventLine;
use roundtable_shared::{AgentEvent, AttemptFacts, Lease, TaskId};
use tokio::sync::watch;

use super::SpoolError;
use super::record;
use super::tail::{self, Tail};

const LEASE: &str = "lease.json";
const EVENTS: &str = "events";
const OUTCOME: &str = "outcome.json";
const ACCEPTED: &str = "accepted";

/// Events of one attempt that are kept, bytes; beyond it only their end is.
pub const ATTEMPT_BYTES_MAX: u64 = 128 << 20;
/// The part of that which only the end may use.
const END_BYTES: u64 = 4 * OUTPUT_KEPT_BYTES;
/// Raw output that is kept before an event when there has been a lot of it already, bytes.
const CONTEXT_BYTES: usize = 64 << 10;
/// Subtasks that are remembered as reported.
const DONE_MAX: usize = 10_000;
/// Bytes of events read at once.
const READ_BYTES_MAX: usize = 256 << 10;

/// How far an attempt's events have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// Last event written.
    pub written_seq: u64,
    /// No more will come.
    pub ended: bool,
}

/// One attempt's spool. Cheap to clone.
#[derive(Clone)]
pub struct AttemptSpool {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    lease: Lease,
    file: Mutex<Events>,
    position: watch::Sender<Position>,
    lost: watch::Sender<bool>,
    /// Subtasks that its agent has reported as done.
    done: Mutex<BTreeSet<String>>,
}

struct Events {
    /// None once all is written: what waits to be delivered holds no file open.
    file: Option<File>,
    last_seq: u64,
    bytes: u64,
    dirty: bool,
    /// Bytes of raw output written.
    raw_bytes: u64,
    tail: Tail,
    ended: bool,
}

impl AttemptSpool {
    /// A new one: the lease is durable when this returns.
    pub(super) fn create(dir: PathBuf, lease: Lease) -> Result<Self, SpoolError> {
        fs::create_dir_all(&dir)?;
        let text = serde_json::to_vec(&lease).map_err(io::Error::other)?;
        write_durably(&dir, LEASE, &text)?;
        Self::open_events(dir, lease)
    }

    /// One that was left behind; `None` if its lease was never durable.
    pub(super) fn reopen(dir: PathBuf) -> Result<Option<Self>, SpoolError> {
        let text = match fs::read(dir.join(LEASE)) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
            // It is there, and what it promised is owed.
            Err(error) => return Err(error.into()),
        };
        // It was written whole or not at all, so that it is the form that is another.
        let lease =
            serde_json::from_slice(&text).map_err(|error| SpoolError::Unreadable { folder: dir.clone(), detail: error.to_string() })?;
        Self::open_events(dir, lease).map(Some)
    }

    fn open_events(dir: PathBuf, lease: Lease) -> Result<Self, SpoolError> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(dir.join(EVENTS))?;
        let mut done = BTreeSet::new();
        let (last_seq, end) = record::scan(&mut file, |event| note_written(&mut done, event))?;
        // A torn tail is cut off, so that what is written next connects.
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        let ended = dir.join(OUTCOME).exists();
        let file = (!ended).then_some(file);
        let events = Events { file, last_seq, bytes: end, dirty: false, raw_bytes: 0, tail: Tail::default(), ended };
        let (position, _) = watch::channel(Position { written_seq: last_seq, ended });
        let (lost, _) = watch::channel(false);
        Ok(Self { inner: Arc::new(Inner { dir, lease, file: Mutex::new(events), position, lost, done: Mutex::new(done) }) })
    }

    /// The lease.
    pub fn lease(&self) -> &Lease {
        &self.inner.lease
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Adds an event; after the end it is ignored. Of raw output the beginning is kept, then what comes right before another event and before the end,
    /// with the bytes between counted. After a failure the attempt has lost events.
    pub fn push(&self, line: EventLine) -> Result<(), SpoolError> {
        self.note(&line.event);
        let pushed = self.try_push(line);
        if pushed.is_err() {
            self.inner.lost.send_replace(true);
        }
        pushed
    }

    /// Subtasks that were reported as done so far.
    pub fn done(&self) -> Vec<String> {
        self.inner.done.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn note(&self, event: &AgentEvent) {
        if matches!(event, AgentEvent::Subtask { .. }) {
            note(&mut self.inner.done.lock().unwrap_or_else(PoisonError::into_inner), event);
        }
    }

    /// True once events were lost because the disk failed or is full.
    pub fn lost(&self) -> watch::Receiver<bool> {
        self.inner.lost.subscribe()
    }

    fn try_push(&self, line: EventLine) -> Result<(), SpoolError> {
        let mut events = self.events();
        if events.ended {
            return Ok(());
        }
        let size = u64::try_from(tail::size_of(&line.event)).unwrap_or(u64::MAX);
        let waits = match &line.event {
            AgentEvent::Raw { .. } => events.raw_bytes + size > OUTPUT_KEPT_BYTES,
            AgentEvent::Elided { bytes } if !events.tail.is_empty() => {
                events.tail.elide(*bytes);
                return Ok(());
            }
            _ => events.bytes > ATTEMPT_BYTES_MAX - END_BYTES,
        };
        if waits {
            events.tail.push(line, OUTPUT_KEPT_BYTES as usize);
            return Ok(());
        }
        if matches!(line.event, AgentEvent::Raw { .. }) {
            events.raw_bytes += size;
        } else {
            let plenty = events.bytes + events.tail.bytes() as u64 > ATTEMPT_BYTES_MAX / 2;
            events.flush_tail(if plenty { CONTEXT_BYTES } else { OUTPUT_KEPT_BYTES as usize })?;
        }
        events.write(&line)?;
        let written_seq = events.last_seq;
        drop(events);
        self.inner.position.send_modify(|position| position.written_seq = written_seq);
        Ok(())
    }

    /// The attempt is over: events and outcome are durable when this returns. `last_event_seq` and `done` of the facts are set here.
    pub fn finish(&self, mut facts: AttemptFacts) -> Result<AttemptFacts, SpoolError> {
        let mut events = self.events();
        events.flush_tail(OUTPUT_KEPT_BYTES as usize)?;
        events.sync()?;
        facts.last_event_seq = events.last_seq;
        facts.done = self.done().into_iter().map(TaskId::new).collect();
        let text = serde_json::to_vec(&facts).map_err(io::Error::other)?;
        write_durably(&self.inner.dir, OUTCOME, &text)?;
        (events.ended, events.file) = (true, None);
        let written_seq = events.last_seq;
        drop(events);
        self.inner.position.send_replace(Position { written_seq, ended: true });
        Ok(facts)
    }

    /// The outcome, once there is one.
    pub fn outcome(&self) -> Option<AttemptFacts> {
        let text = fs::read(self.inner.dir.join(OUTCOME)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The coordinator has all of it: kept a while, then removed.
    pub fn mark_accepted(&self) -> Result<(), SpoolError> {
        Ok(write_durably(&self.inner.dir, ACCEPTED, b"")?)
    }

    /// The coordinator may not have it any more.
    pub(super) fn unmark_accepted(&self) -> Result<(), SpoolError> {
        match fs::remove_file(self.inner.dir.join(ACCEPTED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        Ok(File::open(&self.inner.dir)?.sync_all()?)
    }

    /// Gives it up: nothing of it is delivered.
    pub fn discard(&self) -> Result<(), SpoolError> {
        Ok(fs::remove_dir_all(&self.inner.dir)?)
    }

    /// Changes whenever events were written or the attempt ended.
    pub fn watch(&self) -> watch::Receiver<Position> {
        self.inner.position.subscribe()
    }

    /// Where it is now.
    pub fn position(&self) -> Position {
        *self.inner.position.borrow()
    }

    /// Makes what was written durable; nothing to do is free.
    pub fn sync(&self) -> Result<(), SpoolError> {
        Ok(self.events().sync()?)
    }

    /// Reads on from an event.
    pub fn reader(&self, from_seq: u64) -> Result<Reader, SpoolError> {
        let mut file = File::open(self.inner.dir.join(EVENTS))?;
        let mut next_seq = 1;
        while next_seq < from_seq {
            match record::read(&mut file)? {
                Some(_) => next_seq += 1,
                None => break,
            }
        }
        Ok(Reader { file, next_seq })
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.inner.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Events {
    /// Writes the end of what was too much, with what went before it as a number.
    fn flush_tail(&mut self, bytes_max: usize) -> io::Result<()> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let (elided, lines) = self.tail.take(bytes_max);
        if elided > 0 {
            self.write(&EventLine {
                at: lines.front().map_or_else(now, |(_, line)| line.at),
                event: AgentEvent::Elided { bytes: elided },
            })?;
        }
        lines.iter().try_for_each(|(_, line)| self.write(line))
    }

    fn write(&mut self, line: &EventLine) -> io::Result<()> {
        self.append(&line.stored().map_err(io::Error::other)?)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let record = record::encode(self.last_seq + 1, bytes);
        let Some(file) = &mut self.file else { return Err(io::Error::other("the attempt has ended")) };
        if let Err(error) = file.write_all(&record) {
            // Half a record must not stay in front of the next one.
            file.set_len(self.bytes)?;
            file.seek(SeekFrom::Start(self.bytes))?;
            return Err(error);
        }
        self.last_seq += 1;
        self.bytes += record.len() as u64;
        self.dirty = true;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.dirty
            && let Some(file) = &self.file
        {
            file.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }
}

/// Reads an attempt's events in order.
pub struct Reader {
    file: File,
    next_seq: u64,
}

impl Reader {
    /// Number of the event it reads next.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Events up to `through_seq`, as many as are sent at once; empty if there are none.
    pub fn read(&mut self, through_seq: u64) -> Result<Vec<Vec<u8>>, SpoolError> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        while self.next_seq <= through_seq && bytes < READ_BYTES_MAX {
            match record::read(&mut self.file)? {
                Some((seq, event)) if seq == self.next_seq => {
                    bytes += event.len();
                    events.push(event);
                    self.next_seq += 1;
                }
                _ => return Err(SpoolError::Damaged { seq: self.next_seq }),
            }
        }
        Ok(events)
    }
}

/// What an event says of subtasks that are done.
fn note(done: &mut BTreeSet<String>, event: &AgentEvent) {
    let AgentEvent::Subtask { id, status } = event else { return };
    if status != "completed" {
        done.remove(id);
    } else if done.len() < DONE_MAX {
        done.insert(id.clone());
    }
}

/// The same of an event as it was written. Others are not read for it.
fn note_written(done: &mut BTreeSet<String>, event: &[u8]) {
    const KIND: &[u8] = b"\"kind\":\"subtask\"";
    if event.windows(KIND.len()).any(|part| part == KIND)
        && let Ok(line) = serde_json::from_slice::<EventLine>(event)
    {
        note(done, &line.event);
    }
}

/// Since when the coordinator has all of the attempt in that folder.
pub(super) fn accepted_at(dir: &Path) -> Option<SystemTime> {
    fs::metadata(dir.join(ACCEPTED)).ok()?.modified().ok()
}

/// Writes a file and its name durably: temporary file, sync, rename, sync of the folder.
fn write_durably(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.tmp"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(name))?;
    File::open(dir)?.sync_all()
}

fn now() -> roundtable_shared::time::WallMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    roundtable_shared::time::WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
