//! I3: attempts are numbered once, one kind of seat of a unit is live at a time, and only the attempt that holds its seat ends in it.

use roundtable_shared::limits::FIX_ATTEMPTS_MAX;
use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptNo, Mode, Role, Seat, UnitId, UnitState, WorkerId};

use super::Found;
use crate::command::Phase;
use crate::effect::Start;
use crate::state::{Attempt, AttemptEnd, Run, Stage, State, Unit};
use crate::transition::{Fact, Granted};

/// What facts about attempts may not do.
pub(super) fn before(found: &mut Found<'_>, state: &State, run: &Run, fact: &Fact, at: WallMs) {
    match fact {
        Fact::LeaseGranted(granted) => {
            let stopped = run.life.paused.is_some() || run.life.halted.is_some() || run.life.ending.is_some() || state.paused.is_some();
            found.unless(!stopped, "I3", || format!("attempt {} is granted while the run is stopped", granted.attempt));
            not_parked(found, state, granted, at);
            phase_is_open(found, run, granted, at);
            let is_drained = state.drained.contains_key(&granted.worker);
            found.unless(!is_drained, "drains", || {
                format!("attempt {} is granted to {}, which is drained", granted.attempt, granted.worker)
            });
            match &granted.unit {
                Some(unit) => match run.unit(unit) {
                    Some(unit) => of_unit(found, run, unit, granted),
                    None => found.unless(false, "I13", || format!("unit {unit} does not exist")),
                },
                None => of_run(found, run, granted),
            }
        }
        Fact::AttemptStarted { unit, attempt } => {
            let live = find(run, unit.as_ref(), *attempt).is_some_and(|found| found.is_live() && found.started_at.is_none());
            found.unless(live, "I3", || format!("attempt {attempt} of {unit:?} starts, but is not waiting to"));
        }
        Fact::AttemptSaved { unit, attempt, .. } => {
            let works = find(run, unit.as_ref(), *attempt).is_some_and(|found| found.is_live() && found.granted.role.writes());
            found.unless(works, "I3", || format!("work of attempt {attempt} of {unit:?} is saved, but it does not work"));
        }
        Fact::AttemptEnded { unit, attempt, .. } | Fact::AttemptLost { unit, attempt, .. } => {
            let holder = find(run, unit.as_ref(), *attempt).and_then(|attempt| holder_of(run, unit.as_ref(), attempt.granted.seat));
            found.unless(holder == Some(*attempt), "I3", || {
                format!("attempt {attempt} of {unit:?} ends, but its seat is held by {holder:?}")
            });
        }
        Fact::AttemptLate { unit, attempt, .. } => {
            let ended = find(run, unit.as_ref(), *attempt).is_some_and(|attempt| !attempt.is_live() && attempt.digest().is_none());
            found.unless(ended, "I3", || format!("attempt {attempt} of {unit:?} is late, but holds its seat or has ended in it"));
        }
        _ => {}
    }
}

/// Work that an attempt leaves, handed in on the way or at its end, is gone on from.
pub(super) fn after(found: &mut Found<'_>, run: &Run, fact: &Fact) {
    let (Fact::AttemptEnded { unit: Some(id), attempt: no, .. } | Fact::AttemptLost { unit: Some(id), attempt: no, .. }) = fact else {
        return;
    };
    let Some((unit, attempt)) = run.unit(id).and_then(|unit| Some((unit, unit.attempt(*no)?))) else { return };
    let on_the_way = attempt.saved.as_ref().filter(|_| attempt.end() != Some(AttemptEnd::Completed)).map(|saved| &saved.commit);
    let left = attempt.commit().or(on_the_way).filter(|_| attempt.granted.role.writes());
    let kept = unit.work.last.as_ref().map(|last| &last.commit);
    found.unless(left.is_none() || left == kept, "work", || format!("unit {id}: attempt {no} leaves {left:?}, kept is {kept:?}"));
}

/// A manual run moves by steps, and what the orchestrator agent holds back waits.
fn phase_is_open(found: &mut Found<'_>, run: &Run, granted: &Granted, at: WallMs) {
    let Some(unit) = &granted.unit else { return };
    let phase = match granted.seat {
        Seat::Review(_) => Phase::Reviews,
        Seat::Check => Phase::Consolidate,
        Seat::Work | Seat::Assign | Seat::Orchestrate => Phase::Dispatch,
    };
    let held = run.agents.orchestrator.held.as_ref().filter(|held| held.until > at && held.phases.contains(&phase));
    found.unless(held.is_none(), "phases", || format!("unit {unit} is granted {} while that is held back", granted.seat));
    let is_open = run.life.step.as_ref().is_some_and(|step| step.phase == phase && step.units.contains(unit));
    found.unless(run.options.mode != Mode::Manual || is_open, "phases", || {
        format!("unit {unit} of a manual run is granted {} in step {:?}", granted.seat, run.life.step)
    });
}

