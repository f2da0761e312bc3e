//! Outcomes of work seats: what the agent said, what the commit shows, and where the unit goes from here (docs/rules.md, "Attempts").

use roundtable_shared::answer::WorkAnswer;
use roundtable_shared::limits::{LEARNING_CHARS_MAX, LEARNINGS_MAX};
use roundtable_shared::{AttemptKey, DecisionKind, LeftOut, OutcomeClass, Role, RunId, SubtaskState, TaskId, UnitId, UnitState, UnitType};

use crate::command::{Report, RoleAnswer};
use crate::moves::contention::Contention;
use crate::moves::dropped::note_dropped;
use crate::moves::outcome::{ended, provider_failed};
use crate::moves::subtasks::{close_saved, close_subtasks};
use crate::moves::unit::{Block, block};
use crate::moves::{accept, contention, fix, refusal, setback, step, unit};
use crate::planted::{Bug, planted};
use crate::rules::manifest::{Judged, judge};
use crate::rules::setback::Setback;
use crate::rules::subtasks;
use crate::state::{AttemptEnd, Release, Unit, Work, WorkReport};
use crate::transition::{Counter, Fact};
use crate::txn::Txn;

/// Implements that end with class unit before a person is asked.
const UNIT_FAILURES_MAX: u32 = 3;

/// The outcome of a unit's live work attempt.
pub(crate) fn reported(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, report: &Report) {
    let key = &report.lease.key;
    let Some(attempt) = d.state().attempt(key) else { return };
    let role = attempt.granted.role;
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
                unit::back_to_waiting(d, run, unit);
            }
            class @ (OutcomeClass::Infra | OutcomeClass::Internal) => {
                ended(d, report, AttemptEnd::Failed, Some(class), Some(failure.message.clone()));
                close_reported(d, run, unit, report);
                let Some(setback) = Setback::of(d.state(), report) else { return };
                setback::setback(d, run, Some(unit), &setback);
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
    if d.state().attempt(key).is_some_and(|attempt| matches!(attempt.class(), None | Some(OutcomeClass::Unit))) {
        step::unit_done(d, run, unit);
    }
}

/// The CLI ended well and its answer can be read: facts decide.
fn answered(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, role: Role, answer: &WorkAnswer, report: &Report) {
    let done = subtasks::completed_by(d.run(run), d.unit(run, unit), answer);
    let missing = subtasks::first_missing(d.unit(run, unit), &done);
    if !subtasks::is_completed(answer) || missing.is_some() {
        let error = match (&answer.error, &missing) {
            (Some(error), _) if !subtasks::is_completed(answer) => error.clone(),
            (_, Some(task)) if subtasks::is_completed(answer) => {
                format!("the answer says completed, but {task} is not among its completed subtasks")
            }
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
        return contention::breach(d, run, unit, role, judged.breach);
    }
    if let Some(problem) = problem {
        return failed(d, run, unit, role, None, &problem, report);
    }
    close_subtasks(d, run, unit, &done);
    if !judged.contended.is_empty() {
        let contention = Contention { role, claim: judged.claim, contended: judged.contended, by_person: false };
        contention::wait_for(d, run, unit, contention);
        // A fix that had to be taken back at once, because waiting would have been for ever, is a turn that is repeated.
        let waits = !d.unit(run, unit).contended().is_empty();
        if role == Role::Fix && waits {
            count_fix(d, run, unit);
        }
        return;
    }
    if role == Role::Fix {
        count_fix(d, run, unit);
    }
    let work = work_of(d, &report.lease.key);
    accept::accept(d, run, unit, work, judged.claim, judged.paths);
}

fn count_fix(d: &mut Txn<'_>, run: &RunId, unit: &UnitId) {
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
    let reads_only = unit.assignment.manifest.writes.is_empty() && !unit.assignment.manifest.reads.is_empty();
    let may_be_empty = unit.spec.checkpoint || unit.assignment.unit_type == UnitType::Review || reads_only;
    let is_fine = !judged.paths.is_empty() || judged.dropped || (may_be_empty && !answer.summary.trim().is_empty());
    (!is_fine).then(|| match left_out.is_empty() {
        true => "no_change: the agent reports completed, but changed nothing".to_owned(),
        false => format!("no_change: the agent reports completed, but nothing it changed can be committed: {left_out}"),
    })
}

/// A turn failed for reasons of the agent or the task.
fn failed(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, role: Role, answer: Option<&WorkAnswer>, error: &str, report: &Report) {
    if answer.is_some() || d.unit(run, unit).work.report.as_ref().is_none_or(|said| said.attempt != report.lease.key.attempt) {
        say(d, run, unit, answer, Some(error.to_owned()), report);
    }
    let mut named = None;
    if let Some(answer) = answer {
        let done = subtasks::completed_by(d.run(run), d.unit(run, unit), answer);
        named = subtasks::named_failure(d.run(run), d.unit(run, unit), answer, &done);
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
        None => unit::back_to_waiting(d, run, unit),
    }
}

/// Keeps what the agent said for views, prompts and mirror files.
fn say(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, answer: Option<&WorkAnswer>, error: Option<String>, report: &Report) {
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

fn cut(line: &str) -> String {
    line.trim().chars().take(LEARNING_CHARS_MAX).collect()
}

fn work_of(d: &Txn<'_>, key: &AttemptKey) -> Work {
    let attempt = d.state().attempt(key).expect("the attempt whose outcome is being accepted exists");
    let commit = attempt.commit().cloned().unwrap_or_else(|| attempt.granted.base.clone());
    Work { attempt: attempt.granted.attempt, base: attempt.granted.base.clone(), commit }
}

/// Closes what an attempt that was cut short by its worker or provider had reported as done: the next one begins with that work in its worktree.
fn close_reported(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, report: &Report) {
    match report.facts.commit {
        Some(_) => {
            let done = subtasks::leaves_among(d.run(run), d.unit(run, unit), &report.facts.done);
            close_subtasks(d, run, unit, &done);
        }
        None => close_saved(d, run, unit, report.lease.key.attempt),
    }
}
