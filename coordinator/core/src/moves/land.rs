//! The branch has moved past units: they are completed.

use roundtable_shared::limits::LEARNINGS_MAX;
use roundtable_shared::{RunId, UnitId, UnitState};

use crate::moves::{orchestrator, review, step};
use crate::state::{InFlight, Learning};
use crate::transition::Fact;
use crate::txn::Txn;

/// All that was intended is integrated, in order.
pub(crate) fn pass(d: &mut Txn<'_>, run: &RunId) {
    let intended: Vec<InFlight> = d.run(run).branch.train.intended().cloned().collect();
    for InFlight { unit, candidate, .. } in intended {
        match candidate {
            Some(candidate) if !candidate.empty => {
                d.emit(run, Fact::Integrated { unit: unit.clone(), commit: candidate.commit, changed: candidate.changed });
            }
            _ => d.emit(run, Fact::CompletedWithoutChange { unit: unit.clone() }),
        }
        complete(d, run, &unit);
    }
}

/// A unit has come to its end.
fn complete(d: &mut Txn<'_>, run: &RunId, unit: &UnitId) {
    review::defer_minor(d, run, unit);
    review::clear_blocked_item(d, run, unit);
    keep_learnings(d, run, unit);
    d.move_unit(run, unit, UnitState::Completed, None);
    step::unit_done(d, run, unit);
    orchestrator::due(d, run, &format!("unit {unit} is completed"));
}

/// What a completed unit learned is kept for the closing commit, within its bounds.
fn keep_learnings(d: &mut Txn<'_>, run: &RunId, unit: &UnitId) {
    let (now, of) = (d.run(run), d.unit(run, unit));
    let Some(report) = &of.work.report else { return };
    let mut known: Vec<String> = now.branch.learnings.iter().map(|learning| learning.text.to_lowercase()).collect();
    let mut learnings = Vec::new();
    for text in &report.learnings {
        let folded = text.to_lowercase();
        if known.len() >= LEARNINGS_MAX || known.contains(&folded) {
            continue;
        }
        known.push(folded);
        learnings.push(Learning { unit: unit.clone(), text: text.clone(), paths: of.work.changed.clone() });
    }
    if !learnings.is_empty() {
        d.emit(run, Fact::LearningsAdded { learnings });
    }
}
