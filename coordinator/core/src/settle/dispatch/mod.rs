//! Grants: all that can be granted now, in passes over the seats that could be filled.

mod grant;
mod missing;
mod rest;

use std::collections::{BTreeMap, BTreeSet};

use roundtable_shared::{RunId, Seat};

use crate::fleet::Need;
use crate::moves::plan;
use crate::schedule::backend::{Resolved, resolve};
use crate::schedule::candidate::Candidate;
use crate::schedule::place::{has_free_slot, place};
use crate::schedule::rank::candidates;
use crate::schedule::ready::is_ready;
use crate::schedule::{barrier, need, ready};
use crate::settle::advance::advance;
use crate::state::{Run, Stage, State};
use crate::txn::Txn;

/// Passes in a row; what is left after that is granted with the next batch.
const PASSES_MAX: u32 = 16;

/// Grants all that can be granted now; false if there may be more. Work-conserving: whatever can start does.
pub(crate) fn dispatch(d: &mut Txn<'_>) -> bool {
    let is_all = (0..PASSES_MAX).any(|_| !pass(d));
    rest::tell(d);
    is_all
}

/// One pass; whether more may be granted after it: something else than its grants has changed, or a unit that kept others waiting found its slot
/// taken.
fn pass(d: &mut Txn<'_>) -> bool {
    let runs: Vec<RunId> = d.state().unfinished().map(|run| run.id.clone()).collect();
    let mut missing = BTreeSet::new();
    let mut found = Found::default();
    let candidates = candidates(d.state(), d.fleet, d.now);
    let barriers = barrier::barriers(d.state(), d.fleet, d.now);
    let (first, mut done_without, mut barred) = (d.state().seq, false, false);
    for candidate in candidates {
        if barrier::is_barred(d.state(), &barriers, &candidate) {
            barred = true;
        } else if still_ready(d.state(), &candidate, d) {
            done_without |= try_grant(d, &candidate, &mut missing, &mut found);
        }
    }
    let before = d.state().seq;
    let slots_went = barred && before != first;
    for run in &runs {
        missing::settle_missing(d, run, &missing);
        advance(d, run);
    }
    done_without || slots_went || d.state().seq != before
}

/// Grants made before in this pass may have taken what this one needs.
fn still_ready(state: &State, candidate: &Candidate, d: &Txn<'_>) -> bool {
    let Some(run) = state.run(&candidate.run) else { return false };
    match &candidate.unit {
        Some(unit) => run.unit(unit).is_some_and(|unit| ready::seat_is_due(run, unit, candidate.seat) && is_ready(state, run, unit, d.now)),
        None => true,
    }
}

/// Who may play what is needed, and whether any of their slots is free: found once for all seats of a run that need the same, until something is decided.
#[derive(Default)]
struct Found {
    seq: u64,
    of: BTreeMap<(RunId, Need), (Resolved, bool)>,
}

impl Found {
    fn of(&mut self, d: &Txn<'_>, run: &Run, need: &Need) -> &(Resolved, bool) {
        if self.seq != d.state().seq {
            *self = Self { seq: d.state().seq, of: BTreeMap::new() };
        }
        self.of.entry((run.id.clone(), need.clone())).or_insert_with(|| {
            let resolved = resolve(d.state(), d.fleet, run, need, d.now);
            let has_slot = match &resolved {
                Resolved::Use { backends, .. } => has_free_slot(d.state(), d.fleet, run, backends, &need.requires, d.now),
                Resolved::Parked(_) | Resolved::Missing => false,
            };
            (resolved, has_slot)
        })
    }
}

/// Fills the seat, if there is a slot; whether the run now does without it instead.
fn try_grant(d: &mut Txn<'_>, candidate: &Candidate, missing: &mut BTreeSet<(RunId, Need)>, found: &mut Found) -> bool {
    let Some(run) = d.state().run(&candidate.run) else { return false };
    let need = need::need(run, candidate.unit.as_ref(), candidate.seat);
    let (resolved, has_slot) = found.of(d, run, &need);
    match resolved.clone() {
        Resolved::Use { .. } if !has_slot => {}
        Resolved::Use { backends, substituted } => {
            let Some(placement) = place(d.state(), d.fleet, run, candidate, &backends, d.now) else { return false };
            // Whoever plays the asked backend may have answered this question in an earlier run.
            if candidate.seat == Seat::Assign
                && run.stage == Stage::Assigning
                && run.assigning.failures == 0
                && plan::plan_from_cache(d, &candidate.run, &placement.backend)
            {
                return true;
            }
            if let Some(wanted) = substituted {
                missing::say_substituted(d, &candidate.run, &wanted, &placement.wanted);
            }
            grant::grant(d, candidate, placement);
        }
        Resolved::Parked(_) if candidate.unit.is_none() => {
            let before = d.state().seq;
            missing::do_without(d, &candidate.run, &need, true);
            return d.state().seq != before;
        }
        Resolved::Parked(_) => {}
        Resolved::Missing => {
            missing.insert((candidate.run.clone(), need));
        }
    }
    false
}
