//! A run is run again: a halt is over, effects left owed are done, and what was given this time holds from here on.

use roundtable_shared::{DecisionKind, Mode, RunId, RunOptions};

use crate::change::Rejection;
use crate::moves::ask::withdraw;
use crate::moves::{errand, flight, orchestrator, step};
use crate::state::BaseCheck;
use crate::transition::Fact;
use crate::txn::Txn;

/// `mode` is `None` where none was asked for: then the run keeps its own.
pub(crate) fn attach(d: &mut Txn<'_>, run: &RunId, given: &RunOptions, mode: Option<Mode>) -> Result<(), Rejection> {
    let now = d.run(run);
    let given = RunOptions { mode: mode.unwrap_or(now.options.mode), ..given.clone() };
    let (revised, changed) = now.options.revised(&given);
    if now.life.halted.is_some() || revised != *now.options {
        let (had_mode, had_check, is_planned) = (now.options.mode, now.options.check.clone(), now.agents.plan_source.is_some());
        d.emit(run, Fact::RunAttached { embedded: given.embedded, options: Some(Box::new(revised.clone())) });
        if !changed.is_empty() {
            d.notice(run, format!("from here on with what was given now: {}", changed.join(", ")));
        }
        if had_mode == Mode::Llm && revised.mode != Mode::Llm {
            orchestrator::give_up(d, run, &format!("run again with --mode {}", revised.mode));
        }
        if is_planned && had_check != revised.check {
            check_anew(d, run);
        }
        errand::repeat_owed(d, run);
    }
    // A phase that somebody opened and left would keep whoever waits for the run for ever.
    step::abandon(d, run);
    d.done(format!("run {run} goes on"));
    Ok(())
}

/// Another check: what the earlier one said of the base and of candidates is void, and so is what was asked about it.
fn check_anew(d: &mut Txn<'_>, run: &RunId) {
    flight::drop_all(d, run, "there is another check");
    let asked = DecisionKind::CheckRedOnBase.id(None);
    if d.is_open(run, &asked) {
        withdraw(d, run, &asked, "there is another check");
    }
    d.emit(run, Fact::BaseChecked { result: BaseCheck::Wanted { red: 0, lost: 0, retry_at: None } });
}
