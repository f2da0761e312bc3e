//! Attempts: roles, seats, outcomes and their classes, agent events.

use serde::{Deserialize, Serialize};

use super::unit::enum_text;
use crate::ids::{AgentSessionId, CommitId, TaskId};

/// What an attempt is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Do the unit.
    Implement,
    /// Close findings.
    Fix,
    /// Look at a diff, read-only.
    Review,
    /// Assign owners, criticality and manifests to a run's units.
    Assign,
    /// Be consulted in llm mode.
    Orchestrate,
    /// Run the user's check command.
    Check,
}

enum_text!(Role {
    Implement => "implement",
    Fix => "fix",
    Review => "review",
    Assign => "assign",
    Orchestrate => "orchestrate",
    Check => "check",
});

impl Role {
    /// Whether the attempt may change files that are kept.
    pub fn writes(self) -> bool {
        matches!(self, Self::Implement | Self::Fix)
    }
}

/// What an attempt fills. One kind of seat of a unit is live at a time; only reviewers run side by side.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "seat", content = "n")]
pub enum Seat {
    /// Implement or fix.
    Work,
    /// Reviewer `n` of the round, from 1.
    Review(u32),
    /// The check of a candidate (of the base, at run level).
    Check,
    /// Run-level: the assignment agent.
    Assign,
    /// Run-level: the orchestrator agent.
    Orchestrate,
}

impl std::fmt::Display for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Work => f.write_str("work"),
            Self::Review(n) => write!(f, "review-{n}"),
            Self::Check => f.write_str("check"),
            Self::Assign => f.write_str("assign"),
            Self::Orchestrate => f.write_str("orchestrate"),
        }
    }
}

/// Why an attempt failed, and so who pays for it (docs/rules.md, "Attempts").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeClass {
    /// The agent or the task failed.
    Unit,
    /// A worker, its disk or its tools failed.
    Infra,
    /// The model provider refused (rate limit, quota, 5xx, credentials), or the backend is set up wrongly where it ran. No unit pays.
    Provider,
    /// Our own fault.
    Internal,
}

enum_text!(OutcomeClass { Unit => "unit", Infra => "infra", Provider => "provider", Internal => "internal" });

/// What exactly failed; finer than the class, for messages and for parking.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum FailureKind {
    /// Exit status other than success, without a better reason.
    ExitStatus {
        /// The status, if it exited; `None` if a signal ended it.
        code: Option<i32>,
        /// The signal, if one ended it.
        signal: Option<i32>,
    },
    /// The stream ended without its terminal event.
    Truncated,
    /// The agent reported that the turn failed.
    TurnFailed,
    /// The answer could not be used.
    BadAnswer,
    /// Longer than the wall limit.
    WallLimit,
    /// Neither output nor CPU for the idle limit.
    IdleLimit,
    /// More output than the kill limit.
    OutputLimit,
    /// 429 or the like.
    RateLimit {
        /// When it lifts, milliseconds from the outcome, if the provider said so.
        retry_after_ms: Option<u64>,
    },
    /// Plan or quota used up.
    Quota {
        /// When it lifts, milliseconds from the outcome, if the provider said so.
        retry_after_ms: Option<u64>,
    },
    /// Missing, expired or refused credentials.
    Auth,
    /// The backend cannot work on that worker as it is set up there: its model, arguments or configuration are refused, or its program is gone.
    Misconfigured,
    /// 5xx, dropped connections, streams that break off, a provider that sends nothing.
    ProviderUnavailable,
    /// The model's context was exceeded.
    ContextOverflow,
    /// What this turn asked of the CLI is refused, such as a conversation that is gone.
    Config,
    /// The worker's disk is full or failing.
    Disk,
    /// `setup` of `roundtable.toml` failed.
    Setup,
    /// The worker was stopped or asked to hand back.
    Interrupted,
    /// A bug here.
    Bug,
}

