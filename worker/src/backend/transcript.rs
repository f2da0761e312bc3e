//! What every parser keeps while it reads, and how a turn's end is judged from it: terminal event AND its status AND exit code AND nobody
//! ended it (docs/backends.md, "How a turn is judged"). What the lines mean is each adapter's.

use std::path::{Path, PathBuf};

use roundtable_shared::limits::{ANSWER_BYTES_MAX, EVENT_TEXT_BYTES_MAX};
use roundtable_shared::{AgentEvent, AgentSessionId, Failure, FailureKind, Usage};
use serde_json::Value;

use super::classify::failure_kind;
use super::text::{Tail, elide, plain};
use super::{Contact, EndedBy, ExitFacts, SessionRecord, Turn, TurnEnd};

/// Most of stderr that is kept for a failure's message, bytes.
const STDERR_BYTES_MAX: usize = 4 << 10;
/// Longest failure message, bytes.
const MESSAGE_BYTES_MAX: usize = 2 << 10;
/// Longest last line that is added to a failure's message, bytes.
const LAST_LINE_BYTES_MAX: usize = 300;
/// Refusals the CLI may meet in one turn before it is ended: the coordinator waits better, and without holding a slot.
pub(super) const REFUSALS_MAX: u32 = 2;
/// Longest line that is searched for a subtask report, bytes.
const REPORT_LINE_BYTES_MAX: usize = 512;
/// How an agent reports a step while it works: `Roundtable-Subtask: 2.1 completed` on a line of its own.
const REPORT_MARK: &str = "Roundtable-Subtask:";

/// How the stream itself said the turn ended.
#[derive(Debug, Default)]
pub(super) enum Terminal {
    /// It did not.
    #[default]
    None,
    /// Well.
    Good,
    /// Badly.
    Bad(Failure),
}

/// What is kept of a turn's output.
#[derive(Debug)]
pub(super) struct Transcript {
    worktree: PathBuf,
    resumed: Option<SessionRecord>,
    /// The CLI's conversation.
    pub session: Option<AgentSessionId>,
    /// The final message so far.
    pub answer: Tail,
    /// Tokens of this turn.
    pub usage: Usage,
    /// Tokens of the conversation, as far as the CLI told.
    pub total: Usage,
    /// What the stream said of its end.
    pub terminal: Terminal,
    /// The provider trouble the CLI is retrying at the moment.
    pub retrying: Option<Failure>,
    /// Whether the CLI got as far as its first event.
    pub started: bool,
    /// What is known of the provider.
    pub contact: Contact,
    /// Whether something other than the model may be at work: a tool of the agent's, as far as the CLI shows them.
    pub busy: bool,
    refusals: u32,
    last_line: String,
    stderr: Tail,
    report_line: Tail,
}

impl Transcript {
    pub(super) fn new(turn: &Turn) -> Self {
        Self {
            worktree: turn.worktree.clone(),
            resumed: turn.resume.clone(),
            session: None,
            answer: Tail::new(ANSWER_BYTES_MAX),
            usage: Usage::default(),
            total: turn.resume.as_ref().map(|resume| resume.total).unwrap_or_default(),
            terminal: Terminal::None,
            retrying: None,
            started: false,
            contact: Contact::Unknown,
            busy: false,
            refusals: 0,
            last_line: String::new(),
            stderr: Tail::new(STDERR_BYTES_MAX),
            report_line: Tail::new(REPORT_LINE_BYTES_MAX),
        }
    }

    /// The JSON object on a line of stdout; anything else becomes a raw event.
    pub(super) fn object(&mut self, line: &[u8], truncated: bool, out: &mut Vec<AgentEvent>) -> Option<Value> {
        if truncated {
            out.push(AgentEvent::Warning { text: format!("a line of output longer than {} bytes was not understood", line.len()) });
            return None;
        }
        match serde_json::from_slice::<Value>(line) {
            Ok(value @ Value::Object(_)) => Some(value),
            _ => {
                self.note_line(&plain(&elide(&String::from_utf8_lossy(line), MESSAGE_BYTES_MAX)));
                push_raw("stdout", line, out);
                None
            }
        }
    }

