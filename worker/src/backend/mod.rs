//! Backends: what each agent CLI is told (an `Invocation`) and what it says (a `StreamParser`). Starting, supervising and killing the
//! process is `crate::process`'s; worktrees and commits are the attempt's.

mod account;
mod classify;
mod codex;
mod codex_review;
mod command;
mod discover;
pub mod doctor;
mod env;
mod event_stream;
mod gemini;
mod host;
mod listener;
mod open;
mod opencode;
mod reach;
pub mod scripted;
mod text;
mod transcript;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub use reach::{Reach, Writes};
pub use roundtable_shared::Switches;
use roundtable_shared::{AgentEvent, AgentSessionId, BackendName, Failure, Role, TurnData, Usage};
use serde::{Deserialize, Serialize};

pub use env::Env;
pub use host::{BackendConfig, Home, Host};
pub use listener::Listener;
pub use scripted::play_main;

/// Longest stdout line a parser wants to see whole, bytes. Agents print single lines of several megabytes; the reader hands over what fits,
/// with `truncated` set, and goes on reading.
pub const LINE_BYTES_MAX: usize = 4 << 20;
/// Most of the last-message file that is read, bytes.
pub const LAST_MESSAGE_BYTES_MAX: u64 = 8 << 20;

/// One turn of an agent: everything an adapter needs to build its command line.
#[derive(Clone, Debug)]
pub struct Turn {
    /// What the turn is about; the scripted backend plays from it.
    pub data: TurnData,
    /// What the agent is told.
    pub prompt: String,
    /// The conversation that is resumed has done the work; nothing but the final answer is wanted.
    pub report_only: bool,
    /// Where it works: the process's working directory.
    pub worktree: PathBuf,
    /// An existing private directory (0700) of this attempt, outside the worktree: schema, last message, TMPDIR. Removed afterwards.
    pub scratch: PathBuf,
    /// The conversation to go on with; only if `Capabilities::resume` allows it here.
    pub resume: Option<SessionRecord>,
    /// Model, if configured for the run or the backend.
    pub model: Option<String>,
    /// Effort, if configured for the run or the backend.
    pub effort: Option<String>,
    /// JSON schema of the answer, for CLIs that can enforce one; the others are told in the prompt alone.
    pub schema: Option<String>,
    /// Switches stored with the run; unset ones fall back to the host's.
    pub switches: Switches,
}

impl Turn {
    /// A turn that begins a conversation and leaves everything else to how the backend is configured.
    pub fn new(data: TurnData, prompt: impl Into<String>, worktree: impl Into<PathBuf>, scratch: impl Into<PathBuf>) -> Self {
        Self {
            data,
            prompt: prompt.into(),
            report_only: false,
            worktree: worktree.into(),
            scratch: scratch.into(),
            resume: None,
            model: None,
            effort: None,
            schema: None,
            switches: Switches::default(),
        }
    }
}

/// What a worker keeps about a conversation it could resume.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SessionRecord {
    /// The CLI's id for it.
    pub session: AgentSessionId,
    /// The worktree it ran in; `Resume::SameDirectory` needs that very path again.
    pub worktree: PathBuf,
    /// Tokens of the whole conversation so far, as the CLI counts them; to be subtracted where it counts cumulatively.
    pub total: Usage,
}

/// What a backend can do, so that the attempt asks for nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// Whether and where conversations can be resumed.
    pub resume: Resume,
    /// Whether it enforces read-only by itself in review, assign and orchestrate turns.
    pub read_only: bool,
    /// Whether it takes a JSON schema for the answer.
    pub schema: bool,
    /// Whether its agent can run commands in read-only turns (git diff, tests); if not, the prompt must carry the diff.
    pub shell_in_review: bool,
}

/// Where a conversation can go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resume {
    /// Nowhere.
    Never,
    /// In a worktree at the same path only.
    SameDirectory,
    /// In any worktree of this worker.
    AnyDirectory,
}

/// A command line with everything around it. Plain data: `crate::process` turns it into a process tree.
#[derive(Clone, PartialEq, Debug)]
pub struct Invocation {
    /// The program, absolute.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Working directory.
    pub cwd: PathBuf,
    /// The whole environment: nothing else of ours is inherited.
    pub env: Env,
    /// Written to stdin, which is then closed.
    pub stdin: Vec<u8>,
    /// What stdout must be.
    pub stdout: StdoutMode,
    /// Directories to create (0700) before the start, in order.
    pub dirs: Vec<PathBuf>,
    /// Files to create (0600) before the start, with their content.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Where the CLI leaves its last message, if it does.
    pub last_message: Option<PathBuf>,
}

impl Invocation {
    /// Makes the directories and files it needs, private to this user.
    pub fn prepare(&self) -> std::io::Result<()> {
        for dir in &self.dirs {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        for (path, text) in &self.files {
            let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
            file.write_all(text)?;
        }
        Ok(())
    }

    /// The last message, as far as the CLI left one and it is text.
    pub fn read_last_message(&self) -> Option<String> {
        last_message_at(self.last_message.as_ref()?)
    }
}

/// Reads a last-message file. The agent may have put anything in its place: only an ordinary file is read, and no link is followed.
pub fn last_message_at(path: &Path) -> Option<String> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).ok()?;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = Vec::new();
    file.take(LAST_MESSAGE_BYTES_MAX).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// What an agent's stdout has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StdoutMode {
    /// A pipe, read all the time.
    Pipe,
    /// A regular file that is followed: the CLI exits without draining a pipe and loses its tail (docs/backends.md, "How a turn is judged").
    File,
}

