//! Which backend may play a seat right now (docs/rules.md, "A backend nobody offers").

use roundtable_shared::time::WallMs;
use roundtable_shared::{BackendName, CHECK_BACKEND};

use crate::command::Now;
use crate::fleet::{Fleet, Need, NeedKind, Offer, Worker};
use crate::rules::park::{Parked, key, parked};
use crate::schedule::need::{has_labels, plays};
use crate::state::{ParkKey, Run, State};

/// Embedded: how long the worker that starts beside the coordinator may take to say hello.
pub(crate) const EMBEDDED_GRACE_MS: u64 = 30_000;

/// What a need comes to right now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Resolved {
    /// These, in order of preference.
    Use { backends: Vec<BackendName>, substituted: Option<BackendName> },
    /// It is offered, but its provider refuses.
    Parked(Refusal),
    /// Nobody offers it, nor what may stand in.
    Missing,
}

/// What is parked, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    pub key: ParkKey,
    pub how: Parked,
}

impl Refusal {
    /// From when on it may be granted again; a probe's end can come at any time.
    fn until(&self) -> WallMs {
        match self.how {
            Parked::Until(until) => until,
            Parked::Probed(_) => WallMs(0),
        }
    }
}

/// Whether a backend can be had.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Availability {
    Here,
    Parked(Refusal),
    Gone,
}

/// Finds backends for a need.
pub(crate) fn resolve(state: &State, fleet: &Fleet, run: &Run, need: &Need, now: Now) -> Resolved {
    let wanted = availability(state, fleet, run, &need.wanted, &need.requires, now);
    let of_run = matches!(need.kind, NeedKind::Assign | NeedKind::Orchestrate);
    match wanted {
        Availability::Here => Resolved::Use { backends: vec![need.wanted.clone()], substituted: None },
        // Seats of the run itself never wait for a parked backend.
        Availability::Parked(refusal) if of_run => match first_here(state, fleet, run, need, now) {
            Some(other) => Resolved::Use { backends: vec![other], substituted: None },
            None => Resolved::Parked(refusal),
        },
        Availability::Parked(refusal) => Resolved::Parked(refusal),
        Availability::Gone if need.kind != NeedKind::Orchestrate && may_substitute(fleet, run, need, now) => {
            match first_here(state, fleet, run, need, now) {
                Some(other) => Resolved::Use { backends: vec![other], substituted: Some(need.wanted.clone()) },
                None => first_parked(state, fleet, run, need, now).map_or(Resolved::Missing, Resolved::Parked),
            }
        }
        Availability::Gone => Resolved::Missing,
    }
}

/// A backend that was never offered is replaced: embedded at once, served after a while. One that went away is asked about instead.
fn may_substitute(fleet: &Fleet, run: &Run, need: &Need, now: Now) -> bool {
    let was_here = fleet.seen.contains(&need.wanted) || ran(run, &need.wanted);
    if need.kind == NeedKind::Check || (was_here && need.kind != NeedKind::Assign) {
        return false;
    }
    run.backends.substitutes.contains_key(&need.wanted)
        || run.options.embedded
        || waited_ms(fleet, run, need, now) >= run.options.limits.wait_worker_ms
}

fn ran(run: &Run, backend: &BackendName) -> bool {
    run.attempts.iter().any(|attempt| attempt.granted.backend == *backend)
        || run.units().any(|unit| unit.attempts.iter().any(|attempt| attempt.granted.backend == *backend))
}

/// How long the run has waited for somebody to offer it.
pub(crate) fn waited_ms(fleet: &Fleet, run: &Run, need: &Need, now: Now) -> u64 {
    fleet.missing.get(&(run.id.clone(), need.clone())).map_or(0, |since| now.mono_ms.saturating_sub(*since))
}

fn first_here(state: &State, fleet: &Fleet, run: &Run, need: &Need, now: Now) -> Option<BackendName> {
    let is_here = |name: &BackendName| availability(state, fleet, run, name, &need.requires, now) == Availability::Here;
    stand_ins(fleet, need, now).into_iter().find(is_here)
}

