//! Draining a worker by a person's word: nothing more is granted to it, what it has not started is taken back, and what runs there may end for a while.
//! Nothing is asked of the worker, which may be silent, gone, or started again: the word is durable and holds until it is taken back.

use roundtable_shared::{AttemptKey, LeasePhase, WorkerId};

use super::{Deciding, attempt};
use crate::change::Rejection;
use crate::planted::{Bug, planted};
use crate::transition::Fact;

/// Workers that may be drained at once: names of such as never come back must not pile up for ever.
const DRAINED_MAX: usize = 4096;
/// Workers that are named where one is not known.
const NAMED_MAX: usize = 20;

/// Grants it nothing more.
pub(super) fn drain(d: &mut Deciding<'_>, id: &WorkerId, by: String) -> Result<(), Rejection> {
    if d.state().drained.contains_key(id) {
        d.unchanged(format!("worker {id} is drained already"));
        return Ok(());
    }
    if !d.fleet.workers.contains_key(id) {
        return Err(unknown(d, id));
    }
    if d.state().drained.len() >= DRAINED_MAX {
        return Err(Rejection::conflict(format!(
            "{DRAINED_MAX} workers are drained; take that back for those that do not come again: `orchctl undrain WORKER`"
        )));
    }
    let now = d.now;
    d.emit_fleet(Fact::WorkerDrained { worker: id.clone(), by });
    if let Some(worker) = d.fleet.workers.get_mut(id) {
        worker.drained_ms = Some(now.mono_ms);
    }
    let waiting = live(d, id, LeasePhase::Running);
    for key in &waiting {
        attempt::take_back(d, key, "its worker was drained before it started");
    }
    let running = d.state().live_of(id).count();
    let within = span(d.fleet.waits.drain_ms);
    let rest = match running {
        0 => "it is empty".to_owned(),
        1 => format!("the attempt it runs may end within {within}"),
        more => format!("the {more} attempts it runs may end within {within}"),
    };
    d.done(format!("worker {id} gets nothing more until `orchctl undrain {id}`; {rest}"));
    Ok(())
}

/// Grants to it again.
pub(super) fn undrain(d: &mut Deciding<'_>, id: &WorkerId, by: String) -> Result<(), Rejection> {
    if !d.state().drained.contains_key(id) {
        if !d.fleet.workers.contains_key(id) {
            return Err(unknown(d, id));
        }
        d.unchanged(format!("worker {id} is not drained"));
        return Ok(());
    }
    d.emit_fleet(Fact::WorkerUndrained { worker: id.clone(), by });
    if let Some(worker) = d.fleet.workers.get_mut(id).filter(|_| !planted(Bug::UndrainForgotten)) {
        worker.drained_ms = None;
    }
    d.done(format!("worker {id} gets work again"));
    Ok(())
}

/// What still runs on workers that were drained long ago is taken back; what is being handed in may be. After a restart of the coordinator it counts anew.
pub(super) fn hand_back_due(d: &mut Deciding<'_>) {
    let (now, within) = (d.now.mono_ms, d.fleet.waits.drain_ms);
    let due = d.fleet.workers.values().filter(|worker| worker.drained_ms.is_some_and(|since| now.saturating_sub(since) >= within));
    let due: Vec<WorkerId> = due.map(|worker| worker.id.clone()).collect();
    let why = format!("its worker was drained {} ago", span(within));
    for id in due {
        for key in live(d, &id, LeasePhase::Ending) {
            attempt::take_back(d, &key, &why);
        }
    }
}

/// Attempts there that have not come so far.
fn live(d: &Deciding<'_>, id: &WorkerId, before: LeasePhase) -> Vec<AttemptKey> {
    let phase = |key| d.fleet.leases.get(key).and_then(|watch| watch.phase);
    let live = d.state().live_of(id).filter(|(key, attempt)| {
        let is_running = attempt.started_at.is_some() && before <= LeasePhase::Running;
        !is_running && phase(*key) < Some(before)
    });
    live.map(|(key, _)| key.clone()).collect()
}

/// A time as people say it.
fn span(ms: u64) -> String {
    match ms {
        3_600_000 => "an hour".to_owned(),
        60_000 => "a minute".to_owned(),
        ms if ms % 3_600_000 == 0 => format!("{} hours", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{} minutes", ms / 60_000),
        ms => format!("{} s", ms.div_ceil(1_000)),
    }
}

fn unknown(d: &Deciding<'_>, id: &WorkerId) -> Rejection {
    let names: Vec<&str> = d.fleet.workers.keys().map(WorkerId::as_str).take(NAMED_MAX).collect();
    let here = if names.is_empty() { "none is known".to_owned() } else { format!("known are: {}", names.join(", ")) };
    Rejection::not_found(format!("no worker is called {id}; {here}"))
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
