//! Folds facts about one unit: state, subtasks, manifest, reviews, fixes and counters.

use std::collections::BTreeMap;
use std::sync::Arc;

use roundtable_shared::manifest::PathSet;
use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptNo, BackendName, Role, UnitId, UnitState, UnitType};

use super::groups::{facts, others};
use super::phase::Move;
use super::{change_planned, phase, train, unit_mut};
use crate::state::{Learned, OwnerAnswer, Run, Said, Unit, UnitPhase, WorkReport};
use crate::transition::{Counter, Fact, UnitImport};

type Durations = BTreeMap<(BackendName, UnitType), Learned>;

/// Attempts whose own words are kept.
const SAID_MAX: usize = 12;

/// Answers to findings that a unit keeps: more than all its fixes give.
const OWNER_ANSWERS_MAX: usize = 1_000;

/// Folds a fact about where it is and what it holds.
pub(super) fn apply(run: &mut Run, at: WallMs, fact: &Fact, learned: &mut Arc<Durations>) {
    match fact {
        Fact::UnitMoved { unit, to, reason } => moved(run, at, unit, *to, reason.as_ref()),
        Fact::WorkAccepted { unit, work, changed } => {
            learn(run, unit, work.attempt, learned);
            change(run, unit, |unit| {
                let left = &mut *unit.work;
                left.accepted = Some(work.clone());
                left.changed.clone_from(changed);
                left.changed.sort();
                if let Some(counters) = unit.counters.made() {
                    counters.avoid.clear();
                    counters.hand_backs = 0;
                }
            });
            run.plan.measure_anew(&run.units, learned);
        }
        Fact::ManifestClaimed { unit, paths } => {
            let claimed = PathSet::new(paths, run.options.ignore_case).unwrap_or_default();
            change_planned(run, unit, |unit| {
                let own = &mut unit.assignment;
                own.manifest.writes = own.manifest.writes.union(&claimed);
                own.claimed.extend(paths.iter().cloned());
            });
        }
        Fact::ManifestSettled { unit, paths } => {
            let writes = PathSet::new(paths, run.options.ignore_case).unwrap_or_default();
            change_planned(run, unit, |unit| {
                unit.assignment.manifest.writes = writes;
                unit.assignment.settled = true;
            });
        }
        Fact::DependencyFound { unit, on } => {
            change(run, unit, |unit| {
                if !unit.assignment.depends_on.contains(on) {
                    unit.assignment.depends_on.push(on.clone());
                }
                unit.work.blocked_on = Some(on.clone());
            });
            if let (Some(at), Some(on)) = (run.positions.get(unit).copied(), run.positions.get(on).copied()) {
                run.plan.need(&run.units, at, on);
                run.plan.measure(&run.units, learned);
            }
        }
        Fact::UnitImported { unit, import } => {
            change_planned(run, unit, |unit| import_into(unit, at, import));
        }
        Fact::Counted { unit, what } => count(run, unit, what),
        others!(unit) => {}
    }
}

/// Folds a fact about its work.
pub(super) fn work(run: &mut Run, fact: &Fact) {
    match fact {
        Fact::SubtaskMoved { unit, task, to, error } => change(run, unit, |unit| {
            if let Some(subtask) = unit.spec.subtasks.iter_mut().find(|subtask| subtask.id == *task) {
                subtask.state = *to;
                subtask.error.clone_from(error);
            }
        }),
        Fact::RequirementsSet { unit, requires, .. } => change_planned(run, unit, |unit| unit.assignment.requires.clone_from(requires)),
        Fact::WorkReported { unit, report } => change(run, unit, |unit| hear(unit, report)),
        Fact::WorkReplaced { unit, work } => change(run, unit, |unit| {
            unit.work.accepted = Some(work.clone());
            unit.work.last = Some(work.clone());
        }),
        Fact::ContendedSet { unit, paths } => change(run, unit, |unit| phase::set_contended(unit, paths)),
        Fact::ContendedFreed { unit, paths } => change(run, unit, |unit| phase::free_contended(unit, paths)),
        Fact::BreachRecorded { unit, breach } => change(run, unit, |unit| unit.work.breach.clone_from(breach)),
        Fact::MergeSet { unit, merging } => change(run, unit, |unit| phase::set_merging(unit, merging.as_ref())),
        Fact::FixSet { unit, cause } => change(run, unit, |unit| phase::set_fix(unit, cause.as_ref())),
        Fact::CountersReset { unit, fixes } => change(run, unit, |unit| {
            if let Some(counters) = unit.counters.made() {
                counters.reset(*fixes);
            }
        }),
        Fact::BackoffSet { unit, until, avoid } => change(run, unit, |unit| {
            let counters = &mut *unit.counters;
            counters.retry_at = *until;
            if let Some(worker) = avoid {
                counters.avoid.retain(|known| known != worker);
                counters.avoid.push(worker.clone());
            }
        }),
        Fact::ReleaseSet { unit, release } => change(run, unit, |unit| phase::set_release(unit, release.as_ref())),
        others!(work) => {}
    }
}

