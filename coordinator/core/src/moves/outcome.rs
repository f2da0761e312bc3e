//! An outcome is accepted, or its provider refused.

use roundtable_shared::{AttemptKey, FailureKind, OutcomeClass};

use crate::command::Report;
use crate::moves::park;
use crate::planted::{Bug, planted};
use crate::state::AttemptEnd;
use crate::transition::{AttemptResult, Fact};
use crate::txn::Txn;

/// Records the end of the attempt (I2): the first fact of everything that follows from its outcome.
pub(crate) fn ended(d: &mut Txn<'_>, report: &Report, end: AttemptEnd, class: Option<OutcomeClass>, error: Option<String>) {
    let facts = &report.facts;
    let result = AttemptResult {
        end,
        class,
        error,
        exit_code: facts.exit_code,
        digest: report.digest.clone(),
        commit: facts.commit.clone(),
        agent_session: facts.agent_session.clone(),
        usage: facts.usage,
        events: facts.last_event_seq,
    };
    let key = &report.lease.key;
    let fact = Fact::AttemptEnded { unit: key.unit.clone(), attempt: key.attempt, result: Box::new(result) };
    d.emit(&key.run, fact);
    if class != Some(OutcomeClass::Provider) {
        park::worked(d, report);
    }
}

/// A provider refused: its backend and account are parked. Costs the unit nothing.
pub(crate) fn provider_failed(d: &mut Txn<'_>, key: &AttemptKey, kind: &FailureKind, message: &str) {
    if !planted(Bug::RefusalForgotten) {
        park::park(d, key, kind, message);
    }
}
