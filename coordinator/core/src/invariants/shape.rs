//! What a state looks like between two batches: states of units agree with their seats, waits and decisions, and indexes with facts.

use std::collections::BTreeSet;

use roundtable_shared::limits::FIX_ATTEMPTS_MAX;
use roundtable_shared::{AttemptKey, LeaseRef, Seat, UnitState};

use super::{Found, Violation, access, holds, train};
use crate::fleet::Fleet;
use crate::state::{Attempt, BaseCheck, FixCause, Run, Stage, State, Unit};

/// Everything about the durable state.
pub fn of_state(state: &State) -> Vec<Violation> {
    let mut found = Found { run: None, violations: Vec::new() };
    let mut live: BTreeSet<AttemptKey> = BTreeSet::new();
    for run in state.runs.values() {
        let of_unit = |unit: &Unit, attempt: &Attempt| AttemptKey {
            run: run.id.clone(),
            unit: Some(unit.id.clone()),
            attempt: attempt.granted.attempt,
        };
        let own = run.attempts.iter().filter(|attempt| attempt.is_live());
        live.extend(own.map(|attempt| AttemptKey { run: run.id.clone(), unit: None, attempt: attempt.granted.attempt }));
        for unit in run.units() {
            live.extend(unit.attempts.iter().filter(|attempt| attempt.is_live()).map(|attempt| of_unit(unit, attempt)));
        }
    }
    let indexed: BTreeSet<AttemptKey> = state.live.values().flatten().cloned().collect();
    found.unless(indexed == live, "I13", || format!("the index of live attempts has {indexed:?}, they are {live:?}"));
    access::of(&mut found, &state.access);
    let mut violations = found.violations;
    for run in state.runs.values() {
        violations.extend(of_run(run));
    }
    violations
}

fn of_run(run: &Run) -> Vec<Violation> {
    let mut found = Found::of(&run.id);
    if run.is_ended() {
        let rests =
            !run.has_live_attempts() && run.branch.train.flights.is_empty() && run.people.decisions.is_empty() && run.life.step.is_none();
        let rests = rests && run.life.resting.is_none();
        let idle = run.units().all(|unit| unit.state() != UnitState::InProgress);
        found.unless(rests && idle, "I7", || "it has ended, but something of it goes on".to_owned());
        return found.violations;
    }
    for (seat, no) in &run.live {
        let holds = run.attempt(*no).is_some_and(|attempt| attempt.is_live() && attempt.granted.seat == *seat);
        found.unless(holds, "I3", || format!("seat {seat} is held by {no}, which is not live in it"));
    }
    let tip = run.branch.integrations.last().map_or(&run.origin.base, |last| &last.commit);
    found.unless(run.branch.tip == *tip, "I1", || format!("its tip is {}, the last integration {tip}", run.branch.tip));
    let is_checked = run.options.check.is_none() || run.branch.base_check != BaseCheck::None || run.stage() == Stage::Assigning;
    found.unless(is_checked, "I1", || "a check is configured, and none is wanted".to_owned());
    train::of_run(&mut found, run);
    holds::all(&mut found, run);
    for unit in run.units() {
        of_unit(&mut found, run, unit);
    }
    found.violations
}

