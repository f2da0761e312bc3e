//! `run|summary|wait --json`: where a run stands or how it ended, and the exact commands to go on with.

use roundtable_core::command::Now;
use roundtable_core::fleet::Fleet;
use roundtable_core::state::{Run, State};
use roundtable_runtime::terminal::shell_word;
use roundtable_shared::time::WallMs;
use roundtable_shared::view::{AloneView, SummaryView, WAITING_MAX};
use roundtable_shared::{Mode, Role, RunOptions, UnitId, UnitState};

use super::findings::{finding, open_findings};
use super::unit;
use super::viewer::Viewer;
use super::{decisions, run as runs};

/// The summary.
pub fn summary(state: &State, fleet: &Fleet, now: Now, run: &Run) -> SummaryView {
    let units = unit::units(&mut Viewer::new(state, fleet, now, run, WAITING_MAX));
    let exit = runs::exit_code(state, run);
    SummaryView {
        run: run.id.to_string(),
        exit,
        status: runs::run_status(state, run).into(),
        spec: run.origin.source.spec_path.clone(),
        branch: runs::branch(&run.id),
        base: run.origin.base.to_string(),
        head: run.branch.tip.to_string(),
        started_branch: run.origin.started_branch.clone(),
        accepted: run.life.accepted.as_ref().map(|accepted| accepted.branch.clone()),
        counts: runs::counts(run, &units),
        units,
        decisions: decisions::decisions(run, now.wall, false),
        findings: run.units().flat_map(|unit| open_findings(unit).map(move |each| finding(unit, each))).collect(),
        usage: run.progress.usage,
        duration_ms: run.worked_ms(now.wall),
        waited: runs::waited(run, now.wall),
        notices: runs::notices(run),
        next: next(run, exit),
        resume: resume(run),
        alone: alone(run, now.wall),
        removed_at: run.life.removed.as_ref().map(|removed| removed.at.rfc3339()),
    }
}

/// Units that ran without a manifest, and the time in which one of them was at work.
fn alone(run: &Run, now: WallMs) -> AloneView {
    let (mut units, mut spans): (Vec<UnitId>, Vec<(WallMs, WallMs)>) = (Vec::new(), Vec::new());
    for unit in run.in_order().filter(|unit| unit.assignment.exclusive && !unit.spec.checkpoint) {
        // Each attempt by itself: what is waited for between two of them is no part of the duration this is compared with.
        let work = unit.attempts.iter().filter(|attempt| attempt.granted.role == Role::Implement);
        let own: Vec<(WallMs, WallMs)> = work.map(|attempt| (attempt.granted_at, attempt.ended_at().unwrap_or(now))).collect();
        if !own.is_empty() {
            units.push(unit.id.clone());
            spans.extend(own);
        }
    }
    spans.sort();
    let (mut ms, mut until) = (0, WallMs(0));
    for (from, to) in spans {
        ms += to.since(from.max(until));
        until = until.max(to);
    }
    AloneView { units, ms }
}

/// Commands to go on with, most useful first.
fn next(run: &Run, exit: Option<u8>) -> Vec<String> {
    let id = shell_word(run.id.as_str());
    let mut next: Vec<String> = Vec::new();
    let to_accept = runs::can_be_accepted(run);
    match exit {
        Some(0) => {
            if to_accept {
                next.extend([format!("orchctl diff {id}"), format!("orchctl accept {id}")]);
            }
        }
        Some(code) => {
            if !run.people.decisions.is_empty() {
                next.push(format!("orchctl decisions {id}"));
            }
            if run.options.mode == Mode::Manual && run.ended().is_none() {
                next.push(format!("orchctl step {id} {}", next_step(run)));
            } else {
                next.push(resume(run));
            }
            if to_accept && code != 2 {
                next.push(format!("orchctl accept {id} --partial"));
            }
        }
        None => {
            next.push(format!("orchctl status {id} --watch"));
            if !run.people.decisions.is_empty() {
                next.push(format!("orchctl decisions {id}"));
            }
            next.push(format!("orchctl wait {id}"));
        }
    }
    next
}

/// The command that goes on with this run, or starts one for what it left open.
fn resume(run: &Run) -> String {
    let (options, usual) = (&run.options, RunOptions::default());
    let mut command =
        format!("orchctl run --spec {} --workdir {}", shell_word(&run.origin.source.spec_path), shell_word(&run.origin.source.workdir));
    // What shapes the plan must be said again: without it, it would be another run.
    if options.mode != usual.mode {
        command.push_str(&format!(" --mode {}", options.mode));
    }
    if options.with_optional {
        command.push_str(" --with-optional");
    }
    if !options.only.is_empty() {
        command.push_str(&format!(" --only {}", shell_word(&options.only.join(","))));
    }
    if options.hazards != usual.hazards {
        command.push_str(&format!(" --hazards {}", options.hazards));
    }
    if options.manifest != usual.manifest {
        command.push_str(&format!(" --manifest {}", options.manifest));
    }
    if run.ended().is_some() {
        // The same again would only tell how it ended.
        command.push_str(" --fresh");
    }
    command
}

/// Manual mode: the phase that has something to do.
fn next_step(run: &Run) -> &'static str {
    let any = |state: UnitState| run.units().any(|unit| unit.spec.runs && unit.state() == state);
    let unassigned = run
        .units()
        .any(|unit| unit.spec.runs && !unit.state().is_terminal() && (unit.assignment.owner.is_none() || unit.assignment.window.is_none()));
    if unassigned {
        "assign"
    } else if any(UnitState::FinalReview)
        || run.units().any(|unit| unit.state() == UnitState::UnderReview && unit.missing_reviews().next().is_none())
    {
        "consolidate"
    } else if any(UnitState::PendingReview) || any(UnitState::UnderReview) {
        "reviews"
    } else if any(UnitState::NotStarted) || any(UnitState::FixRequired) || any(UnitState::InProgress) {
        "dispatch"
    } else {
        "sync-pulse"
    }
}
