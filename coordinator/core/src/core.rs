//! The core as its driver holds it: durable state, volatile fleet, and the five things that can be done with them.

use roundtable_shared::{LeaseRef, WorkerId};

use crate::change::{Change, Rejection};
use crate::command::{Command, Now};
use crate::decide::{self, Deciding};
use crate::effect::Effect;
use crate::entropy::Entropy;
use crate::fleet::Fleet;
use crate::schedule;
use crate::state::State;
use crate::transition::Transition;

/// State and fleet. A function of the transitions and commands it was given, and of nothing else.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Core {
    /// What is durable (as far as this process decided it; what others may see is the driver's to say).
    pub state: State,
    /// What is not: sessions, credits, deadlines.
    pub fleet: Fleet,
}

/// A lease that is live.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveLease {
    /// The lease.
    pub lease: LeaseRef,
    /// Whose it is.
    pub worker: WorkerId,
    /// Key of its run's repository.
    pub repository: String,
}

impl Core {
    /// Folds a transition read back from the log.
    pub fn replay(&mut self, transition: &Transition) {
        self.state.apply(transition);
    }

    /// To be called once after the log is folded, before anything else: owed effects, and a grace for every lease.
    pub fn recover(&mut self, now: Now) -> Change {
        self.fleet = Fleet::recovered(&self.state, now);
        Change { effects: outstanding(&self.state), ..Change::default() }
    }

    /// Decides one command. What it changes is folded at once; if it is refused, nothing has changed.
    pub fn handle(&mut self, command: Command, now: Now, entropy: &mut Entropy) -> Result<Change, Rejection> {
        let mut deciding = Deciding::new(&mut self.state, &mut self.fleet, now, entropy);
        match decide::decide(&mut deciding, command) {
            Ok(()) => Ok(deciding.into_change()),
            Err(rejection) => {
                assert!(deciding.is_untouched(), "a refused command has changed the state: {rejection}");
                Err(rejection)
            }
        }
    }

    /// Grants all that can be granted now. To be called after each batch of commands.
    pub fn schedule(&mut self, now: Now, entropy: &mut Entropy) -> Change {
        let mut deciding = Deciding::new(&mut self.state, &mut self.fleet, now, entropy);
        schedule::run(&mut deciding);
        deciding.into_change()
    }

    /// All live leases.
    pub fn live_leases(&self) -> impl Iterator<Item = LiveLease> {
        self.state.live_attempts().filter_map(|(key, attempt)| {
            let repository = self.state.run(&key.run)?.source.repository.clone();
            Some(LiveLease { lease: LeaseRef { key: key.clone(), lease_id: attempt.lease_id }, worker: attempt.worker.clone(), repository })
        })
    }
}

/// Effects that are owed by the state alone, so that none is lost in a crash. Grants are not among them: a lease that never reached its worker
/// is handed back when the worker says what it holds.
pub fn outstanding(state: &State) -> Vec<Effect> {
    state.unfinished().flat_map(decide::owed_effects).collect()
}
