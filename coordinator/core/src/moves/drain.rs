//! A drained worker's leases: which may run on, for how long, and which are taken back.

use roundtable_shared::{AttemptKey, LeasePhase, WorkerId};

use crate::moves::loss;
use crate::txn::Txn;

/// Workers that are named where one is not known.
pub(crate) const NAMED_MAX: usize = 20;

/// What still runs on workers that were drained long ago is taken back; what is being handed in may be. After a restart of the coordinator it counts anew.
pub(crate) fn hand_back_due(d: &mut Txn<'_>) {
    let (now, within) = (d.now.mono_ms, d.fleet.waits.drain_ms);
    let due = d.fleet.workers.values().filter(|worker| worker.drained_ms.is_some_and(|since| now.saturating_sub(since) >= within));
    let due: Vec<WorkerId> = due.map(|worker| worker.id.clone()).collect();
    let why = format!("its worker was drained {} ago", span(within));
    for id in due {
        for key in live(d, &id, LeasePhase::Ending) {
            loss::take_back(d, &key, &why);
        }
    }
}

/// Attempts there that have not come so far.
pub(crate) fn live(d: &Txn<'_>, id: &WorkerId, before: LeasePhase) -> Vec<AttemptKey> {
    let phase = |key| d.fleet.leases.get(key).and_then(|watch| watch.phase);
    let live = d.state().live_of(id).filter(|(key, attempt)| {
        let is_running = attempt.started_at.is_some() && before <= LeasePhase::Running;
        !is_running && phase(*key) < Some(before)
    });
    live.map(|(key, _)| key.clone()).collect()
}

/// A time as people say it.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        3_600_000 => "an hour".to_owned(),
        60_000 => "a minute".to_owned(),
        ms if ms % 3_600_000 == 0 => format!("{} hours", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{} minutes", ms / 60_000),
        ms => format!("{} s", ms.div_ceil(1_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_largest_unit_that_they_are_whole_in() {
        let told = [1_000, 1_500, 60_000, 90_000, 120_000, 3_600_000, 5_400_000, 7_200_000].map(span);
        assert_eq!(told, ["1 s", "2 s", "a minute", "90 s", "2 minutes", "an hour", "90 minutes", "2 hours"]);
    }
}
