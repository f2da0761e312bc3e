//! What an agent's output goes to, line by line. Reading it is `output`'s.

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes an agent's output, line by line, on a thread of its own. May be slow: the agent is not blocked for more than about a second.
pub trait LineSink: Send {
    /// A line without its end. `truncated`: it was longer than `backend::LINE_BYTES_MAX` (256 KiB on stderr) and only its beginning is here.
    fn line(&mut self, stream: Stream, line: &[u8], truncated: bool);

    /// So many bytes of output were not handed over: the rest of truncated lines, or lines dropped because the sink was too slow.
    fn elided(&mut self, stream: Stream, bytes: u64);

    /// Nothing has come for a moment (called about once a second while it is quiet): a chance to pass on what was collected.
    fn quiet(&mut self) {}
}