    pub(super) fn on_started(&mut self, session: Option<&str>, out: &mut Vec<AgentEvent>) {
        if self.started {
            return;
        }
        self.started = true;
        self.session = session.filter(|id| !id.is_empty()).map(AgentSessionId::from);
        out.push(AgentEvent::Started { session: self.session.clone() });
    }

    /// Text of the agent as it streams; `ends` if the message is complete.
    pub(super) fn on_message(&mut self, text: &str, ends: bool, out: &mut Vec<AgentEvent>) {
        if !text.is_empty() {
            self.heard();
            self.note_line(&plain(&elide(text, MESSAGE_BYTES_MAX)));
            out.push(AgentEvent::Message { text: elide(text, EVENT_TEXT_BYTES_MAX).into_owned() });
        }
        let mut pieces = text.split('\n').peekable();
        while let Some(piece) = pieces.next() {
            self.report_line.push(piece);
            if ends || pieces.peek().is_some() {
                if let Some((id, status)) = subtask_report(self.report_line.as_str()) {
                    out.push(AgentEvent::Subtask { id, status });
                }
                self.report_line.clear();
            }
        }
    }

    pub(super) fn on_stderr(&mut self, line: &[u8], out: &mut Vec<AgentEvent>) {
        let text = plain(&String::from_utf8_lossy(line));
        self.note_line(&text);
        self.stderr.push_line(&text);
        push_raw("stderr", line, out);
    }

    /// The provider has sent something: whatever it refused before, it got through.
    pub(super) fn heard(&mut self) {
        self.retrying = None;
        self.refusals = 0;
        self.contact = Contact::Heard;
    }

    /// The CLI met a refusal and tries again by itself.
    pub(super) fn on_retry(&mut self, kind: FailureKind, message: String) {
        self.retrying = Some(Failure { kind, message });
    }

    /// The same, where each of its tries is told: it may do so a few times.
    pub(super) fn on_counted_retry(&mut self, kind: FailureKind, message: String) {
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals >= REFUSALS_MAX {
            self.contact = Contact::Refusing;
        }
        self.on_retry(kind, message);
    }

    /// Keeps the last line that says something; brackets do not, nor do frames of a stack and other details, which are indented.
    fn note_line(&mut self, text: &str) {
        let says = |line: &&str| line.contains(char::is_alphanumeric) && !line.starts_with([' ', '\t']);
        if let Some(line) = text.lines().rev().find(says) {
            self.last_line = elide(line.trim(), LAST_LINE_BYTES_MAX).replace('\n', " ");
        }
    }

    pub(super) fn on_good_end(&mut self, out: &mut Vec<AgentEvent>) {
        self.heard();
        if !matches!(self.terminal, Terminal::Bad(_)) {
            self.terminal = Terminal::Good;
            out.push(AgentEvent::Completed);
        }
    }

    pub(super) fn on_bad_end(&mut self, kind: FailureKind, message: &str, out: &mut Vec<AgentEvent>) {
        let message = match plain(&elide(message, MESSAGE_BYTES_MAX)).trim() {
            "" => "the turn failed without a word about why".to_owned(),
            message => message.to_owned(),
        };
        out.push(AgentEvent::Failed { message: message.clone() });
        self.terminal = Terminal::Bad(Failure { kind, message });
    }

    /// The end of stderr so far.
    pub(super) fn stderr(&self) -> &str {
        self.stderr.as_str().trim()
    }

    /// A path as the agent wrote it, relative to the worktree where it lies in it.
    pub(super) fn relative(&self, path: &str) -> String {
        let cut = Path::new(path).strip_prefix(&self.worktree).ok().filter(|rest| !rest.as_os_str().is_empty());
        let path = cut.map_or(path, |rest| rest.to_str().unwrap_or(path));
        elide(path, roundtable_shared::limits::PATH_BYTES_MAX).into_owned()
    }

