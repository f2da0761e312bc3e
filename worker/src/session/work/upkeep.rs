//! What is not one lease's: taking up what an earlier life left, saying when an offer changes, letting go of what was delivered long ago.

use std::sync::Arc;
use std::time::Duration;

use roundtable_shared::{AttemptFacts, FailureKind, Lease, LeasePhase, LeaseRef};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{Held, Work, blocking, deliver, failed_facts};
use crate::session::Runner;
use crate::spool::{AttemptSpool, SpoolError};

/// How often it is looked whether the coordinator is heard, where agents are stopped when it is not.
const LISTEN_EVERY: Duration = Duration::from_millis(500);
/// How often what was delivered long ago is removed.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// Commits that are looked for at once.
pub(super) const LOOKS_MAX: usize = 4;
/// Outcomes of before that are on their way at once.
pub(super) const DELIVERIES_MAX: usize = 32;

/// An outcome that is held and not delivered.
struct Owed {
    spool: AttemptSpool,
    facts: AttemptFacts,
    /// It was delivered once: its commit may have gone since.
    is_doubtful: bool,
}

impl<R: Runner> Work<R> {
    /// Takes up what an earlier life left, before anything new is taken: what was unfinished is given up with its work saved, and then all of it is
    /// held and delivered like every other outcome. Nothing of it runs any more.
    pub async fn take_up(&self, left: Vec<AttemptSpool>) {
        let leases = |all: bool| left.iter().filter(|spool| all || spool.outcome().is_none()).map(|spool| spool.lease().clone()).collect();
        let (all, unfinished): (Vec<Lease>, Vec<Lease>) = (leases(true), leases(false));
        self.inner.runner.tidy(&all, &unfinished);
        let mut owed = Vec::with_capacity(left.len());
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
            self.owe(&spool);
            owed.push(Owed { spool, facts, is_doubtful: false });
        }
        self.deliver_all(owed);
    }

    /// Holds an outcome until it is delivered.
    fn owe(&self, spool: &AttemptSpool) {
        let lease = spool.lease();
        let held = Held {
            phase: LeasePhase::Reported,
            pool: lease.pool.clone(),
            spool: Some(spool.clone()),
            waiting: "it waits for what is handed in before it".to_owned(),
            cancel: watch::channel(None).0,
        };
        self.table().held.insert(lease.lease.clone(), held);
    }

    /// Delivers what is owed, in this order, so many at once: each has a stream and a file open meanwhile.
    fn deliver_all(&self, owed: Vec<Owed>) {
        let work = self.clone();
        tokio::spawn(async move {
            for owed in owed {
                let Ok(turn) = Arc::clone(&work.inner.deliveries).acquire_owned().await else { return };
                let work = work.clone();
                tokio::spawn(async move {
                    work.deliver(owed).await;
                    drop(turn);
                });
            }
        });
    }

    async fn deliver(&self, Owed { spool, facts, is_doubtful }: Owed) {
        let lease = spool.lease().clone();
        self.update(&lease.lease, |held| held.waiting.clear());
        if is_doubtful && !self.can_be_sent(&lease, &facts).await {
            self.inner.runner.forget(&lease).await;
            if let Err(why) = blocking(spool, AttemptSpool::mark_accepted).await {
                warn!(lease = %lease.lease.key, why, "an attempt whose commit is gone stays owed");
            }
            return self.hold_no_more(&lease.lease);
        }
        // Its last words come before its outcome here too.
        deliver::events(spool.clone(), self.inner.client.subscribe(), self.says_what_waits(&lease.lease)).await;
        self.hand_in(&spool, &facts).await;
    }

    /// It came to no verdict of this life's.
    fn hold_no_more(&self, lease: &LeaseRef) {
        self.table().held.remove(lease);
        self.inner.changed.send_modify(|count| *count += 1);
    }

    /// The coordinator has another store, restored from a backup: what was delivered since that was made is missing there. All that is kept is held again, so
    /// that the next hello says so; it is looked at and delivered once there is a link. What the coordinator knows, or no longer wants, it says then.
    pub(super) async fn deliver_again(&self, store: &str) {
        let spool = self.inner.spool.clone();
        let again = tokio::task::spawn_blocking(move || {
            let again = spool.owe_again()?;
            let owed = again.into_iter().filter_map(|spool| spool.outcome().map(|facts| Owed { spool, facts, is_doubtful: true }));
            Ok::<Vec<Owed>, SpoolError>(owed.collect())
        });
        let again = match again.await {
            Ok(Ok(again)) => again,
            Ok(Err(error)) => return warn!(%error, "what was delivered cannot be offered again; tried with the next link"),
            Err(error) => return warn!(%error, "what was delivered cannot be offered again; tried with the next link"),
        };
        // One whose verdict, the former store's, is only just here is held until its worktree is put away: it is owed anew after that, since what lets go of a
        // lease lets go of all that is kept for it.
        let (settling, again): (Vec<Owed>, Vec<Owed>) = again.into_iter().partition(|owed| self.holds(owed));
        // All of them, before the first is looked at: no quota takes away meanwhile what the last one is made of.
        again.iter().for_each(|owed| self.owe_anew(owed));
        if !again.is_empty() {
            info!(attempts = again.len(), "offered again");
        }
        self.deliver_all(again);
        for owed in settling {
            let work = self.clone();
            tokio::spawn(async move {
                if work.changes().wait_for(|_| !work.holds(&owed)).await.is_ok() {
                    work.owe_anew(&owed);
                    work.deliver_all(vec![owed]);
                }
            });
        }
        self.note_store(store);
    }

    fn holds(&self, owed: &Owed) -> bool {
        self.table().held.contains_key(&owed.spool.lease().lease)
    }

    /// Holds what was delivered, and what it is made of.
    fn owe_anew(&self, owed: &Owed) {
        self.inner.runner.owes(owed.spool.lease());
        self.owe(&owed.spool);
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

    /// Whether its commit is still here.
    async fn can_be_sent(&self, lease: &Lease, facts: &AttemptFacts) -> bool {
        let Some(commit) = &facts.commit else { return true };
        // Each look is a git of its own.
        let Ok(_look) = self.inner.looks.acquire().await else { return false };
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

/// For tests of what comes between a verdict and its end.
#[cfg(test)]
impl<R: Runner> Work<R> {
    /// Holds what has come to its verdict, as while its worktree is put away.
    pub(in crate::session) fn settles(&self, spool: &AttemptSpool) {
        self.owe(spool);
    }

    /// That is done.
    pub(in crate::session) fn has_settled(&self, lease: &LeaseRef) {
        self.hold_no_more(lease);
    }
}
