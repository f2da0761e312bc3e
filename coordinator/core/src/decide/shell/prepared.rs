//! A candidate of the train is made, or does not fit.

use roundtable_shared::{CommitId, RunId, TaskId, UnitId};

use crate::command::Prepared;
use crate::moves::send_back;
use crate::planted::{Bug, planted};
use crate::rules::manifest::judge;
use crate::state::{Candidate, Misfit};
use crate::transition::Fact;
use crate::txn::Txn;

/// The shell's answer; one that no longer fits is ignored, such as a late one about work or a candidate ahead that has been replaced since, or with the
/// box of one ahead that has left.
pub(crate) fn prepared(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, (tip, of, ticks): (&CommitId, &CommitId, &[TaskId]), result: Prepared) {
    let Some(flight) = d.state().run(run).and_then(|run| run.branch.train.flight(unit)) else { return };
    let is_current = d.state().unit(run, unit).and_then(|unit| unit.work.accepted.as_ref()).is_some_and(|work| work.commit == *of);
    if !is_current || flight.ticks.as_slice() != ticks {
        return;
    }
    if flight.alone.as_ref().is_some_and(|alone| alone.commit.is_none() && alone.tip == *tip) {
        return prepared_alone(d, run, unit, tip, result);
    }
    if (flight.tip != *tip && !planted(Bug::StaleCandidate)) || !flight.is_preparing() {
        return;
    }
    let fact = match result {
        Prepared::Conflict { paths, evidence } => {
            Fact::CandidateMisfits { unit: unit.clone(), misfit: Misfit::Conflict { paths, evidence } }
        }
        Prepared::Empty => {
            Fact::CandidatePrepared { unit: unit.clone(), candidate: Candidate { commit: tip.clone(), changed: Vec::new(), empty: true } }
        }
        Prepared::Clean { commit, changed } => {
            let judged = judge(d.run(run), d.unit(run, unit), &changed, false);
            let outside: Vec<String> =
                judged.breach.iter().map(|(path, _)| path).chain(&judged.claim).chain(&judged.contended).cloned().collect();
            if outside.is_empty() {
                let changed = changed.into_iter().map(|change| change.path).collect();
                Fact::CandidatePrepared { unit: unit.clone(), candidate: Candidate { commit, changed, empty: false } }
            } else {
                Fact::CandidateMisfits { unit: unit.clone(), misfit: Misfit::Outside { paths: outside } }
            }
        }
    };
    d.emit(run, fact);
}

/// The unit's commit without those integrated since the train started. Where there can be none, it is red for what it is.
pub(crate) fn prepared_alone(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, tip: &CommitId, result: Prepared) {
    match result {
        Prepared::Clean { commit, .. } => d.emit(run, Fact::AlonePrepared { unit: unit.clone(), commit }),
        Prepared::Empty => d.emit(run, Fact::AlonePrepared { unit: unit.clone(), commit: tip.clone() }),
        Prepared::Conflict { .. } => {
            let evidence = d.run(run).branch.train.flight(unit).map(|flight| flight.checks.evidence.clone()).unwrap_or_default();
            send_back::send_back(d, run, unit, evidence, false);
        }
    }
}
