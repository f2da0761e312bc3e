//! The core as its driver holds it: durable state, volatile fleet, and the five things that can be done with them.

use std::collections::BTreeMap;

use roundtable_shared::{LeasePhase, WorkerId};

use crate::change::{Change, Rejection};
use crate::command::{Command, Now};
use crate::decide::decide;
use crate::effect::Effect;
use crate::entropy::Entropy;
use crate::fleet::{Fleet, Worker};
use crate::planted::{Bug, planted};
use crate::rules::owed::owed_effects;
use crate::settle::{dispatch, settle};
use crate::state::State;
use crate::transition::Transition;
use crate::txn::Txn;

/// Time alone opens some gates (a pause between tries, a park, a silence): where nothing else has changed, it is looked at this often.
const LOOK_AGAIN_MS: u64 = 1_000;

/// State and fleet. A function of the transitions and commands it was given, and of nothing else.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Core {
    /// What is durable (as far as this process decided it; what others may see is the driver's to say).
    pub state: State,
    /// What is not: sessions, credits, deadlines.
    pub fleet: Fleet,
    looked: Looked,
}

/// When the scheduler last looked for what can be granted, and on what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Looked {
    /// The state it saw.
    seq: u64,
    /// When; `None` before the first time.
    at_ms: Option<u64>,
    /// The fleet has changed since, or there was more to grant.
    is_stale: bool,
    times: u64,
}

/// Of a worker, what decides whether it can be given more.
#[derive(PartialEq, Eq)]
struct Capacity {
    takes_grants: bool,
    is_here: bool,
    /// Attempts whose slot may be filled again.
    ending: usize,
    credits: BTreeMap<String, u32>,
}

impl Core {
    /// One that goes on from that state; nothing is known of the fleet.
    pub fn of(state: State) -> Self {
        Self { state, ..Self::default() }
    }

    /// Folds a transition read back from the log.
    pub fn replay(&mut self, transition: &Transition) {
        self.state.apply(transition);
    }

    /// To be called once after the log is folded, before anything else: owed effects, and a grace for every lease.
    pub fn recover(&mut self, now: Now) -> Change {
        self.fleet = Fleet { waits: self.fleet.waits, ..Fleet::recovered(&self.state, now) };
        Change { effects: outstanding(&self.state), ..Change::default() }
    }

    /// Decides one command. What it changes is folded at once; if it is refused, nothing has changed.
    pub fn handle(&mut self, command: Command, now: Now, entropy: &mut Entropy) -> Result<Change, Rejection> {
        let sign = sign_of_life(&command).cloned();
        let before = sign.as_ref().map(|worker| self.capacity(worker, now));
        let present = matches!(command, Command::Tick).then(|| self.present(now));
        let mut deciding = Txn::new(&mut self.state, &mut self.fleet, now, entropy);
        let decided = match decide(&mut deciding, command) {
            Ok(()) => {
                settle(&mut deciding);
                Ok(deciding.into_change())
            }
            Err(rejection) => {
                assert!(deciding.is_untouched(), "a refused command has changed the state: {rejection}");
                Err(rejection)
            }
        };
        let may_matter = match (&sign, present) {
            (Some(worker), _) => before != Some(self.capacity(worker, now)) && !planted(Bug::LooksLess),
            // All else that a tick finds is a fact, or only time that has passed.
            (None, Some(present)) => present != self.present(now),
            (None, None) => true,
        };
        self.looked.is_stale |= decided.is_ok() && may_matter;
        decided
    }

    /// A copy with another state.
    pub(crate) fn with_state(&self, state: State) -> Self {
        Self { state, fleet: self.fleet.clone(), looked: self.looked }
    }

    /// Whether something may be granted that could not be when it was last looked for.
    pub fn is_schedule_due(&self, now: Now) -> bool {
        let Looked { seq, at_ms, is_stale, .. } = self.looked;
        let time_passed = at_ms.is_none_or(|at| now.mono_ms.saturating_sub(at) >= LOOK_AGAIN_MS);
        is_stale || seq != self.state.seq || (time_passed && self.state.unfinished().next().is_some())
    }

    /// How often it was looked for what can be granted.
    pub fn looks(&self) -> u64 {
        self.looked.times
    }

    /// Grants all that can be granted now. To be called after each batch of commands that leaves it due.
    pub fn schedule(&mut self, now: Now, entropy: &mut Entropy) -> Change {
        // What it finds itself may open more, so that it is looked for again until nothing is found.
        let seq = self.state.seq;
        let mut deciding = Txn::new(&mut self.state, &mut self.fleet, now, entropy);
        let is_all = dispatch(&mut deciding);
        let change = deciding.into_change();
        self.looked = Looked { seq, at_ms: Some(now.mono_ms), is_stale: !is_all, times: self.looked.times + 1 };
        change
    }

    /// How many workers take grants, and how many are here: a tick ends cordons, and forgives a silence in which this process stood still.
    fn present(&self, now: Now) -> (usize, usize) {
        let count = |counts: fn(&Worker, Now) -> bool| self.fleet.workers.values().filter(|worker| counts(worker, now)).count();
        (count(Worker::takes_grants), count(Worker::is_here))
    }

    fn capacity(&self, worker: &WorkerId, now: Now) -> Capacity {
        let known = self.fleet.workers.get(worker);
        let phase = |key| self.fleet.leases.get(key).and_then(|watch| watch.phase);
        let ending = self.state.live_keys_of(worker).filter(|key| phase(key) >= Some(LeasePhase::Ending)).count();
        Capacity {
            takes_grants: known.is_some_and(|known| known.takes_grants(now)),
            is_here: known.is_some_and(|known| known.is_here(now)),
            ending,
            credits: known.map(|known| known.credits.clone()).unwrap_or_default(),
        }
    }
}

/// The worker that merely shows that it and its leases are alive and what it can take, as most commands do, again and again.
fn sign_of_life(command: &Command) -> Option<&WorkerId> {
    match command {
        Command::Heartbeat { worker, .. }
        | Command::Want { worker, .. }
        | Command::LeaseAccepted { worker, .. }
        | Command::LeasePreparing { worker, .. }
        | Command::LeaseStarted { worker, .. }
        | Command::LeaseEnding { worker, .. } => Some(worker),
        Command::Submit(_)
        | Command::Operate(_)
        | Command::Access(_)
        | Command::WorkerHello(_)
        | Command::WorkerGone { .. }
        | Command::WorkerGoodbye { .. }
        | Command::WorkerDraining { .. }
        | Command::BackendChanged { .. }
        | Command::LeaseServed { .. }
        | Command::WorkSaved { .. }
        | Command::HandBack { .. }
        | Command::Report(_)
        | Command::Shell(_)
        | Command::Tick => None,
    }
}

/// Effects that are owed by the state alone, so that none is lost in a crash. Grants are not among them: a lease that never reached its worker
/// is handed back when the worker says what it holds.
pub fn outstanding(state: &State) -> Vec<Effect> {
    state.unfinished().filter(|_| !planted(Bug::OwedForgotten)).flat_map(owed_effects).collect()
}
