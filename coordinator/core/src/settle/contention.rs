//! Paths that were waited for are free.

use roundtable_shared::{RunId, UnitId};

use crate::moves::{contention, merge};
use crate::planted::{Bug, planted};
use crate::state::FixCause;
use crate::transition::Fact;
use crate::txn::Txn;

/// Paths that became free are claimed by those that wait for them, in plan order, before anything is granted.
pub(crate) fn claim_freed(d: &mut Txn<'_>, run: &RunId) {
    let waiting: Vec<UnitId> = d.run(run).active().filter(|unit| !unit.contended().is_empty()).map(|unit| unit.id.clone()).collect();
    for id in waiting.into_iter().filter(|_| !planted(Bug::FreedUnclaimed)) {
        let now = d.run(run);
        let unit = d.unit(run, &id);
        let free: Vec<String> = unit.contended().iter().filter(|path| now.holders_of(&id, path).next().is_none()).cloned().collect();
        if free.is_empty() {
            continue;
        }
        d.emit(run, Fact::ManifestClaimed { unit: id.clone(), paths: free.clone() });
        d.emit(run, Fact::ContendedFreed { unit: id.clone(), paths: free });
        contention::break_cycles(d, run);
        let unit = d.unit(run, &id);
        if let (true, Some(FixCause::Waiting { by_person, .. }), Some(work)) = (unit.contended().is_empty(), &unit.fix(), &unit.work.last) {
            let (work, by_person) = (work.clone(), *by_person);
            merge::begin(d, run, &id, work, by_person);
        }
    }
}
