//! `AGENT_STATE.json` from a run's state: every field its readers know, statuses in their words. States only we have (`skipped`, `cancelled`) show as
//! `blocked` with a reason; the truth is in the added object `roundtable`.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_core::state::{Attempt, Run, State, Unit};
use roundtable_shared::limits::{FIX_ATTEMPTS_MAX, WINDOWS_MAX};
use roundtable_shared::spec::{Task, Unit as Outlined};
use roundtable_shared::time::WallMs;
use roundtable_shared::{Finding, SubtaskState, UnitId, UnitState};

use super::form::*;
use crate::view::{self, Upstream};

/// The file's content.
pub fn agent_state(state: &State, run: &Run) -> AgentState {
    let windows = windows(run);
    let upstream = Upstream::of(run);
    let mut tasks: Vec<(u32, MirrorTask)> = Vec::new();
    for outlined in &run.origin.outline.units {
        let Some(unit) = run.unit(&outlined.id) else { continue };
        tasks.push((outlined.own().line, unit_task(run, outlined, unit, &upstream, &windows)));
        let states = view::subtask_states(outlined, unit);
        tasks.extend(outlined.subtasks().iter().map(|task| (task.line, subtask(run, unit, task, &states))));
    }
    tasks.sort_by_key(|(line, _)| *line);
    AgentState {
        spec_path: run.origin.source.spec_path.clone(),
        session_name: run.options.session_name.clone(),
        tasks: tasks.into_iter().map(|(_, task)| task).collect(),
        review_findings: findings(run),
        final_reports: reports(run),
        blocked_items: blocked_items(run),
        pending_decisions: decisions(run),
        deferred_fixes: deferred(run),
        window_mapping: windows.into_iter().map(|(unit, window)| (unit.to_string(), window)).collect(),
        roundtable: Some(extra(state, run)),
    }
}

/// Window of each unit that has one: at most nine distinct, later ones share in turn.
fn windows(run: &Run) -> BTreeMap<&UnitId, String> {
    let mut distinct: Vec<&str> = Vec::new();
    let mut shared = 0;
    let mut windows = BTreeMap::new();
    for unit in run.units() {
        let Some(window) = unit.assignment.window.as_deref() else { continue };
        let known = distinct.contains(&window);
        if !known && distinct.len() < WINDOWS_MAX {
            distinct.push(window);
        }
        let shown = if known || distinct.contains(&window) {
            window
        } else {
            shared += 1;
            distinct[(shared - 1) % WINDOWS_MAX]
        };
        windows.insert(&unit.id, shown.to_owned());
    }
    windows
}

fn unit_task(run: &Run, outlined: &Outlined, unit: &Unit, upstream: &Upstream<'_>, windows: &BTreeMap<&UnitId, String>) -> MirrorTask {
    let by = upstream.blocker(&unit.id);
    let report = unit.work.report.as_ref();
    let last = unit.last_work();
    let facts_known = unit.work.accepted.is_some() || unit.state() == UnitState::Completed;
    let failed_subtask =
        unit.spec.subtasks.iter().find(|subtask| subtask.state == SubtaskState::Blocked && subtask.id.as_str() != unit.id.as_str());
    let blocked_by = match by {
        Some(by) => Some(by.id.to_string()),
        None => failed_subtask.filter(|_| unit.state() == UnitState::Blocked).map(|subtask| subtask.id.to_string()),
    };
    MirrorTask {
        status: shown_state(unit, by).to_string(),
        task_type: unit.assignment.unit_type.to_string(),
        owner_agent: unit.assignment.owner.as_ref().map(ToString::to_string),
        dependencies: dependencies(outlined, unit),
        criticality: Some(unit.assignment.criticality.to_string()),
        writes: unit.assignment.manifest.writes.entries().to_vec(),
        reads: unit.assignment.manifest.reads.entries().to_vec(),
        fix_attempts: unit.counters.fix_attempts,
        escalated: unit.escalated(),
        escalated_at: unit.counters.escalated_at.map(WallMs::rfc3339),
        original_agent: unit.counters.original_agent.as_ref().map(ToString::to_string),
        last_review_severity: unit.last_severity().map(|severity| severity.to_string()),
        review_history: unit.review.history.iter().map(history).collect(),
        blocked_reason: blocked_reason(unit, by, upstream),
        blocked_by,
        exit_code: report.and_then(|report| report.exit_code).or(last.and_then(Attempt::exit_code)).map(i64::from),
        output: report.map(|report| report.summary.clone()).filter(|summary| !summary.is_empty()),
        error: report.and_then(|report| report.error.clone()).or_else(|| last.and_then(|last| last.error().map(str::to_owned))),
        files_changed: if facts_known {
            unit.files()
        } else {
            report.map(|report| report.files_changed.clone()).filter(|files| !files.is_empty()).unwrap_or_else(|| unit.files())
        },
        coverage: report.and_then(|report| report.coverage.clone()),
        coverage_num: report.and_then(|report| report.coverage_num),
        tests_passed: report.and_then(|report| report.tests_passed),
        tests_failed: report.and_then(|report| report.tests_failed),
        target_window: windows.get(&unit.id).cloned(),
        completed_at: unit.completed_at().map(WallMs::rfc3339),
        ..task_of_plan(run, outlined.own())
    }
}

