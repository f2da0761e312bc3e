//! Joining the integration train, in order of final review: each unit's commit is prepared on the one ahead of it. And leaving it before its end.

use std::collections::BTreeSet;

use roundtable_shared::{BackendName, CommitId, Role, RunId, SubtaskState, TaskId, UnitId};

use super::manifest::{judge, keeps_agents_md};
use super::{Deciding, attempt, step};
use crate::command::{Phase, Prepared};
use crate::effect::{Effect, PrepareIntegration};
use crate::planted::{Bug, planted};
use crate::schedule::CHECK_BACKEND;
use crate::state::{BaseCheck, Candidate, InFlight, Misfit, Run, Stage, Unit};
use crate::transition::Fact;

/// Candidates that are prepared ahead, however few check slots there are, and however many: a unit that leaves has those behind it prepared again.
const TRAIN_MIN: usize = 4;
const TRAIN_MAX: usize = 64;

/// Whether integration waits for checks, and for what.
pub(crate) fn is_gated_by_check(run: &Run) -> bool {
    matches!(run.base_check, BaseCheck::Wanted { .. } | BaseCheck::Red { .. })
}

/// How many units the train takes: twice as many as can be checked at once.
fn train_max(d: &Deciding<'_>) -> usize {
    let here = d.fleet.workers.values().filter(|worker| worker.is_here(d.now));
    let offers = here.flat_map(|worker| worker.offers.values()).filter(|offer| offer.offer.name.as_str() == CHECK_BACKEND);
    let slots: usize = offers.filter(|offer| offer.is_usable(d.now)).map(|offer| offer.offer.slots as usize).sum();
    slots.saturating_mul(2).clamp(TRAIN_MIN, TRAIN_MAX)
}

/// The next unit of the queue joins, if the one ahead of it is prepared.
pub(super) fn start_next(d: &mut Deciding<'_>, run: &RunId) {
    let now = d.run(run);
    let may_start = now.stage == Stage::Working && now.ending.is_none() && now.halted.is_none();
    if !may_start || is_gated_by_check(now) || now.is_held(Phase::Consolidate, d.now.wall) || now.train.flights.len() >= train_max(d) {
        return;
    }
    let ahead = now.train.flights.last();
    let tip = match ahead.map(|flight| &flight.candidate) {
        None => now.tip.clone(),
        Some(Some(_)) if planted(Bug::TrainOnTip) => now.tip.clone(),
        Some(Some(candidate)) => candidate.commit.clone(),
        Some(None) => return,
    };
    let may_join = |unit: &&&Unit| now.train.place(&unit.id).is_none() && step::allows(now, Phase::Consolidate, &unit.id);
    let queue = now.queue();
    let next = if planted(Bug::TrainOutOfOrder) { queue.iter().rev().find(may_join) } else { queue.iter().find(may_join) };
    let Some(unit) = next.map(|unit| unit.id.clone()) else { return };
    let is_empty = d.unit(run, &unit).changed.is_empty();
    let mut flight = InFlight::new(unit.clone(), tip.clone(), d.now.wall);
    if !is_empty {
        (flight.ticks, flight.owed) = ticks(now, &unit);
    }
    d.emit(run, Fact::IntegrationStarted { flight: Box::new(flight) });
    if is_empty {
        let candidate = Candidate { commit: tip, changed: Vec::new(), empty: true };
        d.emit(run, Fact::CandidatePrepared { unit, candidate });
    } else if let Some(effect) = d.run(run).train.flight(&unit).and_then(|flight| preparation(d.run(run), flight)) {
        d.effect(effect);
    }
}

/// Effects the train owes: commits to be made, the branch to be moved.
pub(super) fn effects(run: &Run) -> Vec<Effect> {
    let mut owed: Vec<Effect> = run.train.flights.iter().filter_map(|flight| preparation(run, flight)).collect();
    owed.extend(super::land::effect(run));
    owed
}

/// The commit of a unit that is still to be made: on the one ahead of it, or alone.
pub(super) fn preparation(run: &Run, flight: &InFlight) -> Option<Effect> {
    let alone = flight.alone.as_ref().filter(|alone| alone.commit.is_none()).map(|alone| &alone.tip);
    let tip = alone.or_else(|| flight.is_preparing().then_some(&flight.tip))?;
    let unit = run.unit(&flight.unit)?;
    let work = unit.accepted.as_ref()?;
    Some(Effect::PrepareIntegration(Box::new(PrepareIntegration {
        run: run.id.clone(),
        unit: unit.id.clone(),
        base: work.base.clone(),
        tip: tip.clone(),
        commit: work.commit.clone(),
        attempt: work.attempt,
        title: unit.title.clone(),
        ticks: flight.ticks.clone(),
        reviewed_by: reviewers_of(unit),
        keeps_agents_md: keeps_agents_md(unit),
        date_ms: flight.at.0,
    })))
}

