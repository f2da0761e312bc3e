//! Why a unit does not move: the answer of `explain` and of `waiting` in `status --json`, from the functions the scheduler itself uses.

use roundtable_shared::{AttemptKey, RunId, Seat, UnitId, UnitState};

use crate::command::Now;
use crate::fleet::Fleet;
use crate::rules::park::Parked;
use crate::schedule::backend::{Refusal, Resolved, lacks_labels, resolve};
use crate::schedule::barrier::{barriers, is_barred};
use crate::schedule::candidate::Candidate;
use crate::schedule::need::{is_about, need};
use crate::schedule::place::place;
use crate::schedule::ready::{due_seats, gates, wants_work};
use crate::schedule::waiting::{WaitKind, Waiting};
use crate::schedule::{absent, queue};
use crate::state::key_of;
use crate::state::{Attempt, Run, State, Unit};

/// Everything the unit waits for. Empty means that it is at its end, does not run, or is granted in this very moment.
pub fn explain(state: &State, fleet: &Fleet, run: &RunId, unit: &UnitId, now: Now) -> Vec<Waiting> {
    let Some(run) = state.run(run) else { return Vec::new() };
    let Some(unit) = run.unit(unit).filter(|unit| unit.spec.runs && !unit.state().is_terminal()) else { return Vec::new() };
    let mut reasons = running(fleet, run, unit);
    reasons.extend(asked(run, unit));
    reasons.extend(contended(run, unit));
    if unit.merging().is_some() {
        reasons.push(Waiting::on_run(WaitKind::Integration, "its work is being merged with the run's branch".to_owned()));
    }
    if unit.state() == UnitState::FinalReview {
        reasons.extend(queue::waits(state, run, unit, now));
    }
    if unit.state() == UnitState::Blocked && unit.release().is_some() && !wants_work(unit) {
        reasons.extend(gates(state, run, unit, now));
    }
    let mut seats = empty_seats(state, fleet, run, unit, now);
    if let Some(place) = queue::place(run, unit) {
        seats.iter_mut().for_each(|reason| reason.text = format!("{place}; {}", reason.text));
    }
    reasons.extend(seats);
    reasons.dedup();
    reasons
}

fn running(fleet: &Fleet, run: &Run, unit: &Unit) -> Vec<Waiting> {
    // A check that runs is told with its place in the train.
    let is_told = |attempt: &&Attempt| {
        attempt.granted.seat != Seat::Check || fleet.delivering(&key_of(&run.id, Some(&unit.id), attempt.granted.attempt)).is_some()
    };
    let live = unit.live_attempts().filter(is_told).map(|attempt| {
        let kind = if attempt.granted.role == roundtable_shared::Role::Review { WaitKind::Review } else { WaitKind::Attempt };
        let delivering = fleet.delivering(&key_of(&run.id, Some(&unit.id), attempt.granted.attempt));
        let doing = match delivering {
            Some(_) => "is over and delivering",
            None if attempt.started_at.is_some() => "runs",
            None => "prepares",
        };
        let why = delivering.filter(|why| !why.is_empty()).map(|why| format!(": {why}")).unwrap_or_default();
        Waiting::on(
            kind,
            &attempt.granted.worker,
            format!("attempt {} ({}) {doing} on {}{why}", attempt.granted.attempt, attempt.granted.role, attempt.granted.worker),
        )
    });
    live.collect()
}

fn asked(run: &Run, unit: &Unit) -> Vec<Waiting> {
    let open = run.people.decisions.values().filter(|decision| decision.unit.as_ref() == Some(&unit.id));
    open.map(|decision| Waiting::on(WaitKind::Decision, &decision.id, format!("decision {} is open: {}", decision.id, decision.context)))
        .collect()
}

fn contended(run: &Run, unit: &Unit) -> Vec<Waiting> {
    let mut reasons = Vec::new();
    for path in unit.contended() {
        for holder in run.holders_of(&unit.id, path) {
            let text = format!("it changed {path}, which unit {} ({}) holds", holder.id, holder.state());
            reasons.push(Waiting { kind: WaitKind::Contended, on: holder.id.to_string(), path: path.clone(), text });
        }
    }
    reasons
}

