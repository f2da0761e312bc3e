//! gemini: `gemini -o stream-json`, its command line and its stream (docs/backends.md).

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use roundtable_shared::limits::{ANSWER_BYTES_MAX, EVENT_TEXT_BYTES_MAX};
use roundtable_shared::{AgentEvent, BackendName, FailureKind, Usage};
use serde_json::{Value, json};

use super::classify::failure_kind;
use super::discover::Program;
use super::host::{BackendConfig, Host};
use super::reach::{Reach, Writes, has, value_of};
use super::text::{Tail, elide};
use super::transcript::{Terminal, Transcript, count_at, text_at};
use super::{
    Backend, BackendError, Capabilities, Contact, ExitFacts, Invocation, Resume, StdoutMode, StreamParser, Turn, TurnEnd, read_only_role,
};

/// Tool calls without a result yet that are remembered.
const OPEN_TOOLS_MAX: usize = 1024;
/// Requests per model call. Each failed one costs 5 s, 10 s, …; the coordinator backs off better than the CLI.
const ATTEMPTS_MAX: u32 = 3;
/// Where an administrator's settings lie, which must not be replaced.
const SYSTEM_SETTINGS: &str = "/etc/gemini-cli/settings.json";

/// What it says on stderr whatever happens.
const NOISE: &[&str] = &[
    "YOLO mode is enabled",
    "[STARTUP]",
    "Warning: Basic terminal",
    "Warning: 256-color",
    "Ripgrep is not available",
    "Skipping system settings file",
];

/// The adapter.
pub(super) struct Gemini {
    name: BackendName,
    program: Program,
    config: BackendConfig,
    host: Arc<Host>,
}

impl Gemini {
    pub(super) fn open(name: &str, host: Arc<Host>) -> Result<Self, BackendError> {
        let config = host.config(name).unwrap_or_default();
        let program = host.program(name, "gemini", &config)?;
        Ok(Self { name: name.into(), program, config, host })
    }
}

impl Backend for Gemini {
    fn name(&self) -> &BackendName {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        let resume = if self.config.is_isolated() { Resume::Never } else { Resume::SameDirectory };
        Capabilities { resume, read_only: true, schema: false, shell_in_review: false }
    }

    fn account(&self) -> String {
        self.host.gemini_account(&self.config)
    }

    fn version_invocation(&self) -> Option<Invocation> {
        Some(self.host.version_invocation(&self.program, &["GEMINI_*", "GOOGLE_*"], &self.config))
    }

    fn read_version(&self, stdout: &str) -> Option<String> {
        stdout.lines().rev().map(str::trim).find(|line| line.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
    }

    fn invocation(&self, turn: &Turn) -> Result<Invocation, BackendError> {
        let mut args = self.program.args.clone();
        let mode = if read_only_role(turn.data.role) { "plan" } else { "yolo" };
        args.extend(["-o", "stream-json", "--approval-mode", mode, "--skip-trust"].map(OsString::from));
        if let Some(model) = turn.model.as_ref().or(self.config.model.as_ref()) {
            args.extend(["-m".into(), model.into()]);
        }
        if let Some(resume) = &turn.resume {
            args.extend(["--resume".into(), resume.session.as_str().into()]);
        }
        args.extend(self.config.args.iter().map(OsString::from));
        let mut invocation = self.host.invocation(&self.program, args, turn, &["GEMINI_*", "GOOGLE_*"], &self.config);
        invocation.stdin = turn.prompt.clone().into_bytes();
        // It exits without draining a pipe: everything not yet read would be lost, with status 0.
        invocation.stdout = StdoutMode::File;
        // Else it runs itself again as a child and ignores signals.
        invocation.env.insert("GEMINI_CLI_NO_RELAUNCH".into(), "true".into());
        let settings = OsString::from("GEMINI_CLI_SYSTEM_SETTINGS_PATH");
        if !invocation.env.contains_key(&settings) && !Path::new(SYSTEM_SETTINGS).is_file() && takes_settings_below(&turn.scratch) {
            let path = turn.scratch.join("gemini/settings.json");
            // Refused unless the directory is the user's alone.
            invocation.dirs.push(turn.scratch.join("gemini"));
            let text = json!({"general": {"maxAttempts": ATTEMPTS_MAX, "enableAutoUpdate": false, "enableAutoUpdateNotification": false}})
                .to_string();
            invocation.files.push((path.clone(), text.into_bytes()));
            invocation.env.insert(settings, path.into());
        }
        if self.config.is_isolated() {
            let home = turn.scratch.join("home/.gemini");
            invocation.dirs.push(home.clone());
            let text =
                json!({"security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": false}}).to_string();
            invocation.files.push((home.join("settings.json"), text.into_bytes()));
        }
        Ok(invocation)
    }