fn of_unit(found: &mut Found<'_>, run: &Run, unit: &Unit) {
    let id = &unit.id;
    for (seat, no) in &unit.live {
        let holds = unit.attempt(*no).is_some_and(|attempt| attempt.is_live() && attempt.granted.seat == *seat);
        found.unless(holds, "I3", || format!("unit {id}: seat {seat} is held by {no}, which is not live in it"));
        let fits = match seat {
            Seat::Work => unit.state() == UnitState::InProgress,
            Seat::Review(_) => unit.state() == UnitState::UnderReview,
            Seat::Check => unit.state() == UnitState::FinalReview,
            Seat::Assign | Seat::Orchestrate => false,
        };
        found.unless(fits, "I3", || format!("unit {id} is {} with a live {seat}", unit.state()));
    }
    let live = unit.attempts.iter().filter(|attempt| attempt.is_live()).count();
    found.unless(live == unit.live.len(), "I3", || format!("unit {id} has {live} live attempts and {} held seats", unit.live.len()));
    let working = unit.live.contains_key(&Seat::Work);
    found.unless(working || unit.state() != UnitState::InProgress, "I7", || format!("unit {id} is in progress and nobody works on it"));
    found.unless(unit.coming.is_none(), "told", || {
        format!("unit {id} is {}, and of a fix this alone is said: {:?}", unit.state(), unit.coming)
    });
    found
        .unless(unit.counters.fix_attempts <= FIX_ATTEMPTS_MAX, "I7", || format!("unit {id} has had {} fixes", unit.counters.fix_attempts));
    let stopped = run.life.ending.is_some() || matches!(run.stage(), Stage::Closing | Stage::Ended);
    if !stopped {
        waits(found, run, unit);
    }
}

/// Every state that does not move by itself waits for something that is there.
fn waits(found: &mut Found<'_>, run: &Run, unit: &Unit) {
    let id = &unit.id;
    let asked = run.people.decisions.values().any(|decision| decision.unit.as_ref() == Some(id));
    let waits_for_person = unit.waits_for_person();
    found.unless(asked == waits_for_person, "I7", || {
        format!("unit {id} is {} ({:?}), and a decision about it is open: {asked}", unit.state(), unit.release())
    });
    let idle = matches!(unit.fix(), Some(FixCause::Waiting { .. })) && unit.contended().is_empty() && unit.merging().is_none();
    found.unless(unit.state() != UnitState::FixRequired || !idle, "I7", || {
        format!("unit {id} is to be fixed, but for no reason: {:?}", unit.fix())
    });
    let reviewed = matches!(unit.state(), UnitState::PendingReview | UnitState::UnderReview | UnitState::FinalReview);
    found.unless(!reviewed || (unit.review.round > 0 && unit.work.accepted.is_some()), "I7", || {
        format!("unit {id} is {} in round {} with {:?} to look at", unit.state(), unit.review.round, unit.work.accepted)
    });
}

/// The volatile side: every live attempt is watched, and nothing else is.
pub fn of_fleet(state: &State, fleet: &Fleet) -> Vec<Violation> {
    let mut found = Found { run: None, violations: Vec::new() };
    for (key, attempt) in state.live_attempts() {
        let watched = fleet.leases.get(key).is_some_and(|watch| watch.worker == attempt.granted.worker);
        found.unless(watched, "I7", || format!("attempt {key} on {} has no deadline", attempt.granted.worker));
        found.unless(fleet.workers.contains_key(&attempt.granted.worker), "I7", || {
            format!("attempt {key} is on {}, which nobody watches", attempt.granted.worker)
        });
    }
    for key in fleet.leases.keys() {
        let live = state.attempt(key).is_some_and(Attempt::is_live);
        found.unless(live, "I10", || format!("attempt {key} is watched after its end"));
    }
    let is_open = |run| state.run(run).is_some_and(|run: &Run| !run.is_ended());
    let owed = fleet.errands.keys().map(|(run, _)| run);
    let left = fleet.missing.keys().map(|(run, _)| run).chain(owed).chain(fleet.rests.keys()).find(|run| !is_open(run));
    found.unless(left.is_none(), "I10", || format!("something is remembered of run {left:?}, which has ended"));
    for worker in fleet.workers.values() {
        found.unless(worker.drained_ms.is_some() == state.drained.contains_key(&worker.id), "drains", || {
            format!("worker {} counts as drained since {:?}, and the log says otherwise", worker.id, worker.drained_ms)
        });
        for lease in worker.held.keys() {
            let LeaseRef { key, .. } = lease;
            found.unless(state.run(&key.run).is_some(), "I10", || format!("worker {} holds {key} of no run", worker.id));
        }
    }
    found.violations
}
