//! The playbook: its format (docs/backends.md, "Playbooks"), reading it, and which turn of it is played.

use std::collections::BTreeMap;
use std::path::Path;

use roundtable_shared::{Role, TurnData, Usage};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Largest playbook, bytes.
const PLAYBOOK_BYTES_MAX: u64 = 16 << 20;

/// A playbook.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Playbook {
    /// For units and roles without an entry of their own.
    pub default: Roles,
    /// By unit id.
    pub units: BTreeMap<String, Roles>,
}

/// Turns by role, in order; the last one repeats.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Roles {
    /// Turns of the implement role.
    pub implement: Vec<PlaybookTurn>,
    /// Turns of the fix role.
    pub fix: Vec<PlaybookTurn>,
    /// Turns of the review role.
    pub review: Vec<PlaybookTurn>,
    /// Turns of the assignment agent.
    pub assign: Vec<PlaybookTurn>,
    /// Turns of the orchestrator agent.
    pub orchestrate: Vec<PlaybookTurn>,
    /// Turns of the check; without an entry the user's command runs.
    pub check: Vec<PlaybookTurn>,
}

/// One turn.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlaybookTurn {
    /// What it does; absent: the role's default, empty: nothing.
    pub steps: Option<Vec<Step>>,
    /// Merged over the role's default answer.
    pub result: Option<Map<String, Value>>,
    /// The same when it is asked for its report alone, because its answer could not be read; absent: as before.
    pub report: Option<Map<String, Value>>,
    /// What it says it used.
    pub usage: Option<Usage>,
}

impl PlaybookTurn {
    /// What the turn does when it is asked for its report alone.
    pub fn report_only(self) -> Self {
        let is_garbage = |step: &Step| matches!(step, Step::Fault(Fault::Garbage));
        let steps = self.steps.into_iter().flatten().filter(|step| self.report.is_none() && is_garbage(step)).collect();
        Self { steps: Some(steps), result: self.report.or(self.result), report: None, usage: self.usage }
    }
}

/// One step of a turn. Paths are relative to the worktree.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Writes a file, with its directories.
    Write {
        /// Where.
        path: String,
        /// What.
        #[serde(default)]
        text: String,
    },
    /// Appends to a file, made if it is not there.
    Append {
        /// Where.
        path: String,
        /// What.
        #[serde(default)]
        text: String,
    },
    /// Deletes a file or directory.
    Delete(String),
    /// Renames the first to the second.
    Rename(String, String),
    /// Makes the second a symlink to the first.
    Symlink(String, String),
    /// Says something.
    Say(String),
    /// Does nothing for a while.
    SleepMs(u64),
    /// Reports a subtask.
    Subtask {
        /// Its id.
        id: String,
        /// `completed` or `failed`.
        #[serde(default = "completed")]
        status: String,
    },
    /// Runs `sh -c TEXT`.
    Run(String),
    /// Misbehaves.
    Fault(Fault),
}

/// How an agent can misbehave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Neither output nor CPU, for ever.
    Hang,
    /// Dies by a signal.
    Crash,
    /// Exits at once with that status.
    Exit(u8),
    /// The provider refuses, for that many seconds.
    RateLimit(u64),
    /// The provider refuses the credentials.
    Auth,
    /// The provider does not know the model.
    Model,
    /// Prints that many bytes.
    Spew(u64),
    /// Leaves a process behind in a session of its own, which keeps stdout open.
    Daemonize,
    /// Takes no notice of SIGTERM from here on; as the last step it also hangs.
    IgnoreTerm,
    /// Prints broken lines and an answer that is none.
    Garbage,
}

/// Why a playbook cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum PlaybookError {
    /// It cannot be read.
    #[error("the playbook cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It is larger than anything sensible.
    #[error("the playbook has {0} bytes, more than {PLAYBOOK_BYTES_MAX}")]
    TooLarge(u64),
    /// It is not what a playbook looks like.
    #[error("not a playbook (JSON or TOML, see `worker join --help`): {0}")]
    Malformed(String),
}

impl Playbook {
    /// Reads a file: JSON if it looks like it, else TOML.
    pub fn read(path: &Path) -> Result<Self, PlaybookError> {
        let bytes = std::fs::metadata(path)?.len();
        if bytes > PLAYBOOK_BYTES_MAX {
            return Err(PlaybookError::TooLarge(bytes));
        }
        Self::parse(&std::fs::read_to_string(path)?)
    }

    /// Reads a text: JSON if it begins like an object, else TOML.
    pub fn parse(text: &str) -> Result<Self, PlaybookError> {
        let text = text.trim_start_matches('\u{feff}');
        if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| PlaybookError::Malformed(error.to_string()))
        } else {
            toml::from_str(text).map_err(|error| PlaybookError::Malformed(error.to_string()))
        }
    }

    /// The turn to play; an empty one (all defaults) where the playbook has none.
    pub fn turn(&self, data: &TurnData) -> PlaybookTurn {
        let turns = self.turns(data.unit.as_ref().map(|unit| unit.as_str()), data.role);
        let at = usize::try_from(data.turn_index.saturating_sub(1)).unwrap_or(usize::MAX);
        turns.get(at).or(turns.last()).cloned().unwrap_or_default()
    }

    /// Whether there is an entry for that unit and role.
    pub fn has(&self, unit: Option<&str>, role: Role) -> bool {
        !self.turns(unit, role).is_empty()
    }

    fn turns(&self, unit: Option<&str>, role: Role) -> &[PlaybookTurn] {
        let own = unit.and_then(|unit| self.units.get(unit)).map(|roles| roles.of(role)).filter(|turns| !turns.is_empty());
        own.unwrap_or_else(|| self.default.of(role))
    }
}

impl Roles {
    fn of(&self, role: Role) -> &[PlaybookTurn] {
        match role {
            Role::Implement => &self.implement,
            Role::Fix => &self.fix,
            Role::Review => &self.review,
            Role::Assign => &self.assign,
            Role::Orchestrate => &self.orchestrate,
            Role::Check => &self.check,
        }
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            let known = "hang, crash, exit:N, rate_limit:SECONDS, auth, model, spew:BYTES, daemonize, ignore_term, garbage";
            serde::de::Error::custom(format!("unknown fault `{text}`; there are {known}"))
        })
    }
}

impl Fault {
    fn parse(text: &str) -> Option<Self> {
        let (word, number) = match text.split_once(':') {
            Some((word, number)) => (word.trim(), Some(number.trim())),
            None => (text.trim(), None),
        };
        match (word, number) {
            ("hang", None) => Some(Self::Hang),
            ("crash", None) => Some(Self::Crash),
            ("exit", Some(code)) => code.parse().ok().map(Self::Exit),
            ("rate_limit", Some(seconds)) => seconds.parse().ok().map(Self::RateLimit),
            ("auth", None) => Some(Self::Auth),
            ("model", None) => Some(Self::Model),
            ("spew", Some(bytes)) => bytes.parse().ok().map(Self::Spew),
            ("daemonize", None) => Some(Self::Daemonize),
            ("ignore_term", None) => Some(Self::IgnoreTerm),
            ("garbage", None) => Some(Self::Garbage),
            _ => None,
        }
    }
}

fn completed() -> String {
    "completed".to_owned()
}