fn subtask(run: &Run, unit: &Unit, task: &Task, states: &BTreeMap<&str, SubtaskState>) -> MirrorTask {
    let state = states.get(task.id.as_str()).copied().unwrap_or(task.status);
    let error = unit.spec.subtasks.iter().find(|leaf| leaf.id == task.id).and_then(|leaf| leaf.error.clone());
    MirrorTask {
        status: view::shown_state(task, state, states).to_string(),
        task_type: unit.assignment.unit_type.to_string(),
        dependencies: task.depends_on.iter().map(|dependency| dependency.task.to_string()).collect(),
        writes: task.writes.clone(),
        reads: task.reads.clone(),
        blocked_reason: error.clone().filter(|_| state == SubtaskState::Blocked),
        error,
        ..task_of_plan(run, task)
    }
}

/// What the plan alone says.
fn task_of_plan(run: &Run, task: &Task) -> MirrorTask {
    MirrorTask {
        task_id: task.id.to_string(),
        description: task.title.clone(),
        is_optional: task.optional,
        parent_id: task.parent.as_ref().map(ToString::to_string),
        subtasks: task.subtasks.iter().map(ToString::to_string).collect(),
        details: plain(&task.details),
        max_fix_attempts: FIX_ATTEMPTS_MAX,
        created_at: Some(run.origin.created_at.rfc3339()),
        ..MirrorTask::default()
    }
}

/// Detail lines without their bullets, as readers know them; fenced text stays as it is.
fn plain(details: &[String]) -> Vec<String> {
    let mut fenced = false;
    let mut lines = Vec::with_capacity(details.len());
    for line in details {
        let text = line.trim_start();
        let is_fence = text.starts_with("```") || text.starts_with("~~~");
        if is_fence || fenced {
            lines.push(line.clone());
        } else {
            let bullet = ["- ", "* ", "+ "].iter().find_map(|bullet| text.strip_prefix(bullet));
            lines.push(bullet.unwrap_or(text).trim().to_owned());
        }
        fenced ^= is_fence;
    }
    lines
}

/// The plan's dependencies, then those that assignment added.
fn dependencies(outlined: &Outlined, unit: &Unit) -> Vec<String> {
    let mut all: Vec<String> = outlined.depends_on.iter().map(ToString::to_string).collect();
    for id in &unit.assignment.depends_on {
        if !outlined.depends_on.contains(id) {
            all.push(id.to_string());
        }
    }
    all
}

/// The mirror knows eight words.
fn shown_state(unit: &Unit, by: Option<&Unit>) -> UnitState {
    match unit.state() {
        UnitState::Skipped | UnitState::Cancelled => UnitState::Blocked,
        UnitState::NotStarted if by.is_some() => UnitState::Blocked,
        state => state,
    }
}

fn blocked_reason(unit: &Unit, by: Option<&Unit>, upstream: &Upstream<'_>) -> Option<String> {
    match (unit.state(), by) {
        (UnitState::Blocked, _) => Some(unit.reason().unwrap_or("blocked").to_owned()),
        (UnitState::Skipped | UnitState::Cancelled, _) => Some(match unit.reason().filter(|reason| !reason.is_empty()) {
            // `skipped by a person` says what it is.
            Some(reason) if reason.starts_with(unit.state().as_str()) => reason.to_owned(),
            Some(reason) => format!("{}: {reason}", unit.state()),
            None => unit.state().to_string(),
        }),
        (_, Some(by)) => Some(upstream.reason(by)),
        _ => None,
    }
}

fn history(entry: &roundtable_shared::ReviewHistoryEntry) -> MirrorHistory {
    let finding = |finding: &roundtable_shared::HistoryFinding| MirrorHistoryFinding {
        severity: finding.severity.to_string(),
        summary: finding.summary.clone(),
        details: finding.details.clone(),
    };
    MirrorHistory {
        attempt: entry.attempt,
        severity: entry.severity.to_string(),
        findings: entry.findings.iter().map(finding).collect(),
        reviewed_at: Some(entry.reviewed_at.rfc3339()),
    }
}

