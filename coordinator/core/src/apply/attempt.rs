//! Folds facts about seats and attempts, of units and of the run itself.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptKey, AttemptNo, Seat, UnitId, Usage, WorkerId};

use super::unit_mut;
use crate::effect::Start;
use crate::planted::{Bug, planted};
use crate::state::{Attempt, AttemptEnd, Run, Work};
use crate::transition::{AttemptResult, Fact, Granted};

type Live = BTreeMap<WorkerId, BTreeSet<AttemptKey>>;

/// Folds a fact of this kind; says whether it was one.
pub(super) fn apply(run: &mut Run, live: &mut Live, at: WallMs, fact: &Fact) -> bool {
    match fact {
        Fact::LeaseGranted(granted) => grant(run, live, at, granted),
        Fact::AttemptStarted { unit, attempt } => with(run, unit, *attempt, |attempt| attempt.started_at = Some(at)),
        Fact::AttemptSaved { unit, attempt, saved } => with(run, unit, *attempt, |attempt| attempt.saved = Some((**saved).clone())),
        Fact::AttemptEnded { unit, attempt, result } => {
            vacate(run, live, unit, *attempt);
            with(run, unit, *attempt, |attempt| end(attempt, at, result));
            count_usage(run, unit, &result.usage);
            keep_commit(run, unit, *attempt);
        }
        Fact::AttemptLost { unit, attempt, cause, class, reason } => {
            vacate(run, live, unit, *attempt);
            with(run, unit, *attempt, |attempt| {
                attempt.end = Some(AttemptEnd::Lost(*cause));
                attempt.class = *class;
                attempt.error = Some(reason.clone());
                attempt.ended_at = Some(at);
            });
            keep_commit(run, unit, *attempt);
        }
        Fact::AttemptLate { unit, attempt, commit } => {
            with(run, unit, *attempt, |attempt| {
                attempt.late = true;
                attempt.commit.clone_from(commit);
            });
            keep_late_commit(run, unit, *attempt);
        }
        _ => return false,
    }
    true
}

fn grant(run: &mut Run, live: &mut Live, at: WallMs, granted: &Granted) {
    let attempt = Attempt {
        no: granted.attempt,
        seat: granted.seat,
        role: granted.role,
        turn: granted.turn,
        round: granted.round,
        lease_id: granted.lease_id,
        worker: granted.worker.clone(),
        backend: granted.backend.clone(),
        pool: granted.pool.clone(),
        account: granted.account.clone(),
        model: granted.model.clone(),
        base: granted.base.clone(),
        start: granted.start.clone(),
        resumed_from: granted.resumed_from,
        resume: granted.resume.clone(),
        escalated: granted.escalated,
        granted_at: at,
        started_at: None,
        ended_at: None,
        end: None,
        class: None,
        error: None,
        exit_code: None,
        digest: None,
        commit: None,
        saved: None,
        agent_session: None,
        usage: Usage::default(),
        events: 0,
        late: false,
    };
    let key = AttemptKey { run: run.id.clone(), unit: granted.unit.clone(), attempt: granted.attempt };
    live.entry(granted.worker.clone()).or_default().insert(key);
    match &granted.unit {
        Some(id) => {
            if let Some((_, unit)) = unit_mut(run, id) {
                unit.live.insert(granted.seat, granted.attempt);
                unit.attempts.push(attempt);
                unit.retry_at = None;
            }
        }
        None => {
            run.live.insert(granted.seat, granted.attempt);
            run.attempts.push(attempt);
            if granted.seat == Seat::Orchestrate {
                run.orchestrator.current = run.orchestrator.wanted.take();
                run.orchestrator.moves_asked = run.moves;
            }
        }
    }
}

fn end(attempt: &mut Attempt, at: WallMs, result: &AttemptResult) {
    attempt.end = Some(result.end);
    attempt.class = result.class;
    attempt.error = result.error.clone();
    attempt.exit_code = result.exit_code;
    attempt.digest = Some(result.digest.clone());
    attempt.commit = result.commit.clone();
    attempt.agent_session = result.agent_session.clone();
    attempt.usage = result.usage;
    attempt.events = result.events;
    attempt.ended_at = Some(at);
}

/// What a work attempt leaves is what the next one goes on from, however it ended.
fn keep_commit(run: &mut Run, unit: &Option<UnitId>, no: AttemptNo) {
    let Some((_, unit)) = unit.as_ref().and_then(|id| unit_mut(run, id)) else { return };
    let Some(attempt) = unit.attempt(no).filter(|attempt| attempt.role.writes()) else { return };
    let left = if planted(Bug::SavedForgotten) { attempt.commit.as_ref() } else { attempt.left() };
    if let Some(commit) = left.cloned() {
        unit.last = Some(Work { attempt: no, base: attempt.base.clone(), commit });
    }
}

/// What an attempt handed in after it had lost its seat is gone on from too, unless something newer has taken the place of what it began with, or of
/// what it had handed in on the way.
fn keep_late_commit(run: &mut Run, unit: &Option<UnitId>, no: AttemptNo) {
    let Some((_, unit)) = unit.as_ref().and_then(|id| unit_mut(run, id)) else { return };
    let Some(attempt) = unit.attempt(no).filter(|attempt| attempt.role.writes()) else { return };
    let Some(commit) = attempt.commit.clone() else { return };
    let is_newest = unit.last.as_ref().is_none_or(|last| {
        let began_with = matches!(&attempt.start, Start::Commit(from) | Start::MergeWithTip { commit: from, .. } if *from == last.commit);
        let is_late_itself = unit.attempt(last.attempt).is_some_and(|kept| kept.late && kept.commit.as_ref() == Some(&last.commit));
        let is_its_own = last.attempt == no && attempt.saved.as_ref().is_some_and(|saved| saved.commit == last.commit);
        is_its_own || (last.attempt < no && (began_with || is_late_itself))
    });
    if is_newest {
        unit.last = Some(Work { attempt: no, base: attempt.base.clone(), commit });
    }
}

fn count_usage(run: &mut Run, unit: &Option<UnitId>, usage: &Usage) {
    run.usage.add(usage);
    if let Some((_, unit)) = unit.as_ref().and_then(|id| unit_mut(run, id)) {
        unit.usage.add(usage);
    }
}

fn vacate(run: &mut Run, live: &mut Live, unit: &Option<UnitId>, no: AttemptNo) {
    let key = AttemptKey { run: run.id.clone(), unit: unit.clone(), attempt: no };
    let seats = match unit {
        None => &mut run.live,
        Some(id) => match unit_mut(run, id) {
            Some((_, unit)) => &mut unit.live,
            None => return,
        },
    };
    seats.retain(|_, live| *live != no);
    live.retain(|_, keys| {
        if !planted(Bug::LiveIndexKept) {
            keys.remove(&key);
        }
        !keys.is_empty()
    });
}

fn with(run: &mut Run, unit: &Option<UnitId>, no: AttemptNo, change: impl FnOnce(&mut Attempt)) {
    let Some(place) = (no.0 as usize).checked_sub(1) else { return };
    let attempts = match unit {
        None => &mut run.attempts,
        Some(id) => match unit_mut(run, id) {
            Some((_, unit)) => &mut unit.attempts,
            None => return,
        },
    };
    if let Some(attempt) = attempts.get_mut(place) {
        change(attempt);
    }
}
