//! Decisions: a person is asked, or asked no more.

use roundtable_shared::{BackendName, Decision, DecisionId, DecisionKind, Priority, RunId, UnitId};

use crate::schedule::choices;
use crate::schedule::choices::About;
use crate::transition::Fact;
use crate::txn::Txn;

/// Asks a person, once.
pub(crate) fn raise(d: &mut Txn<'_>, run: &RunId, kind: DecisionKind, unit: Option<&UnitId>, context: String) {
    ask(d, run, kind, About { unit, backend: None, requires: &[] }, context);
}

/// Asks a person about a backend that nobody who has these labels offers, once.
pub(crate) fn raise_no_worker(d: &mut Txn<'_>, run: &RunId, backend: &BackendName, requires: &[String], context: String) {
    ask(d, run, DecisionKind::NoWorker, About { unit: None, backend: Some(backend), requires }, context);
}

fn ask(d: &mut Txn<'_>, run: &RunId, kind: DecisionKind, about: About<'_>, context: String) {
    let id = kind.id(about.word().as_deref());
    if d.is_open(run, &id) {
        return;
    }
    let (options, keywords) = choices::options(d, run, kind, &about);
    let decision = Decision {
        id,
        kind,
        unit: about.unit.cloned(),
        backend: about.backend.cloned(),
        requires: about.requires.to_vec(),
        priority: priority(kind),
        context,
        options,
        keywords,
        created_at: d.now.wall,
        answer: None,
    };
    d.emit(run, Fact::DecisionRaised { decision: Box::new(decision) });
}

/// Takes a question back that nobody needs to answer any more.
pub(crate) fn withdraw(d: &mut Txn<'_>, run: &RunId, id: &DecisionId, reason: &str) {
    if d.is_open(run, id) {
        d.emit(run, Fact::DecisionWithdrawn { id: id.clone(), reason: reason.to_owned() });
    }
}

/// Takes back all that is asked about a unit.
pub(crate) fn withdraw_of_unit(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, reason: &str) {
    let open = d.run(run).people.decisions.values().filter(|decision| decision.unit.as_ref() == Some(unit));
    let ids: Vec<DecisionId> = open.map(|decision| decision.id.clone()).collect();
    for id in ids {
        withdraw(d, run, &id, reason);
    }
}

fn priority(kind: DecisionKind) -> Priority {
    match kind {
        DecisionKind::HumanFallback => Priority::Critical,
        _ => Priority::High,
    }
}
