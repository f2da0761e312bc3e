//! opencode: `opencode run --format json`, its command line and its stream (docs/backends.md).

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use roundtable_shared::limits::EVENT_TEXT_BYTES_MAX;
use roundtable_shared::{AgentEvent, BackendName, FailureKind, Usage};
use serde_json::Value;

use super::classify::{failure_kind, retry_after_header};
use super::discover::Program;
use super::host::{BackendConfig, Host};
use super::reach::{Reach, Writes};
use super::text::{elide, plain};
use super::transcript::{REFUSALS_MAX, Terminal, Transcript, at, count_at, text_at};
use super::{
    Backend, BackendError, Capabilities, Contact, ExitFacts, Invocation, Resume, StdoutMode, StreamParser, Turn, TurnEnd, read_only_role,
};

/// Permissions of a read-only turn: the tools are not even offered, so that nothing is asked (an unanswered question ends the turn).
const READ_ONLY: &str = r#"{"edit":"deny","bash":"deny","external_directory":"deny"}"#;
/// Permissions of a turn that writes: a path outside is an error the agent is told. Without this it is a question, and an unanswered one ends the
/// turn.
const WRITING: &str = r#"{"external_directory":"deny"}"#;
/// Conversations whose requests are followed at once.
const CONVERSATIONS_MAX: usize = 64;
/// What is said where a connection broke in the middle of an answer.
const BROKEN_OFF: &str = "the connection to the model's provider broke in the middle of an answer";
/// What is said for an error that its log has no words for.
const UNNAMED: &str = "the model's provider failed, and opencode's log does not say how";
/// What it says for missing credentials, and also for an unknown model.
const SERVER_ERROR: &str = "Unexpected server error";

/// The adapter.
pub(super) struct OpenCode {
    name: BackendName,
    program: Program,
    config: BackendConfig,
    host: Arc<Host>,
}

impl OpenCode {
    pub(super) fn open(name: &str, host: Arc<Host>) -> Result<Self, BackendError> {
        let config = host.config(name).unwrap_or_default();
        let program = host.program(name, "opencode", &config)?;
        Ok(Self { name: name.into(), program, config, host })
    }
}

impl Backend for OpenCode {
    fn name(&self) -> &BackendName {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        let resume = if self.config.is_isolated() { Resume::Never } else { Resume::SameDirectory };
        Capabilities { resume, read_only: true, schema: false, shell_in_review: false }
    }

    fn account(&self) -> String {
        self.host.opencode_account(&self.config)
    }

    fn version_invocation(&self) -> Option<Invocation> {
        Some(self.host.version_invocation(&self.program, &["OPENCODE_*"], &self.config))
    }