    fn reach(&self, invocation: &Invocation) -> Reach {
        // Its plan mode offers no commands and no edits; its own web tools stay.
        match value_of(&invocation.args, &["--approval-mode"]) {
            Some("plan") => Reach { writes: Writes::Nothing, network: true },
            _ if has(&invocation.args, &["-s", "--sandbox"]) => Reach { writes: Writes::Worktree, network: true },
            _ => Reach::ACCOUNT,
        }
    }

    fn parser(&self, turn: &Turn) -> Box<dyn StreamParser> {
        Box::new(GeminiStream::new(turn))
    }
}

/// Parser of `gemini -o stream-json`.
struct GeminiStream {
    transcript: Transcript,
    /// All the agent said; the answer if nothing follows the last tool result.
    all: Tail,
    open_tools: HashMap<String, Tool>,
    /// The last `error` line: the cause of a failed result that names none.
    last_error: String,
    looped: bool,
}

enum Tool {
    Command(String),
    File(String),
    Other(String),
}

impl GeminiStream {
    fn new(turn: &Turn) -> Self {
        Self {
            transcript: Transcript::new(turn),
            all: Tail::new(ANSWER_BYTES_MAX),
            open_tools: HashMap::new(),
            last_error: String::new(),
            looped: false,
        }
    }

    fn on_tool_use(&mut self, value: &Value, out: &mut Vec<AgentEvent>) {
        self.transcript.heard();
        let name = text_at(value, &["tool_name"]);
        let tool = match name {
            "run_shell_command" => Tool::Command(elide(text_at(value, &["parameters", "command"]), EVENT_TEXT_BYTES_MAX).into_owned()),
            "write_file" | "replace" => Tool::File(self.transcript.relative(text_at(value, &["parameters", "file_path"]))),
            _ => Tool::Other(elide(name, 200).into_owned()),
        };
        if let Tool::Command(command) = &tool {
            out.push(AgentEvent::Exec { command: command.clone(), output: None, exit_code: None, ended: false });
        }
        if self.open_tools.len() < OPEN_TOOLS_MAX {
            self.open_tools.insert(text_at(value, &["tool_id"]).to_owned(), tool);
        }
        self.transcript.busy = !self.open_tools.is_empty();
    }

    fn on_tool_result(&mut self, value: &Value, out: &mut Vec<AgentEvent>) {
        // What follows the last tool result is the answer.
        self.transcript.answer.clear();
        let ok = text_at(value, &["status"]) == "success";
        let output = || elide(text_at(value, &["output"]), EVENT_TEXT_BYTES_MAX).into_owned();
        match self.open_tools.remove(text_at(value, &["tool_id"])) {
            // The exit code is told to the model alone.
            Some(Tool::Command(command)) => out.push(AgentEvent::Exec { command, output: Some(output()), exit_code: None, ended: true }),
            Some(Tool::File(path)) => out.push(AgentEvent::FileChange { paths: vec![path], ok }),
            Some(Tool::Other(name)) if !ok => out.push(AgentEvent::Warning { text: format!("{name}: {}", output()) }),
            _ => {}
        }
        self.transcript.busy = !self.open_tools.is_empty();
    }

    fn on_retry(&mut self, message: String, again: bool) {
        let kind = failure_kind(&message, None, None).unwrap_or(FailureKind::ProviderUnavailable);
        if again {
            self.transcript.on_counted_retry(kind, message);
        } else {
            self.transcript.on_retry(kind, message);
        }
    }

    fn on_error(&mut self, message: &str, out: &mut Vec<AgentEvent>) {
        self.looped |= message.starts_with("Loop detected");
        self.last_error = elide(message, EVENT_TEXT_BYTES_MAX).into_owned();
        out.push(AgentEvent::Warning { text: self.last_error.clone() });
    }

    fn on_result(&mut self, value: &Value, out: &mut Vec<AgentEvent>) {
        let input = count_at(value, &["stats", "input_tokens"]);
        let usage = Usage {
            input_tokens: input,
            cached_input_tokens: count_at(value, &["stats", "cached"]),
            // Thoughts are in the total only.
            output_tokens: count_at(value, &["stats", "output_tokens"])
                .max(count_at(value, &["stats", "total_tokens"]).saturating_sub(input)),
            cost_usd: None,
        };
        self.transcript.usage = usage;
        self.transcript.total.add(&usage);
        out.push(AgentEvent::Usage { usage });
        if text_at(value, &["status"]) == "success" && !self.looped {
            return self.transcript.on_good_end(out);
        }
        let message = match text_at(value, &["error", "message"]) {
            "" if self.last_error.is_empty() => "gemini reported an error without a cause".to_owned(),
            "" => self.last_error.clone(),
            message => message.to_owned(),
        };
        let said_nothing = message.contains("empty response");
        let usual = if said_nothing { FailureKind::BadAnswer } else { FailureKind::TurnFailed };
        let kind = failure_kind(&message, None, None).unwrap_or(usual);
        self.transcript.on_bad_end(kind, &message, out);
    }

