//! Answers of the shell to effects, and effects that failed. Each is idempotent: one that no longer fits the state is ignored.

mod closed;
mod merged;
mod moved;
mod prepared;

use roundtable_shared::{LeaseRef, RunId, UnitId};

use crate::command::ShellAnswer;
use crate::fleet::Errand;
use crate::moves::{close, loss, run};
use crate::rules::owed;
use crate::state::{LostCause, Stage};
use crate::txn::Txn;

/// Failures of one effect in a row before the run is halted.
const ERRAND_FAILURES_MAX: u32 = 6;

/// First pause before a failed effect is repeated; doubles.
const ERRAND_RETRY_MS: u64 = 1_000;

/// Folds an answer in; one that no longer fits is ignored.
pub(crate) fn answer(d: &mut Txn<'_>, answer: ShellAnswer) {
    match answer {
        ShellAnswer::GrantFailed { lease, reason } => {
            give_credit_back(d, &lease);
            if d.state().current(&lease).is_some() {
                let is_halted = d.run(&lease.key.run).life.halted.is_some();
                let cause = if is_halted { LostCause::HandedBack } else { LostCause::GrantFailed };
                loss::lose(d, &lease.key, cause, &reason);
            }
        }
        ShellAnswer::IntegrationPrepared { run, unit, tip, of, ticks, result } => {
            unless_stale(d, &run, Some(&unit), |d| prepared::prepared(d, &run, &unit, (&tip, &of, ticks.as_slice()), result));
        }
        ShellAnswer::BranchMoved { run, tip } => unless_stale(d, &run, None, |d| moved::branch_moved(d, &run, &tip)),
        ShellAnswer::Merged { run, unit, tip, of, result } => {
            unless_stale(d, &run, Some(&unit), |d| merged::merged(d, &run, &unit, (&tip, &of), result));
        }
        ShellAnswer::RunClosed { run, commit } => unless_stale(d, &run, None, |d| closed::closed(d, &run, commit)),
        ShellAnswer::RepositoryLost { run, reason } => {
            if d.state().run(&run).is_some() {
                d.fleet.errands.retain(|(other, _), _| *other != run);
                run::halt(d, &run, reason, "coordinator".to_owned());
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

/// A grant that never reached its worker took none of its slots. The worker, which knows nothing of it, would not ask again.
fn give_credit_back(d: &mut Txn<'_>, lease: &LeaseRef) {
    let Some(attempt) = d.state().attempt(&lease.key).filter(|attempt| attempt.granted.lease_id == lease.lease_id) else { return };
    let (worker, pool) = (attempt.granted.worker.clone(), attempt.granted.pool.clone());
    if let Some(worker) = d.fleet.workers.get_mut(&worker).filter(|worker| worker.connected) {
        let credits = worker.credits.entry(pool).or_default();
        *credits = credits.saturating_add(1);
    }
}

/// An answer that fits ends the failures of what it answers, and of nothing else: another effect of the run may still have to be repeated.
fn unless_stale(d: &mut Txn<'_>, run: &RunId, unit: Option<&UnitId>, fold: impl FnOnce(&mut Txn<'_>)) {
    let before = d.state().seq;
    fold(d);
    if d.state().seq != before {
        d.fleet.errands.remove(&(run.clone(), unit.cloned()));
    }
}

fn failed(d: &mut Txn<'_>, run: RunId, unit: Option<UnitId>, reason: String) {
    let Some(now) = d.state().run(&run) else { return };
    if now.is_ended() || owed::owed_effects(now).is_empty() {
        return;
    }
    let is_closing = now.stage() == Stage::Closing;
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
        run::halt(d, &run, text, "coordinator".to_owned());
    }
}
