//! Folds facts about one unit: state, subtasks, manifest, reviews, fixes and counters.

use std::collections::BTreeMap;

use roundtable_shared::manifest::PathSet;
use roundtable_shared::time::WallMs;
use roundtable_shared::{AttemptNo, BackendName, Role, UnitId, UnitState, UnitType};

use super::{change_planned, train, unit_mut};
use crate::state::{Counters, Learned, OwnerAnswer, Run, Said, Unit, WorkReport};
use crate::transition::{Counter, Fact, UnitImport};

type Durations = BTreeMap<(BackendName, UnitType), Learned>;

/// Attempts whose own words are kept.
const SAID_MAX: usize = 12;

/// Answers to findings that a unit keeps: more than all its fixes give.
const OWNER_ANSWERS_MAX: usize = 1_000;

/// Folds a fact of this kind; says whether it was one.
pub(super) fn apply(run: &mut Run, at: WallMs, fact: &Fact, learned: &mut Durations) -> bool {
    match fact {
        Fact::UnitMoved { unit, to, reason } => moved(run, at, unit, *to, reason.as_ref()),
        Fact::WorkAccepted { unit, work, changed } => {
            learn(run, unit, work.attempt, learned);
            change(run, unit, |unit| {
                unit.accepted = Some(work.clone());
                unit.changed.clone_from(changed);
                unit.changed.sort();
                unit.avoid.clear();
                unit.counters.hand_backs = 0;
            });
            run.plan.measure_anew(&run.units, learned);
        }
        Fact::ManifestClaimed { unit, paths } => {
            let claimed = PathSet::new(paths, run.options.ignore_case).unwrap_or_default();
            change_planned(run, unit, |unit| {
                unit.manifest.writes = unit.manifest.writes.union(&claimed);
                unit.claimed.extend(paths.iter().cloned());
            });
        }
        Fact::ManifestSettled { unit, paths } => {
            let writes = PathSet::new(paths, run.options.ignore_case).unwrap_or_default();
            change_planned(run, unit, |unit| {
                unit.manifest.writes = writes;
                unit.settled = true;
            });
        }
        Fact::DependencyFound { unit, on } => {
            change(run, unit, |unit| {
                if !unit.depends_on.contains(on) {
                    unit.depends_on.push(on.clone());
                }
                unit.blocked_on = Some(on.clone());
            });
            if let (Some(at), Some(on)) = (run.positions.get(unit).copied(), run.positions.get(on).copied()) {
                run.plan.need(&run.units, at, on);
                run.plan.measure(&run.units, learned);
            }
        }
        Fact::UnitImported { unit, import } => {
            change_planned(run, unit, |unit| import_into(unit, at, import));
        }
        Fact::Counted { unit, what } => {
            match what {
                Counter::Infra => run.infra_used += 1,
                Counter::RedCheck => train::count_red(run, unit),
                _ => {}
            }
            change(run, unit, |unit| count(unit, what));
        }
        _ => return work(run, fact) || review(run, at, fact),
    }
    true
}

fn work(run: &mut Run, fact: &Fact) -> bool {
    match fact {
        Fact::SubtaskMoved { unit, task, to, error } => change(run, unit, |unit| {
            if let Some(subtask) = unit.subtasks.iter_mut().find(|subtask| subtask.id == *task) {
                subtask.state = *to;
                subtask.error.clone_from(error);
            }
        }),
        Fact::RequirementsSet { unit, requires, .. } => change_planned(run, unit, |unit| unit.requires.clone_from(requires)),
        Fact::WorkReported { unit, report } => change(run, unit, |unit| hear(unit, report)),
        Fact::WorkReplaced { unit, work } => change(run, unit, |unit| {
            unit.accepted = Some(work.clone());
            unit.last = Some(work.clone());
        }),
        Fact::ContendedSet { unit, paths } => change(run, unit, |unit| unit.contended = paths.iter().cloned().collect()),
        Fact::ContendedFreed { unit, paths } => change(run, unit, |unit| unit.contended.retain(|path| !paths.contains(path))),
        Fact::BreachRecorded { unit, breach } => change(run, unit, |unit| unit.breach.clone_from(breach)),
        Fact::MergeSet { unit, merging } => change(run, unit, |unit| unit.merging.clone_from(merging)),
        Fact::FixSet { unit, cause } => change(run, unit, |unit| unit.fix.clone_from(cause)),
        Fact::CountersReset { unit, fixes } => change(run, unit, |unit| {
            unit.counters = Counters::default();
            unit.retry_at = None;
            unit.avoid.clear();
            if *fixes {
                unit.fix_attempts = 0;
                unit.repeated_fixes = 0;
                unit.escalated_at = None;
            }
        }),
        Fact::BackoffSet { unit, until, avoid } => change(run, unit, |unit| {
            unit.retry_at = *until;
            if let Some(worker) = avoid {
                unit.avoid.retain(|known| known != worker);
                unit.avoid.push(worker.clone());
            }
        }),
        Fact::ReleaseSet { unit, release } => change(run, unit, |unit| unit.release.clone_from(release)),
        _ => return false,
    }
    true
}

