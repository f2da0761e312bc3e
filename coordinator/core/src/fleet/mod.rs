//! The fleet as it is right now: sessions, offers, credits, deadlines. Volatile and pure: it is rebuilt from hellos after a restart, and only
//! the coordinator's own clock judges it.

mod lease;
mod worker;

use std::collections::{BTreeMap, BTreeSet};

use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptKey, BackendName, LeasePhase, RunId, UnitId, WorkerId};

pub use roundtable_shared::limits::{LOST_MS, SUSPECT_MS};

pub use lease::{ACCEPTED_WITHOUT_PROGRESS_MS, LeaseWatch, OVERDUE_MS};
pub use worker::{Cordon, Offer, Refused, Worker};

use crate::command::Now;
use crate::shared::Table;
use crate::state::{Rest, State};

/// After a restart of the coordinator every worker has this to come back.
pub const GRACE_MS: u64 = 60_000;
const _: () = assert!(GRACE_MS >= LOST_MS);
/// A tick later than this after the one before means that this process was not running: nobody is blamed for that time.
pub const TICK_GAP_MS: u64 = 2_000;

/// Waiting times that are the fleet's and not a run's: whoever serves may set them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waits {
    /// How long what runs on a drained worker may go on; then it is taken back, at nobody's cost.
    pub drain_ms: u64,
}

impl Default for Waits {
    fn default() -> Self {
        Self { drain_ms: 3_600_000 }
    }
}

/// Volatile facts about workers, leases and owed effects.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Fleet {
    /// How long is waited for what.
    pub waits: Waits,
    /// Workers known to this process.
    pub workers: Table<WorkerId, Worker>,
    /// Deadlines of live leases.
    pub leases: Table<AttemptKey, LeaseWatch>,
    /// Backends a run waits for that nobody offers, since when (monotonic).
    pub missing: BTreeMap<(RunId, Need), u64>,
    /// Backends that were offered since this process started.
    pub seen: BTreeSet<BackendName>,
    /// Rests of runs that have not lasted long enough to be told, since when.
    pub rests: BTreeMap<RunId, (Rest, WallMs)>,
    /// Effects that failed and are to be repeated.
    pub errands: BTreeMap<(RunId, Option<UnitId>), Errand>,
    /// Units that a train may take as of who is here, when that was last looked at.
    pub train_max: usize,
    /// When a worker last joined, or came back with another offer (monotonic).
    pub joined_ms: Option<u64>,
    /// The last tick, or the start.
    pub ticked_ms: Option<u64>,
    /// When this process began.
    pub began_ms: u64,
}

/// A backend wanted for a kind of seat.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Need {
    /// For what: decides which backends may stand in.
    pub kind: NeedKind,
    /// The backend.
    pub wanted: BackendName,
    /// The unit's owner, for escalations: another one is better.
    pub owner: Option<BackendName>,
    /// Labels its worker must have.
    pub requires: Vec<String>,
}

/// What a backend is wanted for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NeedKind {
    /// Work on code.
    Code,
    /// Work on user interfaces.
    Ui,
    /// Reviews, and units that are reviews.
    Review,
    /// The third fix.
    Escalation,
    /// The assignment agent.
    Assign,
    /// The orchestrator agent.
    Orchestrate,
    /// The check command.
    Check,
}

/// An effect that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errand {
    /// Failures in a row.
    pub failures: u32,
    /// When it is repeated (monotonic); `None` while it is under way.
    pub due_ms: Option<u64>,
}

impl Fleet {
    /// The fleet after a fold: nobody is here yet, and every lease has a grace.
    pub fn recovered(state: &State, now: Now) -> Self {
        // The start counts as a tick: what passes until the first one is time in which this process stood still.
        let mut fleet = Self { began_ms: now.mono_ms, ticked_ms: Some(now.mono_ms), ..Self::default() };
        for (key, attempt) in state.live_attempts() {
            let worker = fleet.workers.entry(&attempt.granted.worker, || Worker::unseen(attempt.granted.worker.clone(), now));
            worker.drained_ms = state.drained.contains_key(&attempt.granted.worker).then_some(now.mono_ms);
            fleet.leases.insert(key.clone(), LeaseWatch::recovered(attempt, state.run(&key.run), now));
        }
        fleet
    }

    /// Adds time in which this process did not run to everything that waits, so that nobody is blamed for it.
    pub fn extend_all(&mut self, gap_ms: u64) {
        self.workers.for_each_mut(|_, worker| {
            worker.seen_ms = worker.seen_ms.saturating_add(gap_ms);
            worker.drained_ms = worker.drained_ms.map(|since| since.saturating_add(gap_ms));
            if let Some(cordon) = &mut worker.cordoned {
                cordon.until_ms = cordon.until_ms.saturating_add(gap_ms);
            }
            for offer in worker.offers.values_mut() {
                offer.parked_until_ms = offer.parked_until_ms.map(|until| until.saturating_add(gap_ms));
            }
        });
        self.leases.for_each_mut(|_, lease| lease.deadline_ms = lease.deadline_ms.saturating_add(gap_ms));
        for since in self.missing.values_mut() {
            *since = since.saturating_add(gap_ms);
        }
    }

    /// Of an attempt whose agent has ended and whose outcome its worker hands in: what stands in the way, empty if nothing does.
    pub fn delivering(&self, attempt: &AttemptKey) -> Option<&str> {
        let watch = self.leases.get(attempt).filter(|watch| watch.phase == Some(LeasePhase::Reported));
        watch.map(|watch| watch.waiting.as_str())
    }

    /// How people call a worker.
    pub fn name_of<'a>(&'a self, worker: &'a WorkerId) -> &'a str {
        self.workers.get(worker).map_or(worker.as_str(), |known| known.name.as_str())
    }

    /// Whether more workers may be about to join: one did so less than `quiet_ms` ago.
    pub fn is_gathering(&self, now: Now, quiet_ms: u64) -> bool {
        self.joined_ms.is_some_and(|at| now.mono_ms.saturating_sub(at) < quiet_ms)
    }

    /// Slots of all backends of all workers, more than are there where backends share them.
    pub fn slots(&self) -> usize {
        let offers = self.workers.values().flat_map(|worker| worker.offers.values());
        offers.map(|offer| offer.offer.slots as usize).sum()
    }

    /// Whether any worker is here and not silent.
    pub fn anyone_here(&self, now: Now) -> bool {
        self.workers.values().any(|worker| worker.connected && !worker.is_silent(now, SUSPECT_MS))
    }

    /// The worker, if this is its present session.
    pub(crate) fn session(&mut self, worker: &WorkerId, session: u64) -> Option<&mut Worker> {
        self.workers.get_mut(worker).filter(|worker| worker.session == session && worker.connected)
    }
}
