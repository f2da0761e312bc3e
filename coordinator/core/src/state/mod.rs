//! The durable state: the fold of all transitions. Plain data with public fields, read by everyone, changed by `apply` alone.
//!
//! What can be derived (readiness, conflicts, parents' states, progress) is not stored, except the indexes marked as such, which the fold
//! itself keeps.

mod access;
mod agents;
mod attempt;
mod branch;
mod granted;
mod life;
mod moves;
mod phase;
mod places;
mod plan;
mod queue;
mod rare;
mod removal;
mod report;
mod rest;
mod run;
mod source;
mod spec;
mod start;
mod step;
mod stored;
mod train;
mod unit;
mod work;
mod worked;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptKey, BackendName, LeaseRef, RunId, UnitId, UnitType, WorkerId};
use serde::{Deserialize, Serialize};

pub use access::{Access, Admits, BARRED_KEPT_MS, Barred, PEER_KEPT_MS, Peer, RENEWAL_NOTED_MS, TOKEN_KEPT_MS, Token, Use};
pub use agents::{Agents, AssignAnswer, Assigning, HeldPhases, Orchestrator, PlanSource, Wanted};
pub use attempt::{Attempt, AttemptEnd, AttemptEnded, LostCause, Saved};
pub use branch::{BaseCheck, Branch, Integration, Learning};
pub use granted::Granted;
pub use life::{Accepted, Ended, Ending, Life, Remark, RunPhase, Stage};
pub use moves::may_move;
pub use phase::{Blocked, ComingFix, FailedReview, FixCause, FixOwed, Merging, Release, UnitPhase};
pub use places::Places;
pub use plan::{Lookup, PlaceInLine, Plan, WorkKind, Writers};
pub use rare::{Blank, Rare};
pub use removal::{Remains, Removed};
pub use report::{OwnerAnswer, Said, WorkReport};
pub use rest::{Rest, Rested, Resting};
pub use run::{BackendChoices, Notice, Origin, People, Progress, Run};
pub use source::RunSource;
pub use spec::{Subtask, UnitAssignment, UnitSpec};
pub use start::Start;
pub use step::{Phase, Step};
pub use train::{Alone, Candidate, Checks, InFlight, Misfit, Train};
pub use unit::{GROUNDED_FROM_ROUND, Unit};
pub use work::{Breach, Counters, UnitReview, UnitWork, Work};

use crate::planted::{Bug, planted};
use crate::shared::{List, Table};

/// Everything the coordinator knows for good.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// Runs by id. Behind `Arc`, so that published copies share those that did not change.
    #[serde(deserialize_with = "stored::runs")]
    pub runs: Table<RunId, Arc<Run>>,
    /// Runs in the order they were created.
    pub created: List<RunId>,
    /// Index: those of them that are not over.
    pub open: Arc<Vec<RunId>>,
    /// Parked backends, fleet-wide.
    pub parks: BTreeMap<ParkKey, Park>,
    /// `pause --all`.
    pub paused: Option<Remark>,
    /// Who may come in.
    pub access: Arc<Access>,
    /// Workers that a person has drained, here or not, with who said so.
    pub drained: Arc<BTreeMap<WorkerId, Remark>>,
    /// Answers of assignment agents that were asked before a run was made, oldest first.
    pub assignments: Arc<Vec<KeptAssignment>>,
    /// How long accepted work took, per backend and kind of unit: ranks implements.
    pub learned: Arc<BTreeMap<(BackendName, UnitType), Learned>>,
    /// Index: live attempts of each worker.
    pub live: Table<WorkerId, BTreeSet<AttemptKey>>,
    /// Transitions folded so far: the log's sequence number.
    pub seq: u64,
}

/// An assignment for a run that is still to come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptAssignment {
    /// Names what it was asked about.
    pub inputs_digest: String,
    /// The answer.
    pub answer: AssignAnswer,
}

/// What is parked: a backend with the account it uses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ParkKey {
    /// The backend.
    pub backend: BackendName,
    /// The account's opaque key; empty if unknown.
    pub account: String,
    /// The model asked for with the run; empty = the backend's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
}

/// A provider that refused: nothing is granted until its reset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Park {
    /// When it is tried again.
    pub until: WallMs,
    /// The provider named that time; otherwise one attempt at a time probes after it.
    pub known: bool,
    /// For a person.
    pub reason: String,
    /// The worker on which it refused; unknown in logs of earlier builds.
    pub worker: Option<WorkerId>,
    /// Refusals in a row that named no time: each doubles the wait before the next probe.
    pub step: u32,
    /// A probe is being served: grants go on. The step stays until an attempt has succeeded.
    pub answered: bool,
}

