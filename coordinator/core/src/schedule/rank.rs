//! Which empty seat comes first: check, review, fix before implement; among checks the order of the train, among implements the longest remaining critical
//! path, then plan order. The last units of a run go before its reviews and fixes (docs/adr/0023-the-last-units-are-begun-first.md).

use roundtable_shared::{Mode, Role, Seat, UnitState};

use crate::command::Now;
use crate::fleet::Fleet;
use crate::schedule::candidate::{Candidate, LAST};
use crate::schedule::place::slots_for;
use crate::schedule::ready::{due_seats, is_ready};
use crate::state::{BaseCheck, Run, Stage, State};

/// Every seat that is empty, should not be, and whose gates are open; in the order they are served.
pub(crate) fn candidates(state: &State, fleet: &Fleet, now: Now) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (run_at, run) in state.unfinished().enumerate() {
        found.extend(of_run(state, fleet, run, run_at, now));
        let (first, mut are_all_ready) = (found.len(), true);
        for unit in run.unfinished() {
            let seats = due_seats(run, unit);
            if !seats.is_empty() && is_ready(state, run, unit, now) {
                found.extend(seats.into_iter().map(|seat| Candidate::of(run, unit, seat, run_at)));
            } else if unit.runs && unit.state == UnitState::NotStarted {
                are_all_ready = false;
            }
        }
        if are_all_ready {
            last_units_first(state, fleet, run, &mut found[first..], now);
        }
    }
    found.sort_by_key(|candidate| candidate.rank);
    found
}

/// Of a run with nothing left to begin but these: where they are fewer than the slots they could have, they go before reviews and fixes. Nobody waits for
/// those but integration, while behind each unit there is a turn and its reviews still: begun after others' reviews, the last one would end alone.
fn last_units_first(state: &State, fleet: &Fleet, run: &Run, candidates: &mut [Candidate], now: Now) {
    let begins = |candidate: &&mut Candidate| candidate.role == Role::Implement;
    let units = candidates.iter_mut().filter(begins).count();
    let one = candidates.iter_mut().find(begins).map(|candidate| (candidate.unit.clone(), candidate.seat));
    let Some((unit, seat)) = one.filter(|_| units < candidates.len()) else { return };
    if units < slots_for(state, fleet, run, unit.as_ref(), seat, now) {
        candidates.iter_mut().filter(begins).for_each(|candidate| candidate.rank.0 = LAST);
    }
}

/// The run's own seats: assignment, orchestrator, check of the base.
pub(crate) fn of_run(state: &State, fleet: &Fleet, run: &Run, run_at: usize, now: Now) -> Vec<Candidate> {
    let stopped = run.ending.is_some() || run.halted.is_some() || run.paused.is_some() || state.paused.is_some();
    if stopped || matches!(run.stage, Stage::Closing | Stage::Ended) {
        return Vec::new();
    }
    let mut seats = Vec::new();
    let asks_agent = matches!(run.options.mode, Mode::Llm | Mode::Deterministic);
    if run.stage == Stage::Assigning && asks_agent && !run.live.contains_key(&Seat::Assign) && fleet_is_there(fleet, run, now) {
        seats.push(Candidate::of_run(run, Seat::Assign, Role::Assign, run_at));
    }
    if run.reassignable().next().is_some() && !run.live.contains_key(&Seat::Assign) {
        seats.push(Candidate::of_run(run, Seat::Assign, Role::Assign, run_at));
    }
    let limits = &run.options.limits;
    let is_consulted =
        run.orchestrator.wanted.as_ref().is_some_and(|wanted| wanted.at_end || now.wall.since(wanted.since) >= limits.consult_every_ms);
    if run.stage == Stage::Working && run.orchestrator.enabled && is_consulted && !run.live.contains_key(&Seat::Orchestrate) {
        seats.push(Candidate::of_run(run, Seat::Orchestrate, Role::Orchestrate, run_at));
    }
    let base_waits = matches!(run.base_check, BaseCheck::Wanted { retry_at, .. } if retry_at.is_none_or(|at| at <= now.wall));
    if run.stage == Stage::Working && base_waits && !run.live.contains_key(&Seat::Check) && !run.is_done() {
        seats.push(Candidate::of_run(run, Seat::Check, Role::Check, run_at));
    }
    seats
}

/// Whether the assignment agent can be told who offers what: nobody has joined for a moment, or that was waited for long enough. The worker that an
/// embedded run brings along does not join, it comes with the run.
fn fleet_is_there(fleet: &Fleet, run: &Run, now: Now) -> bool {
    let is_alone = run.options.embedded && fleet.workers.values().filter(|worker| worker.is_here(now)).count() <= 1;
    let limits = &run.options.limits;
    is_alone || !fleet.is_gathering(now, limits.assign_after_ms) || now.wall.since(run.created_at) >= limits.assign_within_ms
}
