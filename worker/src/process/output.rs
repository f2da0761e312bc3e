//! Reads an agent's stdout and stderr, whatever comes and however much, and hands lines to a sink. One thread reads and never waits long for
//! anything but the agent; another one, the consumer, runs the sink. Between them is a bounded backlog that drops its oldest lines rather
//! than block the agent for good. When to stop the agent is `limits`' business.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::FallocateFlags;

use super::lines::{Block, Splitter};
use super::progress::Progress;
use super::sink::{LineSink, Stream};
use crate::backend::LINE_BYTES_MAX;

/// Longest line of stderr that is handed over, bytes.
const STDERR_LINE_BYTES_MAX: usize = 256 << 10;
/// Lines that wait for the sink, bytes.
const BACKLOG_BYTES_MAX: usize = 8 << 20;
/// What a block costs beside its bytes.
const BLOCK_OVERHEAD_BYTES: usize = 64;
/// How long the agent is kept waiting for a slow sink before lines are dropped.
const BACKLOG_WAIT: Duration = Duration::from_secs(1);
/// How often a file is looked at for new output.
const FOLLOW_EVERY: Duration = Duration::from_millis(25);
/// How long a pipe may stay open after the tree is gone before it is given up.
const HELD_OPEN_WAIT: Duration = Duration::from_secs(2);
/// Read at once.
const READ_BYTES: usize = 64 << 10;
/// When the reader of a followed file is behind by more than this, it leaves out what is between (there is no back pressure on a file).
const BEHIND_BYTES_MAX: u64 = 64 << 20;
/// And goes on this far from the end.
const CATCH_UP_BYTES: u64 = 16 << 20;
/// A followed file's blocks are given back to the disk in steps of this.
const PUNCH_BYTES: u64 = 4 << 20;

/// Where a stream is read from.
pub(super) enum Source {
    /// A pipe, not blocking.
    Pipe(File),
    /// A regular file that grows.
    Follow(File),
}

/// Reads both streams until they end.
pub(super) struct Reader {
    backlog: Arc<Backlog>,
    wake: Option<OwnedFd>,
    done: tokio::sync::oneshot::Receiver<Drained>,
}

/// What the reader says at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Drained {
    /// A pipe was still open when it was given up: somebody out there holds it.
    pub(super) held_open: bool,
}

impl Reader {
    /// Starts the two threads. The sink comes back through the receiver when all is consumed (never, if it panicked).
    pub(super) fn start<S: LineSink + 'static>(
        stdout: Source,
        stderr: Source,
        sink: S,
        progress: Arc<Progress>,
    ) -> std::io::Result<(Self, tokio::sync::oneshot::Receiver<S>)> {
        let (wake_read, wake_write) = std::io::pipe()?;
        let backlog = Arc::new(Backlog::default());
        let (drained, done) = tokio::sync::oneshot::channel();
        let (consumed, sink_back) = tokio::sync::oneshot::channel();
        let for_sink = Arc::clone(&backlog);
        std::thread::Builder::new().name("agent-lines".into()).spawn(move || {
            // A receiver that is gone means that nobody waits for the sink any more.
            let _ = consumed.send(consume(&for_sink, sink));
        })?;
        let mut loop_state = ReadLoop {
            inputs: [Input::new(Stream::Stdout, stdout), Input::new(Stream::Stderr, stderr)],
            wake: wake_read.into(),
            finishing: None,
            backlog: Arc::clone(&backlog),
            progress,
            buffer: vec![0; READ_BYTES],
        };
        std::thread::Builder::new().name("agent-read".into()).spawn(move || {
            let result = loop_state.run();
            loop_state.backlog.end();
            let _ = drained.send(result);
        })?;
        Ok((Self { backlog, wake: Some(wake_write.into()), done }, sink_back))
    }

    /// The tree is gone: what is still to be read is read, then the reader ends.
    pub(super) async fn finish(mut self) -> Drained {
        drop(self.wake.take());
        let drained = (&mut self.done).await.unwrap_or_default();
        self.backlog.end();
        drained
    }
}

/// One stream's state in the reading thread.
struct Input {
    stream: Stream,
    source: Option<Source>,
    splitter: Splitter,
    followed: Followed,
}

/// How far a file has been followed, bytes from its beginning.
#[derive(Default)]
struct Followed {
    read_upto: u64,
    punched_upto: u64,
    seen_len: u64,
}

/// What one read gave.
#[derive(Default)]
struct Got {
    /// In the buffer.
    read: usize,
    /// Newly written by the agent; for a pipe the same as `read`.
    written: u64,
    /// Left out before what is in the buffer.
    left_out: u64,
}