    fn read_version(&self, stdout: &str) -> Option<String> {
        stdout.lines().rev().map(str::trim).find(|line| line.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
    }

    fn invocation(&self, turn: &Turn) -> Result<Invocation, BackendError> {
        let mut args = self.program.args.clone();
        // Its log is the only place where it says why it cannot begin, that it was refused, and that it asks again.
        args.extend(["run", "--format", "json", "--print-logs", "--log-level", "INFO"].map(OsString::from));
        let defaults = self.host.switches();
        let (switches, read_only) = (&turn.switches, read_only_role(turn.data.role));
        let model =
            turn.model.as_ref().or(switches.opencode_model.as_ref()).or(defaults.opencode_model.as_ref()).or(self.config.model.as_ref());
        if let Some(model) = model {
            args.extend(["--model".into(), model.into()]);
        }
        if let Some(agent) = switches.opencode_agent.as_ref().or(defaults.opencode_agent.as_ref()) {
            args.extend(["--agent".into(), agent.into()]);
        }
        if let Some(effort) = turn.effort.as_ref().or(self.config.effort.as_ref()) {
            args.extend(["--variant".into(), effort.into()]);
        }
        let skips = switches.skip_permissions.unwrap_or(defaults.skip_permissions.unwrap_or(false)) && !read_only;
        if skips {
            args.push("--auto".into());
        }
        if let Some(resume) = &turn.resume {
            // From another directory it hangs for ever; `--dir` names the one it began in.
            args.extend(["--session".into(), resume.session.as_str().into(), "--dir".into(), resume.worktree.clone().into()]);
        }
        args.extend(self.config.args.iter().map(OsString::from));
        let mut invocation = self.host.invocation(&self.program, args, turn, &["OPENCODE_*"], &self.config);
        invocation.stdin = turn.prompt.clone().into_bytes();
        // It exits without draining a pipe: everything not yet read would be lost, with status 0.
        invocation.stdout = StdoutMode::File;
        if read_only {
            invocation.env.insert("OPENCODE_PERMISSION".into(), READ_ONLY.into());
        } else if !skips {
            invocation.env.entry("OPENCODE_PERMISSION".into()).or_insert_with(|| WRITING.into());
        }
        // An overflow of the context otherwise ends in an endless loop of compactions, each a paid request.
        for name in ["OPENCODE_DISABLE_AUTOUPDATE", "OPENCODE_DISABLE_AUTOCOMPACT"] {
            invocation.env.entry(name.into()).or_insert_with(|| "1".into());
        }
        Ok(invocation)
    }

    fn reach(&self, invocation: &Invocation) -> Reach {
        // Its permissions are questions to a person, not a sandbox: a command it runs may do what the account may.
        let read_only = invocation.env.get(OsStr::new("OPENCODE_PERMISSION")).is_some_and(|value| value == READ_ONLY);
        if read_only { Reach { writes: Writes::Nothing, network: true } } else { Reach::ACCOUNT }
    }

    fn parser(&self, turn: &Turn) -> Box<dyn StreamParser> {
        Box::new(OpenCodeStream::new(turn))
    }
}

/// Parser of `opencode run --format json`.
struct OpenCodeStream {
    transcript: Transcript,
    steps: u64,
    /// The last step ended with tool calls and nothing has followed.
    stopped_at_tools: bool,
    /// Conversations (its own, and those of agents it starts) with a request under way, as far as its log tells.
    asking: BTreeSet<String>,
    /// The last step ended without a finish reason, and nothing has followed: what is said of it.
    unfinished: Option<String>,
    /// Requests in a row that came to no answer with an end to it; the CLI asks again and again.
    failed_tries: u32,
    /// What became of the last of them.
    last_trouble: Option<(FailureKind, String)>,
    /// It failed and told the cause to its log alone, which may be read later.
    unexplained: bool,
    /// What its log says of that.
    cause: String,
}

impl OpenCodeStream {
    fn new(turn: &Turn) -> Self {
        let mut transcript = Transcript::new(turn);
        // Its first event comes with the first piece of an answer.
        transcript.contact = Contact::Awaited;
        Self {
            transcript,
            steps: 0,
            stopped_at_tools: false,
            asking: BTreeSet::new(),
            last_trouble: None,
            unfinished: None,
            failed_tries: 0,
            unexplained: false,
            cause: String::new(),
        }
    }

    /// A line of its log.
    fn on_log(&mut self, line: &str, out: &mut Vec<AgentEvent>) {
        let field = |name| log_field(line, name).unwrap_or_default();
        let is_error = field("level") == "ERROR";
        match field("message").as_str() {
            // Titles are made beside the turn.
            _ if field("small") == "true" => {}
            "stream error" if is_error => {
                // An error that is a plain object is logged field by field.
                let said = ["error.error", "error.error.message", "error.error.error.message"].map(field);
                let said = said.iter().map(|said| said.trim()).find(|said| !said.is_empty()).unwrap_or(UNNAMED);
                let message = elide(said, EVENT_TEXT_BYTES_MAX).into_owned();
                out.push(AgentEvent::Warning { text: format!("its provider refused: {message}") });
                let kind = failure_kind(&message, None, None).unwrap_or(FailureKind::ProviderUnavailable);
                self.asking.remove(&field("session.id"));
                self.on_failed_try(kind, message);
            }
            "stream" => self.on_request(field("session.id"), out),
            // A step begins, so the one before it has ended.
            "loop" => {
                self.asking.remove(&field("session.id"));
            }
            "failed" if is_error => self.cause = elide(&field("error"), EVENT_TEXT_BYTES_MAX).into_owned(),
            _ => {}
        }
    }

    /// It asks its provider. If it does so again within a step, the connection was lost in the middle of an answer: neither its stream nor its log tells
    /// of that otherwise.
    fn on_request(&mut self, session: String, out: &mut Vec<AgentEvent>) {
        if self.asking.contains(&session) {
            out.push(AgentEvent::Warning { text: BROKEN_OFF.to_owned() });
            self.on_failed_try(FailureKind::ProviderUnavailable, BROKEN_OFF.to_owned());
        } else if self.asking.len() < CONVERSATIONS_MAX {
            self.asking.insert(session);
        }
    }

    /// A request came to nothing and it will ask again.
    fn on_failed_try(&mut self, kind: FailureKind, message: String) {
        self.failed_tries = self.failed_tries.saturating_add(1);
        self.last_trouble = Some((kind.clone(), message.clone()));
        self.transcript.on_retry(kind, message);
    }

