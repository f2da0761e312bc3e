//! Who may run now, and where: readiness, ranking, backends, placement. `explain` answers from these same functions.

mod absent;
mod backend;
mod demand;
mod explain;
mod grant;
mod place;
mod plan;
mod queue;
mod rank;
mod ready;
mod rest;
mod standing;

use std::collections::BTreeSet;

use roundtable_shared::{RunId, Seat};

use crate::decide::{self, Deciding};
use crate::fleet::Need;
use crate::state::{Stage, State};

pub use crate::decide::{Parked, parked, parked_account};
pub use backend::{CHECK_BACKEND, lacks_labels};
pub(crate) use backend::{Resolved, is_here};
pub use demand::{Demand, demand};
pub use explain::{WaitKind, Waiting, explain, goes_on};
pub use plan::{PlanReason, Planned, PlannedUnit, PlannedWait, plan};
pub use ready::is_ready;
pub(crate) use ready::{is_ready_but_for_time, is_ready_for_step, wants_work};
pub use standing::{Standing, first_blocker, standing};

use backend::resolve;
pub(crate) use place::is_played_by_others;
use place::place;
use rank::{Candidate, candidates};

/// Passes in a row; what is left after that is granted with the next batch.
const PASSES_MAX: u32 = 16;

/// Grants all that can be granted now; false if there may be more. Work-conserving: whatever can start does.
pub(crate) fn run(d: &mut Deciding<'_>) -> bool {
    let is_all = (0..PASSES_MAX).any(|_| !pass(d));
    rest::tell(d);
    is_all
}

/// One pass; whether more may be granted after it: something else than its grants has changed, or a unit that kept others waiting found its slot
/// taken.
fn pass(d: &mut Deciding<'_>) -> bool {
    let runs: Vec<RunId> = d.state().unfinished().map(|run| run.id.clone()).collect();
    let mut missing = BTreeSet::new();
    let candidates = candidates(d.state(), d.fleet, d.now);
    let barriers = ready::barriers(d.state(), d.fleet, d.now);
    let (first, mut done_without, mut barred) = (d.state().seq, false, false);
    for candidate in candidates {
        if ready::is_barred(d.state(), &barriers, &candidate) {
            barred = true;
        } else if still_ready(d.state(), &candidate, d) {
            done_without |= try_grant(d, &candidate, &mut missing);
        }
    }
    let before = d.state().seq;
    let slots_went = barred && before != first;
    for run in &runs {
        backend::settle_missing(d, run, &missing);
        decide::advance(d, run);
    }
    done_without || slots_went || d.state().seq != before
}

/// Grants made before in this pass may have taken what this one needs.
fn still_ready(state: &State, candidate: &Candidate, d: &Deciding<'_>) -> bool {
    let Some(run) = state.run(&candidate.run) else { return false };
    match &candidate.unit {
        Some(unit) => run.unit(unit).is_some_and(|unit| ready::seat_is_due(run, unit, candidate.seat) && is_ready(state, run, unit, d.now)),
        None => true,
    }
}

/// Fills the seat, if there is a slot; whether the run now does without it instead.
fn try_grant(d: &mut Deciding<'_>, candidate: &Candidate, missing: &mut BTreeSet<(RunId, Need)>) -> bool {
    let Some(run) = d.state().run(&candidate.run) else { return false };
    let need = backend::need(run, candidate.unit.as_ref(), candidate.seat);
    match resolve(d.state(), d.fleet, run, &need, d.now) {
        Resolved::Use { backends, substituted } => {
            let Some(placement) = place(d.state(), d.fleet, run, candidate, &backends, d.now) else { return false };
            // Whoever plays the asked backend may have answered this question in an earlier run.
            if candidate.seat == Seat::Assign
                && run.stage == Stage::Assigning
                && run.assigning.failures == 0
                && decide::plan_from_cache(d, &candidate.run, &placement.backend)
            {
                return true;
            }
            if let Some(wanted) = substituted {
                backend::say_substituted(d, &candidate.run, &wanted, &placement.wanted);
            }
            grant::grant(d, candidate, placement);
        }
        Resolved::Parked(_) if candidate.unit.is_none() => {
            let before = d.state().seq;
            backend::do_without(d, &candidate.run, &need, true);
            return d.state().seq != before;
        }
        Resolved::Parked(_) => {}
        Resolved::Missing => {
            missing.insert((candidate.run.clone(), need));
        }
    }
    false
}