impl Input {
    fn new(stream: Stream, source: Source) -> Self {
        let line_bytes_max = match stream {
            Stream::Stdout => LINE_BYTES_MAX,
            Stream::Stderr => STDERR_LINE_BYTES_MAX,
        };
        Self { stream, source: Some(source), splitter: Splitter::new(line_bytes_max), followed: Followed::default() }
    }

    fn pipe(&self) -> Option<BorrowedFd<'_>> {
        match &self.source {
            Some(Source::Pipe(file)) => Some(file.as_fd()),
            _ => None,
        }
    }

    fn follows(&self) -> bool {
        matches!(self.source, Some(Source::Follow(_)))
    }

    /// Reads once. Nothing read means nothing there now; from a pipe, also that it is closed.
    fn read(&mut self, buffer: &mut [u8]) -> Got {
        let result = match &mut self.source {
            None => return Got::default(),
            Some(Source::Pipe(file)) => file.read(buffer).map(|read| Got { read, written: read as u64, left_out: 0 }),
            Some(Source::Follow(file)) => self.followed.read(file, buffer),
        };
        match result {
            Ok(got) => {
                if got.read == 0 && !self.follows() {
                    self.source = None;
                }
                got
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted) => Got::default(),
            Err(error) => {
                tracing::warn!(stream = ?self.stream, %error, "cannot read an agent's output any further");
                self.source = None;
                Got::default()
            }
        }
    }
}

impl Followed {
    /// Reads behind the writer, and gives what was read back to the disk.
    fn read(&mut self, file: &File, buffer: &mut [u8]) -> std::io::Result<Got> {
        let len = file.metadata()?.len();
        if len < self.seen_len.max(self.read_upto) {
            // The agent has truncated its own output: go on from the new end.
            *self = Self { read_upto: len, punched_upto: self.punched_upto.min(len), seen_len: len };
        }
        let mut got = Got { written: len - self.seen_len, ..Got::default() };
        self.seen_len = len;
        if len - self.read_upto > BEHIND_BYTES_MAX {
            got.left_out = len - CATCH_UP_BYTES - self.read_upto;
            self.read_upto += got.left_out;
        }
        got.read = file.read_at(buffer, self.read_upto)?;
        self.read_upto += got.read as u64;
        if self.read_upto - self.punched_upto >= PUNCH_BYTES {
            let len = self.read_upto - self.punched_upto;
            // Not every file system can; then the output limit alone bounds the disk.
            let _ = rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, self.punched_upto, len);
            self.punched_upto = self.read_upto;
        }
        Ok(got)
    }
}

struct ReadLoop {
    inputs: [Input; 2],
    wake: OwnedFd,
    finishing: Option<Instant>,
    backlog: Arc<Backlog>,
    progress: Arc<Progress>,
    buffer: Vec<u8>,
}

impl ReadLoop {
    fn run(&mut self) -> Drained {
        loop {
            let mut read_any = false;
            for at in 0..self.inputs.len() {
                read_any |= self.read_some(at);
            }
            if read_any {
                self.note_wake(Duration::ZERO);
                continue;
            }
            if let Some(since) = self.finishing {
                let pipes_open = self.inputs.iter().any(|input| input.pipe().is_some());
                if !pipes_open || since.elapsed() >= HELD_OPEN_WAIT {
                    self.flush();
                    return Drained { held_open: pipes_open };
                }
            }
            let timeout = if self.inputs.iter().any(Input::follows) { FOLLOW_EVERY } else { Duration::from_millis(250) };
            self.note_wake(timeout);
        }
    }

    /// Reads one buffer of an input; says whether there was anything.
    fn read_some(&mut self, at: usize) -> bool {
        let input = &mut self.inputs[at];
        let got = input.read(&mut self.buffer);
        let stream = input.stream;
        let (backlog, progress) = (&self.backlog, &self.progress);
        progress.wrote(stream, got.written);
        if got.left_out > 0 {
            backlog.elide(stream, got.left_out + input.splitter.gap(), progress);
        }
        let skipped = input.splitter.feed(&self.buffer[..got.read], &mut |block| backlog.push(stream, block, progress));
        backlog.elide(stream, skipped, progress);
        got.read > 0
    }

    fn flush(&mut self) {
        for input in &mut self.inputs {
            let stream = input.stream;
            let (backlog, progress) = (&self.backlog, &self.progress);
            input.splitter.finish(&mut |block| backlog.push(stream, block, progress));
        }
    }