    /// The first piece of an answer.
    fn on_step_start(&mut self) {
        self.steps += 1;
        self.unfinished = None;
        self.transcript.contact = Contact::Heard;
        // What was said before a retry is void.
        self.transcript.answer.clear();
        if matches!(self.transcript.terminal, Terminal::Good) {
            self.transcript.terminal = Terminal::None;
        }
    }

    /// It failed without saying why on its stream.
    fn explain(&mut self, out: &mut Vec<AgentEvent>) {
        let (kind, message) = match (failure_kind(&self.cause, None, None), self.steps) {
            (Some(kind), _) => (kind, self.cause.clone()),
            (None, 0) => (
                FailureKind::Auth,
                format!(
                    "opencode could not begin: no credentials for the model's provider, or no such model (opencode auth login; --model){}",
                    if self.cause.is_empty() { String::new() } else { format!(": {}", self.cause) }
                ),
            ),
            (None, _) if self.cause.is_empty() => (FailureKind::TurnFailed, "opencode met an error and did not say which".to_owned()),
            (None, _) => (FailureKind::TurnFailed, self.cause.clone()),
        };
        self.transcript.on_bad_end(kind, &message, out);
    }

    fn on_tool(&mut self, part: &Value, out: &mut Vec<AgentEvent>) {
        let ok = text_at(part, &["state", "status"]) == "completed";
        let said = || {
            let text = if ok { text_at(part, &["state", "output"]) } else { text_at(part, &["state", "error"]) };
            elide(text, EVENT_TEXT_BYTES_MAX).into_owned()
        };
        match text_at(part, &["tool"]) {
            "bash" => out.push(AgentEvent::Exec {
                command: elide(text_at(part, &["state", "input", "command"]), EVENT_TEXT_BYTES_MAX).into_owned(),
                output: Some(said()),
                exit_code: at(part, &["state", "metadata", "exit"]).and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok()),
                ended: true,
            }),
            "write" | "edit" | "patch" | "apply_patch" | "multiedit" => {
                let path = match text_at(part, &["state", "metadata", "filepath"]) {
                    "" => text_at(part, &["state", "input", "filePath"]),
                    path => path,
                };
                let paths = if path.is_empty() { Vec::new() } else { vec![self.transcript.relative(path)] };
                out.push(AgentEvent::FileChange { paths, ok });
            }
            tool if !ok || tool == "invalid" => {
                out.push(AgentEvent::Warning { text: format!("{}: {}", elide(tool, 200), said()) });
            }
            _ => {}
        }
    }

    fn on_step_finish(&mut self, part: &Value, out: &mut Vec<AgentEvent>) {
        let (read, write) = (count_at(part, &["tokens", "cache", "read"]), count_at(part, &["tokens", "cache", "write"]));
        let step = Usage {
            input_tokens: count_at(part, &["tokens", "input"]).saturating_add(read).saturating_add(write),
            cached_input_tokens: read,
            output_tokens: count_at(part, &["tokens", "output"]).saturating_add(count_at(part, &["tokens", "reasoning"])),
            cost_usd: at(part, &["cost"]).and_then(Value::as_f64).filter(|cost| cost.is_finite() && *cost > 0.0),
        };
        self.transcript.usage.add(&step);
        self.transcript.total.add(&step);
        out.push(AgentEvent::Usage { usage: self.transcript.usage });
        let reason = text_at(part, &["reason"]);
        // What it calls a stream that broke off without saying why.
        if matches!(reason, "unknown" | "other" | "error" | "") {
            let reason = if reason.is_empty() { "none" } else { reason };
            let message = format!("the model's stream ended without a finish reason ({reason})");
            out.push(AgentEvent::Warning { text: message.clone() });
            self.unfinished = Some(message.clone());
            return self.on_failed_try(FailureKind::ProviderUnavailable, message);
        }
        self.failed_tries = 0;
        match reason {
            "stop" => self.transcript.on_good_end(out),
            "tool-calls" => self.stopped_at_tools = true,
            "length" => self.transcript.on_bad_end(FailureKind::TurnFailed, "the answer was cut at the model's output limit", out),
            reason => self.transcript.on_bad_end(FailureKind::TurnFailed, &format!("the model stopped: {reason}"), out),
        }
    }

    fn on_error(&mut self, error: &Value, out: &mut Vec<AgentEvent>) {
        let name = text_at(error, &["name"]);
        let message = match text_at(error, &["data", "message"]) {
            "" => name,
            message => message,
        };
        if message.starts_with(SERVER_ERROR) {
            self.unexplained = true;
            return;
        }
        let status = u16::try_from(count_at(error, &["data", "statusCode"])).ok().filter(|status| *status > 0);
        let retry_after = retry_after_header(text_at(error, &["data", "responseHeaders", "retry-after"]));
        let text = format!("{name}: {message}");
        // A 429 without better words may still be an exhausted quota: the body says so.
        let body = text_at(error, &["data", "responseBody"]);
        let kind = if body.contains("insufficient_quota") {
            Some(FailureKind::Quota { retry_after_ms: retry_after })
        } else {
            failure_kind(&text, status, retry_after)
        };
        self.transcript.on_bad_end(kind.unwrap_or(FailureKind::TurnFailed), message, out);
    }
}