impl FailureKind {
    /// Who pays (docs/rules.md, "Attempts").
    pub fn class(&self) -> OutcomeClass {
        match self {
            Self::ExitStatus { .. }
            | Self::Truncated
            | Self::TurnFailed
            | Self::BadAnswer
            | Self::WallLimit
            | Self::IdleLimit
            | Self::OutputLimit
            | Self::ContextOverflow
            | Self::Setup => OutcomeClass::Unit,
            Self::RateLimit { .. } | Self::Quota { .. } | Self::Auth | Self::Misconfigured | Self::ProviderUnavailable => {
                OutcomeClass::Provider
            }
            Self::Config | Self::Disk | Self::Interrupted => OutcomeClass::Infra,
            Self::Bug => OutcomeClass::Internal,
        }
    }
}

/// Tokens and money of an attempt, as far as the CLI tells.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Input tokens, cached ones included.
    #[serde(default)]
    pub input_tokens: u64,
    /// Of those, read from a cache.
    #[serde(default)]
    pub cached_input_tokens: u64,
    /// Output tokens, reasoning included.
    #[serde(default)]
    pub output_tokens: u64,
    /// Cost in US dollars, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

impl Usage {
    /// More tokens of one attempt than any model reads or writes in its time.
    pub const TOKENS_MAX: u64 = 10_000_000_000;
    /// More US dollars than one attempt can cost.
    const COST_USD_MAX: f64 = 100_000.0;

    /// The figures as far as they can be true: CLIs print them, and sums must not be spoilt by one. Called where they are read.
    #[must_use]
    pub fn believable(self) -> Self {
        let tokens = |count: u64| if count <= Self::TOKENS_MAX { count } else { 0 };
        Self {
            input_tokens: tokens(self.input_tokens),
            cached_input_tokens: tokens(self.cached_input_tokens),
            output_tokens: tokens(self.output_tokens),
            cost_usd: self.cost_usd.filter(|cost| (0.0..=Self::COST_USD_MAX).contains(cost)),
        }
    }

    /// Adds another attempt's.
    pub fn add(&mut self, other: &Usage) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cached_input_tokens = self.cached_input_tokens.saturating_add(other.cached_input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cost_usd = match (self.cost_usd, other.cost_usd) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0.0) + b.unwrap_or(0.0)),
        };
    }
}

/// How an attempt ended, as the worker saw it: facts, not yet a verdict.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AttemptFacts {
    /// `None` when the CLI ended well: terminal event seen, its status good, exit code good, not signalled by us.
    pub failure: Option<Failure>,
    /// The CLI's exit code, if it exited.
    pub exit_code: Option<i32>,
    /// The final message of the agent (at most `limits::ANSWER_BYTES_MAX`; the tail if longer).
    pub answer: String,
    /// The commit of the worktree's content, whatever the end; `None` for roles without a worktree of their own.
    pub commit: Option<CommitId>,
    /// What of the worktree's content is not in that commit.
    #[serde(default, skip_serializing_if = "LeftOut::is_empty")]
    pub left_out: LeftOut,
    /// Subtasks that its agent reported as done while it worked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<TaskId>,
    /// The CLI's conversation, if it can be resumed.
    pub agent_session: Option<AgentSessionId>,
    /// Tokens and cost.
    pub usage: Usage,
    /// Sequence number of the last agent event; 0 if there was none.
    pub last_event_seq: u64,
}

impl AttemptFacts {
    /// blake3 of their canonical form, hex: reports of one outcome have the same, whoever reads it from where. The canonical form is the JSON that serde makes
    /// of this type: fields in the order they are declared in, no space, fractions as the shortest text that reads as the same (a test
    /// holds how they are written). A field that is new is left out
    /// of it while it says nothing new, and needs a new protocol.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        // Plain data, into memory.
        let written = serde_json::to_writer(&mut hasher, self);
        debug_assert!(written.is_ok(), "an outcome can be written");
        hasher.finalize().to_hex().to_string()
    }
}

/// Files an agent left that could not be committed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LeftOut {
    /// A few of them, each with the reason, for a person.
    pub files: Vec<String>,
    /// How many there are.
    pub count: u64,
}

impl LeftOut {
    /// Files named in a text at most.
    const TOLD_MAX: usize = 5;
    /// Characters of a file and its reason in a text.
    const TOLD_CHARS_MAX: usize = 400;

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, file) in self.files.iter().take(Self::TOLD_MAX).enumerate() {
            let cut: String = file.chars().filter(|c| !c.is_control()).take(Self::TOLD_CHARS_MAX).collect();
            write!(f, "{}{cut}", if n == 0 { "" } else { ", " })?;
        }
        let more = self.count.saturating_sub(Self::TOLD_MAX as u64);
        if more > 0 { write!(f, ", and {more} more") } else { Ok(()) }
    }
}