/// Seats that are empty and should not be: their gates, then the backend, then the slot.
fn empty_seats(state: &State, fleet: &Fleet, run: &Run, unit: &Unit, now: Now) -> Vec<Waiting> {
    let seats = due_seats(run, unit);
    let Some(&first) = seats.first() else { return Vec::new() };
    let reasons = gates(state, run, unit, now);
    if !reasons.is_empty() {
        return reasons;
    }
    let candidate = Candidate::seat_of(run, unit, first);
    let barriers = barriers(state, fleet, now);
    if let Some((_, barrier)) = barriers.iter().find(|_| is_barred(state, &barriers, &candidate)) {
        let text = format!("unit {barrier} has no manifest and waits for every hold; nothing new starts before it");
        return vec![Waiting::on(WaitKind::Exclusive, barrier, text)];
    }
    unfilled(state, fleet, run, &candidate, now).into_iter().collect()
}

/// What keeps a seat whose gates are open from being filled: its backend, then the slot.
pub(crate) fn unfilled(state: &State, fleet: &Fleet, run: &Run, candidate: &Candidate, now: Now) -> Option<Waiting> {
    let need = need(run, candidate.unit.as_ref(), candidate.seat);
    match resolve(state, fleet, run, &need, now) {
        Resolved::Parked(refusal) => Some(refused(state, fleet, &refusal, now)),
        Resolved::Missing => {
            let asked = run.people.decisions.values().find(|decision| is_about(decision, &need));
            Some(match asked {
                Some(decision) => {
                    Waiting::on(WaitKind::Decision, &decision.id, format!("decision {} is open: {}", decision.id, decision.context))
                }
                None if lacks_labels(state, fleet, run, &need, now) => {
                    Waiting::on(WaitKind::Label, need.requires.join(","), absent::labels(&need))
                }
                None => Waiting::on(
                    WaitKind::Backend,
                    &need.wanted,
                    format!("no worker offers {}{}", need.wanted, absent::drained(fleet, &need.wanted, now)),
                ),
            })
        }
        Resolved::Use { backends, .. } => place(state, fleet, run, candidate, &backends, now).is_none().then(|| {
            let names: Vec<&str> = backends.iter().map(|name| name.as_str()).collect();
            let names = names.join(" or ");
            let labels = if need.requires.is_empty() { String::new() } else { format!(" with {}", need.requires.join(", ")) };
            Waiting::on(WaitKind::Slot, &names, format!("every slot of {names}{labels} is busy"))
        }),
    }
}

/// What was refused where, and when it goes on.
fn refused(state: &State, fleet: &Fleet, refusal: &Refusal, now: Now) -> Waiting {
    let backend = &refusal.key.backend;
    let text = match (state.parks.get(&refusal.key), &refusal.how) {
        (Some(park), how) => {
            let place = park.worker.as_ref().map_or_else(String::new, |worker| format!(" on {}", fleet.name_of(worker)));
            format!("{backend}: {}{place}, {}", park.cause(), goes_on(how, now))
        }
        (None, _) => format!("the provider of {backend} refuses"),
    };
    Waiting::on(WaitKind::Parked, backend, text)
}

/// When a parked backend is tried again, in words.
pub fn goes_on(how: &Parked, now: Now) -> String {
    match how {
        Parked::Until(until) => {
            let seconds = until.since(now.wall).div_ceil(1000);
            match seconds {
                0 => "again with the next attempt that needs it".to_owned(),
                1..120 => format!("again in {seconds} s"),
                120..7_200 => format!("again in {} min", seconds.div_ceil(60)),
                _ => format!("again in {} h", seconds.div_ceil(3_600)),
            }
        }
        Parked::Probed(AttemptKey { unit: Some(unit), .. }) => format!("unit {unit} tries it now"),
        Parked::Probed(AttemptKey { run, unit: None, .. }) => format!("run {run} tries it now"),
    }
}
