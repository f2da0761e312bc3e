//! Outcomes of work seats: what the agent said, what the commit shows, and where the unit goes from here (docs/rules.md, "Attempts").

use std::collections::BTreeSet;

use roundtable_shared::answer::{WorkAnswer, WorkStatus};
use roundtable_shared::limits::{LEARNING_CHARS_MAX, LEARNINGS_MAX};
use roundtable_shared::{
    AttemptKey, AttemptNo, DecisionKind, LeftOut, OutcomeClass, Role, RunId, SubtaskState, TaskId, UnitId, UnitState, UnitType,
};

use super::blocking::{Block, block};
use super::contend::{self, Contention};
use super::failure::{self, Setback};
use super::manifest::{Judged, judge, note_dropped};
use super::report::{ended, provider_failed};
use super::{Deciding, fix, refusal, step};
use crate::command::{Report, RoleAnswer};
use crate::planted::{Bug, planted};
use crate::state::{AttemptEnd, Release, Run, Unit, Work, WorkReport};
use crate::transition::{Counter, Fact};

/// Implements that end with class unit before a person is asked.
const UNIT_FAILURES_MAX: u32 = 3;

/// The outcome of a unit's live work attempt.
pub(super) fn reported(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, report: &Report) {
    let key = &report.lease.key;
    let Some(attempt) = d.state().attempt(key) else { return };
    let role = attempt.role;
    let answer = match &report.answer {
        Ok(RoleAnswer::Work(answer)) => Ok(answer),
        Ok(_) => Err("the answer is for another role".to_owned()),
        Err(reason) => Err(reason.clone()),
    };
    match (&report.facts.failure, answer) {
        (Some(failure), answer) => match failure.kind.class() {
            OutcomeClass::Provider => {
                ended(d, report, AttemptEnd::Failed, Some(OutcomeClass::Provider), Some(failure.message.clone()));
                provider_failed(d, key, &failure.kind, &failure.message);
                close_reported(d, run, unit, report);
                if role == Role::Implement {
                    // It uses no attempt, but it was a turn that failed: a playbook goes on to its next one.
                    let what = if planted(Bug::RefusalCosts) { Counter::UnitFailure } else { Counter::Repeated(role) };
                    d.emit(run, Fact::Counted { unit: unit.clone(), what });
                }
                failure::back_to_waiting(d, run, unit);
            }
            class @ (OutcomeClass::Infra | OutcomeClass::Internal) => {
                ended(d, report, AttemptEnd::Failed, Some(class), Some(failure.message.clone()));
                close_reported(d, run, unit, report);
                let Some(setback) = Setback::of(d.state(), report) else { return };
                failure::setback(d, run, Some(unit), &setback);
            }
            OutcomeClass::Unit => {
                ended(d, report, AttemptEnd::Failed, Some(OutcomeClass::Unit), Some(failure.message.clone()));
                failed(d, run, unit, role, answer.ok(), &failure.message, report);
            }
        },
        (None, Err(reason)) => {
            ended(d, report, AttemptEnd::Failed, Some(OutcomeClass::Unit), Some(reason.clone()));
            failed(d, run, unit, role, None, &reason, report);
        }
        (None, Ok(answer)) => answered(d, run, unit, role, answer, report),
    }
    if d.state().attempt(key).is_some_and(|attempt| matches!(attempt.class, None | Some(OutcomeClass::Unit))) {
        step::unit_done(d, run, unit);
    }
}

