//! The published view of leases: which attempt belongs to which worker, and which are live. Agent output and object transfers are checked against it
//! without going through the driver. Written by the driver alone, after the append.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use roundtable_core::effect::Start;
use roundtable_shared::{AttemptKey, CommitId, LeaseRef, RunId, WorkerId};

/// Ended leases that are remembered, so that a late result can still be stored under its ref.
const ENDED_MAX: usize = 50_000;

/// What is known of a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownLease {
    /// Whose it is.
    pub worker: WorkerId,
    /// Whether it is the one its seat holds.
    pub live: bool,
    /// Key of the run's repository.
    pub repository: String,
    /// What its worktree is made of, where the grant names it: a merge is made afterwards.
    pub start: Option<CommitId>,
}

/// The view.
#[derive(Clone, Default)]
pub struct Leases {
    known: Arc<RwLock<Table>>,
}

#[derive(Default)]
struct Table {
    leases: HashMap<LeaseRef, KnownLease>,
    by_key: HashMap<AttemptKey, LeaseRef>,
    ended: std::collections::VecDeque<LeaseRef>,
}

impl Leases {
    /// A lease was granted.
    pub(crate) fn granted(&self, lease: LeaseRef, worker: WorkerId, repository: String, start: &Start) {
        let start = start.named().cloned();
        let mut table = self.known.write().unwrap_or_else(PoisonError::into_inner);
        table.by_key.insert(lease.key.clone(), lease.clone());
        table.leases.insert(lease, KnownLease { worker, live: true, repository, start });
    }

    /// An attempt is over: ended, lost or revoked.
    pub(crate) fn ended(&self, key: &AttemptKey) {
        let mut table = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let Some(lease) = table.by_key.get(key).cloned() else { return };
        if let Some(known) = table.leases.get_mut(&lease)
            && known.live
        {
            known.live = false;
            table.ended.push_back(lease);
        }
        while table.ended.len() > ENDED_MAX {
            if let Some(old) = table.ended.pop_front() {
                table.leases.remove(&old);
                table.by_key.remove(&old.key);
            }
        }
    }

    /// A run's files are removed: nothing that still comes of its leases is wanted.
    pub(crate) fn forget(&self, run: &RunId) {
        let mut table = self.known.write().unwrap_or_else(PoisonError::into_inner);
        table.leases.retain(|lease, _| lease.key.run != *run);
        table.by_key.retain(|key, _| key.run != *run);
        table.ended.retain(|lease| lease.key.run != *run);
    }

    /// What is known of a lease, if this worker was granted it.
    pub fn of(&self, worker: &WorkerId, lease: &LeaseRef) -> Option<KnownLease> {
        let table = self.known.read().unwrap_or_else(PoisonError::into_inner);
        table.leases.get(lease).filter(|known| known.worker == *worker).cloned()
    }
}

#[cfg(test)]
mod tests {
    use roundtable_shared::{AttemptNo, LeaseId};

    use super::*;

    #[test]
    fn a_lease_is_its_workers_and_stays_known_after_its_end() {
        let leases = Leases::default();
        let key = AttemptKey { run: "r-1".into(), unit: Some("2".into()), attempt: AttemptNo(1) };
        let lease = LeaseRef { key: key.clone(), lease_id: LeaseId(9) };
        leases.granted(lease.clone(), "w-1".into(), "repo".into(), &Start::Commit("abc".into()));
        assert!(leases.of(&"w-1".into(), &lease).is_some_and(|known| known.live && known.start == Some("abc".into())));
        assert_eq!(leases.of(&"w-2".into(), &lease), None, "another worker's lease does not exist for it");
        assert_eq!(leases.of(&"w-1".into(), &LeaseRef { key: key.clone(), lease_id: LeaseId(8) }), None, "nor does another lease id");
        leases.ended(&key);
        assert!(leases.of(&"w-1".into(), &lease).is_some_and(|known| !known.live));
        leases.forget(&"r-1".into());
        assert_eq!(leases.of(&"w-1".into(), &lease), None, "nothing more is taken for a run that was removed");
    }
}
