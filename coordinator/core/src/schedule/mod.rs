//! Who may run now, and where: readiness, ranking, backends, placement. `explain` answers from these same functions.

mod backend;
mod explain;
mod grant;
mod place;
mod plan;
mod rank;
mod ready;
mod standing;

use std::collections::BTreeSet;

use roundtable_shared::RunId;

use crate::decide::{self, Deciding};
use crate::fleet::Need;
use crate::state::State;

pub use backend::CHECK_BACKEND;
pub(crate) use backend::Resolved;
pub use explain::{WaitKind, Waiting, explain};
pub use plan::{PlanReason, Planned, PlannedUnit, PlannedWait, plan};
pub use ready::is_ready;
pub(crate) use ready::{is_ready_but_for_time, is_ready_for_step, wants_work};
pub use standing::{Standing, first_blocker, standing};

use backend::resolve;
use place::place;
use rank::{Candidate, candidates};

/// Grants all that can be granted now. Work-conserving: whatever can start does.
pub(crate) fn run(d: &mut Deciding<'_>) {
    let runs: Vec<RunId> = d.state().unfinished().map(|run| run.id.clone()).collect();
    let mut missing = BTreeSet::new();
    let candidates = candidates(d.state(), d.now);
    let barriers = ready::barriers(d.state(), d.fleet, d.now);
    for candidate in candidates {
        if ready::is_barred(d.state(), &barriers, &candidate) || !still_ready(d.state(), &candidate, d) {
            continue;
        }
        try_grant(d, &candidate, &mut missing);
    }
    for run in &runs {
        backend::settle_missing(d, run, &missing);
        decide::advance(d, run);
    }
}

/// Grants made before in this pass may have taken what this one needs.
fn still_ready(state: &State, candidate: &Candidate, d: &Deciding<'_>) -> bool {
    let Some(run) = state.run(&candidate.run) else { return false };
    match &candidate.unit {
        Some(unit) => run.unit(unit).is_some_and(|unit| ready::seat_is_due(run, unit, candidate.seat) && is_ready(state, run, unit, d.now)),
        None => true,
    }
}

fn try_grant(d: &mut Deciding<'_>, candidate: &Candidate, missing: &mut BTreeSet<(RunId, Need)>) {
    let Some(run) = d.state().run(&candidate.run) else { return };
    let need = backend::need(run, candidate.unit.as_ref(), candidate.seat);
    match resolve(d.state(), d.fleet, run, &need, d.now) {
        Resolved::Use { backends, substituted } => {
            let Some(placement) = place(d.state(), d.fleet, run, candidate, &backends, d.now) else { return };
            if let Some(wanted) = substituted {
                backend::say_substituted(d, &candidate.run, &wanted, &placement.wanted);
            }
            grant::grant(d, candidate, placement);
        }
        Resolved::Parked { .. } if candidate.unit.is_none() => backend::do_without(d, &candidate.run, &need, true),
        Resolved::Parked { .. } => {}
        Resolved::Missing => {
            missing.insert((candidate.run.clone(), need));
        }
    }
}
