//! Where a seat is filled: a worker with a free slot of the backend, the better fitting one first. Never waits for the better one.

use std::collections::BTreeMap;

use roundtable_shared::{AgentSessionId, BackendName, LeasePhase, Role, Seat, UnitId, WorkerId};

use crate::command::Now;
use crate::fleet::{Fleet, Offer, Worker};
use crate::planted::{Bug, planted};
use crate::schedule::backend::{Resolved, park_of, resolve};
use crate::schedule::candidate::Candidate;
use crate::schedule::need;
use crate::schedule::need::need;
use crate::state::{Run, State, Unit};

/// A slot for a seat.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Placement {
    pub worker: WorkerId,
    pub session: u64,
    /// The backend of the role.
    pub wanted: BackendName,
    /// The backend that plays it (another where a worker serves all).
    pub backend: BackendName,
    pub pool: String,
    pub account: String,
    pub model: String,
    /// Agent session to resume there.
    pub resume: Option<AgentSessionId>,
}

/// Smaller is better.
type Score = (bool, usize, bool, bool, bool, usize, bool, u64);

/// The best free slot for that seat, if there is one.
pub(crate) fn place(
    state: &State,
    fleet: &Fleet,
    run: &Run,
    candidate: &Candidate,
    backends: &[BackendName],
    now: Now,
) -> Option<Placement> {
    let unit = candidate.unit.as_ref().and_then(|unit| run.unit(unit));
    let requires = need::requirements(unit, candidate.seat);
    let mut best: Option<(Score, Placement)> = None;
    for worker in fleet.workers.values().filter(|worker| worker.takes_grants(now) && need::has_labels(worker, requires)) {
        if unit.is_some_and(|unit| must_avoid(state, fleet, run, unit, worker, (backends, requires), now)) {
            continue;
        }
        for wanted in backends {
            for offer in worker.offers.values().filter(|offer| need::plays(offer, wanted) && offer.is_usable(now)) {
                let free = free_slots(state, fleet, worker, offer);
                if free == 0 || park_of(state, run, worker, offer, now).is_some() {
                    continue;
                }
                let resume = unit.and_then(|unit| resumable(unit, candidate, worker, offer));
                let score = score(run, unit, candidate, worker, offer, wanted, resume.is_some(), state, free);
                if best.as_ref().is_none_or(|(known, _)| score < *known) {
                    let placement = Placement {
                        worker: worker.id.clone(),
                        session: worker.session,
                        wanted: wanted.clone(),
                        backend: offer.offer.name.clone(),
                        pool: offer.offer.pool.clone(),
                        account: offer.offer.account.clone(),
                        model: run.model_of(&offer.offer.name),
                        resume,
                    };
                    best = Some((score, placement));
                }
            }
        }
    }
    best.map(|(_, placement)| placement)
}

/// Whether a slot of one of these backends is free on any worker with those labels, whatever seat is to be filled.
pub(crate) fn has_free_slot(state: &State, fleet: &Fleet, run: &Run, backends: &[BackendName], requires: &[String], now: Now) -> bool {
    let may = |worker: &&Worker| worker.takes_grants(now) && need::has_labels(worker, requires);
    fleet.workers.values().filter(may).any(|worker| {
        let mut offers = worker.offers.values().filter(|offer| backends.iter().any(|wanted| need::plays(offer, wanted)));
        offers.any(|offer| {
            offer.is_usable(now) && free_slots(state, fleet, worker, offer) > 0 && park_of(state, run, worker, offer, now).is_none()
        })
    })
}

/// Whether this worker is left out: its disk or tools failed the unit, nothing has gone well there since, and another that has not failed it plays the
/// backend too. Then that one's slot is waited for, rather than have the unit fail here again.
fn must_avoid(state: &State, fleet: &Fleet, run: &Run, unit: &Unit, worker: &Worker, what: What<'_>, now: Now) -> bool {
    let failed = |id: &WorkerId| unit.counters.avoid.contains(id);
    worker.is_suspect() && failed(&worker.id) && is_played(state, fleet, run, what, failed, now)
}

/// Backends, one of which is to be played, and labels its worker must have.
type What<'a> = (&'a [BackendName], &'a [String]);

/// Whether a worker other than those plays one of the backends, now or as soon as a slot is free.
fn is_played(state: &State, fleet: &Fleet, run: &Run, what: What<'_>, but: impl Fn(&WorkerId) -> bool, now: Now) -> bool {
    let (backends, requires) = what;
    let is_refused = |worker: &Worker, offer: &Offer| park_of(state, run, worker, offer, now).is_some();
    let may = |worker: &&Worker| worker.takes_grants(now) && !worker.leaving && !but(&worker.id) && need::has_labels(worker, requires);
    fleet.workers.values().filter(may).any(|worker| {
        let mut offers = worker.offers.values().filter(|offer| offer.is_usable(now) && !is_refused(worker, offer));
        offers.any(|offer| backends.iter().any(|wanted| need::plays(offer, wanted)))
    })
}