/// Folds a fact about its reviews.
pub(super) fn review(run: &mut Run, at: WallMs, fact: &Fact) {
    match fact {
        Fact::RoundOpened { unit, reviewers } => change(run, unit, |unit| {
            let review = &mut *unit.review;
            review.reviewers_before += review.reviewers;
            review.reviewers = *reviewers;
            review.round += 1;
            if let Some(counters) = unit.counters.made() {
                counters.review_failures.clear();
            }
        }),
        Fact::FindingRecorded { unit, finding } => change(run, unit, |unit| unit.review.findings.push((**finding).clone())),
        Fact::ReviewFailed { unit, seat, worker, backend } => change(run, unit, |unit| {
            *unit.counters.review_failures.entry(*seat).or_default() += 1;
            phase::fail_review(unit, *seat, worker, backend);
        }),
        Fact::RoundConsolidated { unit, report } => {
            change(run, unit, |unit| {
                unit.review.final_reports.push((**report).clone());
                phase::consolidate(unit);
            });
            // It stands in the integration queue now.
            note(run, unit);
        }
        Fact::HistoryAdded { unit, entry } => change(run, unit, |unit| unit.review.history.push((**entry).clone())),
        Fact::Escalated { unit } => change(run, unit, |unit| {
            unit.counters.escalated_at = Some(at);
            unit.counters.original_agent.clone_from(&unit.assignment.owner);
        }),
        others!(review) => {}
    }
}

fn moved(run: &mut Run, at: WallMs, id: &UnitId, to: UnitState, reason: Option<&String>) {
    run.progress.moves += 1;
    let number = run.progress.moves;
    // A unit is completed in the batch that integrates it.
    let commit = run.branch.integrations.last().filter(|last| last.unit.as_ref() == Some(id)).map(|last| last.commit.clone());
    change(run, id, |unit| phase::go(unit, Move { at, to, reason: reason.cloned(), number, commit }));
    note(run, id);
}

fn count(run: &mut Run, id: &UnitId, what: &Counter) {
    if *what == Counter::Infra {
        run.progress.infra_used += 1;
    }
    let Some(Unit { counters, .. }) = unit_mut(run, id) else { return };
    match what {
        Counter::UnitFailure => {
            counters.unit_failures += 1;
            counters.failed_turns += 1;
        }
        Counter::Fix => counters.fix_attempts += 1,
        Counter::Repeated(Role::Fix) => counters.repeated_fixes += 1,
        Counter::Repeated(_) => counters.failed_turns += 1,
        Counter::Breach => counters.breaches += 1,
        Counter::Infra => counters.infra += 1,
        Counter::LostWorker(worker) => {
            counters.lost_workers.insert(worker.clone());
        }
        Counter::HandBack => counters.hand_backs += 1,
        Counter::RedCheck => train::count_red(run, id),
    }
}

fn import_into(unit: &mut Unit, at: WallMs, import: &UnitImport) {
    phase::go(unit, Move { at, to: import.state, reason: import.reason.clone(), number: 0, commit: None });
    if let UnitPhase::Completed { at: completed_at, .. } = &mut unit.phase {
        // A box that was ticked before says nothing of when.
        *completed_at = import.completed_at.or(unit.spec.runs.then_some(at));
    }
    let work = &mut *unit.work;
    work.started = import.work.is_some();
    work.files_before.clone_from(&import.files);
    work.report.clone_from(&import.report);
    work.last.clone_from(&import.work);
    work.accepted.clone_from(&import.work);
    let review = &mut *unit.review;
    review.history.clone_from(&import.history);
    review.final_reports.clone_from(&import.final_reports);
    review.severity_before = import.last_severity;
    review.findings.clone_from(&import.findings);
    review.round = import.findings.iter().map(|finding| finding.round).max().unwrap_or(0);
    review.reviewers = import.findings.len() as u32;
    let counters = &mut *unit.counters;
    counters.fix_attempts = import.fix_attempts;
    counters.escalated_at = import.escalated.then_some(at);
    counters.original_agent.clone_from(&import.original_agent);
    unit.assignment.carried = import.assignment.clone().map(Box::new);
    for subtask in &mut unit.spec.subtasks {
        if import.completed.contains(&subtask.id) {
            subtask.state = roundtable_shared::SubtaskState::Completed;
        }
    }
}

fn learn(run: &Run, id: &UnitId, attempt: AttemptNo, learned: &mut Arc<Durations>) {
    let Some(unit) = run.unit(id) else { return };
    if unit.work.accepted.as_ref().is_some_and(|accepted| accepted.attempt == attempt) {
        return;
    }
    let (Some(owner), Some(attempt)) = (&unit.assignment.owner, unit.attempt(attempt)) else { return };
    if let Some(ended) = attempt.ended_at().filter(|_| attempt.granted.role == Role::Implement) {
        let seen = Arc::make_mut(learned).entry((owner.clone(), unit.assignment.unit_type)).or_default();
        seen.count += 1;
        seen.total_ms = seen.total_ms.saturating_add(ended.since(attempt.started_at.unwrap_or(attempt.granted_at)));
    }
}

fn change(run: &mut Run, id: &UnitId, change: impl FnOnce(&mut Unit)) {
    if let Some(unit) = unit_mut(run, id) {
        change(unit);
    }
}

fn note(run: &mut Run, id: &UnitId) {
    if let Some(at) = run.positions.get(id).copied() {
        run.plan.note(&run.units, at);
    }
}

/// Keeps what the agent of an attempt says of its work.
fn hear(unit: &mut Unit, report: &WorkReport) {
    let work = &mut *unit.work;
    if !report.summary.trim().is_empty() {
        work.said.retain(|said| said.attempt != report.attempt);
        work.said.push(Said { attempt: report.attempt, summary: report.summary.clone() });
        work.said.drain(..work.said.len().saturating_sub(SAID_MAX));
    }
    work.report = Some(report.clone());
    if !report.answers.is_empty() {
        let (attempt, answers) = (report.attempt, &mut unit.review.answers);
        answers.extend(report.answers.iter().map(|answer| OwnerAnswer { attempt, answer: answer.clone() }));
        answers.drain(..answers.len().saturating_sub(OWNER_ANSWERS_MAX));
    }
}