impl StreamParser for OpenCodeStream {
    fn stdout_line(&mut self, line: &[u8], truncated: bool, out: &mut Vec<AgentEvent>) {
        let Some(value) = self.transcript.object(line, truncated, out) else { return };
        let (kind, part) = (text_at(&value, &["type"]), &value["part"]);
        if !text_at(&value, &["sessionID"]).is_empty() {
            self.transcript.on_started(Some(text_at(&value, &["sessionID"])), out);
        }
        self.stopped_at_tools = false;
        // Tools show only when they have ended.
        self.transcript.busy |= kind == "step_start";
        if matches!(kind, "text" | "reasoning" | "tool_use" | "step_finish") {
            self.transcript.heard();
        }
        match kind {
            "step_start" => self.on_step_start(),
            "text" if part["synthetic"] != Value::Bool(true) => {
                let text = text_at(part, &["text"]);
                self.transcript.answer.push(text);
                self.transcript.on_message(text, true, out);
            }
            "reasoning" => out.push(AgentEvent::Reasoning { text: elide(text_at(part, &["text"]), EVENT_TEXT_BYTES_MAX).into_owned() }),
            "tool_use" => self.on_tool(part, out),
            "step_finish" => self.on_step_finish(part, out),
            "error" => self.on_error(&value["error"], out),
            "text" => {}
            _ => super::transcript::push_raw("stdout", line, out),
        }
    }

    fn stderr_line(&mut self, line: &[u8], _truncated: bool, out: &mut Vec<AgentEvent>) {
        if line.starts_with(b"timestamp=") {
            return self.on_log(&plain(&String::from_utf8_lossy(line)), out);
        }
        self.transcript.on_stderr(line, out);
    }

    fn contact(&self) -> Contact {
        match self.transcript.contact {
            _ if self.failed_tries >= REFUSALS_MAX => Contact::Refusing,
            Contact::Heard => Contact::Blurred,
            contact => contact,
        }
    }

    fn end(mut self: Box<Self>, exit: &ExitFacts, out: &mut Vec<AgentEvent>) -> TurnEnd {
        if self.unexplained && !matches!(self.transcript.terminal, Terminal::Bad(_)) {
            self.explain(out);
        }
        // What it prints and what it logs are read one beside the other: a piece of an earlier try may have come after the word on it.
        if let Some((kind, message)) = self.last_trouble.take().filter(|_| self.failed_tries >= REFUSALS_MAX) {
            self.transcript.on_retry(kind, message);
        }
        // Where it was ended, it was about to ask again.
        if let Some(message) = self.unfinished.take().filter(|_| exit.ended_by.is_none()) {
            self.transcript.on_bad_end(FailureKind::ProviderUnavailable, &message, out);
        }
        if self.stopped_at_tools && exit.code == Some(0) && exit.ended_by.is_none() {
            let said =
                self.transcript.stderr().lines().rfind(|line| line.contains("permission requested")).unwrap_or("a permission was refused");
            let message = format!("opencode ended its turn in the middle of its tool calls: {said}");
            self.transcript.on_bad_end(FailureKind::TurnFailed, &message, out);
        }
        self.transcript.end("opencode", exit)
    }
}

/// The value of a field of a log line: `name=word` or `name="several \"words\""`.
fn log_field(line: &str, name: &str) -> Option<String> {
    let mark = format!(" {name}=");
    let rest = &line[line.find(&mark)? + mark.len()..];
    let Some(quoted) = rest.strip_prefix('"') else {
        return Some(rest.split(' ').next().unwrap_or_default().to_owned());
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some(c) => value.push(c),
                None => break,
            },
            c => value.push(c),
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_log_lines() {
        let line =
            r#"timestamp=2026-11-30T01:08:45.743Z level=ERROR run=b9 message=failed ref=err_1 error="A: \"x\" is not\nfound" cause="A"#;
        assert_eq!(log_field(line, "message").as_deref(), Some("failed"));
        assert_eq!(log_field(line, "error").as_deref(), Some("A: \"x\" is not\nfound"));
        assert_eq!(log_field(line, "cause").as_deref(), Some("A"));
        assert_eq!(log_field(line, "timestamp"), None);
        assert_eq!(log_field(line, "none"), None);
    }
}
