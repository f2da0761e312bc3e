//! Which empty seat comes first: check, review, fix before implement; among checks the order of the train, among implements the longest remaining critical
//! path, then plan order. The last units of a run go before its reviews and fixes (docs/adr/0023-the-last-units-are-begun-first.md).

use roundtable_shared::{Mode, Role, Seat, UnitState};

use crate::command::Now;
use crate::fleet::Fleet;
use crate::schedule::candidate::{Candidate, LAST};
use crate::schedule::place::slots_for;
use crate::schedule::ready::{due_seats, is_ready, seat_is_due};
use crate::state::{BaseCheck, Run, Stage, State, Unit};

/// Every seat that is empty, should not be, and whose gates are open, in the order they are served; but for units that are to be begun, which stand in line
/// in their plan. Where those are the last ones they are among these.
pub(crate) fn candidates(state: &State, fleet: &Fleet, now: Now) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (run_at, run) in state.unfinished().enumerate() {
        found.extend(of_run(state, fleet, run, run_at, now));
        let first = found.len();
        for unit in run.seatable() {
            let seats = due_seats(run, unit);
            if !seats.is_empty() && is_ready(state, run, unit, now) {
                found.extend(seats.into_iter().map(|seat| Candidate::of(run, unit, seat, run_at)));
            }
        }
        if let Some(last) = last_units(state, fleet, run, run_at, &found[first..], now) {
            found[first..].iter_mut().filter(|candidate| candidate.role == Role::Implement).for_each(|candidate| candidate.rank.0 = LAST);
            found.extend(last);
        }
    }
    found.sort_by_key(|candidate| candidate.rank);
    found
}

/// All of them, those in line included: for those who count what is ready.
pub(crate) fn all_candidates(state: &State, fleet: &Fleet, now: Now) -> Vec<Candidate> {
    let mut found = candidates(state, fleet, now);
    let is_in_line = |candidate: &Candidate| {
        let unit = candidate.unit.as_ref().and_then(|unit| state.unit(&candidate.run, unit));
        unit.is_some_and(|unit| unit.state() == UnitState::NotStarted)
    };
    found.retain(|candidate| !is_in_line(candidate));
    for (run_at, run) in state.unfinished().enumerate() {
        found.extend(ready_to_begin(state, run, now).map(|unit| Candidate::of(run, unit, Seat::Work, run_at)));
    }
    found.sort_by_key(|candidate| candidate.rank);
    found
}

/// Units in line whose gates are open.
fn ready_to_begin<'a>(state: &'a State, run: &'a Run, now: Now) -> impl Iterator<Item = &'a Unit> {
    run.startable().filter(move |unit| seat_is_due(run, unit, Seat::Work) && is_ready(state, run, unit, now))
}

/// Of a run with nothing left to begin but these, which are all ready: where they are fewer than the slots they could have, they go before reviews and
/// fixes. Nobody waits for those but integration, while behind each unit there is a turn and its reviews still: begun after others' reviews, the last one
/// would end alone.
fn last_units(state: &State, fleet: &Fleet, run: &Run, run_at: usize, others: &[Candidate], now: Now) -> Option<Vec<Candidate>> {
    // What has begun and is to be done over takes a slot of them too.
    let again = || others.iter().filter(|candidate| candidate.role == Role::Implement);
    let left = run.plan.to_begin() + again().count();
    if left == 0 || again().count() == others.len() || left >= fleet.slots() {
        return None;
    }
    let first = again().filter_map(|candidate| run.unit(candidate.unit.as_ref()?)).chain(run.startable());
    let first = first.min_by_key(|unit| run.plan.rank[unit.spec.position])?;
    if left >= slots_for(state, fleet, run, Some(&first.id), Seat::Work, now) {
        return None;
    }
    let ready: Vec<&Unit> = ready_to_begin(state, run, now).collect();
    let last = |unit| {
        let candidate = Candidate::of(run, unit, Seat::Work, run_at);
        Candidate { rank: (LAST, candidate.rank.1, candidate.rank.2, candidate.rank.3), ..candidate }
    };
    (ready.len() == run.plan.to_begin()).then(|| ready.into_iter().map(last).collect())
}

/// The run's own seats: assignment, orchestrator, check of the base.
pub(crate) fn of_run(state: &State, fleet: &Fleet, run: &Run, run_at: usize, now: Now) -> Vec<Candidate> {
    let stopped = run.life.ending.is_some() || run.life.halted.is_some() || run.life.paused.is_some() || state.paused.is_some();
    if stopped || matches!(run.stage(), Stage::Closing | Stage::Ended) {
        return Vec::new();
    }
    let mut seats = Vec::new();
    let asks_agent = matches!(run.options.mode, Mode::Llm | Mode::Deterministic);
    if run.stage() == Stage::Assigning && asks_agent && !run.live.contains_key(&Seat::Assign) && fleet_is_there(fleet, run, now) {
        seats.push(Candidate::of_run(run, Seat::Assign, Role::Assign, run_at));
    }
    if run.reassignable().next().is_some() && !run.live.contains_key(&Seat::Assign) {
        seats.push(Candidate::of_run(run, Seat::Assign, Role::Assign, run_at));
    }
    let limits = &run.options.limits;
    let is_consulted = run
        .agents
        .orchestrator
        .wanted
        .as_ref()
        .is_some_and(|wanted| wanted.at_end || now.wall.since(wanted.since) >= limits.consult_every_ms);
    if run.stage() == Stage::Working && run.agents.orchestrator.enabled && is_consulted && !run.live.contains_key(&Seat::Orchestrate) {
        seats.push(Candidate::of_run(run, Seat::Orchestrate, Role::Orchestrate, run_at));
    }
    let base_waits = matches!(run.branch.base_check, BaseCheck::Wanted { retry_at, .. } if retry_at.is_none_or(|at| at <= now.wall));
    if run.stage() == Stage::Working && base_waits && !run.live.contains_key(&Seat::Check) && !run.is_done() {
        seats.push(Candidate::of_run(run, Seat::Check, Role::Check, run_at));
    }
    seats
}

/// Whether the assignment agent can be told who offers what: nobody has joined for a moment, or that was waited for long enough. The worker that an
/// embedded run brings along does not join, it comes with the run.
fn fleet_is_there(fleet: &Fleet, run: &Run, now: Now) -> bool {
    let is_alone = run.options.embedded && fleet.workers.values().filter(|worker| worker.is_here(now)).count() <= 1;
    let limits = &run.options.limits;
    is_alone || !fleet.is_gathering(now, limits.assign_after_ms) || now.wall.since(run.origin.created_at) >= limits.assign_within_ms
}