/// The CLI ended well and its answer can be read: facts decide.
fn answered(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, role: Role, answer: &WorkAnswer, report: &Report) {
    let done = completed_by(d.run(run), d.unit(run, unit), answer);
    let missing = first_missing(d.unit(run, unit), &done);
    if !is_completed(answer) || missing.is_some() {
        let error = match (&answer.error, &missing) {
            (Some(error), _) if !is_completed(answer) => error.clone(),
            (_, Some(task)) if is_completed(answer) => format!("the answer says completed, but {task} is not among its completed subtasks"),
            _ => "the agent reports that it failed".to_owned(),
        };
        ended(d, report, AttemptEnd::Failed, Some(OutcomeClass::Unit), Some(error.clone()));
        failed(d, run, unit, role, Some(answer), &error, report);
        return;
    }
    let judged = judge(d.run(run), d.unit(run, unit), &report.changed, false);
    let problem = problem_of(d.unit(run, unit), answer, &judged, &report.facts.left_out);
    let end = if problem.is_some() { AttemptEnd::Failed } else { AttemptEnd::Completed };
    ended(d, report, end, problem.as_ref().map(|_| OutcomeClass::Unit), problem.clone());
    say(d, run, unit, Some(answer), problem.clone(), report);
    note_dropped(d, run, unit, &judged);
    if !judged.breach.is_empty() {
        return contend::breach(d, run, unit, role, judged.breach);
    }
    if let Some(problem) = problem {
        return failed(d, run, unit, role, None, &problem, report);
    }
    close_subtasks(d, run, unit, &done);
    if !judged.contended.is_empty() {
        let contention = Contention { role, claim: judged.claim, contended: judged.contended, by_person: false };
        contend::wait_for(d, run, unit, contention);
        // A fix that had to be taken back at once, because waiting would have been for ever, is a turn that is repeated.
        let waits = !d.unit(run, unit).contended.is_empty();
        if role == Role::Fix && waits {
            count_fix(d, run, unit);
        }
        return;
    }
    if role == Role::Fix {
        count_fix(d, run, unit);
    }
    let work = work_of(d, &report.lease.key);
    accept(d, run, unit, work, judged.claim, judged.paths);
}

fn count_fix(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId) {
    if !planted(Bug::FixFree) {
        d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::Fix });
    }
}

/// What is wrong with a completed answer, seen from what it changed.
fn problem_of(unit: &Unit, answer: &WorkAnswer, judged: &Judged, left_out: &LeftOut) -> Option<String> {
    if !judged.breach.is_empty() {
        let paths: Vec<&str> = judged.breach.iter().map(|(path, _)| path.as_str()).collect();
        return Some(format!("outside the manifest: {}", paths.join(", ")));
    }
    let reads_only = unit.manifest.writes.is_empty() && !unit.manifest.reads.is_empty();
    let may_be_empty = unit.checkpoint || unit.unit_type == UnitType::Review || reads_only;
    let is_fine = !judged.paths.is_empty() || judged.dropped || (may_be_empty && !answer.summary.trim().is_empty());
    (!is_fine).then(|| match left_out.is_empty() {
        true => "no_change: the agent reports completed, but changed nothing".to_owned(),
        false => format!("no_change: the agent reports completed, but nothing it changed can be committed: {left_out}"),
    })
}

/// The work lies within the manifest: claims what it needs, and goes to review (or on, if it changes nothing).
pub(super) fn accept(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, work: Work, claim: Vec<String>, paths: Vec<String>) {
    if !claim.is_empty() {
        d.emit(run, Fact::ManifestClaimed { unit: unit.clone(), paths: claim });
    }
    let settles = d.unit(run, unit).claims_all();
    d.emit(run, Fact::WorkAccepted { unit: unit.clone(), work, changed: paths.clone() });
    let is_empty = paths.is_empty();
    if settles {
        d.emit(run, Fact::ManifestSettled { unit: unit.clone(), paths });
    }
    let now = d.unit(run, unit);
    let (had_breach, had_fix, state) = (now.breach.is_some(), now.fix.is_some(), now.state);
    // An empty change of a turn needs no review; a person's commit is looked at whatever it changes.
    let needs_none = is_empty && state == UnitState::InProgress;
    let reviewers = if needs_none || planted(Bug::ReviewSkipped) { 0 } else { now.criticality.reviewers() };
    if had_breach {
        d.emit(run, Fact::BreachRecorded { unit: unit.clone(), breach: None });
    }
    if had_fix {
        d.emit(run, Fact::FixSet { unit: unit.clone(), cause: None });
    }
    d.emit(run, Fact::RoundOpened { unit: unit.clone(), reviewers });
    let to = if needs_none { UnitState::FinalReview } else { UnitState::PendingReview };
    d.move_unit(run, unit, to, None);
}

