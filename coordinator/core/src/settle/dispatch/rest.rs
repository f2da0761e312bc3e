//! What a run waits for while nothing of it is live: people, a provider or machines. It is found by what `explain` answers from, and told when it
//! changes; a pause that the run makes by itself (a backoff, news that are gathered for an agent) is no rest.

use roundtable_shared::{Mode, RunId};

use crate::command::Now;
use crate::fleet::Fleet;
use crate::planted::{Bug, planted};
use crate::rules::owed::owed_effects;
use crate::schedule::candidate::Candidate;
use crate::schedule::explain::unfilled;
use crate::schedule::rank;
use crate::schedule::ready::{due_seats, is_ready, is_ready_but_for_time};
use crate::schedule::waiting::WaitKind;
use crate::state::{BaseCheck, Rest, Run, Stage, State};
use crate::transition::Fact;
use crate::txn::Txn;

/// A rest is told once it has lasted so long, as of its beginning: between two attempts a slot is free for a moment, and nobody waits. What
/// a person has stopped is told at once: the coordinator may be about to go with it.
const TOLD_AFTER_MS: u64 = 1_000;

/// To be called when all that can be granted has been: tells rests that have begun, changed or ended.
pub(crate) fn tell(d: &mut Txn<'_>) {
    let runs: Vec<RunId> = d.state().unfinished().map(|run| run.id.clone()).collect();
    for id in runs {
        let now = d.now.wall;
        let run = d.run(&id);
        let (on, told) = (rest(d.state(), d.fleet, run, d.now), run.life.resting.map(|resting| resting.on));
        let told_after_ms = if is_stopped(d.state(), run) { 0 } else { TOLD_AFTER_MS };
        let begun = d.fleet.rests.remove(&id).filter(|(known, _)| Some(*known) == on);
        let since = begun.map_or(now, |(_, since)| since);
        match on {
            _ if on == told => {}
            Some(on) if now.since(since) < told_after_ms => {
                d.fleet.rests.insert(id, (on, since));
            }
            _ => d.emit(&id, Fact::RunRests { on, since }),
        }
    }
}

/// What the run rests on; `None` if something of it is live, or goes on by itself.
fn rest(state: &State, fleet: &Fleet, run: &Run, now: Now) -> Option<Rest> {
    let is_live = run.has_live_attempts() && !planted(Bug::RestsLive);
    if run.life.ending.is_some() || is_live || !owed_effects(run).is_empty() {
        return None;
    }
    if is_stopped(state, run) {
        return Some(Rest::People);
    }
    let mut seats = rank::of_run(state, fleet, run, 0, now);
    if pauses(run, seats.is_empty(), now) {
        return None;
    }
    for unit in run.seatable().chain(run.startable()) {
        let Some(&seat) = due_seats(run, unit).first() else { continue };
        if is_ready(state, run, unit, now) {
            seats.push(Candidate::seat_of(run, unit, seat));
        } else if is_ready_but_for_time(state, run, unit, now) {
            return None;
        }
    }
    let waits: Vec<WaitKind> = seats.iter().filter_map(|seat| unfilled(state, fleet, run, seat, now)).map(|wait| wait.kind).collect();
    let any = |kind: WaitKind| waits.contains(&kind);
    if any(WaitKind::Parked) {
        Some(Rest::Provider)
    } else if any(WaitKind::Backend) || any(WaitKind::Label) || any(WaitKind::Slot) {
        Some(Rest::Machines)
    } else if !run.people.decisions.is_empty() || run.options.mode == Mode::Manual {
        Some(Rest::People)
    } else {
        None
    }
}

/// Whether a person has stopped it for now.
fn is_stopped(state: &State, run: &Run) -> bool {
    run.life.halted.is_some() || run.life.paused.is_some() || state.paused.is_some()
}

/// Whether the run as a whole pauses by itself: its orchestrator holds phases back, or a seat of its own is to be filled after a while.
fn pauses(run: &Run, no_own_seat_is_due: bool, now: Now) -> bool {
    let is_held = run.agents.orchestrator.held.as_ref().is_some_and(|held| held.until > now.wall);
    let consults = run.agents.orchestrator.enabled && run.agents.orchestrator.wanted.is_some();
    let checks = matches!(run.branch.base_check, BaseCheck::Wanted { .. }) && !run.is_done();
    let later = run.stage() == Stage::Assigning || (run.stage() == Stage::Working && (consults || checks));
    is_held || (no_own_seat_is_due && later)
}
