//! The integration queue: one unit at a time, in order of final review, intent before the branch moves (SEMANTICS §9, I1).

use roundtable_shared::{BackendName, CommitId, DecisionKind, Role, RunId, SubtaskState, TaskId, UnitId, UnitState};

use super::blocking::{Block, block};
use super::manifest::{judge, keeps_agents_md};
use super::{Deciding, close, consult, fix, review, step};
use crate::command::{Phase, Prepared};
use crate::effect::{Effect, PrepareIntegration};
use crate::state::{BaseCheck, Candidate, FixCause, InFlight, Run, Stage, Unit};
use crate::transition::Fact;

/// Whether integration waits for checks, and for what.
pub(crate) fn is_gated_by_check(run: &Run) -> bool {
    matches!(run.base_check, BaseCheck::Wanted { .. } | BaseCheck::Red { .. })
}

/// Starts the next integration, if one may start.
pub(super) fn start_next(d: &mut Deciding<'_>, run: &RunId) {
    let now = d.run(run);
    let rests = now.stage == Stage::Working && now.in_flight.is_none() && now.ending.is_none() && now.halted.is_none();
    if !rests || is_gated_by_check(now) || now.is_held(Phase::Consolidate, d.now.wall) {
        return;
    }
    let Some(unit) = now.queue().into_iter().find(|unit| step::allows(now, Phase::Consolidate, &unit.id)) else { return };
    let (unit, is_empty) = (unit.id.clone(), unit.changed.is_empty());
    let (ticks, owed) = if is_empty { (Vec::new(), Vec::new()) } else { ticks(now, &unit) };
    let flight = InFlight { unit: unit.clone(), tip: now.tip.clone(), at: d.now.wall, ticks, owed, candidate: None, intended: false };
    d.emit(run, Fact::IntegrationStarted { flight: Box::new(flight) });
    if is_empty {
        let commit = d.run(run).tip.clone();
        prepared_candidate(d, run, &unit, Candidate { commit, changed: Vec::new(), empty: true });
    } else if let Some(effect) = effect(d.run(run)) {
        d.effect(effect);
    }
}

/// The effect the integration under way owes.
pub(super) fn effect(run: &Run) -> Option<Effect> {
    let flight = run.in_flight.as_ref()?;
    let unit = run.unit(&flight.unit)?;
    match &flight.candidate {
        None => {
            let work = unit.accepted.as_ref()?;
            Some(Effect::PrepareIntegration(Box::new(PrepareIntegration {
                run: run.id.clone(),
                unit: unit.id.clone(),
                base: work.base.clone(),
                tip: flight.tip.clone(),
                commit: work.commit.clone(),
                attempt: work.attempt,
                title: unit.title.clone(),
                ticks: flight.ticks.clone(),
                reviewed_by: reviewers_of(unit),
                keeps_agents_md: keeps_agents_md(unit),
                date_ms: flight.at.0,
            })))
        }
        Some(candidate) if flight.intended && !candidate.empty => {
            Some(Effect::MoveBranch { run: run.id.clone(), old: flight.tip.clone(), new: candidate.commit.clone() })
        }
        Some(_) => None,
    }
}

