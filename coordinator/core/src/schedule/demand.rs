//! What would run at once if there were slots for it: for those who watch a fleet, or let it grow and shrink. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_shared::BackendName;

use crate::command::Now;
use crate::fleet::Fleet;
use crate::schedule::backend::{Resolved, resolve};
use crate::schedule::need::need;
use crate::schedule::rank::all_candidates;
use crate::state::State;

/// What waits for slots, and what has them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Demand {
    /// Units of which a seat could be filled now; nothing but a slot is missing.
    pub ready_units: usize,
    /// Slots that would be in use now if there were enough of each backend: what runs, and what is ready. What a provider refuses is not among them, for
    /// more slots would not help.
    pub slots: BTreeMap<BackendName, usize>,
}

/// Looks through the unfinished runs, as the scheduler does.
pub fn demand(state: &State, fleet: &Fleet, now: Now) -> Demand {
    let mut slots: BTreeMap<BackendName, usize> = BTreeMap::new();
    for (_, attempt) in state.live_attempts() {
        *slots.entry(attempt.granted.backend.clone()).or_default() += 1;
    }
    let mut units = BTreeSet::new();
    for candidate in all_candidates(state, fleet, now) {
        let Some(run) = state.run(&candidate.run) else { continue };
        let need = need(run, candidate.unit.as_ref(), candidate.seat);
        let backend = match resolve(state, fleet, run, &need, now) {
            Resolved::Use { backends, .. } => backends.into_iter().next(),
            Resolved::Missing => Some(need.wanted),
            Resolved::Parked(_) => None,
        };
        if let Some(backend) = backend {
            *slots.entry(backend).or_default() += 1;
        }
        if let Some(unit) = candidate.unit {
            units.insert((candidate.run, unit));
        }
    }
    Demand { ready_units: units.len(), slots }
}
