//! Answers of the shell to effects, effects that failed, and which effects a run owes after a crash.

use roundtable_shared::{LeaseRef, RunId, UnitId};

use super::{Deciding, attempt, close, integrate, land, merge};
use crate::command::ShellAnswer;
use crate::effect::Effect;
use crate::fleet::Errand;
use crate::planted::{Bug, planted};
use crate::state::{LostCause, Run, Stage};

/// Failures of one effect in a row before the run is halted.
const ERRAND_FAILURES_MAX: u32 = 6;
/// First pause before a failed effect is repeated; doubles.
const ERRAND_RETRY_MS: u64 = 1_000;

/// Folds an answer in; one that no longer fits is ignored.
pub(super) fn answer(d: &mut Deciding<'_>, answer: ShellAnswer) {
    match answer {
        ShellAnswer::GrantFailed { lease, reason } => {
            give_credit_back(d, &lease);
            if d.state().current(&lease).is_some() {
                let is_halted = d.run(&lease.key.run).halted.is_some();
                let cause = if is_halted { LostCause::HandedBack } else { LostCause::GrantFailed };
                attempt::lose(d, &lease.key, cause, &reason);
            }
        }
        ShellAnswer::IntegrationPrepared { run, unit, tip, of, ticks, result } => {
            unless_stale(d, &run, Some(&unit), |d| integrate::prepared(d, &run, &unit, (&tip, &of, ticks.as_slice()), result));
        }
        ShellAnswer::BranchMoved { run, tip } => unless_stale(d, &run, None, |d| land::branch_moved(d, &run, &tip)),
        ShellAnswer::Merged { run, unit, tip, of, result } => {
            unless_stale(d, &run, Some(&unit), |d| merge::merged(d, &run, &unit, (&tip, &of), result));
        }
        ShellAnswer::RunClosed { run, commit } => unless_stale(d, &run, None, |d| close::closed(d, &run, commit)),
        ShellAnswer::RepositoryLost { run, reason } => {
            if d.state().run(&run).is_some() {
                d.fleet.errands.retain(|(other, _), _| *other != run);
                close::halt(d, &run, reason, "coordinator".to_owned());
            }
        }
        ShellAnswer::RefsRestored { run, text } => {
            if d.state().run(&run).is_some_and(|run| !run.is_ended()) {
                d.notice(&run, text);
            }
        }
        ShellAnswer::Failed { run, unit, reason } => failed(d, run, unit, reason),
    }
}

/// Effects a run owes by its state alone. Each is idempotent.
pub(crate) fn owed_effects(run: &Run) -> Vec<Effect> {
    let mut owed: Vec<Effect> = run.units().filter_map(|unit| merge::effect(run, unit)).collect();
    owed.extend(integrate::effects(run));
    if run.stage == Stage::Closing {
        owed.extend(close::effect(run).or(Some(Effect::CloseRun {
            run: run.id.clone(),
            tip: run.tip.clone(),
            ticks: Vec::new(),
            learnings: Vec::new(),
        })));
    }
    owed
}

/// Repeats effects that failed and whose pause is over.
pub(super) fn repeat_due(d: &mut Deciding<'_>) {
    let now = d.now.mono_ms;
    let is_due = |errand: &Errand| errand.due_ms.is_some_and(|due| due <= now) && !planted(Bug::ErrandForgotten);
    let due = d.fleet.errands.iter_mut().filter(|(_, errand)| is_due(errand));
    let mut runs: Vec<RunId> = Vec::new();
    for ((run, _), errand) in due {
        errand.due_ms = None;
        if !runs.contains(run) {
            runs.push(run.clone());
        }
    }
    for run in runs {
        repeat_owed(d, &run);
    }
}

/// All effects a run owes, once more.
pub(super) fn repeat_owed(d: &mut Deciding<'_>, run: &RunId) {
    for effect in owed_effects(d.run(run)) {
        d.effect(effect);
    }
}

/// A grant that never reached its worker took none of its slots. The worker, which knows nothing of it, would not ask again.
fn give_credit_back(d: &mut Deciding<'_>, lease: &LeaseRef) {
    let Some(attempt) = d.state().attempt(&lease.key).filter(|attempt| attempt.lease_id == lease.lease_id) else { return };
    let (worker, pool) = (attempt.worker.clone(), attempt.pool.clone());
    if let Some(worker) = d.fleet.workers.get_mut(&worker).filter(|worker| worker.connected) {
        let credits = worker.credits.entry(pool).or_default();
        *credits = credits.saturating_add(1);
    }
}

/// An answer that fits ends the failures of what it answers, and of nothing else: another effect of the run may still have to be repeated.
fn unless_stale(d: &mut Deciding<'_>, run: &RunId, unit: Option<&UnitId>, fold: impl FnOnce(&mut Deciding<'_>)) {
    let before = d.state().seq;
    fold(d);
    if d.state().seq != before {
        d.fleet.errands.remove(&(run.clone(), unit.cloned()));
    }
}

fn failed(d: &mut Deciding<'_>, run: RunId, unit: Option<UnitId>, reason: String) {
    let Some(now) = d.state().run(&run) else { return };
    if now.is_ended() || owed_effects(now).is_empty() {
        return;
    }
    let is_closing = now.stage == Stage::Closing;
    let errand = d.fleet.errands.entry((run.clone(), unit)).or_insert(Errand { failures: 0, due_ms: None });
    errand.failures += 1;
    let failures = errand.failures;
    errand.due_ms = Some(d.now.mono_ms.saturating_add(ERRAND_RETRY_MS << failures.min(10)));
    if failures < ERRAND_FAILURES_MAX {
        return;
    }
    d.fleet.errands.retain(|(other, _), _| *other != run);
    if is_closing {
        close::end_without_closing(d, &run, &reason);
    } else {
        let text =
            format!("the coordinator's own work on the repository failed {failures} times, last: {reason}; put that right and run again");
        close::halt(d, &run, text, "coordinator".to_owned());
    }
}