/// The shell's answer; one that no longer fits is ignored, such as a late one about work or a candidate ahead that has been replaced since, or with the
/// box of one ahead that has left.
pub(super) fn prepared(
    d: &mut Deciding<'_>,
    run: &RunId,
    unit: &UnitId,
    (tip, of, ticks): (&CommitId, &CommitId, &[TaskId]),
    result: Prepared,
) {
    let Some(flight) = d.state().run(run).and_then(|run| run.train.flight(unit)) else { return };
    let is_current = d.state().unit(run, unit).and_then(|unit| unit.accepted.as_ref()).is_some_and(|work| work.commit == *of);
    if !is_current || flight.ticks.as_slice() != ticks {
        return;
    }
    if flight.alone.as_ref().is_some_and(|alone| alone.commit.is_none() && alone.tip == *tip) {
        return super::judge::prepared_alone(d, run, unit, tip, result);
    }
    if (flight.tip != *tip && !planted(Bug::StaleCandidate)) || !flight.is_preparing() {
        return;
    }
    let fact = match result {
        Prepared::Conflict { paths, evidence } => {
            Fact::CandidateMisfits { unit: unit.clone(), misfit: Misfit::Conflict { paths, evidence } }
        }
        Prepared::Empty => {
            Fact::CandidatePrepared { unit: unit.clone(), candidate: Candidate { commit: tip.clone(), changed: Vec::new(), empty: true } }
        }
        Prepared::Clean { commit, changed } => {
            let judged = judge(d.run(run), d.unit(run, unit), &changed, false);
            let outside: Vec<String> =
                judged.breach.iter().map(|(path, _)| path).chain(&judged.claim).chain(&judged.contended).cloned().collect();
            if outside.is_empty() {
                let changed = changed.into_iter().map(|change| change.path).collect();
                Fact::CandidatePrepared { unit: unit.clone(), candidate: Candidate { commit, changed, empty: false } }
            } else {
                Fact::CandidateMisfits { unit: unit.clone(), misfit: Misfit::Outside { paths: outside } }
            }
        }
    };
    d.emit(run, fact);
}

/// Takes a unit out of the train, as long as the branch cannot have moved past it. Those behind it are prepared again: they join anew, in their order.
pub(super) fn drop_flight_of(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, reason: &str) {
    leave(d, run, unit, reason, false);
}

/// The same; `judged`: because of what its candidate is.
pub(super) fn leave(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, reason: &str, judged: bool) {
    let train = &d.run(run).train;
    let Some(place) = train.place(unit).filter(|place| !train.flights[*place].intended) else { return };
    let gone: Vec<UnitId> = train.flights[place..].iter().map(|flight| flight.unit.clone()).collect();
    for other in gone {
        let why = if other == *unit { reason.to_owned() } else { format!("unit {unit} ahead of it has left the train: {reason}") };
        attempt::revoke_unit(d, run, &other, &why);
    }
    d.emit(run, Fact::IntegrationDropped { unit: unit.clone(), reason: reason.to_owned(), judged });
}

/// Takes out every unit the branch is not being moved past.
pub(super) fn drop_all(d: &mut Deciding<'_>, run: &RunId, reason: &str) {
    if let Some(unit) = d.run(run).train.flights.iter().find(|flight| !flight.intended).map(|flight| flight.unit.clone()) {
        drop_flight_of(d, run, &unit, reason);
    }
}

/// Boxes a unit's commit ticks: its own, and those owed by units that made no commit.
fn ticks(run: &Run, unit: &UnitId) -> (Vec<TaskId>, Vec<UnitId>) {
    if run.tick_path.is_none() {
        return (Vec::new(), Vec::new());
    }
    // Those of units without a commit, but for what a commit ahead ticks.
    let mut owed: Vec<UnitId> = run.unticked.clone();
    for ahead in &run.train.flights {
        match &ahead.candidate {
            Some(candidate) if candidate.empty => owed.push(ahead.unit.clone()),
            _ => {
                let ticked: BTreeSet<&UnitId> = ahead.owed.iter().collect();
                owed.retain(|unit| !ticked.contains(unit) || planted(Bug::BoxTwice));
            }
        }
    }
    let mut tasks = boxes(run, unit);
    for other in &owed {
        tasks.extend(boxes(run, other));
    }
    (tasks, owed)
}

/// Boxes of a unit that are done: tasks without subtasks that are completed, and parents all of whose needed ones are.
pub(super) fn boxes(run: &Run, unit: &UnitId) -> Vec<TaskId> {
    let (Some(unit), Some(outline)) = (run.unit(unit), run.outline.unit(unit.as_str())) else { return vec![unit.task()] };
    let is_done =
        |id: &TaskId| unit.subtasks.iter().find(|subtask| subtask.id == *id).is_none_or(|subtask| subtask.state == SubtaskState::Completed);
    let mut done: Vec<TaskId> = Vec::new();
    // Children stand below their parent, so going backwards meets them first.
    for task in outline.tasks.iter().rev() {
        let is_ticked = if task.subtasks.is_empty() {
            is_done(&task.id)
        } else {
            task.subtasks.iter().all(|child| done.contains(child) || outline.task(child.as_str()).is_some_and(|child| !child.needed))
        };
        if is_ticked && !task.heading {
            done.push(task.id.clone());
        }
    }
    done.reverse();
    done
}

/// Backends whose reviews of the last round passed it.
fn reviewers_of(unit: &Unit) -> Vec<BackendName> {
    let reviews = unit.attempts.iter().filter(|attempt| attempt.role == Role::Review && attempt.round == unit.round);
    let mut names: Vec<BackendName> =
        reviews.filter(|attempt| attempt.end == Some(crate::state::AttemptEnd::Completed)).map(|attempt| attempt.backend.clone()).collect();
    names.sort();
    names.dedup();
    names
}
