//! What is not one lease's: taking up what an earlier life left, saying when an offer changes, letting go of what was delivered long ago.

use std::time::Duration;

use roundtable_shared::{AttemptFacts, FailureKind, Lease, LeasePhase};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{Held, Work, blocking, deliver, failed_facts};
use crate::session::Runner;
use crate::spool::AttemptSpool;

/// How often it is looked whether the coordinator is heard, where agents are stopped when it is not.
const LISTEN_EVERY: Duration = Duration::from_millis(500);
/// How often what was delivered long ago is removed.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

impl<R: Runner> Work<R> {
    /// Takes up what an earlier life left, before anything new is taken: what was unfinished is given up with its work saved, and then all of it is
    /// held and delivered like every other outcome. Nothing of it runs any more.
    pub async fn take_up(&self, left: Vec<AttemptSpool>) {
        let leases = |all: bool| left.iter().filter(|spool| all || spool.outcome().is_none()).map(|spool| spool.lease().clone()).collect();
        let (owed, unfinished): (Vec<Lease>, Vec<Lease>) = (leases(true), leases(false));
        self.inner.runner.tidy(&owed, &unfinished);
        for spool in left {
            let lease = spool.lease().clone();
            let facts = match spool.outcome() {
                Some(facts) => facts,
                None => match self.give_up(&spool).await {
                    Ok(Some(facts)) => facts,
                    Ok(None) => {
                        self.inner.runner.forget(&lease).await;
                        continue;
                    }
                    Err(why) => {
                        warn!(lease = %lease.lease.key, %why, "what a restart left could not be kept");
                        continue;
                    }
                },
            };
            self.owe(spool, facts);
        }
    }

    /// Holds an outcome until it is delivered.
    fn owe(&self, spool: AttemptSpool, facts: AttemptFacts) {
        let lease = spool.lease().clone();
        let held = Held {
            phase: LeasePhase::Reported,
            pool: lease.pool.clone(),
            spool: Some(spool.clone()),
            waiting: String::new(),
            cancel: watch::channel(None).0,
        };
        self.table().held.insert(lease.lease.clone(), held);
        let work = self.clone();
        tokio::spawn(async move {
            // Its last words come before its outcome here too.
            deliver::events(spool.clone(), work.inner.client.subscribe(), work.says_what_waits(&lease.lease)).await;
            work.hand_in(&spool, &facts).await;
        });
    }

    /// The coordinator has another store, restored from a backup: what was delivered since that was made is missing there. All that is kept is held again, as
    /// far as its commit is still here; what the coordinator knows, or no longer wants, it says so.
    pub(super) async fn deliver_again(&self, store: &str) {
        let spool = self.inner.spool.clone();
        let again = match tokio::task::spawn_blocking(move || spool.owe_again()).await {
            Ok(Ok(again)) => again,
            Ok(Err(error)) => return warn!(%error, "what was delivered cannot be offered again; tried with the next link"),
            Err(error) => return warn!(%error, "what was delivered cannot be offered again; tried with the next link"),
        };
        // All of them, before the first is looked at: no quota takes away meanwhile what the last one is made of.
        again.iter().for_each(|spool| self.inner.runner.owes(spool.lease()));
        for spool in again {
            let Some(facts) = spool.outcome() else { continue };
            if self.table().held.contains_key(&spool.lease().lease) {
                continue;
            }
            if self.can_be_sent(spool.lease(), &facts).await {
                info!(lease = %spool.lease().lease.key, "offered again");
                self.owe(spool, facts);
                continue;
            }
            self.inner.runner.forget(spool.lease()).await;
            if let Err(why) = blocking(spool, AttemptSpool::mark_accepted).await {
                warn!(why, "an attempt whose commit is gone stays owed");
            }
        }
        self.note_store(store);
    }

    /// Ends what runs, its work saved, whenever no coordinator has been heard for so long that its leases may be others' by now; for as long as it is polled.
    pub async fn stop_when_cut_off(&self) {
        let mut look = tokio::time::interval(LISTEN_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            if !self.inner.fence.is_cut_off() {
                continue;
            }
            for (lease, held) in self.table().held.iter().filter(|(_, held)| held.phase < LeasePhase::Ending) {
                let is_first = held.cancel.send_if_modified(|cancel| {
                    let is_first = cancel.is_none();
                    cancel.get_or_insert_with(|| "the worker is cut off from its coordinator".to_owned());
                    is_first
                });
                if is_first {
                    warn!(lease = %lease.key, "stopped: no coordinator has been heard for 20 s");
                }
            }
        }
    }

    async fn can_be_sent(&self, lease: &Lease, facts: &AttemptFacts) -> bool {
        let Some(commit) = &facts.commit else { return true };
        match self.inner.runner.pack(&lease.repository, commit, std::slice::from_ref(&lease.start)).await {
            Ok(mut pieces) => matches!(pieces.recv().await, Some(Ok(_))),
            Err(_) => false,
        }
    }

    /// Notes the store that the coordinator has.
    pub(super) fn note_store(&self, store: &str) {
        if let Err(error) = self.inner.spool.remember_store(store) {
            warn!(%error, "the coordinator's store could not be noted: a restore of it would not be noticed");
        }
    }

    /// The outcome of an attempt that this worker's end cut short; `None` if it never came to anything: it is handed back by not being held any more.
    async fn give_up(&self, spool: &AttemptSpool) -> Result<Option<AttemptFacts>, String> {
        let commit = self.inner.runner.salvage(spool.lease()).await;
        if commit.is_none() && spool.position().written_seq == 0 {
            blocking(spool.clone(), |spool| spool.mark_accepted()).await?;
            return Ok(None);
        }
        let facts = AttemptFacts { commit, ..failed_facts(FailureKind::Interrupted, "the worker restarted") };
        self.finish(spool, facts).await.map(Some)
    }

    /// Looks after what is not one lease's, for as long as it is polled: the machine, what is offered, the age of what is kept.
    pub async fn attend(&self) {
        let announce = async {
            let mut changes = self.inner.runner.changes();
            let mut said = self.inner.runner.offers();
            while changes.changed().await.is_ok() {
                let now = self.inner.runner.offers();
                for offer in now.iter().filter(|offer| !said.contains(offer)) {
                    info!(backend = %offer.name, unavailable = offer.unavailable, "the offer changed");
                    self.offer_changed(offer);
                }
                said = now;
                self.want();
                if self.inner.runner.full().is_some() {
                    self.prune(true).await;
                }
            }
        };
        let prune = async {
            let mut rhythm = tokio::time::interval(PRUNE_EVERY);
            loop {
                rhythm.tick().await;
                self.prune(false).await;
            }
        };
        tokio::join!(self.inner.runner.attend(), announce, prune);
    }

    /// Removes delivered attempts that are kept in case the coordinator loses them: the old, or for want of room all.
    pub(super) async fn prune(&self, all: bool) {
        let spool = self.inner.spool.clone();
        match tokio::task::spawn_blocking(move || spool.prune(all)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "delivered attempts could not be removed"),
            Err(error) => warn!(%error, "delivered attempts could not be removed"),
        }
    }
}
