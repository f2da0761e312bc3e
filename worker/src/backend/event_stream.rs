//! Parser of agents that speak our own event lines (one JSON object with `kind` per line, `AgentEvent`): the scripted player, and configured
//! commands that want to be more than text. Other lines are text.

use roundtable_shared::limits::{ANSWER_BYTES_MAX, EVENT_TEXT_BYTES_MAX, PATH_BYTES_MAX};
use roundtable_shared::{AgentEvent, FailureKind};

use super::classify::failure_kind;
use super::text::{Tail, elide};
use super::transcript::{Terminal, Transcript, push_raw};
use super::{ExitFacts, StreamParser, Turn, TurnEnd};

/// Most paths of one file change that are kept.
const PATHS_MAX: usize = 1000;

/// The parser.
pub(super) struct EventStream {
    cli: String,
    transcript: Transcript,
    /// Lines that are no events; the answer of a command that prints no `message`.
    text: Tail,
    /// Whether exit status 0 alone is a good end.
    exit_is_terminal: bool,
}

impl EventStream {
    pub(super) fn new(cli: &str, turn: &Turn, exit_is_terminal: bool) -> Self {
        let mut transcript = Transcript::new(turn);
        // What such a program waits for does not show.
        transcript.busy = true;
        Self { cli: cli.to_owned(), transcript, text: Tail::new(ANSWER_BYTES_MAX), exit_is_terminal }
    }

    fn on_event(&mut self, event: AgentEvent, out: &mut Vec<AgentEvent>) {
        match event {
            AgentEvent::Started { session } => self.transcript.on_started(session.as_ref().map(|id| id.as_str()), out),
            AgentEvent::Message { text } => {
                self.transcript.answer.clear();
                self.transcript.answer.push(&text);
                self.transcript.on_message(&text, true, out);
            }
            AgentEvent::Usage { usage } => {
                let usage = usage.believable();
                self.transcript.usage = usage;
                out.push(AgentEvent::Usage { usage });
            }
            AgentEvent::Completed => self.transcript.on_good_end(out),
            AgentEvent::Failed { message } => {
                let kind = failure_kind(&message, None, None).unwrap_or(FailureKind::TurnFailed);
                self.transcript.on_bad_end(kind, &message, out);
            }
            event => out.push(bounded(event)),
        }
    }
}

impl StreamParser for EventStream {
    fn stdout_line(&mut self, line: &[u8], truncated: bool, out: &mut Vec<AgentEvent>) {
        let event = if truncated { None } else { serde_json::from_slice::<AgentEvent>(line).ok() };
        if let Some(event) = event {
            return self.on_event(event, out);
        }
        self.text.push_line(&String::from_utf8_lossy(line));
        push_raw("stdout", line, out);
    }

    fn stderr_line(&mut self, line: &[u8], _truncated: bool, out: &mut Vec<AgentEvent>) {
        self.transcript.on_stderr(line, out);
    }

    fn end(mut self: Box<Self>, exit: &ExitFacts, out: &mut Vec<AgentEvent>) -> TurnEnd {
        if self.transcript.answer.is_empty() {
            self.transcript.answer.push(self.text.as_str().trim());
        }
        let well = exit.code == Some(0) && exit.ended_by.is_none();
        if self.exit_is_terminal && well && matches!(self.transcript.terminal, Terminal::None) {
            self.transcript.on_good_end(out);
        }
        // What a strange program says on stderr is not searched for reasons: it may be anything.
        self.transcript.started = true;
        self.transcript.total.add(&self.transcript.usage.clone());
        self.transcript.end(&self.cli, exit)
    }
}

/// An event from outside, with every text cut to what is stored.
fn bounded(event: AgentEvent) -> AgentEvent {
    let cut = |text: String| if text.len() > EVENT_TEXT_BYTES_MAX { elide(&text, EVENT_TEXT_BYTES_MAX).into_owned() } else { text };
    match event {
        AgentEvent::Reasoning { text } => AgentEvent::Reasoning { text: cut(text) },
        AgentEvent::Warning { text } => AgentEvent::Warning { text: cut(text) },
        AgentEvent::Raw { text, .. } => AgentEvent::Raw { stream: "stdout".to_owned(), text: cut(text) },
        AgentEvent::Exec { command, output, exit_code, ended } => {
            AgentEvent::Exec { command: cut(command), output: output.map(cut), exit_code, ended }
        }
        AgentEvent::FileChange { paths, ok } => {
            let paths = paths.into_iter().take(PATHS_MAX).map(|path| elide(&path, PATH_BYTES_MAX).into_owned()).collect();
            AgentEvent::FileChange { paths, ok }
        }
        AgentEvent::Subtask { id, status } => {
            AgentEvent::Subtask { id: elide(&id, 200).into_owned(), status: elide(&status, 200).into_owned() }
        }
        event => event,
    }
}