/// A turn failed for reasons of the agent or the task.
fn failed(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, role: Role, answer: Option<&WorkAnswer>, error: &str, report: &Report) {
    if answer.is_some() || d.unit(run, unit).report.as_ref().is_none_or(|said| said.attempt != report.lease.key.attempt) {
        say(d, run, unit, answer, Some(error.to_owned()), report);
    }
    let mut named = None;
    if let Some(answer) = answer {
        let done = completed_by(d.run(run), d.unit(run, unit), answer);
        named = named_failure(d.run(run), d.unit(run, unit), answer, &done);
        let done: Vec<TaskId> = done.into_iter().filter(|task| Some(task) != named.as_ref()).collect();
        close_subtasks(d, run, unit, &done);
    }
    if let Some(answer) = answer
        && refusal::refused(d, run, unit, role, answer, error)
    {
        return;
    }
    if role == Role::Fix {
        return fix::fix_failed(d, run, unit, error);
    }
    if !planted(Bug::FailureFree) {
        d.emit(run, Fact::Counted { unit: unit.clone(), what: Counter::UnitFailure });
    }
    if let Some(task) = &named {
        let fact = Fact::SubtaskMoved { unit: unit.clone(), task: task.clone(), to: SubtaskState::Blocked, error: Some(error.to_owned()) };
        d.emit(run, fact);
    }
    let failures = d.unit(run, unit).counters.unit_failures;
    if failures >= UNIT_FAILURES_MAX && !planted(Bug::PatienceEndless) {
        let (kind, what) = match &named {
            Some(task) => (DecisionKind::FailedSubtask, format!("subtask {task} of unit {unit}")),
            None => (DecisionKind::Quarantine, format!("unit {unit}")),
        };
        let context = format!("{what} failed {failures} times, last: {error}");
        return block(d, run, unit, Block { kind, reason: error.to_owned(), context });
    }
    match named {
        Some(_) => {
            d.move_unit(run, unit, UnitState::Blocked, Some(error.to_owned()));
            d.emit(run, Fact::ReleaseSet { unit: unit.clone(), release: Some(Release::Subtask) });
        }
        None => failure::back_to_waiting(d, run, unit),
    }
}

/// Keeps what the agent said for views, prompts and mirror files.
fn say(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, answer: Option<&WorkAnswer>, error: Option<String>, report: &Report) {
    let mut learnings: Vec<String> = report.learned.iter().map(|line| cut(line)).filter(|line| !line.is_empty()).collect();
    let mut said = WorkReport { attempt: report.lease.key.attempt, error, exit_code: report.facts.exit_code, ..WorkReport::default() };
    if let Some(answer) = answer {
        learnings.extend(answer.learnings.iter().map(|learning| cut(&learning.text)).filter(|line| !line.is_empty()));
        said.summary.clone_from(&answer.summary);
        said.files_changed.clone_from(&answer.files_changed);
        said.tests_passed = answer.tests_passed;
        said.tests_failed = answer.tests_failed;
        said.coverage.clone_from(&answer.coverage);
        said.coverage_num = answer.coverage_num();
        said.evidence.clone_from(&answer.evidence);
        said.answers.clone_from(&answer.answers);
    }
    learnings.truncate(LEARNINGS_MAX);
    said.learnings = learnings;
    d.emit(run, Fact::WorkReported { unit: unit.clone(), report: Box::new(said) });
}

fn is_completed(answer: &WorkAnswer) -> bool {
    answer.status == WorkStatus::Completed
}

fn cut(line: &str) -> String {
    line.trim().chars().take(LEARNING_CHARS_MAX).collect()
}

fn work_of(d: &Deciding<'_>, key: &AttemptKey) -> Work {
    let attempt = d.state().attempt(key).expect("the attempt whose outcome is being accepted exists");
    let commit = attempt.commit.clone().unwrap_or_else(|| attempt.base.clone());
    Work { attempt: attempt.no, base: attempt.base.clone(), commit }
}

fn close_subtasks(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, done: &[TaskId]) {
    for task in done {
        let open = d.unit(run, unit).subtasks.iter().any(|subtask| subtask.id == *task && subtask.state != SubtaskState::Completed);
        if open {
            d.emit(run, Fact::SubtaskMoved { unit: unit.clone(), task: task.clone(), to: SubtaskState::Completed, error: None });
        }
    }
}

