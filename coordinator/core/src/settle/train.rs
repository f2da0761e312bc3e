//! Joining the integration train, in order of final review: each unit's commit is prepared on the one ahead of it.

use roundtable_shared::RunId;

use crate::command::Phase;
use crate::planted::{Bug, planted};
use crate::rules::{integration, step};
use crate::schedule::CHECK_BACKEND;
use crate::state::{Candidate, InFlight, Stage, Unit};
use crate::transition::Fact;
use crate::txn::Txn;

/// Candidates that are prepared ahead, however few check slots there are, and however many: a unit that leaves has those behind it prepared again.
const TRAIN_MIN: usize = 4;

const TRAIN_MAX: usize = 64;

/// How many units the train takes: twice as many as can be checked at once.
fn train_max(d: &Txn<'_>) -> usize {
    let here = d.fleet.workers.values().filter(|worker| worker.is_here(d.now));
    let offers = here.flat_map(|worker| worker.offers.values()).filter(|offer| offer.offer.name.as_str() == CHECK_BACKEND);
    let slots: usize = offers.filter(|offer| offer.is_usable(d.now)).map(|offer| offer.offer.slots as usize).sum();
    slots.saturating_mul(2).clamp(TRAIN_MIN, TRAIN_MAX)
}

/// Notes how many units a train takes as of who is here; whether that differs from what it was.
pub(crate) fn note_max(d: &mut Txn<'_>) -> bool {
    let now = train_max(d);
    std::mem::replace(&mut d.fleet.train_max, now) != now
}

/// The next unit of the queue joins, if the one ahead of it is prepared.
pub(crate) fn start_next(d: &mut Txn<'_>, run: &RunId) {
    let now = d.run(run);
    let may_start = now.stage() == Stage::Working && now.life.ending.is_none() && now.life.halted.is_none();
    if !may_start
        || integration::is_gated_by_check(now)
        || now.is_held(Phase::Consolidate, d.now.wall)
        || now.branch.train.flights.len() >= train_max(d)
    {
        return;
    }
    let ahead = now.branch.train.flights.last();
    let tip = match ahead.map(|flight| &flight.candidate) {
        None => now.branch.tip.clone(),
        Some(Some(_)) if planted(Bug::TrainOnTip) => now.branch.tip.clone(),
        Some(Some(candidate)) => candidate.commit.clone(),
        Some(None) => return,
    };
    let may_join = |unit: &&Unit| now.branch.train.place(&unit.id).is_none() && step::allows(now, Phase::Consolidate, &unit.id);
    let next = if planted(Bug::TrainOutOfOrder) { now.queue().rev().find(may_join) } else { now.queue().find(may_join) };
    let Some(unit) = next.map(|unit| unit.id.clone()) else { return };
    let is_empty = d.unit(run, &unit).work.changed.is_empty();
    let mut flight = InFlight::new(unit.clone(), tip.clone(), d.now.wall);
    if !is_empty {
        (flight.ticks, flight.owed) = integration::ticks(now, &unit);
    }
    d.emit(run, Fact::IntegrationStarted { flight: Box::new(flight) });
    if is_empty {
        let candidate = Candidate { commit: tip, changed: Vec::new(), empty: true };
        d.emit(run, Fact::CandidatePrepared { unit, candidate });
    } else if let Some(effect) = d.run(run).branch.train.flight(&unit).and_then(|flight| integration::preparation(d.run(run), flight)) {
        d.effect(effect);
    }
}
