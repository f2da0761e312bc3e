//! From an agent's lines to spooled events: parser, then redaction, then the spool. Runs on the output's own thread.

use std::sync::Arc;
use std::time::SystemTime;

use roundtable_shared::AgentEvent;
use roundtable_shared::limits::EVENT_TEXT_BYTES_MAX;
use roundtable_shared::time::WallMs;
use roundtable_shared::view::EventLine;

use crate::backend::{ExitFacts, Listener, StreamParser, TurnEnd};
use crate::process::{LineSink, Progress, RedactStream, Redactor, Stream};
use crate::spool::AttemptSpool;

/// Last lines of a plain command that are kept as its answer, bytes.
const TAIL_BYTES_MAX: usize = 32 << 10;

/// Where events go.
pub(super) struct Events {
    spool: AttemptSpool,
    redact: RedactStream,
    buffer: Vec<AgentEvent>,
    failed: bool,
}

impl Events {
    pub(super) fn new(spool: AttemptSpool, redactor: Arc<Redactor>) -> Self {
        Self { spool, redact: RedactStream::new(redactor), buffer: Vec::new(), failed: false }
    }

    fn push(&mut self, events: Vec<AgentEvent>) {
        for event in events {
            self.redact.push(event, &mut self.buffer);
        }
        self.flush();
    }

    fn finish(&mut self) {
        self.redact.finish(&mut self.buffer);
        self.flush();
    }

    fn flush(&mut self) {
        for mut event in self.buffer.drain(..) {
            shorten(&mut event);
            if let Err(error) = self.spool.push(EventLine { at: now(), event })
                && !std::mem::replace(&mut self.failed, true)
            {
                tracing::warn!(lease = %self.spool.lease().lease.key, %error, "events of this attempt are lost from here on");
            }
        }
    }
}

/// The sink of an agent CLI.
pub(super) struct AgentSink {
    listener: Listener,
    events: Events,
}

impl AgentSink {
    /// What the parser knows of the provider goes to `progress`, where the limits are looked at.
    pub(super) fn new(parser: Box<dyn StreamParser>, events: Events, progress: Arc<Progress>) -> Self {
        Self { listener: Listener::new(parser, progress), events }
    }

    /// What came of the turn.
    pub(super) fn end(self, exit: &ExitFacts) -> TurnEnd {
        let Self { listener, mut events } = self;
        let (end, last) = listener.end(exit);
        events.push(last);
        events.finish();
        end
    }
}

impl LineSink for AgentSink {
    fn line(&mut self, stream: Stream, line: &[u8], truncated: bool) {
        self.events.push(self.listener.line(stream, line, truncated));
    }

    fn elided(&mut self, _stream: Stream, bytes: u64) {
        self.events.push(vec![AgentEvent::Elided { bytes }]);
    }
}

/// The sink of a plain command (setup, check): its lines as they are, the end of them kept.
pub(super) struct CommandSink {
    events: Option<Events>,
    tail: Vec<u8>,
}

impl CommandSink {
    pub(super) fn new(events: Option<Events>) -> Self {
        Self { events, tail: Vec::new() }
    }

    /// The end of what it printed.
    pub(super) fn end(mut self) -> String {
        if let Some(events) = &mut self.events {
            events.finish();
        }
        String::from_utf8_lossy(&self.tail).into_owned()
    }
}

impl LineSink for CommandSink {
    fn line(&mut self, stream: Stream, line: &[u8], _truncated: bool) {
        self.tail.extend_from_slice(line);
        self.tail.push(b'\n');
        if self.tail.len() > 2 * TAIL_BYTES_MAX {
            self.tail.drain(..self.tail.len() - TAIL_BYTES_MAX);
        }
        if let Some(events) = &mut self.events {
            let stream = if stream == Stream::Stdout { "stdout" } else { "stderr" };
            events.push(vec![AgentEvent::Raw { stream: stream.to_owned(), text: String::from_utf8_lossy(line).into_owned() }]);
        }
    }

    fn elided(&mut self, _stream: Stream, bytes: u64) {
        if let Some(events) = &mut self.events {
            events.push(vec![AgentEvent::Elided { bytes }]);
        }
    }
}

/// Long texts keep head and tail.
fn shorten(event: &mut AgentEvent) {
    let text = match event {
        AgentEvent::Message { text } | AgentEvent::Reasoning { text } | AgentEvent::Warning { text } | AgentEvent::Raw { text, .. } => text,
        AgentEvent::Exec { output: Some(output), .. } => output,
        _ => return,
    };
    if text.len() <= EVENT_TEXT_BYTES_MAX {
        return;
    }
    let half = EVENT_TEXT_BYTES_MAX / 2;
    let (mut head, mut tail) = (half, text.len() - half);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    *text = format!("{}\n… {} bytes …\n{}", &text[..head], tail - head, &text[tail..]);
}

pub(super) fn now() -> WallMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_keep_head_and_tail_at_character_boundaries() {
        let mut event = AgentEvent::Message { text: format!("a{}z", "é".repeat(EVENT_TEXT_BYTES_MAX)) };
        shorten(&mut event);
        let AgentEvent::Message { text } = event else { panic!("a message") };
        assert!(text.starts_with('a') && text.ends_with('z') && text.len() < EVENT_TEXT_BYTES_MAX + 100);
    }
}
