//! What follows by itself once something has changed in a run: freed paths are claimed, blocked units released, rounds consolidated, the train
//! judged, moved and joined, the run ended. Derived from the state alone, so that nothing is ever forgotten (I7).

use roundtable_shared::RunId;

use crate::command::Now;
use crate::settle::{contention, end, judge, land, release, review, step, train};
use crate::state::Run;
use crate::txn::Txn;

/// Everything that follows by itself in the runs that were touched: by facts, or by time (each tick touches all that are not over).
pub(crate) fn settle(d: &mut Txn<'_>) {
    loop {
        let touched = d.take_touched();
        if touched.is_empty() {
            return;
        }
        for run in touched {
            advance(d, &run);
        }
    }
}

/// Touches runs in which something may follow between two ticks although no fact says so: who is here decides how many units a train takes, and a hold of the
/// orchestrator ends by the clock.
pub(crate) fn touch_what_no_fact_has(d: &mut Txn<'_>) {
    let are_all = train::note_max(d);
    let has_ended = |run: &Run, now: Now| run.agents.orchestrator.held.as_ref().is_some_and(|held| held.until <= now.wall);
    let runs: Vec<RunId> = d.state().unfinished().filter(|run| are_all || has_ended(run, d.now)).map(|run| run.id.clone()).collect();
    runs.iter().for_each(|run| d.touch(run));
}

/// Goes on until nothing more follows.
fn advance(d: &mut Txn<'_>, run: &RunId) {
    loop {
        let before = d.state().seq;
        if d.run(run).is_ended() {
            return;
        }
        if d.run(run).life.ending.is_some() {
            end::finish_ending(d, run);
        } else {
            contention::claim_freed(d, run);
            release::release_blocked(d, run);
            review::consolidate_ready(d, run);
            land::intend(d, run);
            judge::judge_head(d, run);
            train::start_next(d, run);
            step::close_when_done(d, run);
            end::end_when_done(d, run);
        }
        if d.state().seq == before {
            return;
        }
    }
}
