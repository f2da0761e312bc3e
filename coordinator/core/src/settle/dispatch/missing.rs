//! What happens where nobody offers a backend: another plays for it, a seat is done without, a person is asked
//! (docs/rules.md, "A backend nobody offers").

use std::collections::BTreeSet;

use roundtable_shared::{BackendName, DecisionId, DecisionKind, Mode, RunId};

use crate::fleet::{Need, NeedKind};
use crate::moves::ask::{raise_no_worker, withdraw};
use crate::moves::orchestrator::give_up;
use crate::moves::plan::by_rules_alone;
use crate::moves::reassignment;
use crate::rules::park;
use crate::schedule::backend::{EMBEDDED_GRACE_MS, Resolved};
use crate::schedule::choices::replacements;
use crate::schedule::need::plays;
use crate::schedule::{absent, backend, need};
use crate::state::Stage;
use crate::transition::Fact;
use crate::txn::Txn;

/// Workers named at most where a login is refused.
const REFUSALS_MAX: usize = 5;

/// Says once that a backend plays for another.
pub(crate) fn say_substituted(d: &mut Txn<'_>, run: &RunId, wanted: &BackendName, used: &BackendName) {
    if d.run(run).backends.substitutes.contains_key(wanted) {
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
pub(crate) fn do_without(d: &mut Txn<'_>, run: &RunId, need: &Need, is_parked: bool) {
    let now = d.run(run);
    let waited = backend::waited_ms(d.fleet, now, need, d.now);
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
        NeedKind::Assign if d.run(run).stage() == Stage::Working => reassignment::give_up(d, run, &format!("{why} ({})", need.wanted)),
        NeedKind::Assign => {
            d.notice(run, format!("no assignment agent: {why}; rules decide"));
            by_rules_alone(d, run);
        }
        NeedKind::Orchestrate => give_up(d, run, &format!("{why} ({})", need.wanted)),
        _ => {}
    }
}

/// Notes what is missing since when, asks a person where that has lasted, and takes questions back that are settled.
pub(crate) fn settle_missing(d: &mut Txn<'_>, run: &RunId, missing: &BTreeSet<(RunId, Need)>) {
    let now = d.run(run);
    if now.is_ended() || now.life.paused.is_some() || now.life.halted.is_some() || d.state().paused.is_some() {
        return;
    }
    let needs: Vec<Need> = missing.iter().filter(|(of, _)| of == run).map(|(_, need)| need.clone()).collect();
    let mono = d.now.mono_ms;
    // Between two steps of a person nothing is needed, and what nobody offers is missing no less: its time goes on.
    let is_by_hand = now.options.mode == Mode::Manual;
    let is_missing =
        |need: &Need| needs.contains(need) || (is_by_hand && backend::resolve(d.state(), d.fleet, now, need, d.now) == Resolved::Missing);
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
fn missing_text(d: &Txn<'_>, run: &RunId, need: &Need) -> String {
    let wanted = &need.wanted;
    if backend::lacks_labels(d.state(), d.fleet, d.run(run), need, d.now) {
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

/// Workers that offer it and were refused there, with what to do.
fn refusals(d: &Txn<'_>, run: &RunId, wanted: &BackendName) -> Vec<String> {
    let run = d.run(run);
    let mut told: Vec<String> = Vec::new();
    for worker in d.fleet.workers.values().filter(|worker| worker.is_here(d.now)) {
        for offer in worker.offers.values().filter(|offer| plays(offer, wanted)) {
            let text = offer.refused.as_ref().map(|refused| park::refusal(run, d.fleet, &worker.id, &offer.offer.name, refused));
            told.extend(text.filter(|text| !told.contains(text)));
        }
    }
    told.truncate(REFUSALS_MAX);
    told
}

fn withdraw_settled(d: &mut Txn<'_>, run: &RunId, needs: &[Need]) {
    let open = d.run(run).people.decisions.values().filter(|decision| decision.kind == DecisionKind::NoWorker);
    let settled = open.filter(|decision| !needs.iter().any(|need| need::is_about(decision, need)));
    let settled: Vec<DecisionId> = settled.map(|decision| decision.id.clone()).collect();
    for id in settled {
        withdraw(d, run, &id, "it is offered, or no longer needed");
    }
}

fn is_time_to_ask(d: &Txn<'_>, run: &RunId, need: &Need) -> bool {
    let now = d.run(run);
    if now.backends.snoozed.get(&need.wanted).is_some_and(|until| *until > d.now.wall) {
        return false;
    }
    let waited = backend::waited_ms(d.fleet, now, need, d.now);
    if now.options.embedded {
        return d.fleet.anyone_here(d.now) || waited >= EMBEDDED_GRACE_MS;
    }
    waited >= now.options.limits.no_worker_ms
}
