//! The orchestrator agent of llm mode: when it is due, and when it is given up (docs/rules.md, "Modes"). Nothing ready waits for it, except phases
//! it asked to hold back, and those not for long.

use roundtable_shared::RunId;

use crate::state::{Run, Stage};
use crate::transition::Fact;
use crate::txn::Txn;

/// Consultations failed in a row after which the run goes on without it.
const FAILURES_MAX: u32 = 2;

/// Something happened that it is to hear of.
pub(crate) fn due(d: &mut Txn<'_>, run: &RunId, why: &str) {
    let now = d.run(run);
    if now.agents.orchestrator.enabled && now.agents.orchestrator.wanted.is_none() && now.stage() == Stage::Working && !now.is_done() {
        d.emit(run, Fact::ConsultationWanted { why: why.to_owned(), at_end: false });
    }
}

/// Whether the run may not end before it was heard.
pub(crate) fn is_owed_at_end(run: &Run) -> bool {
    run.agents.orchestrator.enabled && !run.agents.orchestrator.heard_at_end
}

/// It is to be heard before the end.
pub(crate) fn due_at_end(d: &mut Txn<'_>, run: &RunId) {
    let agent = &d.run(run).agents.orchestrator;
    let is_due = agent.wanted.as_ref().is_some_and(|wanted| wanted.at_end) || agent.current.as_ref().is_some_and(|current| current.at_end);
    if !is_due {
        d.emit(run, Fact::ConsultationWanted { why: "every unit is at its end".to_owned(), at_end: true });
    }
}

/// A consultation came to nothing: once more, then it has failed.
pub(crate) fn failed(d: &mut Txn<'_>, run: &RunId, reason: &str) {
    let again = !d.run(run).agents.orchestrator.asked_again;
    d.emit(run, Fact::ConsultationFailed { reason: reason.to_owned(), again });
    give_up_if_hopeless(d, run, reason);
}

/// A consultation had no answer in time: it has failed.
pub(crate) fn no_answer(d: &mut Txn<'_>, run: &RunId) {
    let reason = "no answer in time";
    d.emit(run, Fact::ConsultationFailed { reason: reason.to_owned(), again: false });
    give_up_if_hopeless(d, run, reason);
}

fn give_up_if_hopeless(d: &mut Txn<'_>, run: &RunId, reason: &str) {
    if d.run(run).agents.orchestrator.failures >= FAILURES_MAX {
        give_up(d, run, &format!("{FAILURES_MAX} consultations in a row failed, last: {reason}"));
    }
}

/// The run goes on without it.
pub(crate) fn give_up(d: &mut Txn<'_>, run: &RunId, reason: &str) {
    if d.run(run).agents.orchestrator.enabled {
        d.emit(run, Fact::OrchestratorDropped { reason: reason.to_owned() });
        d.notice(run, format!("going on without the orchestrator agent: {reason}"));
    }
}