/// The shell's answer; one that no longer fits is ignored, such as a late one about work that has been replaced since.
pub(super) fn prepared(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, (tip, of): (&CommitId, &CommitId), result: Prepared) {
    let Some(flight) = d.state().run(run).and_then(|run| run.in_flight.as_ref()) else { return };
    let is_current = d.state().unit(run, unit).and_then(|unit| unit.accepted.as_ref()).is_some_and(|work| work.commit == *of);
    if flight.unit != *unit || flight.tip != *tip || flight.candidate.is_some() || !is_current {
        return;
    }
    match result {
        Prepared::Conflict { paths, evidence } => {
            drop_flight_of(d, run, unit, "it conflicts with the run's branch");
            fix::want_fix(d, run, unit, FixCause::Conflict { paths, evidence });
        }
        Prepared::Empty => {
            let commit = tip.clone();
            prepared_candidate(d, run, unit, Candidate { commit, changed: Vec::new(), empty: true });
        }
        Prepared::Clean { commit, changed } => {
            let judged = judge(d.run(run), d.unit(run, unit), &changed, false);
            let outside: Vec<String> =
                judged.breach.iter().map(|(path, _)| path).chain(&judged.claim).chain(&judged.contended).cloned().collect();
            if outside.is_empty() {
                let changed = changed.into_iter().map(|change| change.path).collect();
                prepared_candidate(d, run, unit, Candidate { commit, changed, empty: false });
            } else {
                // I6: nothing outside the manifest is integrated, whatever made it so.
                drop_flight_of(d, run, unit, "its commit goes outside its manifest");
                let context = format!("unit {unit}: its commit on the run's branch would change {}", outside.join(", "));
                block(d, run, unit, Block { kind: DecisionKind::Breach, reason: "changes outside its manifest".to_owned(), context });
            }
        }
    }
}

fn prepared_candidate(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, candidate: Candidate) {
    d.emit(run, Fact::CandidatePrepared { unit: unit.clone(), candidate });
    if !d.run(run).has_checks() {
        intend(d, run, unit);
    }
}

/// The candidate is good: the branch moves to it. Nothing takes this back.
pub(super) fn intend(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId) {
    let Some(flight) = d.run(run).in_flight.as_ref().filter(|flight| flight.unit == *unit && !flight.intended) else { return };
    let Some(candidate) = flight.candidate.clone() else { return };
    d.emit(run, Fact::IntegrationIntended { unit: unit.clone() });
    if candidate.empty {
        d.emit(run, Fact::CompletedWithoutChange { unit: unit.clone() });
        complete(d, run, unit);
    } else if let Some(effect) = effect(d.run(run)) {
        d.effect(effect);
    }
}

/// The branch has moved, or was found where it should be.
pub(super) fn branch_moved(d: &mut Deciding<'_>, run: &RunId, tip: &CommitId) {
    let Some(flight) = d.state().run(run).and_then(|run| run.in_flight.as_ref()).filter(|flight| flight.intended) else { return };
    let Some(candidate) = flight.candidate.clone() else { return };
    let (unit, old) = (flight.unit.clone(), flight.tip.clone());
    if *tip == candidate.commit {
        d.emit(run, Fact::Integrated { unit: unit.clone(), commit: candidate.commit, changed: candidate.changed });
        complete(d, run, &unit);
    } else if *tip == old {
        if let Some(effect) = effect(d.run(run)) {
            d.effect(effect);
        }
    } else {
        let reason = format!("the run's branch is at {tip}, which this coordinator did not put there; put it back to {old} and run again");
        close::halt(d, run, reason, "coordinator".to_owned());
    }
}

/// A unit has come to its end.
fn complete(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId) {
    review::defer_minor(d, run, unit);
    review::clear_blocked_item(d, run, unit);
    close::keep_learnings(d, run, unit);
    d.move_unit(run, unit, UnitState::Completed, None);
    step::unit_done(d, run, unit);
    consult::due(d, run, &format!("unit {unit} is completed"));
}

/// Takes a unit's integration back, as long as the branch cannot have moved.
pub(super) fn drop_flight_of(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, reason: &str) {
    let is_its = d.run(run).in_flight.as_ref().is_some_and(|flight| flight.unit == *unit && !flight.intended);
    if is_its {
        d.emit(run, Fact::IntegrationDropped { unit: unit.clone(), reason: reason.to_owned() });
    }
}

/// Boxes a unit's commit ticks: its own, and those owed by units that made no commit.
fn ticks(run: &Run, unit: &UnitId) -> (Vec<TaskId>, Vec<UnitId>) {
    if run.tick_path.is_none() {
        return (Vec::new(), Vec::new());
    }
    let mut tasks = boxes(run, unit);
    for owed in &run.unticked {
        tasks.extend(boxes(run, owed));
    }
    (tasks, run.unticked.clone())
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