    /// What came of the turn.
    pub(super) fn end(self, cli: &str, exit: &ExitFacts) -> TurnEnd {
        let failure = self.judge(cli, exit).map(|failure| self.with_last_line(failure));
        // A conversation that could not even be begun, or has no room left, is not worth resuming.
        let full = failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::ContextOverflow);
        let session = match (self.session, self.resumed) {
            _ if full => None,
            (Some(session), _) => Some(SessionRecord { session, worktree: self.worktree, total: self.total }),
            // Killed before its first line: the conversation is as it was.
            (None, Some(resumed)) if exit.ended_by.is_some() || exit.spawn_error.is_some() => Some(resumed),
            _ => None,
        };
        TurnEnd { failure, answer: self.answer.into_string(), session, usage: self.usage }
    }

    fn judge(&self, cli: &str, exit: &ExitFacts) -> Option<Failure> {
        if let Some(error) = &exit.spawn_error {
            let kind = if exit.missing { FailureKind::Misconfigured } else { FailureKind::Config };
            return Some(Failure { kind, message: format!("{cli} could not be started: {error}") });
        }
        if let Some(ended_by) = exit.ended_by {
            return Some(self.ended(cli, ended_by));
        }
        let ended = matches!(exit, ExitFacts { code: Some(0), .. });
        match &self.terminal {
            Terminal::Bad(failure) => Some(failure.clone()),
            Terminal::Good if !ended => Some(Failure {
                kind: FailureKind::ExitStatus { code: exit.code, signal: exit.signal },
                message: format!("{cli} reported success but then {}", exit_words(exit)),
            }),
            Terminal::Good if self.answer.as_str().trim().is_empty() => {
                Some(Failure { kind: FailureKind::BadAnswer, message: format!("{cli} ended without a final message") })
            }
            Terminal::Good => None,
            Terminal::None => Some(self.no_terminal(cli, exit)),
        }
    }

    fn ended(&self, cli: &str, ended_by: EndedBy) -> Failure {
        // An idle CLI that was retrying is the provider's failure, not the unit's.
        if let (Terminal::Bad(failure), EndedBy::Unanswered | EndedBy::Stalled | EndedBy::Refused) = (&self.terminal, ended_by) {
            return failure.clone();
        }
        let waits = matches!(ended_by, EndedBy::Idle | EndedBy::Wall | EndedBy::Unanswered | EndedBy::Stalled | EndedBy::Refused);
        if let Some(trouble) = self.retrying.as_ref().filter(|_| waits) {
            return trouble.clone();
        }
        // Nothing of the agent's was at work: the silence is the provider's.
        let is_stalled = !self.busy && matches!(self.terminal, Terminal::None);
        let (kind, words) = match ended_by {
            EndedBy::Wall => (FailureKind::WallLimit, "ran longer than the wall limit"),
            EndedBy::Idle if is_stalled && self.contact == Contact::Heard => {
                (FailureKind::ProviderUnavailable, "heard no more of its provider for the idle limit")
            }
            EndedBy::Idle if is_stalled => (FailureKind::ProviderUnavailable, "heard nothing of its provider for the idle limit"),
            EndedBy::Idle => (FailureKind::IdleLimit, "showed neither output nor CPU use for the idle limit"),
            EndedBy::Unanswered => (FailureKind::ProviderUnavailable, "heard nothing of its provider for the limit of a first answer"),
            EndedBy::Stalled => {
                (FailureKind::ProviderUnavailable, "heard no more of its provider for longer than a tool of its agent takes")
            }
            EndedBy::Refused => (FailureKind::ProviderUnavailable, "was refused by its provider again and again"),
            EndedBy::Output => (FailureKind::OutputLimit, "printed more than the output limit"),
            EndedBy::Disk => (FailureKind::Disk, "was ended because the disk is full"),
            EndedBy::Interrupt => (FailureKind::Interrupted, "was ended before it was done"),
        };
        Failure { kind, message: format!("{cli} {words}") }
    }

    /// The last line the CLI printed tells more than a status does.
    fn with_last_line(&self, failure: Failure) -> Failure {
        if self.last_line.is_empty() || failure.message.contains(&self.last_line) || self.last_line.contains(&failure.message) {
            return failure;
        }
        Failure { message: format!("{} (last line: {})", failure.message, self.last_line), ..failure }
    }

    fn no_terminal(&self, cli: &str, exit: &ExitFacts) -> Failure {
        let said = self.stderr.as_str().trim();
        let tail = if said.is_empty() { String::new() } else { format!(": {}", elide(said, MESSAGE_BYTES_MAX)) };
        // Before the first event stderr is the CLI's own complaint; later it is full of what its tools met.
        let kind = if self.started || exit.signal.is_some() { None } else { failure_kind(said, None, None) };
        let kind = match (kind, exit.code) {
            (Some(kind), _) => kind,
            (None, Some(0)) => FailureKind::Truncated,
            (None, code) => FailureKind::ExitStatus { code, signal: exit.signal },
        };
        let message = match kind {
            FailureKind::Truncated => format!("{cli} ended without saying that its turn was over{tail}"),
            _ => format!("{cli} {}{tail}", exit_words(exit)),
        };
        Failure { kind, message }
    }
}

