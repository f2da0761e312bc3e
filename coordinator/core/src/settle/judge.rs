//! Judging the unit at the head of the train: what its candidate is counts only once everything ahead is integrated or gone.

use roundtable_shared::{CommitId, DecisionKind, RunId, UnitId};

use crate::moves::unit::{Block, block};
use crate::moves::{fix, flight, send_back};
use crate::rules::integration;
use crate::state::{BaseCheck, FixCause, Misfit};
use crate::transition::Fact;
use crate::txn::Txn;

/// The head is sent back if it does not fit or is red; a red one first shows how it is without those that were integrated since the train started.
pub(crate) fn judge_head(d: &mut Txn<'_>, run: &RunId) {
    let now = d.run(run);
    let Some(head) = now.branch.train.head() else { return };
    let unit = head.unit.clone();
    match head.misfit.clone() {
        Some(Misfit::Conflict { paths, evidence }) => {
            flight::leave(d, run, &unit, "it conflicts with the run's branch", true);
            return fix::want_fix(d, run, &unit, FixCause::Conflict { paths, evidence });
        }
        Some(Misfit::Outside { paths }) => {
            // I6: nothing outside the manifest is integrated, whatever made it so.
            flight::leave(d, run, &unit, "its commit goes outside its manifest", true);
            let context = format!("unit {unit}: its commit on the run's branch would change {}", paths.join(", "));
            return block(d, run, &unit, Block { kind: DecisionKind::Breach, reason: "changes outside its manifest".to_owned(), context });
        }
        None => {}
    }
    if !head.is_red() || head.alone.is_some() || !now.has_checks() || now.branch.base_check == BaseCheck::Waived {
        return;
    }
    let evidence = head.checks.evidence.clone();
    match now.alone_tip(&unit) {
        Some(tip) => start_alone(d, run, &unit, tip),
        None => send_back::send_back(d, run, &unit, evidence, false),
    }
}

fn start_alone(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, tip: CommitId) {
    d.emit(run, Fact::AloneStarted { unit: unit.clone(), tip: tip.clone() });
    if d.unit(run, unit).work.changed.is_empty() {
        d.emit(run, Fact::AlonePrepared { unit: unit.clone(), commit: tip });
    } else if let Some(effect) = d.run(run).branch.train.flight(unit).and_then(|flight| integration::preparation(d.run(run), flight)) {
        d.effect(effect);
    }
}