/// How the process ended, as the supervisor saw it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ExitFacts {
    /// Exit code, if it exited.
    pub code: Option<i32>,
    /// Signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Why we ended it, if we did; an exit code of 0 is then no success.
    pub ended_by: Option<EndedBy>,
    /// Content of `Invocation::last_message`, bounded by `LAST_MESSAGE_BYTES_MAX`.
    pub last_message: Option<String>,
    /// The process could not be started at all: why.
    pub spawn_error: Option<String>,
    /// And that because there is no such program.
    pub missing: bool,
}

/// Why the supervisor ended a process tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndedBy {
    /// Longer than the wall limit.
    Wall,
    /// Neither output nor CPU for the idle limit.
    Idle,
    /// Its provider sent nothing for the limit of the first byte.
    Unanswered,
    /// Nothing was heard of its provider for longer than any tool of its agent takes.
    Stalled,
    /// Its provider refuses, and the CLI would go on trying.
    Refused,
    /// More output than the kill limit.
    Output,
    /// The disk is full.
    Disk,
    /// Cancelled, handed back or drained.
    Interrupt,
}

/// What is known of a turn's provider while the turn goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Contact {
    /// Nothing: this CLI does not show it, or has not yet.
    #[default]
    Unknown,
    /// It was asked and has not sent anything.
    Awaited,
    /// It has sent something.
    Heard,
    /// The same, of a CLI that tells of tools only when they have ended: silence may be a tool's, but not for ever.
    Blurred,
    /// It refuses again and again: whoever tries next, it need not be this turn.
    Refusing,
}

/// What came of a turn.
#[derive(Clone, PartialEq, Debug)]
pub struct TurnEnd {
    /// `None` if and only if the terminal event was seen, its status is good, the exit code is good and nobody ended it.
    pub failure: Option<Failure>,
    /// The agent's final message, at most `limits::ANSWER_BYTES_MAX` (the tail if longer); also on failure, as far as it got.
    pub answer: String,
    /// The conversation, where it can be resumed: to be kept for a fix on this worker. `None` after a resume: that conversation is lost.
    pub session: Option<SessionRecord>,
    /// Tokens of this turn alone.
    pub usage: Usage,
}

/// Adapter of one agent CLI.
pub trait Backend: Send + Sync {
    /// The name it is offered under.
    fn name(&self) -> &BackendName;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Names the account whose limits it shares with other workers; never contains a secret. Parking is by name and account.
    fn account(&self) -> String;

    /// The command that prints the CLI's version, or `None` for a backend without one.
    fn version_invocation(&self) -> Option<Invocation>;

    /// The command that tells without asking a model whether somebody is logged in; `None` if the CLI has none, or its answer says nothing about turns
    /// as they are set up here.
    fn login_invocation(&self) -> Option<Invocation> {
        None
    }

    /// The version out of that command's stdout.
    fn read_version(&self, stdout: &str) -> Option<String>;

    /// The command line of a turn.
    fn invocation(&self, turn: &Turn) -> Result<Invocation, BackendError>;

    /// The parser of that turn's output.
    fn parser(&self, turn: &Turn) -> Box<dyn StreamParser>;

    /// What an agent may reach that is started by this command line of ours.
    fn reach(&self, _invocation: &Invocation) -> Reach {
        Reach::ACCOUNT
    }

    /// Whether a check turn goes to this backend; otherwise the user's command is run as it is.
    fn plays_check(&self, _data: &TurnData) -> bool {
        false
    }
}

/// Reads an agent's output line by line. Total over arbitrary bytes, bounded in memory.
pub trait StreamParser: Send {
    /// A line of stdout without its newline; `truncated` if it was longer than `LINE_BYTES_MAX`.
    fn stdout_line(&mut self, line: &[u8], truncated: bool, out: &mut Vec<AgentEvent>);

    /// A line of stderr without its newline.
    fn stderr_line(&mut self, line: &[u8], truncated: bool, out: &mut Vec<AgentEvent>);

    /// What the lines so far tell of the provider.
    fn contact(&self) -> Contact {
        Contact::Unknown
    }

    /// The process tree is gone and both streams are read to their ends: what came of it. May add last events.
    fn end(self: Box<Self>, exit: &ExitFacts, out: &mut Vec<AgentEvent>) -> TurnEnd;
}

/// Why a backend cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The program is not there.
    #[error("{backend}: no program `{program}` found on PATH: install it, or name it with --backend-path {backend}=FILE")]
    NotFound {
        /// The backend.
        backend: String,
        /// What was looked for.
        program: String,
    },
    /// A file named by the user cannot be used.
    #[error("{backend}: {path}: {why}")]
    BadFile {
        /// The backend.
        backend: String,
        /// The file.
        path: PathBuf,
        /// What is wrong, and the fix.
        why: String,
    },
    /// Its configuration makes no sense.
    #[error("[backend.{backend}] {why}")]
    BadConfig {
        /// The backend.
        backend: String,
        /// What is wrong, and the fix.
        why: String,
    },
    /// Nobody knows this name.
    #[error(
        "unknown backend `{name}`: use codex, gemini, opencode, codex-review, scripted:FILE, or configure [backend.{name}] with a command"
    )]
    Unknown {
        /// The name.
        name: String,
    },
}

/// Whether a turn of this role must not change files.
pub fn read_only_role(role: Role) -> bool {
    !role.writes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_an_ordinary_last_message_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        std::fs::write(place("file"), "said").unwrap();
        std::os::unix::fs::symlink(place("file"), place("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, place("fifo"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        assert_eq!(last_message_at(&place("file")).as_deref(), Some("said"));
        for other in ["link", "fifo", "absent", "."] {
            assert_eq!(last_message_at(&place(other)), None, "{other}");
        }
    }
}
