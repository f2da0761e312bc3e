//! codex: `codex exec --json`, its command line and its stream (docs/backends.md). Also what `codex-review` runs.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use roundtable_shared::limits::EVENT_TEXT_BYTES_MAX;
use roundtable_shared::{AgentEvent, BackendName, FailureKind, Role, Usage};
use serde_json::Value;

use super::classify::failure_kind;
use super::discover::Program;
use super::host::{BackendConfig, Host};
use super::reach::{Reach, Writes, has, value_of};
use super::text::elide;
use super::transcript::{Transcript, at, count_at, text_at};
use super::{
    Backend, BackendError, Capabilities, Contact, ExitFacts, Invocation, Resume, StdoutMode, StreamParser, Turn, TurnEnd, read_only_role,
};

/// What lets its provider be seen: a line of its own telemetry on stderr when it asks, and when it is answered. Nothing leaves the host by it.
const TELLS: &str = "error,codex_otel.trace_safe=info";
/// Those lines, which are no output of anybody's.
const TOLD: &str = " codex_otel";
/// Tools under way that are remembered.
const OPEN_TOOLS_MAX: usize = 1024;

/// The adapter, under the name `codex` or `codex-review`.
pub(super) struct Codex {
    name: BackendName,
    program: Program,
    config: BackendConfig,
    host: Arc<Host>,
}

impl Codex {
    pub(super) fn open(name: &str, host: Arc<Host>) -> Result<Self, BackendError> {
        // `[backend.codex]` holds for both names unless `[backend.codex-review]` says otherwise.
        let config = host.config(name).or_else(|| host.config("codex")).unwrap_or_default();
        let program = host.program(name, "codex", &config)?;
        Ok(Self { name: name.into(), program, config, host })
    }

    fn options(&self, turn: &Turn) -> Vec<OsString> {
        let mut args: Vec<OsString> = ["exec", "--json", "--skip-git-repo-check", "-C"].map(OsString::from).into();
        args.push(turn.worktree.clone().into());
        if turn.switches.bypass_sandbox.unwrap_or(self.host.switches().bypass_sandbox.unwrap_or(false)) {
            args.push("--dangerously-bypass-approvals-and-sandbox".into());
        } else {
            // A review's worktree is thrown away; read-only, its agent could not even make a temporary file, let alone run tests.
            let is_read_only = read_only_role(turn.data.role) && turn.data.role != Role::Review;
            let sandbox = if is_read_only { "read-only" } else { "workspace-write" };
            args.extend(["-s", sandbox].map(OsString::from));
        }
        args.push("-o".into());
        args.push(turn.scratch.join("last-message.txt").into());
        args.extend(["--disable", "plugins", "-c", "analytics.enabled=false"].map(OsString::from));
        for setting in self.settings(turn) {
            args.extend(["-c".into(), setting.into()]);
        }
        if let Some(model) = turn.model.as_ref().or(self.config.model.as_ref()) {
            args.extend(["-m".into(), model.into()]);
        }
        if turn.schema.is_some() {
            // Absolute: codex resolves it against its own working directory, not against -C.
            args.extend(["--output-schema".into(), turn.scratch.join("schema.json").into()]);
        }
        args.extend(self.config.args.iter().map(OsString::from));
        args
    }

    /// `-c` settings: effort, fewer internal retries where the user's own provider leaves them open, and credentials kept from commands.
    fn settings(&self, turn: &Turn) -> Vec<String> {
        let user = self.host.codex_config();
        let mut settings = Vec::new();
        if let Some(effort) = turn.effort.as_ref().or(self.config.effort.as_ref()) {
            settings.push(format!("model_reasoning_effort={}", toml_string(effort)));
        }
        let provider = user.get("model_provider").and_then(toml::Value::as_str);
        let own = provider.and_then(|name| user.get("model_providers")?.get(name)?.as_table());
        let mut secrets =
            vec!["CODEX_API_KEY".to_owned(), "OPENAI_API_KEY".to_owned(), "OPENAI_*TOKEN*".to_owned(), "CODEX_*TOKEN*".to_owned()];
        if let (Some(name), Some(own)) = (provider, own) {
            // A built-in provider cannot be changed this way. A 429 then is reported after one more try, a 5xx after five, instead of 6 and 30.
            for (key, retries) in [("request_max_retries", 2), ("stream_max_retries", 1)] {
                if !own.contains_key(key) && is_bare_key(name) {
                    settings.push(format!("model_providers.{name}.{key}={retries}"));
                }
            }
            secrets.extend(own.get("env_key").and_then(toml::Value::as_str).map(str::to_owned));
        }
        if !user.contains_key("shell_environment_policy") {
            // Ours, for `codex` alone.
            secrets.push("RUST_LOG".to_owned());
            let list: Vec<String> = secrets.iter().map(|name| toml_string(name)).collect();
            settings.push(format!("shell_environment_policy.exclude=[{}]", list.join(",")));
        }
        settings
    }
}

