//! Grants: all that can be granted now, in passes over the seats that could be filled.

mod grant;
mod line;
mod missing;
mod rest;

use std::collections::{BTreeMap, BTreeSet};

use roundtable_shared::{BackendName, RunId, Seat, UnitId};

use line::Line;

use crate::fleet::Need;
use crate::moves::plan;
use crate::schedule::backend::{Resolved, resolve};
use crate::schedule::candidate::{BEGIN, Candidate};
use crate::schedule::place::{has_free_slot, place};
use crate::schedule::rank::candidates;
use crate::schedule::ready::is_ready;
use crate::schedule::{barrier, need, ready};
use crate::settle::advance::{settle, touch_what_no_fact_has};
use crate::state::{Run, Stage, State};
use crate::txn::Txn;

/// Passes in a row; what is left after that is granted with the next batch.
const PASSES_MAX: u32 = 16;

/// Grants all that can be granted now; false if there may be more. Work-conserving: whatever can start does.
pub(crate) fn dispatch(d: &mut Txn<'_>) -> bool {
    touch_what_no_fact_has(d);
    let is_all = (0..PASSES_MAX).any(|_| !pass(d));
    rest::tell(d);
    is_all
}

/// One pass; whether more may be granted after it: something else than its grants has changed, or a unit that kept others waiting found its slot
/// taken.
fn pass(d: &mut Txn<'_>) -> bool {
    let runs: Vec<RunId> = d.state().unfinished().map(|run| run.id.clone()).collect();
    let mut pass = Pass { barriers: barrier::barriers(d.state(), d.fleet, d.now), ..Pass::default() };
    let first = d.state().seq;
    let candidates = candidates(d.state(), d.fleet, d.now);
    let is_before = |candidate: &Candidate| candidate.rank.0 < BEGIN;
    let (before, beside): (Vec<Candidate>, Vec<Candidate>) = candidates.into_iter().partition(is_before);
    // As of now: a run that is planned meanwhile is begun with the next pass, which knows its barriers, reviews and fixes.
    let mut line = Line::of(d.state(), beside, d.now);
    for candidate in before {
        pass.offer(d, &candidate);
    }
    while let Some(candidate) = line.next(d.state()) {
        if pass.offer(d, &candidate).is_for_all_of_its_kind() {
            line.close_last();
        }
    }
    let before = d.state().seq;
    let slots_went = pass.has_barred && before != first;
    for run in &runs {
        missing::settle_missing(d, run, &pass.missing);
    }
    settle(d);
    pass.has_done_without || slots_went || d.state().seq != before
}

/// What a pass has found out so far.
#[derive(Default)]
struct Pass {
    barriers: Vec<(RunId, UnitId)>,
    missing: BTreeSet<(RunId, Need)>,
    resolutions: Resolutions,
    has_barred: bool,
    has_done_without: bool,
}

/// What became of a candidate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offered {
    /// It got a slot, or the run does without it now.
    Taken,
    /// Something stands in its way that may not stand in another's.
    Skipped,
    /// Nobody can be given for what it needs, or all of them are busy.
    Nobody,
}

impl Offered {
    /// Whether the same holds for whatever needs the same.
    fn is_for_all_of_its_kind(self) -> bool {
        self == Self::Nobody
    }
}

impl Pass {
    /// Fills the seat, if nothing stands in its way and there is a slot.
    fn offer(&mut self, d: &mut Txn<'_>, candidate: &Candidate) -> Offered {
        if barrier::is_barred(d.state(), &self.barriers, candidate) {
            self.has_barred = true;
            return Offered::Skipped;
        }
        let Some(run) = d.state().run(&candidate.run) else { return Offered::Skipped };
        let need = need::need(run, candidate.unit.as_ref(), candidate.seat);
        let (resolved, has_slot) = self.resolutions.of(d, run, &need);
        // Asked first: where all are busy, that is all there is to be found out.
        if !has_slot && matches!(resolved, Resolved::Use { .. }) {
            return Offered::Nobody;
        }
        if !still_ready(d.state(), candidate, d) {
            return Offered::Skipped;
        }
        match resolved.clone() {
            Resolved::Use { backends, substituted } => self.fill(d, candidate, &backends, substituted.as_ref()),
            Resolved::Parked(_) if candidate.unit.is_none() => {
                let before = d.state().seq;
                missing::do_without(d, &candidate.run, &need, true);
                self.has_done_without |= d.state().seq != before;
                Offered::Taken
            }
            Resolved::Parked(_) => Offered::Nobody,
            Resolved::Missing => {
                self.missing.insert((candidate.run.clone(), need));
                Offered::Nobody
            }
        }
    }

    fn fill(&mut self, d: &mut Txn<'_>, candidate: &Candidate, backends: &[BackendName], substituted: Option<&BackendName>) -> Offered {
        let Some(run) = d.state().run(&candidate.run) else { return Offered::Skipped };
        let Some(placement) = place(d.state(), d.fleet, run, candidate, backends, d.now) else { return Offered::Skipped };
        // Whoever plays the asked backend may have answered this question in an earlier run.
        if candidate.seat == Seat::Assign
            && run.stage() == Stage::Assigning
            && run.agents.assigning.failures == 0
            && plan::plan_from_cache(d, &candidate.run, &placement.backend)
        {
            self.has_done_without = true;
            return Offered::Taken;
        }
        if let Some(wanted) = substituted {
            missing::say_substituted(d, &candidate.run, wanted, &placement.wanted);
        }
        grant::grant(d, candidate, placement);
        Offered::Taken
    }
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
struct Resolutions {
    seq: u64,
    known: BTreeMap<(RunId, Need), (Resolved, bool)>,
}

impl Resolutions {
    fn of(&mut self, d: &Txn<'_>, run: &Run, need: &Need) -> &(Resolved, bool) {
        if self.seq != d.state().seq {
            *self = Self { seq: d.state().seq, known: BTreeMap::new() };
        }
        self.known.entry((run.id.clone(), need.clone())).or_insert_with(|| {
            let resolved = resolve(d.state(), d.fleet, run, need, d.now);
            let has_slot = match &resolved {
                Resolved::Use { backends, .. } => has_free_slot(d.state(), d.fleet, run, backends, &need.requires, d.now),
                Resolved::Parked(_) | Resolved::Missing => false,
            };
            (resolved, has_slot)
        })
    }
}