/// Nothing is granted of what a provider refuses, but for one probe at a time.
fn not_parked(found: &mut Found<'_>, state: &State, granted: &Granted, at: WallMs) {
    let whose = |account: &str, worker: &WorkerId| if account.is_empty() { format!("worker:{worker}") } else { account.to_owned() };
    let account = whose(&granted.account, &granted.worker);
    let park = state
        .parks
        .iter()
        .find(|(key, park)| key.backend == granted.backend && key.account == account && key.model == granted.model && !park.answered);
    let Some((key, park)) = park else { return };
    found.unless(park.until <= at, "parks", || format!("{} is granted while it is parked until {}", key.backend, park.until.rfc3339()));
    let mut others = state.runs.values().flat_map(|run| run.attempts.iter().chain(run.units().flat_map(|unit| &unit.attempts)));
    let probe = others.find(|other| {
        let is_same = other.granted.backend == granted.backend
            && other.granted.model == granted.model
            && whose(&other.granted.account, &other.granted.worker) == account;
        other.is_live() && is_same && other.granted_at >= park.until
    });
    found.unless(probe.is_none(), "parks", || format!("{} is granted beside the attempt that probes it", key.backend));
}

fn find<'a>(run: &'a Run, unit: Option<&UnitId>, no: AttemptNo) -> Option<&'a Attempt> {
    match unit {
        Some(unit) => run.unit(unit)?.attempt(no),
        None => run.attempt(no),
    }
}

fn holder_of(run: &Run, unit: Option<&UnitId>, seat: Seat) -> Option<AttemptNo> {
    match unit {
        Some(unit) => run.unit(unit)?.live.get(&seat).copied(),
        None => run.live.get(&seat).copied(),
    }
}

fn of_unit(found: &mut Found<'_>, run: &Run, unit: &Unit, granted: &Granted) {
    let (id, seat) = (&unit.id, granted.seat);
    let next = unit.attempts.iter().map(|attempt| attempt.granted.attempt.0).max().unwrap_or(0) + 1;
    found.unless(granted.attempt.0 == next, "I3", || format!("unit {id}: attempt {} is granted after {}", granted.attempt, next - 1));
    found.unless(!unit.live.contains_key(&seat), "I3", || format!("unit {id}: seat {seat} is granted while it is held"));
    let alone = unit.live.keys().all(|live| matches!((live, seat), (Seat::Review(_), Seat::Review(_))));
    found.unless(alone, "I3", || format!("unit {id}: seat {seat} is granted beside {:?}", unit.live));
    found.unless(unit.spec.runs, "I3", || format!("unit {id} does not run and is granted {seat}"));
    found.unless(run.stage() == Stage::Working, "I3", || format!("unit {id} is granted {seat} while the run is {:?}", run.stage()));
    let fits = match seat {
        Seat::Work => matches!(unit.state(), UnitState::NotStarted | UnitState::FixRequired | UnitState::Blocked),
        Seat::Review(n) => {
            matches!(unit.state(), UnitState::PendingReview | UnitState::UnderReview) && n >= 1 && n <= unit.review.reviewers
        }
        Seat::Check => {
            let flight = run.branch.train.flights.iter().find(|flight| flight.unit == *id && !flight.intended);
            let commits = flight.into_iter().flat_map(|flight| {
                let alone = flight.alone.as_ref().and_then(|alone| alone.commit.clone());
                alone.or_else(|| flight.candidate.as_ref().map(|candidate| candidate.commit.clone()))
            });
            unit.state() == UnitState::FinalReview && commits.map(Start::Commit).any(|start| start == granted.start)
        }
        Seat::Assign | Seat::Orchestrate => false,
    };
    found.unless(fits, "I3", || format!("unit {id} is {} and is granted {seat}", unit.state()));
    let has_session = |attempt: &Attempt| {
        attempt.granted.worker == granted.worker
            && attempt.granted.backend == granted.backend
            && attempt.agent_session() == granted.resume.as_ref()
    };
    found.unless(granted.resume.is_none() || unit.attempts.iter().any(has_session), "I3", || {
        format!("unit {id}: {} is to resume {:?}, which is not there", granted.worker, granted.resume)
    });
    if granted.role == Role::Fix {
        found.unless(unit.counters.fix_attempts < FIX_ATTEMPTS_MAX, "I3", || {
            format!("unit {id}: a fix after {} fixes", unit.counters.fix_attempts)
        });
        let last = unit.counters.fix_attempts + 1 == FIX_ATTEMPTS_MAX;
        found.unless(granted.escalated == last, "I3", || {
            format!("unit {id}: fix {} has escalated {}", unit.counters.fix_attempts + 1, granted.escalated)
        });
    }
}

fn of_run(found: &mut Found<'_>, run: &Run, granted: &Granted) {
    let next = run.attempts.len() as u32 + 1;
    found.unless(granted.attempt.0 == next, "I3", || format!("run's attempt {} is granted after {}", granted.attempt, next - 1));
    let seat = granted.seat;
    found.unless(!run.live.contains_key(&seat), "I3", || format!("seat {seat} is granted while it is held"));
    let fits = match seat {
        Seat::Assign => run.stage() == Stage::Assigning || run.reassignable().next().is_some(),
        Seat::Orchestrate | Seat::Check => run.stage() == Stage::Working,
        Seat::Work | Seat::Review(_) => false,
    };
    found.unless(fits, "I3", || format!("seat {seat} is granted while the run is {:?}", run.stage()));
}