impl Backend for Codex {
    fn name(&self) -> &BackendName {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        let resume = if self.config.is_isolated() { Resume::Never } else { Resume::AnyDirectory };
        Capabilities { resume, read_only: true, schema: true, shell_in_review: true }
    }

    fn account(&self) -> String {
        self.host.codex_account(&self.config)
    }

    fn version_invocation(&self) -> Option<Invocation> {
        Some(self.host.version_invocation(&self.program, &["CODEX_*", "OPENAI_*"], &self.config))
    }

    fn login_invocation(&self) -> Option<Invocation> {
        // A key, a provider of the user's own or a profile work without a login, and `login status` says no all the same.
        let user = self.host.codex_config();
        let is_builtin = user.get("model_provider").is_none_or(|name| name.as_str() == Some("openai"));
        let mut invocation = self.version_invocation()?;
        let has_key = invocation.env.contains_key(OsStr::new("CODEX_API_KEY"));
        if !is_builtin || has_key || self.config.is_isolated() || !self.config.args.is_empty() {
            return None;
        }
        invocation.args.pop();
        invocation.args.extend(["login", "status"].map(OsString::from));
        Some(invocation)
    }

    fn read_version(&self, stdout: &str) -> Option<String> {
        Some(stdout.trim().strip_prefix("codex-cli ")?.split_whitespace().next()?.to_owned())
    }

    fn invocation(&self, turn: &Turn) -> Result<Invocation, BackendError> {
        let mut args = self.program.args.clone();
        args.extend(self.options(turn));
        if let Some(resume) = &turn.resume {
            // `resume` knows neither -C nor -s: they stand before it.
            args.extend(["resume".into(), resume.session.as_str().into()]);
        }
        args.push("-".into());
        let mut invocation = self.host.invocation(&self.program, args, turn, &["CODEX_*", "OPENAI_*"], &self.config);
        invocation.stdin = turn.prompt.clone().into_bytes();
        invocation.stdout = StdoutMode::Pipe;
        invocation.last_message = Some(turn.scratch.join("last-message.txt"));
        // With a policy of the user's, the agent's commands would get it too.
        if !self.host.codex_config().contains_key("shell_environment_policy") {
            invocation.env.entry("RUST_LOG".into()).or_insert_with(|| TELLS.into());
        }
        if let Some(schema) = &turn.schema {
            invocation.files.push((turn.scratch.join("schema.json"), schema.clone().into_bytes()));
        }
        Ok(invocation)
    }

    fn reach(&self, invocation: &Invocation) -> Reach {
        if has(&invocation.args, &["--dangerously-bypass-approvals-and-sandbox", "--yolo"]) {
            return Reach::ACCOUNT;
        }
        let by_user = |table: &toml::Table| table.get("sandbox_workspace_write")?.get("network_access")?.as_bool();
        let network =
            has(&invocation.args, &["sandbox_workspace_write.network_access=true"]) || by_user(&self.host.codex_config()).unwrap_or(false);
        match value_of(&invocation.args, &["-s", "--sandbox"]) {
            Some("read-only") => Reach { writes: Writes::Nothing, network: false },
            Some("workspace-write") => Reach { writes: Writes::Worktree, network },
            _ => Reach::ACCOUNT,
        }
    }

    fn parser(&self, turn: &Turn) -> Box<dyn StreamParser> {
        Box::new(CodexStream::new(self.name.as_str(), turn))
    }
}