/// A failure with the words for a person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What failed.
    #[serde(flatten)]
    pub kind: FailureKind,
    /// For a person: what happened, redacted, at most a few lines.
    pub message: String,
}

/// Normalised output of an agent (docs/backends.md, "Configuration", has what a command of one's own may print). One per line of a segment.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum AgentEvent {
    /// The CLI's conversation began.
    Started {
        /// Its id, if it has one.
        session: Option<AgentSessionId>,
    },
    /// Text of the agent.
    Message {
        /// The text (or a piece of it, when streamed).
        text: String,
    },
    /// Reasoning of the agent.
    Reasoning {
        /// The text.
        text: String,
    },
    /// A command the agent runs: begun (`exit_code` and `output` absent) or ended.
    Exec {
        /// The command line.
        command: String,
        /// Merged output, elided in the middle.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<String>,
        /// Its exit code, where the CLI tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// Whether it has ended.
        ended: bool,
    },
    /// Files the agent changed with its own tools.
    FileChange {
        /// Repository-relative where possible.
        paths: Vec<String>,
        /// Whether the change succeeded.
        ok: bool,
    },
    /// A subtask's state as the agent reports it while it works.
    Subtask {
        /// The task id.
        id: String,
        /// `completed` or `failed`.
        status: String,
    },
    /// Tokens so far.
    Usage {
        /// The figures.
        usage: Usage,
    },
    /// Not a failure, but worth seeing.
    Warning {
        /// The text.
        text: String,
    },
    /// A line of stderr, or a stdout line that is no event.
    Raw {
        /// `stdout` or `stderr`.
        stream: String,
        /// The text, invalid UTF-8 replaced.
        text: String,
    },
    /// Output that was not kept.
    Elided {
        /// How much.
        bytes: u64,
    },
    /// The turn ended well.
    Completed,
    /// The turn failed.
    Failed {
        /// The agent's words.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logs, and spools of workers, have digests of earlier builds: this is theirs.
    #[test]
    fn the_digest_of_an_outcome_is_what_it_has_always_been() {
        let facts = AttemptFacts {
            failure: Some(Failure { kind: FailureKind::Quota { retry_after_ms: Some(60_000) }, message: "out of \"quota\"\n".to_owned() }),
            exit_code: Some(-1),
            answer: "é\u{1}".to_owned(),
            commit: Some("ab".into()),
            left_out: LeftOut { files: vec!["a.sock: a socket".to_owned()], count: 2 },
            done: vec!["1.1".into()],
            agent_session: None,
            usage: Usage { input_tokens: 10, cached_input_tokens: 1, output_tokens: 2, cost_usd: Some(0.1 + 0.2) },
            last_event_seq: 7,
        };
        let text = concat!(
            r#"{"failure":{"kind":"quota","retry_after_ms":60000,"message":"out of \"quota\"\n"},"exit_code":-1,"answer":"é\u0001","commit":"ab","#,
            r#""left_out":{"files":["a.sock: a socket"],"count":2},"done":["1.1"],"agent_session":null,"#,
            r#""usage":{"input_tokens":10,"cached_input_tokens":1,"output_tokens":2,"cost_usd":0.30000000000000004},"last_event_seq":7}"#
        );
        assert_eq!(facts.digest(), blake3::hash(text.as_bytes()).to_hex().to_string());
        assert_eq!(serde_json::from_str::<AttemptFacts>(text).ok().as_ref(), Some(&facts), "and it is read as it was written");
    }

    /// A digest has to be the same whichever release computes it.
    #[test]
    fn fractions_are_written_as_they_always_were() {
        let written = |cost: f64| serde_json::to_string(&Some(cost)).unwrap_or_default();
        let texts = [0.0, -0.0, 1.0, 0.0001, 0.00001, 7.5e-6, 123_456_789.5, 1e15, 1e16, 5e-324].map(written);
        assert_eq!(texts, ["0.0", "-0.0", "1.0", "0.0001", "0.00001", "7.5e-6", "123456789.5", "1000000000000000.0", "1e+16", "5e-324"]);
    }
}