    /// Waits until a pipe or the wake-up has something to say.
    fn note_wake(&mut self, timeout: Duration) {
        let mut fds: Vec<PollFd<'_>> =
            self.inputs.iter().filter_map(|input| Some(PollFd::from_borrowed_fd(input.pipe()?, PollFlags::IN))).collect();
        if self.finishing.is_none() {
            fds.push(PollFd::new(&self.wake, PollFlags::IN));
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(timeout.subsec_nanos()) };
        let polled = rustix::event::poll(&mut fds, Some(&timeout));
        let woken = self.finishing.is_none() && fds.last().is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        if woken {
            self.finishing = Some(Instant::now());
        }
        if let Err(error) = polled
            && error != rustix::io::Errno::INTR
        {
            // Cannot happen with valid descriptors; without this the loop would spin.
            tracing::error!(%error, "poll on an agent's output failed");
            std::thread::sleep(FOLLOW_EVERY);
        }
    }
}

/// Blocks that wait for the sink, bounded. What is dropped is counted, oldest first, and told in its place.
#[derive(Default)]
struct Backlog {
    state: Mutex<BacklogState>,
    changed: Condvar,
}

#[derive(Default)]
struct BacklogState {
    blocks: VecDeque<(Stream, Block)>,
    bytes: usize,
    /// Not handed over, before the first waiting block: stdout, stderr.
    dropped: [u64; 2],
    ended: bool,
    abandoned: bool,
    /// The sink took nothing for the whole of `BACKLOG_WAIT`; until it does, nobody waits for it again.
    stuck: bool,
}

/// What the consumer does next.
enum Next {
    Block(Stream, Block),
    Elided(Stream, u64),
    Quiet,
    End,
}

impl Backlog {
    fn lock(&self) -> MutexGuard<'_, BacklogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, stream: Stream, block: Block, progress: &Progress) {
        let cost = block.bytes.len() + BLOCK_OVERHEAD_BYTES;
        let full = |state: &BacklogState| !state.abandoned && !state.blocks.is_empty() && state.bytes + cost > BACKLOG_BYTES_MAX;
        let waited = self.changed.wait_timeout_while(self.lock(), BACKLOG_WAIT, |state| !state.stuck && full(state));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.abandoned {
            return;
        }
        while full(&state) {
            state.stuck = true;
            if let Some((stream, dropped)) = state.blocks.pop_front() {
                state.bytes -= dropped.bytes.len() + BLOCK_OVERHEAD_BYTES;
                state.dropped[stream as usize] += dropped.bytes.len() as u64;
                progress.left_out(dropped.bytes.len() as u64);
            }
        }
        state.bytes += cost;
        state.blocks.push_back((stream, block));
        self.changed.notify_all();
    }

    fn elide(&self, stream: Stream, bytes: u64, progress: &Progress) {
        if bytes > 0 {
            progress.left_out(bytes);
            self.lock().dropped[stream as usize] += bytes;
        }
    }

    fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    fn next(&self) -> Next {
        let nothing = |state: &mut BacklogState| state.blocks.is_empty() && state.dropped == [0, 0] && !state.ended;
        let waited = self.changed.wait_timeout_while(self.lock(), Duration::from_secs(1), nothing);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.stuck = false;
        for stream in [Stream::Stdout, Stream::Stderr] {
            let dropped = std::mem::take(&mut state.dropped[stream as usize]);
            if dropped > 0 {
                return Next::Elided(stream, dropped);
            }
        }
        match state.blocks.pop_front() {
            Some((stream, block)) => {
                state.bytes -= block.bytes.len() + BLOCK_OVERHEAD_BYTES;
                self.changed.notify_all();
                Next::Block(stream, block)
            }
            None if state.ended => Next::End,
            None => Next::Quiet,
        }
    }
}

/// Runs the sink until the streams end. If the sink panics, the reader no longer waits for it.
fn consume<S: LineSink>(backlog: &Backlog, mut sink: S) -> S {
    let guard = AbandonOnDrop(backlog);
    loop {
        match guard.0.next() {
            Next::Block(stream, block) => block.lines().for_each(|line| sink.line(stream, line, block.truncated)),
            Next::Elided(stream, bytes) => sink.elided(stream, bytes),
            Next::Quiet => sink.quiet(),
            Next::End => return sink,
        }
    }
}

struct AbandonOnDrop<'b>(&'b Backlog);

impl Drop for AbandonOnDrop<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.abandoned = true;
        state.blocks.clear();
        state.bytes = 0;
        drop(state);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