/// A TOML basic string.
fn toml_string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn is_bare_key(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Parser of `codex exec --json`.
struct CodexStream {
    cli: String,
    transcript: Transcript,
    /// The conversation's tokens before this turn; codex counts over the whole of it.
    before: Usage,
    /// Its tools under way.
    open: HashSet<String>,
    /// It talks over a WebSocket, whose first byte it does not tell of.
    blind: bool,
}

impl CodexStream {
    fn new(cli: &str, turn: &Turn) -> Self {
        let transcript = Transcript::new(turn);
        Self { cli: cli.to_owned(), before: transcript.total, transcript, open: HashSet::new(), blind: false }
    }

    fn on_item(&mut self, item: &Value, completed: bool, out: &mut Vec<AgentEvent>) {
        if text_at(item, &["type"]) != "error" {
            self.transcript.heard();
        }
        let id = text_at(item, &["id"]);
        if completed {
            self.open.remove(id);
        } else if self.open.len() < OPEN_TOOLS_MAX {
            self.open.insert(elide(id, 200).into_owned());
        }
        self.transcript.busy = !self.open.is_empty();
        match text_at(item, &["type"]) {
            "agent_message" if completed => {
                let text = text_at(item, &["text"]);
                self.transcript.answer.clear();
                self.transcript.answer.push(text);
                self.transcript.on_message(text, true, out);
            }
            "reasoning" if completed => {
                out.push(AgentEvent::Reasoning { text: elide(text_at(item, &["text"]), EVENT_TEXT_BYTES_MAX).into_owned() });
            }
            "command_execution" => out.push(AgentEvent::Exec {
                command: elide(&unwrap_shell(text_at(item, &["command"])), EVENT_TEXT_BYTES_MAX).into_owned(),
                output: completed.then(|| elide(text_at(item, &["aggregated_output"]), EVENT_TEXT_BYTES_MAX).into_owned()),
                exit_code: at(item, &["exit_code"]).and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok()),
                ended: completed,
            }),
            "file_change" if completed => {
                let changes = at(item, &["changes"]).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                out.push(AgentEvent::FileChange {
                    paths: changes.iter().take(1000).map(|change| self.transcript.relative(text_at(change, &["path"]))).collect(),
                    ok: text_at(item, &["status"]) == "completed",
                });
            }
            // Not a failure: "Model metadata for `x` not found" and the like.
            "error" => out.push(AgentEvent::Warning { text: elide(text_at(item, &["message"]), EVENT_TEXT_BYTES_MAX).into_owned() }),
            _ => {}
        }
    }

    fn on_error(&mut self, message: &str, out: &mut Vec<AgentEvent>) {
        if message.starts_with("Reconnecting") {
            let kind = failure_kind(message, None, None).unwrap_or(FailureKind::ProviderUnavailable);
            self.transcript.on_retry(kind, message.to_owned());
        }
        // Final only when `turn.failed` follows.
        out.push(AgentEvent::Warning { text: elide(message, EVENT_TEXT_BYTES_MAX).into_owned() });
    }

    /// A line of its telemetry.
    fn on_told(&mut self, line: &str) {
        let is = |event: &str| line.contains(&format!("event.name=\"codex.{event}\""));
        let contact = self.transcript.contact;
        if is("websocket_connect") && !line.contains("success=\"false\"") {
            self.blind = true;
            if contact == Contact::Awaited {
                self.transcript.contact = Contact::Unknown;
            }
        } else if contact == Contact::Unknown && !self.blind && is("user_prompt") {
            self.transcript.contact = Contact::Awaited;
        } else if is("sse_event") || (is("api_request") && line.contains("http.response.status_code=")) {
            // What the answer is, the stream tells.
            self.transcript.contact = Contact::Heard;
        }
    }

    fn on_usage(&mut self, value: &Value, out: &mut Vec<AgentEvent>) {
        let Some(usage) = at(value, &["usage"]) else { return };
        let total = Usage {
            input_tokens: count_at(usage, &["input_tokens"]),
            cached_input_tokens: count_at(usage, &["cached_input_tokens"]),
            output_tokens: count_at(usage, &["output_tokens"]),
            cost_usd: None,
        };
        // A conversation whose last turn was lost is counted anew by the CLI.
        let since = if total.input_tokens >= self.before.input_tokens { self.before } else { Usage::default() };
        self.transcript.total = total;
        self.transcript.usage = Usage {
            input_tokens: total.input_tokens.saturating_sub(since.input_tokens),
            cached_input_tokens: total.cached_input_tokens.saturating_sub(since.cached_input_tokens),
            output_tokens: total.output_tokens.saturating_sub(since.output_tokens),
            cost_usd: None,
        };
        out.push(AgentEvent::Usage { usage: self.transcript.usage });
    }
}