fn findings(run: &Run) -> Vec<MirrorFinding> {
    let mut all: Vec<&Finding> = run.units().flat_map(|unit| &unit.review.findings).collect();
    all.sort_by_key(|finding| finding.created_at);
    let issue = |issue: &roundtable_shared::Issue| MirrorIssue {
        description: issue.description.clone(),
        severity: issue.severity.to_string(),
        file: issue.file.clone(),
        line: issue.line,
    };
    let mirrored = all.into_iter().map(|finding| MirrorFinding {
        task_id: finding.task_id.to_string(),
        reviewer: finding.reviewer.clone(),
        severity: finding.severity.to_string(),
        summary: finding.summary.clone(),
        details: finding.details.clone().unwrap_or_default(),
        created_at: Some(finding.created_at.rfc3339()),
        round: finding.round,
        issues: finding.issues.iter().map(issue).collect(),
    });
    mirrored.collect()
}

fn reports(run: &Run) -> Vec<MirrorReport> {
    let mut all: Vec<&roundtable_shared::FinalReport> = run.units().flat_map(|unit| &unit.review.final_reports).collect();
    all.sort_by_key(|report| report.created_at);
    let mirrored = all.into_iter().map(|report| MirrorReport {
        task_id: report.task_id.to_string(),
        overall_severity: report.overall_severity.to_string(),
        summary: report.summary.clone(),
        finding_count: report.finding_count,
        created_at: Some(report.created_at.rfc3339()),
    });
    mirrored.collect()
}

/// One item per task, the newest: readers show each once.
fn blocked_items(run: &Run) -> Vec<MirrorBlocked> {
    let mut seen = BTreeSet::new();
    let mut items: Vec<MirrorBlocked> = Vec::new();
    for item in run.people.blocked_items.iter().rev().filter(|item| seen.insert(item.task_id.as_str())) {
        let dependants = view::dependants(run, &item.task_id.unit());
        items.push(MirrorBlocked {
            task_id: item.task_id.to_string(),
            blocking_reason: item.blocking_reason.clone(),
            dependent_tasks: dependants.iter().map(|unit| unit.id.to_string()).collect(),
            required_resolution: item.required_resolution.clone(),
            created_at: Some(item.created_at.rfc3339()),
        });
    }
    items.reverse();
    items
}

fn decisions(run: &Run) -> Vec<MirrorDecision> {
    let mirrored = view::open_decisions(run).into_iter().map(|decision| MirrorDecision {
        id: decision.id.to_string(),
        task_id: view::decision_task(decision),
        priority: decision.priority.to_string(),
        context: decision.context.clone(),
        options: decision.options.clone(),
        created_at: Some(decision.created_at.rfc3339()),
    });
    mirrored.collect()
}

fn deferred(run: &Run) -> Vec<MirrorDeferred> {
    let mirrored = run.people.deferred_fixes.iter().map(|fix| MirrorDeferred {
        task_id: fix.task_id.to_string(),
        description: fix.description.clone(),
        severity: fix.severity.to_string(),
        created_at: Some(fix.created_at.rfc3339()),
    });
    mirrored.collect()
}

fn extra(state: &State, run: &Run) -> MirrorExtra {
    // None is said too where the plan asks for some: else it would be asked for again by whoever goes on from here.
    let asks = |unit: &Unit| {
        !unit.assignment.requires.is_empty() || run.origin.outline.unit(unit.id.as_str()).is_some_and(|own| !own.requires.is_empty())
    };
    let in_state = |state: UnitState| run.units().filter(|unit| unit.state() == state).map(|unit| unit.id.to_string()).collect();
    MirrorExtra {
        run: run.id.to_string(),
        status: view::run_status(state, run).to_string(),
        mode: run.options.mode.to_string(),
        branch: view::branch(&run.id),
        base: run.origin.base.to_string(),
        head: run.branch.tip.to_string(),
        exit: view::exit_code(state, run),
        skipped: in_state(UnitState::Skipped),
        cancelled: in_state(UnitState::Cancelled),
        not_running: run
            .units()
            .filter(|unit| !unit.spec.runs && unit.state() != UnitState::Completed)
            .map(|unit| unit.id.to_string())
            .collect(),
        commits: run.units().filter_map(|unit| Some((unit.id.to_string(), unit.commit()?.to_string()))).collect(),
        requires: run.units().filter(|unit| asks(unit)).map(|unit| (unit.id.to_string(), unit.assignment.requires.clone())).collect(),
    }
}
