//! Listening to an agent: its lines go to its parser, and what that knows of the provider to where the limits are looked at. What becomes of the events
//! is up to whoever listens.

use std::sync::Arc;

use roundtable_shared::AgentEvent;

use super::{ExitFacts, StreamParser, TurnEnd};
use crate::process::{Progress, Stream};

/// The parser of a turn that is under way.
pub struct Listener {
    parser: Box<dyn StreamParser>,
    progress: Arc<Progress>,
}

impl Listener {
    /// `progress` is the one that the turn's process runs with.
    pub fn new(parser: Box<dyn StreamParser>, progress: Arc<Progress>) -> Self {
        // A provider may be waited for from the very start.
        progress.set_contact(parser.contact());
        Self { parser, progress }
    }

    /// What a line says.
    pub fn line(&mut self, stream: Stream, line: &[u8], truncated: bool) -> Vec<AgentEvent> {
        let mut events = Vec::new();
        match stream {
            Stream::Stdout => self.parser.stdout_line(line, truncated, &mut events),
            Stream::Stderr => self.parser.stderr_line(line, truncated, &mut events),
        }
        self.progress.set_contact(self.parser.contact());
        events
    }

    /// What came of the turn, and the last events.
    pub fn end(self, exit: &ExitFacts) -> (TurnEnd, Vec<AgentEvent>) {
        let mut events = Vec::new();
        let end = self.parser.end(exit, &mut events);
        (end, events)
    }
}

#[cfg(test)]
mod tests {
    use roundtable_shared::Usage;

    use super::super::Contact;
    use super::*;

    /// Has heard of its provider once there is a line on stdout.
    struct Hearing(Contact);

    fn said(text: &str) -> AgentEvent {
        AgentEvent::Message { text: text.to_owned() }
    }

    impl StreamParser for Hearing {
        fn stdout_line(&mut self, _line: &[u8], _truncated: bool, out: &mut Vec<AgentEvent>) {
            self.0 = Contact::Heard;
            out.push(said("out"));
        }

        fn stderr_line(&mut self, _line: &[u8], _truncated: bool, out: &mut Vec<AgentEvent>) {
            out.push(said("err"));
        }

        fn contact(&self) -> Contact {
            self.0
        }

        fn end(self: Box<Self>, _exit: &ExitFacts, out: &mut Vec<AgentEvent>) -> TurnEnd {
            out.push(said("end"));
            TurnEnd { failure: None, answer: String::new(), session: None, usage: Usage::default() }
        }
    }

    #[test]
    fn what_is_known_of_the_provider_is_told_from_the_start_and_with_each_line() {
        let progress = Arc::new(Progress::default());
        let mut listener = Listener::new(Box::new(Hearing(Contact::Awaited)), Arc::clone(&progress));
        assert_eq!(progress.contact(), Contact::Awaited);
        assert_eq!((listener.line(Stream::Stderr, b"x", false), progress.contact()), (vec![said("err")], Contact::Awaited));
        assert_eq!((listener.line(Stream::Stdout, b"x", false), progress.contact()), (vec![said("out")], Contact::Heard));
        assert_eq!(listener.end(&ExitFacts::default()).1, [said("end")]);
    }
}