fn review(run: &mut Run, at: WallMs, fact: &Fact) -> bool {
    match fact {
        Fact::RoundOpened { unit, reviewers } => change(run, unit, |unit| {
            unit.reviewers_before += unit.reviewers;
            unit.reviewers = *reviewers;
            unit.round += 1;
            unit.consolidated = false;
            unit.failed_reviews.clear();
            unit.counters.review_failures.clear();
        }),
        Fact::FindingRecorded { unit, finding } => change(run, unit, |unit| unit.findings.push((**finding).clone())),
        Fact::ReviewFailed { unit, seat, worker, backend } => change(run, unit, |unit| {
            *unit.counters.review_failures.entry(*seat).or_default() += 1;
            unit.failed_reviews.push((*seat, worker.clone(), backend.clone()));
        }),
        Fact::RoundConsolidated { unit, report } => change(run, unit, |unit| {
            unit.final_reports.push((**report).clone());
            unit.consolidated = true;
        }),
        Fact::HistoryAdded { unit, entry } => change(run, unit, |unit| unit.history.push((**entry).clone())),
        Fact::Escalated { unit } => change(run, unit, |unit| {
            unit.escalated_at = Some(at);
            unit.original_agent.clone_from(&unit.owner);
        }),
        _ => return false,
    }
    true
}

fn moved(run: &mut Run, at: WallMs, id: &UnitId, to: UnitState, reason: Option<&String>) {
    run.moves += 1;
    let moves = run.moves;
    change(run, id, |unit| {
        unit.state = to;
        unit.state_since = at;
        unit.reason = reason.cloned();
        unit.queued = (to == UnitState::FinalReview).then_some(moves);
        unit.started |= to == UnitState::InProgress;
        unit.completed_at = (to == UnitState::Completed).then_some(at);
        if to != UnitState::Blocked {
            unit.release = None;
        }
        if to.is_terminal() {
            unit.contended.clear();
            unit.merging = None;
            unit.fix = None;
            unit.retry_at = None;
        }
    });
    note(run, id);
}

fn count(unit: &mut Unit, what: &Counter) {
    let counters = &mut unit.counters;
    match what {
        Counter::UnitFailure => {
            counters.unit_failures += 1;
            unit.failed_turns += 1;
        }
        Counter::Fix => unit.fix_attempts += 1,
        Counter::Repeated(Role::Fix) => unit.repeated_fixes += 1,
        Counter::Repeated(_) => unit.failed_turns += 1,
        Counter::Breach => counters.breaches += 1,
        Counter::Infra => counters.infra += 1,
        Counter::LostWorker(worker) => {
            counters.lost_workers.insert(worker.clone());
        }
        Counter::HandBack => counters.hand_backs += 1,
        Counter::RedCheck => {}
    }
}

fn import_into(unit: &mut Unit, at: WallMs, import: &UnitImport) {
    unit.state = import.state;
    unit.state_since = at;
    unit.reason.clone_from(&import.reason);
    unit.started = import.work.is_some();
    let is_completed = import.state == UnitState::Completed;
    // A box that was ticked before says nothing of when.
    unit.completed_at = import.completed_at.or(unit.runs.then_some(at)).filter(|_| is_completed);
    unit.files_before.clone_from(&import.files);
    unit.history.clone_from(&import.history);
    unit.final_reports.clone_from(&import.final_reports);
    unit.severity_before = import.last_severity;
    unit.report.clone_from(&import.report);
    unit.carried.clone_from(&import.assignment);
    unit.fix_attempts = import.fix_attempts;
    unit.escalated_at = import.escalated.then_some(at);
    unit.original_agent.clone_from(&import.original_agent);
    unit.findings.clone_from(&import.findings);
    unit.last.clone_from(&import.work);
    unit.accepted.clone_from(&import.work);
    unit.round = import.findings.iter().map(|finding| finding.round).max().unwrap_or(0);
    unit.reviewers = import.findings.len() as u32;
    for subtask in &mut unit.subtasks {
        if import.completed.contains(&subtask.id) {
            subtask.state = roundtable_shared::SubtaskState::Completed;
        }
    }
}

fn learn(run: &Run, id: &UnitId, attempt: AttemptNo, learned: &mut Durations) {
    let Some(unit) = run.unit(id) else { return };
    if unit.accepted.as_ref().is_some_and(|accepted| accepted.attempt == attempt) {
        return;
    }
    let (Some(owner), Some(attempt)) = (&unit.owner, unit.attempt(attempt)) else { return };
    if let Some(ended) = attempt.ended_at.filter(|_| attempt.role == Role::Implement) {
        let seen = learned.entry((owner.clone(), unit.unit_type)).or_default();
        seen.count += 1;
        seen.total_ms = seen.total_ms.saturating_add(ended.since(attempt.started_at.unwrap_or(attempt.granted_at)));
    }
}

fn change(run: &mut Run, id: &UnitId, change: impl FnOnce(&mut Unit)) {
    if let Some((_, unit)) = unit_mut(run, id) {
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
    if !report.summary.trim().is_empty() {
        unit.said.retain(|said| said.attempt != report.attempt);
        unit.said.push(Said { attempt: report.attempt, summary: report.summary.clone() });
        unit.said.drain(..unit.said.len().saturating_sub(SAID_MAX));
    }
    let attempt = report.attempt;
    unit.answers.extend(report.answers.iter().map(|answer| OwnerAnswer { attempt, answer: answer.clone() }));
    unit.answers.drain(..unit.answers.len().saturating_sub(OWNER_ANSWERS_MAX));
    unit.report = Some(report.clone());
}