/// Closes what an attempt that was cut short by its worker or provider had reported as done: the next one begins with that work in its worktree.
fn close_reported(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, report: &Report) {
    match report.facts.commit {
        Some(_) => {
            let done = leaves_among(d.run(run), d.unit(run, unit), &report.facts.done);
            close_subtasks(d, run, unit, &done);
        }
        None => close_saved(d, run, unit, report.lease.key.attempt),
    }
}

/// The same of one of which nothing is heard any more: what had been reported when its work was last saved.
pub(super) fn close_saved(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId, attempt: AttemptNo) {
    let saved = d.unit(run, unit).attempt(attempt).and_then(|attempt| attempt.saved.clone());
    if let Some(saved) = saved {
        close_subtasks(d, run, unit, &saved.done);
    }
}

/// The unit's subtasks among those tasks and below them.
pub(super) fn leaves_among(run: &Run, unit: &Unit, tasks: &[TaskId]) -> Vec<TaskId> {
    let named: BTreeSet<TaskId> = tasks.iter().flat_map(|id| leaves_of(run, unit, id)).collect();
    unit.subtasks.iter().map(|subtask| &subtask.id).filter(|id| named.contains(*id)).cloned().collect()
}

/// Subtasks that an answer reports as done; a completed answer that names none closes all.
fn completed_by(run: &Run, unit: &Unit, answer: &WorkAnswer) -> Vec<TaskId> {
    if is_completed(answer) && answer.completed_subtasks.is_empty() {
        return unit.open_subtasks().map(|subtask| subtask.id.clone()).collect();
    }
    let named: Vec<TaskId> = answer.completed_subtasks.iter().flat_map(|id| leaves_of(run, unit, id)).collect();
    unit.open_subtasks().filter(|subtask| named.contains(&subtask.id)).map(|subtask| subtask.id.clone()).collect()
}

/// The first needed subtask that is still open.
fn first_missing(unit: &Unit, done: &[TaskId]) -> Option<TaskId> {
    unit.open_subtasks().find(|subtask| subtask.needed && !done.contains(&subtask.id)).map(|subtask| subtask.id.clone())
}

/// The subtask a failed answer names, or where a completed one with gaps counts as failed.
fn named_failure(run: &Run, unit: &Unit, answer: &WorkAnswer, done: &[TaskId]) -> Option<TaskId> {
    if is_completed(answer) {
        return first_missing(unit, done);
    }
    let named = leaves_of(run, unit, answer.failed_subtask.as_ref()?);
    unit.open_subtasks().find(|subtask| named.contains(&subtask.id)).map(|subtask| subtask.id.clone())
}

/// A task without subtasks, or those below a parent.
fn leaves_of(run: &Run, unit: &Unit, id: &TaskId) -> Vec<TaskId> {
    if unit.subtasks.iter().any(|subtask| subtask.id == *id) {
        return vec![id.clone()];
    }
    let Some(outline) = run.outline.unit(unit.id.as_str()) else { return Vec::new() };
    let mut found = Vec::new();
    let mut open = vec![id];
    while let Some(next) = open.pop() {
        let Some(task) = outline.task(next.as_str()) else { continue };
        if task.subtasks.is_empty() {
            found.push(task.id.clone());
        }
        // A task's children stand below it, so this ends; a damaged outline must not make it go round.
        if found.len() + open.len() > outline.tasks.len() {
            break;
        }
        open.extend(&task.subtasks);
    }
    found
}

/// Marks open subtasks that failed as open again: a new attempt goes at them.
pub(crate) fn reopen_subtasks(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId) {
    let failed = d.unit(run, unit).subtasks.iter().filter(|subtask| subtask.state == SubtaskState::Blocked);
    let failed: Vec<TaskId> = failed.map(|subtask| subtask.id.clone()).collect();
    for task in failed {
        d.emit(run, Fact::SubtaskMoved { unit: unit.clone(), task, to: SubtaskState::NotStarted, error: None });
    }
}