impl StreamParser for CodexStream {
    fn stdout_line(&mut self, line: &[u8], truncated: bool, out: &mut Vec<AgentEvent>) {
        let Some(value) = self.transcript.object(line, truncated, out) else { return };
        match text_at(&value, &["type"]) {
            "thread.started" => self.transcript.on_started(Some(text_at(&value, &["thread_id"])), out),
            "turn.started" | "item.updated" => {}
            "item.started" => self.on_item(&value["item"], false, out),
            "item.completed" => self.on_item(&value["item"], true, out),
            "error" => self.on_error(text_at(&value, &["message"]), out),
            "turn.completed" => {
                self.on_usage(&value, out);
                self.transcript.on_good_end(out);
            }
            "turn.failed" => {
                let message = text_at(&value, &["error", "message"]);
                let kind = failure_kind(message, None, None).unwrap_or(FailureKind::TurnFailed);
                self.transcript.on_bad_end(kind, message, out);
            }
            _ => super::transcript::push_raw("stdout", line, out),
        }
    }

    fn stderr_line(&mut self, line: &[u8], _truncated: bool, out: &mut Vec<AgentEvent>) {
        let text = String::from_utf8_lossy(line);
        if text.contains(TOLD) {
            return self.on_told(&text);
        }
        self.transcript.on_stderr(line, out);
    }

    fn contact(&self) -> Contact {
        self.transcript.contact
    }

    fn end(mut self: Box<Self>, exit: &ExitFacts, _out: &mut Vec<AgentEvent>) -> TurnEnd {
        // The file has the message even where its line was too long to read; it is empty when the turn failed.
        if let Some(last) = exit.last_message.as_deref().filter(|last| !last.trim().is_empty()) {
            self.transcript.answer.clear();
            self.transcript.answer.push(last);
        }
        self.transcript.end(&self.cli, exit)
    }
}

/// `/bin/bash -lc '…'` as the command inside, where the quoting is simple.
fn unwrap_shell(command: &str) -> String {
    let Some(inner) = ["/bin/bash -lc ", "bash -lc ", "/bin/sh -c ", "/bin/zsh -lc "].iter().find_map(|shell| command.strip_prefix(shell))
    else {
        return command.to_owned();
    };
    if let Some(text) = inner.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).filter(|text| !text.contains('\'')) {
        return text.to_owned();
    }
    if let Some(text) = inner.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        let mut out = String::with_capacity(text.len());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => return command.to_owned(),
                '\\' => match chars.next() {
                    Some(c @ ('"' | '\\' | '$' | '`')) => out.push(c),
                    Some(c) => out.extend(['\\', c]),
                    None => return command.to_owned(),
                },
                c => out.push(c),
            }
        }
        return out;
    }
    if inner.contains([' ', '"', '\'', '\\']) { command.to_owned() } else { inner.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_wrappers_are_taken_off() {
        for (command, inner) in [
            ("/bin/bash -lc 'echo a; exit 3'", "echo a; exit 3"),
            ("/bin/bash -lc ls", "ls"),
            (r#"/bin/bash -lc "git commit -qm 'by agent' \"x\"""#, r#"git commit -qm 'by agent' "x""#),
            (r#"/bin/bash -lc "a"'$?'"#, r#"/bin/bash -lc "a"'$?'"#),
            ("/bin/bash -lc 'a'\\''b'", "/bin/bash -lc 'a'\\''b'"),
            ("make", "make"),
        ] {
            assert_eq!(unwrap_shell(command), inner);
        }
    }

    #[test]
    fn toml_strings_are_quoted() {
        assert_eq!(toml_string("high"), "\"high\"");
        assert!(toml_string("a\"b").parse::<toml::Value>().is_ok_and(|value| value.as_str() == Some("a\"b")));
    }
}