/// A line that is no event, kept as it is.
pub(super) fn push_raw(stream: &str, line: &[u8], out: &mut Vec<AgentEvent>) {
    let text = String::from_utf8_lossy(line);
    if !text.trim().is_empty() {
        out.push(AgentEvent::Raw { stream: stream.to_owned(), text: elide(&text, EVENT_TEXT_BYTES_MAX).into_owned() });
    }
}

fn exit_words(exit: &ExitFacts) -> String {
    match (exit.code, exit.signal) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// `Roundtable-Subtask: ID completed|failed`, perhaps inside Markdown decoration.
fn subtask_report(line: &str) -> Option<(String, String)> {
    let rest = line.trim_start_matches([' ', '\t', '*', '-', '`', '>', '#', '_']).strip_prefix(REPORT_MARK)?;
    let mut words = rest.split_whitespace().map(|word| word.trim_matches(['*', '`', '_', '.', ',', ':']));
    let id = words.next().filter(|id| !id.is_empty())?;
    let status = match words.next()?.to_ascii_lowercase().as_str() {
        "completed" | "done" => "completed",
        "failed" => "failed",
        _ => return None,
    };
    Some((id.to_owned(), status.to_owned()))
}

/// The text at a path of keys; empty if it is not there.
pub(super) fn text_at<'a>(value: &'a Value, keys: &[&str]) -> &'a str {
    at(value, keys).and_then(Value::as_str).unwrap_or_default()
}

/// The count at a path of keys; 0 if it is not there.
pub(super) fn count_at(value: &Value, keys: &[&str]) -> u64 {
    let found = at(value, keys);
    let count = found.and_then(Value::as_u64).or_else(|| found.and_then(Value::as_f64).map(|n| n as u64));
    count.filter(|count| *count <= Usage::TOKENS_MAX).unwrap_or(0)
}

/// The value at a path of keys.
pub(super) fn at<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().try_fold(value, |value, key| value.get(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtask_reports_are_found_in_prose() {
        for (line, report) in [
            ("Roundtable-Subtask: 2.1 completed", Some(("2.1", "completed"))),
            ("- **Roundtable-Subtask: 2.1 failed**", Some(("2.1", "failed"))),
            ("Roundtable-Subtask: `T01` done.", Some(("T01", "completed"))),
            ("I will print Roundtable-Subtask: 2.1 completed", None),
            ("Roundtable-Subtask: 2.1", None),
            ("", None),
        ] {
            assert_eq!(subtask_report(line), report.map(|(id, status)| (id.to_owned(), status.to_owned())), "{line}");
        }
    }
}
