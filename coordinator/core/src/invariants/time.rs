//! I7 in time: once time was judged, nothing goes on whose time is over.

use roundtable_shared::Seat;

use super::{Found, Violation};
use crate::command::Now;
use crate::fleet::{Fleet, LOST_MS};
use crate::state::{Run, State};

/// To be asked after a tick.
pub fn after_tick(state: &State, fleet: &Fleet, now: Now) -> Vec<Violation> {
    let mut found = Found { run: None, violations: Vec::new() };
    for worker in fleet.workers.values() {
        let held = state.live_of(&worker.id).next().filter(|_| worker.is_silent(now, LOST_MS)).map(|(key, _)| key);
        found.unless(held.is_none(), "I7", || format!("worker {} is silent for too long, and still counts for {held:?}", worker.id));
        let over = worker.cordoned.as_ref().filter(|cordon| cordon.until_ms <= now.mono_ms);
        found.unless(over.is_none(), "I7", || format!("worker {} gets nothing, and its time is over: {over:?}", worker.id));
    }
    for (key, watch) in fleet.leases.iter() {
        found.unless(watch.deadline_ms >= now.mono_ms, "I7", || format!("attempt {key} is beyond its deadline {}", watch.deadline_ms));
    }
    for (what, errand) in &fleet.errands {
        let is_due = errand.due_ms.is_some_and(|due| due <= now.mono_ms);
        found.unless(!is_due, "I7", || format!("what failed of {what:?} is to be repeated, and is not"));
    }
    for (key, park) in &state.parks {
        let is_over = park.known && !park.answered && park.until <= now.wall;
        found.unless(!is_over, "parks", || format!("{key:?} is parked until {}, which is over", park.until.rfc3339()));
    }
    for run in state.unfinished() {
        of_run(&mut found, run, now);
    }
    found.violations
}

fn of_run(found: &mut Found<'_>, run: &Run, now: Now) {
    let held = run.agents.orchestrator.held.as_ref().filter(|held| held.until <= now.wall);
    found.unless(held.is_none(), "I7", || format!("run {} holds {held:?} back, which is over", run.id));
    let asked = run.live(Seat::Orchestrate).map(|attempt| now.wall.since(attempt.granted_at));
    found.unless(asked.is_none_or(|asked_ms| asked_ms <= run.options.limits.consult_ms), "I7", || {
        format!("run {} waits for its orchestrator agent since {asked:?} ms", run.id)
    });
}