fn first_parked(state: &State, fleet: &Fleet, run: &Run, need: &Need, now: Now) -> Option<Refusal> {
    stand_ins(fleet, need, now).into_iter().find_map(|name| match availability(state, fleet, run, &name, &need.requires, now) {
        Availability::Parked(refusal) => Some(refusal),
        Availability::Here | Availability::Gone => None,
    })
}

/// Who may stand in, in order.
fn stand_ins(fleet: &Fleet, need: &Need, now: Now) -> Vec<BackendName> {
    let named: &[&str] = match need.kind {
        NeedKind::Code => &["codex", "opencode", "gemini"],
        NeedKind::Ui => &["gemini", "codex", "opencode"],
        NeedKind::Review | NeedKind::Escalation | NeedKind::Assign | NeedKind::Orchestrate => {
            &["codex-review", "codex", "opencode", "gemini"]
        }
        NeedKind::Check => &[],
    };
    let mut names: Vec<BackendName> = named.iter().map(|name| BackendName::from(*name)).collect();
    if need.kind == NeedKind::Escalation {
        // Any other than the owner's; else the owner's, with a fresh session. Reviewers cannot write.
        names.retain(|name| name.as_str() != "codex-review" && Some(name) != need.owner.as_ref());
    }
    if need.kind != NeedKind::Check {
        let here = fleet.workers.values().filter(|worker| worker.is_here(now));
        let mut others: Vec<BackendName> =
            here.flat_map(|worker| worker.offers.keys().cloned()).filter(|name| name.as_str() != CHECK_BACKEND).collect();
        others.sort();
        others.dedup();
        let is_reader = |name: &BackendName| name.as_str() == "codex-review" && !matches!(need.kind, NeedKind::Review);
        others.retain(|name| !names.contains(name) && Some(name) != need.owner.as_ref() && !is_reader(name));
        names.extend(others);
    }
    names.extend(need.owner.clone());
    names.retain(|name| *name != need.wanted);
    names
}

/// Whether a slot of that backend could be given now or as soon as it is free.
pub(crate) fn is_here(state: &State, fleet: &Fleet, run: &Run, backend: &BackendName, now: Now) -> bool {
    availability(state, fleet, run, backend, &[], now) == Availability::Here
}

/// Whether workers are here that offer what is needed, but for the labels.
pub fn lacks_labels(state: &State, fleet: &Fleet, run: &Run, need: &Need, now: Now) -> bool {
    !need.requires.is_empty() && availability(state, fleet, run, &need.wanted, &[], now) != Availability::Gone
}

fn availability(state: &State, fleet: &Fleet, run: &Run, backend: &BackendName, requires: &[String], now: Now) -> Availability {
    let mut refused: Option<Refusal> = None;
    for worker in fleet.workers.values().filter(|worker| worker.is_here(now) && has_labels(worker, requires)) {
        let offers = worker.offers.values().filter(|offer| plays(offer, backend) && offer.is_usable(now));
        for offer in offers {
            let Some(refusal) = park_of(state, run, worker, offer, now) else { return Availability::Here };
            if refused.as_ref().is_none_or(|known| refusal.until() < known.until()) {
                refused = Some(refusal);
            }
        }
    }
    match refused {
        Some(refusal) if refusal.until().since(now.wall) <= run.options.limits.park_gone_ms => Availability::Parked(refusal),
        _ => Availability::Gone,
    }
}

/// The park that keeps that run from an offer now, if one does.
pub(crate) fn park_of(state: &State, run: &Run, worker: &Worker, offer: &Offer, now: Now) -> Option<Refusal> {
    if state.parks.is_empty() {
        return None;
    }
    let key = key(&offer.offer.name, &offer.offer.account, &worker.id, run.model_of(&offer.offer.name));
    let (_, how) = parked(state, &key, now)?;
    Some(Refusal { key, how })
}