/// On how many slots that seat could be filled, were they free.
pub(crate) fn slots_for(state: &State, fleet: &Fleet, run: &Run, unit: Option<&UnitId>, seat: Seat, now: Now) -> usize {
    let need = need(run, unit, seat);
    let Resolved::Use { backends, .. } = resolve(state, fleet, run, &need, now) else { return 0 };
    let may = |worker: &&Worker| worker.takes_grants(now) && !worker.leaving && need::has_labels(worker, &need.requires);
    let of_worker = |worker: &Worker| -> usize {
        let plays = |offer: &&Offer| backends.iter().any(|wanted| need::plays(offer, wanted)) && offer.is_usable(now);
        // Backends of one pool share its slots.
        let pools: BTreeMap<&str, u32> =
            worker.offers.values().filter(plays).map(|offer| (offer.offer.pool.as_str(), offer.offer.slots)).collect();
        pools.values().map(|slots| *slots as usize).sum()
    };
    fleet.workers.values().filter(may).map(of_worker).sum()
}

/// Whether a worker other than those can fill the unit's seat, now or as soon as a slot is free.
pub(crate) fn is_played_by_others(
    state: &State,
    fleet: &Fleet,
    run: &Run,
    unit: &Unit,
    seat: Seat,
    but: impl Fn(&WorkerId) -> bool,
    now: Now,
) -> bool {
    let need = need(run, Some(&unit.id), seat);
    match resolve(state, fleet, run, &need, now) {
        Resolved::Use { backends, .. } => is_played(state, fleet, run, (backends.as_slice(), need.requires.as_slice()), but, now),
        Resolved::Parked(_) | Resolved::Missing => false,
    }
}

/// Grants never exceed credits, nor slots: a `Want` may have crossed a grant. An attempt whose agent has ended takes no slot while its work is handed
/// in, but there are never more of those than slots.
fn free_slots(state: &State, fleet: &Fleet, worker: &Worker, offer: &Offer) -> u64 {
    let pool = &offer.offer.pool;
    let credits = worker.credits.get(pool).copied().unwrap_or(0);
    if credits == 0 {
        return 0;
    }
    let (mut busy, mut ending) = (0_u64, 0_u64);
    for (key, _) in state.live_of(&worker.id).filter(|(_, attempt)| attempt.granted.pool == *pool) {
        let phase = fleet.leases.get(key).and_then(|watch| watch.phase);
        *if phase >= Some(LeasePhase::Ending) { &mut ending } else { &mut busy } += 1;
    }
    let slots = u64::from(offer.offer.slots);
    let taken = if planted(Bug::SlotsIgnored) { 0 } else { busy + ending.saturating_sub(slots) };
    u64::from(credits).min(slots.saturating_sub(taken))
}

/// A fix goes on with the agent's own session where the same worker has it; an escalated one starts afresh.
fn resumable(unit: &Unit, candidate: &Candidate, worker: &Worker, offer: &Offer) -> Option<AgentSessionId> {
    if candidate.role != Role::Fix || unit.next_escalates() {
        return None;
    }
    let last = unit.last_work()?;
    let is_there = last.granted.worker == worker.id || planted(Bug::SessionElsewhere);
    (is_there && last.granted.backend == offer.offer.name).then(|| last.agent_session().cloned())?
}

#[expect(clippy::too_many_arguments, reason = "one number per preference, all of them local to this file")]
fn score(
    run: &Run,
    unit: Option<&Unit>,
    candidate: &Candidate,
    worker: &Worker,
    offer: &Offer,
    wanted: &BackendName,
    resumes: bool,
    state: &State,
    free: u64,
) -> Score {
    let is_author = |unit: &Unit| {
        unit.work.accepted.as_ref().and_then(|work| unit.attempt(work.attempt)).is_some_and(|attempt| attempt.granted.worker == worker.id)
    };
    // The one that failed it last comes last.
    let broke_here = |unit: &Unit| unit.counters.avoid.iter().position(|id| *id == worker.id).map_or(0, |at| at + 1);
    let misread_here = |unit: &Unit| {
        let mut failed = unit.failed_reviews().iter();
        failed.any(|(seat, on, backend)| *seat == candidate.seat && *on == worker.id && *backend == offer.offer.name)
    };
    let reviews_own = candidate.role == Role::Review && unit.is_some_and(is_author);
    let stands_in = offer.offer.name != *wanted;
    let broke = unit.map_or(0, broke_here);
    // Having to fetch the repository first weighs as much as one more attempt beside this one.
    let is_cold = !worker.warm.contains(&run.origin.source.repository);
    let load = state.live_keys_of(&worker.id).count() + usize::from(is_cold);
    (stands_in, broke, unit.is_some_and(misread_here), reviews_own, !resumes, load, is_cold, u64::MAX - free)
}
