//! Which backend may play a seat right now, and what happens where nobody offers it (docs/rules.md, "A backend nobody offers").

use std::collections::BTreeSet;

pub use roundtable_shared::CHECK_BACKEND;
use roundtable_shared::time::WallMs;
use roundtable_shared::{BackendName, Decision, DecisionId, DecisionKind, Mode, RunId, Seat, UnitId, UnitType};

use super::absent;
use super::place::{has_labels, plays, requirements};
use crate::command::Now;
use crate::decide::{
    Deciding, Parked, by_rules_alone, give_up, give_up_reassignment, park_key, parked, raise_no_worker, refusal, replacements, withdraw,
};
use crate::fleet::{Fleet, Need, NeedKind, Offer, Worker};
use crate::state::{ParkKey, Run, Stage, State};
use crate::transition::Fact;

/// Embedded: how long the worker that starts beside the coordinator may take to say hello.
const EMBEDDED_GRACE_MS: u64 = 30_000;

/// Workers named at most where a login is refused.
const REFUSALS_MAX: usize = 5;

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

/// What the seat needs.
pub(crate) fn need(run: &Run, unit: Option<&UnitId>, seat: Seat) -> Need {
    let options = &run.options;
    let unit = unit.and_then(|unit| run.unit(unit));
    let requires = requirements(unit, seat);
    let of = |kind, wanted: &BackendName| {
        let wanted = run.uses.get(wanted).unwrap_or(wanted).clone();
        Need { kind, wanted, owner: None, requires: requires.to_vec() }
    };
    match (seat, unit) {
        (Seat::Assign, _) => of(NeedKind::Assign, &options.assign_backend),
        (Seat::Orchestrate, _) => of(NeedKind::Orchestrate, &options.orchestrator_backend),
        (Seat::Check, _) => of(NeedKind::Check, &CHECK_BACKEND.into()),
        (Seat::Review(_), _) | (Seat::Work, None) => of(NeedKind::Review, &"codex-review".into()),
        (Seat::Work, Some(unit)) => {
            let codex = BackendName::from("codex");
            let owner = unit.owner.as_ref().unwrap_or(&codex);
            if unit.next_escalates() {
                return Need { owner: Some(owner.clone()), ..of(NeedKind::Escalation, &options.escalate_backend) };
            }
            match unit.unit_type {
                UnitType::Code => of(NeedKind::Code, owner),
                UnitType::Ui => of(NeedKind::Ui, owner),
                UnitType::Review => of(NeedKind::Review, owner),
            }
        }
    }
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
    run.substitutes.contains_key(&need.wanted)
        || run.options.embedded
        || waited_ms(fleet, run, need, now) >= run.options.limits.wait_worker_ms
}

fn ran(run: &Run, backend: &BackendName) -> bool {
    run.attempts.iter().any(|attempt| attempt.backend == *backend)
        || run.units().any(|unit| unit.attempts.iter().any(|attempt| attempt.backend == *backend))
}

