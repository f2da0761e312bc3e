//! Folds facts about seats and attempts, of units and of the run itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptKey, AttemptNo, OutcomeClass, Seat, UnitId, Usage, WorkerId};

use super::groups::{facts, others};
use super::unit_mut;
use crate::effect::Start;
use crate::planted::{Bug, planted};
use crate::shared::Table;
use crate::state::{Attempt, AttemptEnd, AttemptEnded, LostCause, Run, Work};
use crate::transition::{AttemptResult, Fact, Granted};

type Live = Table<WorkerId, BTreeSet<AttemptKey>>;

/// Folds a fact of this kind.
pub(super) fn apply(run: &mut Run, live: &mut Live, at: WallMs, fact: &Fact) {
    match fact {
        Fact::LeaseGranted(granted) => grant(run, live, at, granted),
        Fact::AttemptStarted { unit, attempt } => with(run, unit, *attempt, |attempt| attempt.started_at = Some(at)),
        Fact::AttemptSaved { unit, attempt, saved } => with(run, unit, *attempt, |attempt| attempt.saved = Some(saved.clone())),
        Fact::AttemptEnded { unit, attempt, result } => {
            vacate(run, live, unit, *attempt);
            with(run, unit, *attempt, |attempt| end(attempt, at, result));
            count_usage(run, unit, &result.usage);
            keep_commit(run, unit, *attempt);
        }
        Fact::AttemptLost { unit, attempt, cause, class, reason } => {
            vacate(run, live, unit, *attempt);
            with(run, unit, *attempt, |attempt| lose(attempt, at, *cause, *class, reason));
            keep_commit(run, unit, *attempt);
        }
        Fact::AttemptLate { unit, attempt, commit } => {
            with(run, unit, *attempt, |attempt| {
                if let Some(ended) = attempt.ended.as_mut().map(Arc::make_mut) {
                    ended.late = true;
                    ended.commit.clone_from(commit);
                }
            });
            keep_late_commit(run, unit, *attempt);
        }
        others!(attempt) => {}
    }
}

fn grant(run: &mut Run, live: &mut Live, at: WallMs, granted: &Granted) {
    let attempt = Attempt { granted: Arc::new(granted.clone()), granted_at: at, started_at: None, saved: None, ended: None };
    live.entry(&granted.worker, BTreeSet::new).insert(granted.key(&run.id));
    match &granted.unit {
        Some(id) => {
            if let Some(unit) = unit_mut(run, id) {
                unit.live.insert(granted.seat, granted.attempt);
                unit.attempts.push(attempt);
                if let Some(counters) = unit.counters.made() {
                    counters.retry_at = None;
                }
            }
        }
        None => {
            run.live.insert(granted.seat, granted.attempt);
            run.attempts.push(attempt);
            if granted.seat == Seat::Orchestrate {
                run.agents.orchestrator.current = run.agents.orchestrator.wanted.take();
                run.agents.orchestrator.moves_asked = run.progress.moves;
            }
        }
    }
}

fn end(attempt: &mut Attempt, at: WallMs, result: &AttemptResult) {
    attempt.ended = Some(Arc::new(AttemptEnded {
        at,
        end: result.end,
        class: result.class,
        error: result.error.clone(),
        exit_code: result.exit_code,
        digest: Some(result.digest.clone()),
        commit: result.commit.clone(),
        agent_session: result.agent_session.clone(),
        usage: result.usage,
        events: result.events,
        late: false,
    }));
}

fn lose(attempt: &mut Attempt, at: WallMs, cause: LostCause, class: Option<OutcomeClass>, reason: &str) {
    attempt.ended = Some(Arc::new(AttemptEnded {
        at,
        end: AttemptEnd::Lost(cause),
        class,
        error: Some(reason.to_owned()),
        exit_code: None,
        digest: None,
        commit: None,
        agent_session: None,
        usage: Usage::default(),
        events: 0,
        late: false,
    }));
}

/// What a work attempt leaves is what the next one goes on from, however it ended.
fn keep_commit(run: &mut Run, unit: &Option<UnitId>, no: AttemptNo) {
    let Some(unit) = unit.as_ref().and_then(|id| unit_mut(run, id)) else { return };
    let Some(attempt) = unit.attempt(no).filter(|attempt| attempt.granted.role.writes()) else { return };
    let left = if planted(Bug::SavedForgotten) { attempt.commit() } else { attempt.left() };
    if let Some(commit) = left.cloned() {
        unit.work.last = Some(Work { attempt: no, base: attempt.granted.base.clone(), commit });
    }
}

/// What an attempt handed in after it had lost its seat is gone on from too, unless something newer has taken the place of what it began with, or of
/// what it had handed in on the way.
fn keep_late_commit(run: &mut Run, unit: &Option<UnitId>, no: AttemptNo) {
    let Some(unit) = unit.as_ref().and_then(|id| unit_mut(run, id)) else { return };
    let Some(attempt) = unit.attempt(no).filter(|attempt| attempt.granted.role.writes()) else { return };
    let Some(commit) = attempt.commit().cloned() else { return };
    let is_newest = unit.work.last.as_ref().is_none_or(|last| {
        let began_with =
            matches!(&attempt.granted.start, Start::Commit(from) | Start::MergeWithTip { commit: from, .. } if *from == last.commit);
        let is_late_itself = unit.attempt(last.attempt).is_some_and(|kept| kept.is_late() && kept.commit() == Some(&last.commit));
        let is_its_own = last.attempt == no && attempt.saved.as_ref().is_some_and(|saved| saved.commit == last.commit);
        is_its_own || (last.attempt < no && (began_with || is_late_itself))
    });
    if is_newest {
        unit.work.last = Some(Work { attempt: no, base: attempt.granted.base.clone(), commit });
    }
}

fn count_usage(run: &mut Run, unit: &Option<UnitId>, usage: &Usage) {
    run.progress.usage.add(usage);
    if let Some(unit) = unit.as_ref().and_then(|id| unit_mut(run, id)) {
        unit.work.usage.add(usage);
    }
}

fn vacate(run: &mut Run, live: &mut Live, unit: &Option<UnitId>, no: AttemptNo) {
    let key = AttemptKey { run: run.id.clone(), unit: unit.clone(), attempt: no };
    let worker = |attempt: Option<&Attempt>| attempt.map(|attempt| attempt.granted.worker.clone());
    let (seats, worker) = match unit {
        None => (&mut run.live, worker(run.attempts.get((no.0 as usize).wrapping_sub(1)))),
        Some(id) => match unit_mut(run, id) {
            Some(unit) => {
                let worker = worker(unit.attempt(no));
                (&mut unit.live, worker)
            }
            None => return,
        },
    };
    seats.retain(|_, live| *live != no);
    let Some(worker) = worker.filter(|_| !planted(Bug::LiveIndexKept)) else { return };
    if let Some(keys) = live.get_mut(&worker) {
        keys.remove(&key);
        if keys.is_empty() {
            live.remove(&worker);
        }
    }
}

fn with(run: &mut Run, unit: &Option<UnitId>, no: AttemptNo, change: impl FnOnce(&mut Attempt)) {
    let Some(place) = (no.0 as usize).checked_sub(1) else { return };
    let attempt = match unit {
        None => run.attempts.get_mut(place),
        Some(id) => unit_mut(run, id).and_then(|unit| unit.attempts.get_mut(place)),
    };
    if let Some(attempt) = attempt {
        change(attempt);
    }
}
