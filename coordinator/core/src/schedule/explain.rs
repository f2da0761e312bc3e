//! Why a unit does not move: the answer of `explain` and of `waiting` in `status --json`, from the functions the scheduler itself uses.

use roundtable_shared::{AttemptKey, RunId, Seat, UnitId, UnitState};

use super::absent;
use super::backend::{Refusal, Resolved, is_about, lacks_labels, need, resolve};
use super::place::place;
use super::queue;
use super::rank::Candidate;
use super::ready::{barriers, due_seats, gates, is_barred, wants_work};
use crate::command::Now;
use crate::decide::{Parked, key_of};
use crate::fleet::Fleet;
use crate::state::{Attempt, Run, State, Unit};

/// One reason to wait, now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// What kind.
    pub kind: WaitKind,
    /// On what: a unit, backend, worker, decision or time; empty = on the run as a whole.
    pub on: String,
    /// The path that causes it, if one.
    pub path: String,
    /// In words.
    pub text: String,
}

/// Kinds of reasons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "each is the word that `as_str` gives, explained where it is raised")]
pub enum WaitKind {
    Dependency,
    Hazard,
    Hold,
    Exclusive,
    Contended,
    Slot,
    Backend,
    Label,
    Parked,
    Backoff,
    Decision,
    Assignment,
    Integration,
    Check,
    Review,
    Paused,
    Step,
    Orchestrator,
    Attempt,
    Ended,
}

impl WaitKind {
    /// The word of JSON and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dependency => "dependency",
            Self::Hazard => "hazard",
            Self::Hold => "hold",
            Self::Exclusive => "exclusive",
            Self::Contended => "contended",
            Self::Slot => "slot",
            Self::Backend => "backend",
            Self::Label => "label",
            Self::Parked => "parked",
            Self::Backoff => "backoff",
            Self::Decision => "decision",
            Self::Assignment => "assignment",
            Self::Integration => "integration",
            Self::Check => "check",
            Self::Review => "review",
            Self::Paused => "paused",
            Self::Step => "step",
            Self::Orchestrator => "orchestrator",
            Self::Attempt => "attempt",
            Self::Ended => "ended",
        }
    }
}

impl Waiting {
    pub(super) fn on_run(kind: WaitKind, text: String) -> Self {
        Self { kind, on: String::new(), path: String::new(), text }
    }

    pub(super) fn on(kind: WaitKind, on: impl ToString, text: String) -> Self {
        Self { kind, on: on.to_string(), path: String::new(), text }
    }
}

/// Everything the unit waits for. Empty means that it is at its end, does not run, or is granted in this very moment.
pub fn explain(state: &State, fleet: &Fleet, run: &RunId, unit: &UnitId, now: Now) -> Vec<Waiting> {
    let Some(run) = state.run(run) else { return Vec::new() };
    let Some(unit) = run.unit(unit).filter(|unit| unit.runs && !unit.state.is_terminal()) else { return Vec::new() };
    let mut reasons = running(fleet, run, unit);
    reasons.extend(asked(run, unit));
    reasons.extend(contended(run, unit));
    if unit.merging.is_some() {
        reasons.push(Waiting::on_run(WaitKind::Integration, "its work is being merged with the run's branch".to_owned()));
    }
    if unit.state == UnitState::FinalReview {
        reasons.extend(queue::waits(state, run, unit, now));
    }
    if unit.state == UnitState::Blocked && unit.release.is_some() && !wants_work(unit) {
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
    let is_told =
        |attempt: &&Attempt| attempt.seat != Seat::Check || fleet.delivering(&key_of(&run.id, Some(&unit.id), attempt.no)).is_some();
    let live = unit.live_attempts().filter(is_told).map(|attempt| {
        let kind = if attempt.role == roundtable_shared::Role::Review { WaitKind::Review } else { WaitKind::Attempt };
        let delivering = fleet.delivering(&key_of(&run.id, Some(&unit.id), attempt.no));
        let doing = match delivering {
            Some(_) => "is over and delivering",
            None if attempt.started_at.is_some() => "runs",
            None => "prepares",
        };
        let why = delivering.filter(|why| !why.is_empty()).map(|why| format!(": {why}")).unwrap_or_default();
        Waiting::on(kind, &attempt.worker, format!("attempt {} ({}) {doing} on {}{why}", attempt.no, attempt.role, attempt.worker))
    });
    live.collect()
}

fn asked(run: &Run, unit: &Unit) -> Vec<Waiting> {
    let open = run.decisions.values().filter(|decision| decision.unit.as_ref() == Some(&unit.id));
    open.map(|decision| Waiting::on(WaitKind::Decision, &decision.id, format!("decision {} is open: {}", decision.id, decision.context)))
        .collect()
}

fn contended(run: &Run, unit: &Unit) -> Vec<Waiting> {
    let mut reasons = Vec::new();
    for path in &unit.contended {
        for holder in run.holders_of(&unit.id, path) {
            let text = format!("it changed {path}, which unit {} ({}) holds", holder.id, holder.state);
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
pub(super) fn unfilled(state: &State, fleet: &Fleet, run: &Run, candidate: &Candidate, now: Now) -> Option<Waiting> {
    let need = need(run, candidate.unit.as_ref(), candidate.seat);
    match resolve(state, fleet, run, &need, now) {
        Resolved::Parked(refusal) => Some(refused(state, fleet, &refusal, now)),
        Resolved::Missing => {
            let asked = run.decisions.values().find(|decision| is_about(decision, &need));
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
