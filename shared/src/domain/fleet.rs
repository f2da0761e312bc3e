//! What a worker offers and holds, and what a lease grants: shared by both ends of the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attempt::{Role, Seat};
use super::options::Switches;
use super::turn::TurnData;
use crate::ids::{AgentSessionId, BackendName, CommitId, LeaseRef};

/// Backends that need no configuration, and may be named where nobody offers them yet.
pub const BUILT_IN_BACKENDS: [&str; 4] = ["codex", "gemini", "opencode", "codex-review"];

/// The name under which a worker offers its slots for check commands: no agent.
pub const CHECK_BACKEND: &str = "check";

/// A backend a worker offers. Backends of one pool share its slots.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackendOffer {
    /// The backend.
    pub name: BackendName,
    /// The pool.
    pub pool: String,
    /// Slots of the pool.
    pub slots: u32,
    /// Version of the CLI.
    pub version: String,
    /// Opaque key of the account, for parking; empty if unknown.
    pub account: String,
    /// Plays every owner and role (bare scripted backends).
    pub serves_all: bool,
    /// Not usable now, with the reason; empty = usable.
    pub unavailable: String,
}

impl BackendOffer {
    /// Whether both use one login: what is refused to the one is refused to the other.
    pub fn shares_login(&self, other: &Self) -> bool {
        self.account == other.account && login_of(&self.name) == login_of(&other.name)
    }
}

/// The CLI whose login a backend uses: reviewers have none of their own.
pub fn login_of(backend: &BackendName) -> &str {
    let name = backend.as_str();
    name.strip_suffix("-review").unwrap_or(name)
}

/// The command that logs in the CLI of a backend, where it is known.
pub fn login_command(backend: &BackendName) -> Option<&'static str> {
    match login_of(backend) {
        "codex" => Some("codex login"),
        "gemini" => Some("gemini"),
        "opencode" => Some("opencode auth login"),
        _ => None,
    }
}

/// Progress of an attempt as the worker tells it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeasePhase {
    /// Taken.
    Accepted,
    /// Worktree and setup.
    Preparing,
    /// The agent runs.
    Running,
    /// The tree is being ended, the commit made.
    Ending,
    /// The outcome is spooled and waits for its verdict.
    Reported,
}

/// A lease as its worker holds it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeldLease {
    /// The lease.
    pub lease: LeaseRef,
    /// How far it is.
    pub phase: LeasePhase,
    /// Sequence number of its last agent event; 0 = none.
    pub last_event_seq: u64,
    /// Why its outcome is not handed in yet; empty while nothing stands in the way.
    #[serde(default)]
    pub waiting: String,
}

/// A worker introduces itself.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Introduction {
    /// The worker's own start counter: fsynced by it at each start, greater than any before.
    pub incarnation: u64,
    /// Display name.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What it offers.
    pub backends: Vec<BackendOffer>,
    /// What it holds.
    pub held: Vec<HeldLease>,
    /// Keys of repositories whose objects it keeps.
    #[serde(default)]
    pub repositories: Vec<String>,
    /// Which of the workers that might bear this name it is.
    pub origin: Origin,
}

/// Tells workers of one name apart. Empty parts (an older release) fit every other.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    /// Drawn once per workspace and kept there.
    pub workspace: String,
    /// Drawn at each start: a copied workspace does not make two workers one.
    pub life: String,
    /// Where it runs, for people.
    pub place: String,
}

impl Origin {
    /// Whether both are the same worker, at the same start or at different ones.
    pub fn is_same_worker(&self, other: &Self) -> bool {
        self.workspace.is_empty() || other.workspace.is_empty() || self.workspace == other.workspace
    }

    /// Whether both are the same start of the same worker.
    pub fn is_same_start(&self, other: &Self) -> bool {
        self.is_same_worker(other) && (self.life.is_empty() || other.life.is_empty() || self.life == other.life)
    }
}

/// What the coordinator says to one held lease after a hello.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reconciled {
    /// The lease.
    pub lease: LeaseRef,
    /// Go on, with events after `acked_seq`; else stop it, it is no longer wanted.
    pub keep: bool,
    /// Events durable at the coordinator.
    pub acked_seq: u64,
    /// For a person.
    pub reason: String,
}

/// The right to run one attempt, and all a worker needs to know for it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// Which.
    pub lease: LeaseRef,
    /// The seat.
    pub seat: Seat,
    /// The role.
    pub role: Role,
    /// The backend that plays it.
    pub backend: BackendName,
    /// The pool whose slot it takes.
    pub pool: String,
    /// Key of the repository's object cache.
    pub repository: String,
    /// Manifest and reviews look at base..result.
    pub base: CommitId,
    /// What the worktree is made of.
    pub start: CommitId,
    /// What the agent is told.
    pub prompt: String,
    /// JSON schema of the final answer, for backends that take one.
    pub answer_schema: Option<String>,
    /// What scripted and configured backends are told.
    #[serde(with = "super::turn::as_text")]
    pub turn_data: TurnData,
    /// Agent session to resume, if the worker has it.
    pub resume: Option<AgentSessionId>,
    /// Model, where configured with the run.
    pub model: Option<String>,
    /// Effort, where configured with the run or raised by escalation.
    pub effort: Option<String>,
    /// Longest turn, milliseconds from `Started`.
    pub wall_ms: u64,
    /// Longest time without output and CPU, milliseconds.
    pub idle_ms: u64,
    /// Output after which the attempt is killed, bytes.
    pub output_bytes_max: u64,
    /// What is done so far is handed in this often, milliseconds; 0 = as the worker thinks fit.
    #[serde(default)]
    pub save_ms: u64,
    /// Command run in a new worktree before the agent.
    pub setup: Option<String>,
    /// The command of a check seat.
    pub check: Option<String>,
    /// Files under `copy` are to be fetched.
    pub has_attachments: bool,
    /// The seat may not change files.
    pub read_only: bool,
    /// Switches for the agent's command line.
    pub switches: Switches,
}

impl Seat {
    /// Reads what `Display` writes: `work`, `review-2`, `check`, `assign`, `orchestrate`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "work" => Self::Work,
            "check" => Self::Check,
            "assign" => Self::Assign,
            "orchestrate" => Self::Orchestrate,
            other => {
                let seat = Self::Review(other.strip_prefix("review-")?.parse().ok()?);
                // `review-+2` is no word of ours.
                return (seat.to_string() == other).then_some(seat);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_read_as_it_is_written_and_in_no_other_way() {
        for seat in [Seat::Work, Seat::Review(2), Seat::Review(u32::MAX), Seat::Check, Seat::Assign, Seat::Orchestrate] {
            assert_eq!(Seat::parse(&seat.to_string()), Some(seat));
        }
        for other in ["review-+2", "review-02", "review-", "review", "Work", ""] {
            assert_eq!(Seat::parse(other), None, "{other}");
        }
    }
}
