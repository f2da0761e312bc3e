//! `attempts --json`.

use roundtable_core::fleet::Fleet;
use roundtable_core::state::{Attempt, Run, Unit};
use roundtable_shared::AttemptOutcome;
use roundtable_shared::view::{AttemptView, Word};

use super::unit::key;

/// Attempts of a unit, oldest first.
pub fn attempts(unit: &Unit) -> Vec<AttemptView> {
    unit.attempts.iter().map(attempt).collect()
}

/// The same, with those that are over and still being handed in told from those that run.
pub fn attempts_now(fleet: &Fleet, run: &Run, unit: &Unit) -> Vec<AttemptView> {
    let now = |each: &Attempt| {
        let shown = attempt(each);
        match fleet.delivering(&key(run, unit, each)).filter(|_| each.is_live()) {
            Some(why) => {
                let error = (!why.is_empty()).then(|| why.to_owned());
                AttemptView { outcome: AttemptOutcome::Delivering.into(), error, ..shown }
            }
            None => shown,
        }
    };
    unit.attempts.iter().map(now).collect()
}

/// The run's own attempts, oldest first.
pub fn run_attempts(run: &Run) -> Vec<AttemptView> {
    run.attempts.iter().map(attempt).collect()
}

fn attempt(attempt: &Attempt) -> AttemptView {
    AttemptView {
        attempt: attempt.granted.attempt.0,
        seat: attempt.granted.seat.to_string(),
        role: attempt.granted.role.into(),
        worker: attempt.granted.worker.to_string(),
        backend: attempt.granted.backend.to_string(),
        base: attempt.granted.base.to_string(),
        commit: attempt.left().map(ToString::to_string),
        outcome: attempt.outcome().into(),
        class: attempt.class().map(Word::from),
        error: attempt.error().map(str::to_owned),
        started_at: attempt.started_at.map(|at| at.rfc3339()),
        ended_at: attempt.ended_at().map(|at| at.rfc3339()),
        resumed_from: attempt.granted.resumed_from.map(|no| no.0),
        escalated: attempt.granted.escalated,
        usage: attempt.usage(),
    }
}

/// Attempts of a run in order, or only a unit's (`-` = the run's own), or only the one of that number (0 = all).
pub fn attempt_keys(
    core: &roundtable_core::Core,
    run: &roundtable_shared::RunId,
    unit: &str,
    attempt: u32,
) -> Vec<roundtable_shared::AttemptKey> {
    let Some(run) = core.state.run(run) else { return Vec::new() };
    let wanted = |no: roundtable_shared::AttemptNo| attempt == 0 || attempt == no.0;
    let mut keys = Vec::new();
    if unit.is_empty() || unit == "-" {
        let own = run.attempts.iter().filter(|each| wanted(each.granted.attempt));
        keys.extend(own.map(|each| roundtable_shared::AttemptKey { run: run.id.clone(), unit: None, attempt: each.granted.attempt }));
    }
    for each in run.units().filter(|each| unit.is_empty() || each.id == roundtable_shared::UnitId::from(unit)) {
        let its = each.attempts.iter().filter(|each| wanted(each.granted.attempt));
        keys.extend(its.map(|attempt| roundtable_shared::AttemptKey {
            run: run.id.clone(),
            unit: Some(each.id.clone()),
            attempt: attempt.granted.attempt,
        }));
    }
    keys
}
