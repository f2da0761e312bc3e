//! Work is accepted: within its manifest, it goes on to review.

use roundtable_shared::{RunId, UnitId, UnitState};

use crate::planted::{Bug, planted};
use crate::state::Work;
use crate::transition::Fact;
use crate::txn::Txn;

/// The work lies within the manifest: claims what it needs, and goes to review (or on, if it changes nothing).
pub(crate) fn accept(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, work: Work, claim: Vec<String>, paths: Vec<String>) {
    if !claim.is_empty() {
        d.emit(run, Fact::ManifestClaimed { unit: unit.clone(), paths: claim });
    }
    let settles = d.unit(run, unit).claims_all();
    d.emit(run, Fact::WorkAccepted { unit: unit.clone(), work, changed: paths.clone() });
    let is_empty = paths.is_empty();
    if settles {
        d.emit(run, Fact::ManifestSettled { unit: unit.clone(), paths });
    }
    let now = d.unit(run, unit);
    let (had_breach, had_fix, state) = (now.work.breach.is_some(), now.fix().is_some(), now.state());
    // An empty change of a turn needs no review; a person's commit is looked at whatever it changes.
    let needs_none = is_empty && state == UnitState::InProgress;
    let reviewers = if needs_none || planted(Bug::ReviewSkipped) { 0 } else { now.assignment.criticality.reviewers() };
    if had_breach {
        d.emit(run, Fact::BreachRecorded { unit: unit.clone(), breach: None });
    }
    if had_fix {
        d.emit(run, Fact::FixSet { unit: unit.clone(), cause: None });
    }
    d.emit(run, Fact::RoundOpened { unit: unit.clone(), reviewers });
    let to = if needs_none { UnitState::FinalReview } else { UnitState::PendingReview };
    d.move_unit(run, unit, to, None);
}
