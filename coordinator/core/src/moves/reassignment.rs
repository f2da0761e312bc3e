//! Assigning anew, when the orchestrator agent asks for it, what has not started yet (docs/rules.md, "Modes"). Nothing ready waits for the answer, units
//! that have started meanwhile keep what they have, and what a person said stands.

use roundtable_shared::answer::Proposal;
use roundtable_shared::{RunId, Seat, UnitId};

use crate::moves::run;
use crate::rules::planner::Planner;
use crate::state::{PlanSource, Stage, Unit};
use crate::transition::Fact;
use crate::txn::Txn;

/// The assignment agent is to be asked again, once at a time, if there is anything left to ask about.
pub(crate) fn want(d: &mut Txn<'_>, run: &RunId) {
    let now = d.run(run);
    if now.stage() != Stage::Working || now.live(Seat::Assign).is_some() || now.reassignable().next().is_some() {
        return;
    }
    let units: Vec<UnitId> = now.units().filter(|unit| unit.is_reassignable()).map(|unit| unit.id.clone()).collect();
    if !units.is_empty() {
        d.emit(run, Fact::ReassignmentSet { units });
    }
}

/// Its answer, as far as the units it is about have not started since.
pub(crate) fn take(d: &mut Txn<'_>, run: &RunId, proposals: &[Proposal]) {
    let now = d.run(run);
    let units: Vec<&Unit> = now.reassignable().collect();
    let mut planner = Planner::new(now);
    let proposed = units.iter().filter_map(|unit| Some((unit, proposals.iter().find(|proposal| proposal.unit == unit.id)?)));
    let assignments: Vec<_> = proposed.map(|(unit, said)| planner.again(unit, said)).collect();
    let order = planner.order();
    let problems = planner.problems;
    if !assignments.is_empty() {
        d.emit(run, Fact::UnitsPlanned { source: PlanSource::Agent, assignments, order });
        run::forget_missing(d, run);
    }
    d.emit(run, Fact::ReassignmentSet { units: Vec::new() });
    for problem in problems {
        d.notice(run, problem);
    }
}

/// It comes to nothing: what was assigned before stands.
pub(crate) fn give_up(d: &mut Txn<'_>, run: &RunId, reason: &str) {
    d.emit(run, Fact::ReassignmentSet { units: Vec::new() });
    d.notice(run, format!("units are not assigned anew: {reason}"));
}