fn waited_ms(fleet: &Fleet, run: &Run, need: &Need, now: Now) -> u64 {
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
pub(super) fn park_of(state: &State, run: &Run, worker: &Worker, offer: &Offer, now: Now) -> Option<Refusal> {
    if state.parks.is_empty() {
        return None;
    }
    let key = park_key(&offer.offer.name, &offer.offer.account, &worker.id, run.model_of(&offer.offer.name));
    let (_, how) = parked(state, &key, now)?;
    Some(Refusal { key, how })
}

/// Says once that a backend plays for another.
pub(super) fn say_substituted(d: &mut Deciding<'_>, run: &RunId, wanted: &BackendName, used: &BackendName) {
    if d.run(run).substitutes.contains_key(wanted) {
        return;
    }
    d.emit(run, Fact::BackendSubstituted { wanted: wanted.clone(), used: used.clone() });
    if refusals(d, run, wanted).is_empty() {
        d.notice(run, format!("nobody offers {wanted}; {used} plays for it until somebody does"));
    } else {
        d.notice(run, format!("{wanted} cannot be used; {used} plays for it until it can"));
    }
}

/// A seat of the run itself that cannot be filled is done without.
pub(super) fn do_without(d: &mut Deciding<'_>, run: &RunId, need: &Need, is_parked: bool) {
    let now = d.run(run);
    let waited = waited_ms(d.fleet, now, need, d.now);
    let waits = match (is_parked, now.options.embedded) {
        (true, _) => false,
        (false, true) => !d.fleet.anyone_here(d.now) && waited < EMBEDDED_GRACE_MS,
        // All is done: nothing but the agent's last word is left, and workers are here that could have brought it.
        (false, false) if need.kind == NeedKind::Orchestrate && now.is_done() && d.fleet.anyone_here(d.now) => false,
        (false, false) => waited < now.options.limits.wait_worker_ms,
    };
    if waits {
        return;
    }
    let why = match is_parked {
        true => "every backend that could play it is refused by its provider",
        false if !refusals(d, run, &need.wanted).is_empty() => "what could play it cannot be used",
        false => "nobody offers a backend for it",
    };
    match need.kind {
        NeedKind::Assign if d.run(run).stage == Stage::Working => give_up_reassignment(d, run, &format!("{why} ({})", need.wanted)),
        NeedKind::Assign => {
            d.notice(run, format!("no assignment agent: {why}; rules decide"));
            by_rules_alone(d, run);
        }
        NeedKind::Orchestrate => give_up(d, run, &format!("{why} ({})", need.wanted)),
        _ => {}
    }
}

/// Notes what is missing since when, asks a person where that has lasted, and takes questions back that are settled.
pub(super) fn settle_missing(d: &mut Deciding<'_>, run: &RunId, missing: &BTreeSet<(RunId, Need)>) {
    let now = d.run(run);
    if now.is_ended() || now.paused.is_some() || now.halted.is_some() || d.state().paused.is_some() {
        return;
    }
    let needs: Vec<Need> = missing.iter().filter(|(of, _)| of == run).map(|(_, need)| need.clone()).collect();
    let mono = d.now.mono_ms;
    // Between two steps of a person nothing is needed, and what nobody offers is missing no less: its time goes on.
    let is_by_hand = now.options.mode == Mode::Manual;
    let is_missing =
        |need: &Need| needs.contains(need) || (is_by_hand && resolve(d.state(), d.fleet, now, need, d.now) == Resolved::Missing);
    let known = d.fleet.missing.keys().filter(|(of, _)| of == run);
    let met: Vec<(RunId, Need)> = known.filter(|(_, need)| !is_missing(need)).cloned().collect();
    for known in &met {
        d.fleet.missing.remove(known);
    }
    for need in &needs {
        d.fleet.missing.entry((run.clone(), need.clone())).or_insert(mono);
    }
    withdraw_settled(d, run, &needs);
    for need in needs {
        if matches!(need.kind, NeedKind::Assign | NeedKind::Orchestrate) {
            do_without(d, run, &need, false);
        } else if is_time_to_ask(d, run, &need) {
            let context = missing_text(d, run, &need);
            raise_no_worker(d, run, &need.wanted, &need.requires, context);
        }
    }
}

/// What is asked about a backend nobody can be given, and whether another could play for it.
fn missing_text(d: &Deciding<'_>, run: &RunId, need: &Need) -> String {
    let wanted = &need.wanted;
    if lacks_labels(d.state(), d.fleet, d.run(run), need, d.now) {
        return absent::unlabelled(d.run(run), need);
    }
    let refused = refusals(d, run, wanted);
    if !refused.is_empty() {
        let others = replacements(d, run, Some(wanted));
        let then = if others.is_empty() { "units that need it wait" } else { "units that need it wait, unless you give them to another" };
        return format!("{}; {then}", refused.join("; "));
    }
    let offers = d.fleet.workers.values().filter(|worker| worker.is_here(d.now)).flat_map(|worker| worker.offers.values());
    let is_offered = offers.into_iter().any(|offer| plays(offer, wanted));
    let what = if is_offered {
        format!("no worker can play {wanted} now: its provider refuses, or what offers it cannot be used")
    } else {
        format!("no worker offers {wanted}{}", absent::drained(d.fleet, wanted, d.now))
    };
    let others = need.kind != NeedKind::Check && !replacements(d, run, Some(wanted)).is_empty();
    let then = if others { "another plays for it only if you say so" } else { "nothing that is here could play for it" };
    format!("{what}; {then}, and units that need it wait")
}

/// Whether that is what the decision asks about.
pub(super) fn is_about(decision: &Decision, need: &Need) -> bool {
    decision.kind == DecisionKind::NoWorker && decision.backend.as_ref() == Some(&need.wanted) && decision.requires == need.requires
}

/// Workers that offer it and were refused there, with what to do.
fn refusals(d: &Deciding<'_>, run: &RunId, wanted: &BackendName) -> Vec<String> {
    let run = d.run(run);
    let mut told: Vec<String> = Vec::new();
    for worker in d.fleet.workers.values().filter(|worker| worker.is_here(d.now)) {
        for offer in worker.offers.values().filter(|offer| plays(offer, wanted)) {
            let text = offer.refused.as_ref().map(|refused| refusal(run, d.fleet, &worker.id, &offer.offer.name, refused));
            told.extend(text.filter(|text| !told.contains(text)));
        }
    }
    told.truncate(REFUSALS_MAX);
    told
}

fn withdraw_settled(d: &mut Deciding<'_>, run: &RunId, needs: &[Need]) {
    let open = d.run(run).decisions.values().filter(|decision| decision.kind == DecisionKind::NoWorker);
    let settled = open.filter(|decision| !needs.iter().any(|need| is_about(decision, need)));
    let settled: Vec<DecisionId> = settled.map(|decision| decision.id.clone()).collect();
    for id in settled {
        withdraw(d, run, &id, "it is offered, or no longer needed");
    }
}

fn is_time_to_ask(d: &Deciding<'_>, run: &RunId, need: &Need) -> bool {
    let now = d.run(run);
    if now.snoozed.get(&need.wanted).is_some_and(|until| *until > d.now.wall) {
        return false;
    }
    let waited = waited_ms(d.fleet, now, need, d.now);
    if now.options.embedded {
        return d.fleet.anyone_here(d.now) || waited >= EMBEDDED_GRACE_MS;
    }
    waited >= now.options.limits.no_worker_ms
}
