//! The end of an output that is too long to keep: the last events within a bound, and how much went before them.

use std::collections::VecDeque;

use roundtable_shared::AgentEvent;
use roundtable_shared::view::EventLine;

/// What an event costs beside its text.
const EVENT_OVERHEAD_BYTES: usize = 96;

/// The last events that were not written yet.
#[derive(Default)]
pub(super) struct Tail {
    lines: VecDeque<(usize, EventLine)>,
    bytes: usize,
    elided: u64,
}

impl Tail {
    /// Adds one; what is over the bound goes from the front and is counted.
    pub(super) fn push(&mut self, line: EventLine, bytes_max: usize) {
        let cost = size_of(&line.event) + EVENT_OVERHEAD_BYTES;
        self.bytes += cost;
        self.lines.push_back((cost, line));
        self.shrink(bytes_max);
    }

    /// Counts what was never here.
    pub(super) fn elide(&mut self, bytes: u64) {
        self.elided += bytes;
    }

    /// Takes what is here, at most `bytes_max` of it: how many bytes went before, and the events.
    pub(super) fn take(&mut self, bytes_max: usize) -> (u64, VecDeque<(usize, EventLine)>) {
        self.shrink(bytes_max);
        self.bytes = 0;
        (std::mem::take(&mut self.elided), std::mem::take(&mut self.lines))
    }

    /// Whether there is nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.elided == 0
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn shrink(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some((cost, line)) = self.lines.pop_front()
        {
            self.bytes -= cost;
            self.elided += u64::try_from(size_of(&line.event)).unwrap_or(u64::MAX);
        }
    }
}

/// Bytes of an event's texts.
pub(super) fn size_of(event: &AgentEvent) -> usize {
    match event {
        AgentEvent::Message { text } | AgentEvent::Reasoning { text } | AgentEvent::Warning { text } | AgentEvent::Raw { text, .. } => {
            text.len()
        }
        AgentEvent::Failed { message } => message.len(),
        AgentEvent::Exec { command, output, .. } => command.len() + output.as_ref().map_or(0, String::len),
        AgentEvent::FileChange { paths, .. } => paths.iter().map(String::len).sum(),
        AgentEvent::Elided { bytes } => usize::try_from(*bytes).unwrap_or(usize::MAX).min(1),
        AgentEvent::Started { .. } | AgentEvent::Subtask { .. } | AgentEvent::Usage { .. } | AgentEvent::Completed => 0,
    }
}