    /// Exit codes say something only where the texts did not.
    fn on_exit(&mut self, exit: &ExitFacts, out: &mut Vec<AgentEvent>) {
        if exit.ended_by.is_some() || exit.spawn_error.is_some() {
            return;
        }
        let Some(kind) = exit.code.and_then(kind_of_exit) else { return };
        match &mut self.transcript.terminal {
            Terminal::Bad(failure) if failure.kind == FailureKind::TurnFailed => failure.kind = kind,
            Terminal::None if !self.transcript.started => {
                let said = self.transcript.stderr().to_owned();
                let kind = failure_kind(&said, None, None).filter(|_| exit.code != Some(41)).unwrap_or(kind);
                self.transcript.on_bad_end(kind, &said, out);
            }
            _ => {}
        }
    }
}

impl StreamParser for GeminiStream {
    fn stdout_line(&mut self, line: &[u8], truncated: bool, out: &mut Vec<AgentEvent>) {
        let Some(value) = self.transcript.object(line, truncated, out) else { return };
        match text_at(&value, &["type"]) {
            "init" => self.transcript.on_started(Some(text_at(&value, &["session_id"])), out),
            "message" if text_at(&value, &["role"]) == "assistant" => {
                let text = text_at(&value, &["content"]);
                self.transcript.answer.push(text);
                self.all.push(text);
                self.transcript.on_message(text, false, out);
            }
            "message" => {}
            "tool_use" => self.on_tool_use(&value, out),
            "tool_result" => self.on_tool_result(&value, out),
            "error" => self.on_error(text_at(&value, &["message"]), out),
            "result" => self.on_result(&value, out),
            _ => super::transcript::push_raw("stdout", line, out),
        }
    }

    fn stderr_line(&mut self, line: &[u8], _truncated: bool, out: &mut Vec<AgentEvent>) {
        if NOISE.iter().any(|noise| line.starts_with(noise.as_bytes())) {
            return;
        }
        let text = elide(&String::from_utf8_lossy(line), 2000).into_owned();
        // `Attempt 1 failed with status 429. Retrying …`: the only trace of its internal retries. It may be read before the first line of stdout,
        // and a delay may stand on the line after it.
        if text.starts_with("Attempt ") && text.contains(" failed") {
            self.on_retry(text, true);
        } else if let Some(trouble) = self.transcript.retrying.as_ref().filter(|_| text.starts_with("Suggested retry after")) {
            let text = format!("{}\n{text}", trouble.message);
            self.on_retry(text, false);
        }
        self.transcript.on_stderr(line, out);
    }

    fn contact(&self) -> Contact {
        self.transcript.contact
    }

    fn end(mut self: Box<Self>, exit: &ExitFacts, out: &mut Vec<AgentEvent>) -> TurnEnd {
        // A streamed last line has no end of its own.
        self.transcript.on_message("", true, out);
        if self.transcript.answer.is_empty() {
            self.transcript.answer.push(self.all.as_str());
        }
        self.on_exit(exit, out);
        self.transcript.end("gemini", exit)
    }
}

/// Whether it takes a system settings file from there: only from below folders that are root's and that nobody else may write. As another user it says
/// so, ignores the file and tries as often as it likes; its tries are counted instead.
fn takes_settings_below(dir: &Path) -> bool {
    let is_roots = |dir: &Path| std::fs::metadata(dir).is_ok_and(|found| found.uid() == 0 && found.mode() & 0o022 == 0);
    rustix::process::geteuid().is_root() && dir.is_absolute() && dir.ancestors().all(is_roots)
}

/// The CLI's fixed codes, else the HTTP status modulo 256.
fn kind_of_exit(code: i32) -> Option<FailureKind> {
    match code {
        41 => Some(FailureKind::Auth),
        52 | 55 => Some(FailureKind::Misconfigured),
        42 => Some(FailureKind::Config),
        53 => None,
        _ => [401u16, 403, 404, 408, 413, 429, 500, 502, 503, 504]
            .into_iter()
            .find(|status| i32::from(status & 0xff) == code)
            .and_then(|status| failure_kind("", Some(status), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_statuses_modulo_256() {
        assert_eq!(kind_of_exit(173), Some(FailureKind::RateLimit { retry_after_ms: None }));
        assert_eq!(kind_of_exit(145), Some(FailureKind::Auth));
        assert_eq!(kind_of_exit(247), Some(FailureKind::ProviderUnavailable));
        assert_eq!(kind_of_exit(144), None);
        assert_eq!(kind_of_exit(1), None);
        assert_eq!(kind_of_exit(41), Some(FailureKind::Auth));
    }
}
