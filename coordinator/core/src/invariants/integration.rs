//! I1 and I6: a unit is integrated at most once, by intent, after its reviews, and within its manifest. What the train may do until then is in `train`.

use roundtable_shared::{UnitId, UnitState};

use super::{Found, train};
use crate::state::{InFlight, Run, Stage, Unit};
use crate::transition::Fact;

/// What integrations and endings may not do.
pub(super) fn before(found: &mut Found<'_>, run: &Run, fact: &Fact) {
    train::before(found, run, fact);
    match fact {
        Fact::Integrated { unit, commit, changed } => {
            let known = run.branch.integrations.iter().filter(|integration| integration.unit.as_ref() == Some(unit)).count();
            found.unless(known == 0, "I1", || format!("unit {unit} is integrated again"));
            let Some(flight) = first(found, run, unit) else { return };
            let is_candidate = flight.candidate.as_ref().is_some_and(|candidate| candidate.commit == *commit && !candidate.empty);
            found
                .unless(flight.intended && is_candidate, "I1", || format!("unit {unit} is integrated as {commit}, which was not intended"));
            found.unless(flight.tip == run.branch.tip, "I1", || {
                format!("unit {unit} was prepared on {} and is integrated on {}", flight.tip, run.branch.tip)
            });
            if let Some(unit) = run.unit(unit) {
                within(found, unit, changed);
                reviewed(found, unit);
            }
        }
        Fact::CompletedWithoutChange { unit } => {
            let Some(flight) = first(found, run, unit) else { return };
            let is_empty = flight.intended && flight.candidate.as_ref().is_some_and(|candidate| candidate.empty);
            found.unless(is_empty, "I1", || format!("unit {unit} is completed without a change, but not by an empty candidate"));
        }
        Fact::UnitMoved { unit, to: UnitState::Completed, .. } => {
            let is_integrated = run.branch.integrations.last().is_some_and(|last| last.unit.as_ref() == Some(unit));
            let done = is_integrated || run.branch.unticked.contains(unit);
            found.unless(done, "I1", || format!("unit {unit} is completed without having been integrated"));
        }
        Fact::RunEnded { exit, .. } => {
            found.unless(!run.has_live_attempts(), "I7", || "it ends while attempts are live".to_owned());
            found.unless(run.branch.train.flights.is_empty(), "I1", || "it ends while an integration is under way".to_owned());
            let fine = run.units().all(|unit| !unit.spec.runs || matches!(unit.state(), UnitState::Completed | UnitState::Skipped));
            found.unless(*exit != 0 || fine, "I7", || "it ends with exit 0 while units are open or cancelled".to_owned());
        }
        Fact::RunClosed { .. } => found.unless(run.stage() == Stage::Closing, "I1", || format!("it is closed while {:?}", run.stage())),
        _ => {}
    }
}

fn first<'a>(found: &mut Found<'_>, run: &'a Run, unit: &UnitId) -> Option<&'a InFlight> {
    let flight = run.branch.train.flights.first().filter(|flight| flight.unit == *unit);
    found.unless(flight.is_some(), "I1", || format!("unit {unit} is not the first in the train"));
    flight
}

/// I6.
fn within(found: &mut Found<'_>, unit: &Unit, changed: &[String]) {
    for path in changed {
        let covered = unit.assignment.manifest.writes.covers(path) || (unit.assignment.exclusive && !unit.assignment.settled);
        found.unless(covered, "I6", || format!("unit {} integrates {path}, which is not in its manifest", unit.id));
    }
}

/// Every reviewer of its last round was heard, and none wants a fix.
fn reviewed(found: &mut Found<'_>, unit: &Unit) {
    found.unless(unit.state() == UnitState::FinalReview, "I1", || format!("unit {} is integrated in {}", unit.id, unit.state()));
    found.unless(unit.review.reviewers > 0, "I1", || format!("unit {} is integrated with its change unreviewed", unit.id));
    let missing = unit.missing_reviews().count();
    found.unless(missing == 0, "I1", || format!("unit {} is integrated while {missing} reviews are missing", unit.id));
    let open = unit.review.findings.iter().filter(|finding| finding.round == unit.review.round && finding.severity.must_fix()).count();
    found.unless(open == 0, "I1", || format!("unit {} is integrated with {open} findings that must be fixed", unit.id));
}