impl Park {
    /// Characters of a cause.
    const CAUSE_CHARS_MAX: usize = 100;

    /// What refused, in a few words: the HTTP status a CLI repeats, else the first line of what it says.
    pub fn cause(&self) -> String {
        let words: Vec<&str> = self.reason.split_whitespace().collect();
        let is_status = |word: &str| word.len() == 3 && matches!(word.parse(), Ok(400..600_u16));
        let is_title = |word: &&&str| word.starts_with(|c: char| c.is_ascii_uppercase());
        if let Some(at) = words.iter().position(|word| is_status(word)) {
            let title = words[at + 1..].iter().take(3).take_while(is_title).copied();
            let phrase = std::iter::once(words[at]).chain(title).collect::<Vec<_>>().join(" ");
            if phrase.len() > 3 {
                return phrase.trim_end_matches([':', ',', '.', ';']).to_owned();
            }
        }
        let line = self.reason.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it refuses");
        match line.char_indices().nth(Self::CAUSE_CHARS_MAX) {
            Some((at, _)) => format!("{}…", line[..at].trim_end()),
            None => line.to_owned(),
        }
    }
}

/// Mean of what was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Learned {
    /// Attempts counted.
    pub count: u64,
    /// Their sum.
    pub total_ms: u64,
}

impl Learned {
    /// The mean, if anything was seen.
    pub fn mean_ms(&self) -> Option<u64> {
        self.total_ms.checked_div(self.count)
    }
}

impl State {
    /// The run of that id.
    pub fn run(&self, id: &RunId) -> Option<&Run> {
        self.runs.get(id).map(Arc::as_ref)
    }

    /// The unit of that run.
    pub fn unit(&self, run: &RunId, unit: &UnitId) -> Option<&Unit> {
        self.run(run)?.unit(unit)
    }

    /// Any attempt, live or ended.
    pub fn attempt(&self, key: &AttemptKey) -> Option<&Attempt> {
        let run = self.run(&key.run)?;
        match &key.unit {
            Some(unit) => run.unit(unit)?.attempt(key.attempt),
            None => run.attempt(key.attempt),
        }
    }

    /// The attempt a lease entitles to, if it is the one its seat holds (I3).
    pub fn current(&self, lease: &LeaseRef) -> Option<&Attempt> {
        let is_same = |attempt: &Attempt| attempt.granted.lease_id == lease.lease_id || planted(Bug::LeaseIdIgnored);
        self.attempt(&lease.key).filter(|attempt| is_same(attempt) && attempt.is_live())
    }

    /// Live attempts of a worker.
    pub fn live_of(&self, worker: &WorkerId) -> impl Iterator<Item = (&AttemptKey, &Attempt)> {
        self.live_keys_of(worker).filter_map(|key| Some((key, self.attempt(key)?)))
    }

    /// Their names alone, which cost less.
    pub fn live_keys_of(&self, worker: &WorkerId) -> impl Iterator<Item = &AttemptKey> {
        self.live.get(worker).into_iter().flatten()
    }

    /// Live attempts of all workers.
    pub fn live_attempts(&self) -> impl Iterator<Item = (&AttemptKey, &Attempt)> {
        self.live.values().flatten().filter_map(|key| Some((key, self.attempt(key)?)))
    }

    /// Unfinished runs, oldest first.
    pub fn unfinished(&self) -> impl Iterator<Item = &Run> {
        self.open.iter().filter_map(|id| self.run(id))
    }

    /// The unfinished run of that source, which a second submission resumes: same repository and spec path.
    pub fn find_resumable(&self, source: &RunSource) -> Option<&Run> {
        self.open.iter().rev().filter_map(|id| self.run(id)).find(|run| run.origin.source.is_same(source))
    }

    /// The latest run of that source, finished or not. One that was removed without having been accepted was thrown away: it stands for nothing.
    pub fn find_latest(&self, source: &RunSource) -> Option<&Run> {
        let counts = |run: &&Run| run.origin.source.is_same(source) && (run.life.removed.is_none() || run.life.accepted.is_some());
        self.created.iter().rev().filter_map(|id| self.run(id)).find(counts)
    }
}
