//! Why a unit does not move: the answer of `explain` and of `waiting` in `status --json`, from the functions the scheduler itself uses.

use std::collections::BTreeMap;

use roundtable_shared::{AttemptKey, BackendName, Decision, RunId, Seat, UnitId, UnitState};

use crate::command::Now;
use crate::fleet::{Fleet, Need};
use crate::rules::park::Parked;
use crate::schedule::backend::{Refusal, Resolved, lacks_labels, resolve};
use crate::schedule::barrier::{barrier, is_barred_by};
use crate::schedule::before::UnfinishedBefore;
use crate::schedule::candidate::Candidate;
use crate::schedule::need::{is_about, need};
use crate::schedule::place::{has_free_slot, place};
use crate::schedule::ready::{due_seats, gates, wants_work};
use crate::schedule::waiting::{Reasons, WaitKind, Waiting};
use crate::schedule::{absent, queue};
use crate::state::{Attempt, Run, State, Unit};

/// Everything the unit waits for. Empty means that it is at its end, does not run, or is granted in this very moment.
pub fn explain(state: &State, fleet: &Fleet, run: &RunId, unit: &UnitId, now: Now) -> Vec<Waiting> {
    let Some(run) = state.run(run) else { return Vec::new() };
    let Some(unit) = run.unit(unit) else { return Vec::new() };
    Explainer::new(state, fleet, run, now, usize::MAX).reasons(unit).told
}

/// Answers for many units of a run as it is at one moment: what one answer needs of all units is found once. Of each the cost is bounded by what is told
/// and by what the plan says it depends on, however many stand before it; it grows with the paths that the unit meets only where these are very many
/// and few of the first units are among theirs (`before`).
pub struct Explainer<'a> {
    state: &'a State,
    fleet: &'a Fleet,
    run: &'a Run,
    now: Now,
    most: usize,
    /// Open decisions by the unit they are about.
    asked: BTreeMap<&'a UnitId, Vec<&'a Decision>>,
    // Found with the first unit that needs it.
    barrier: Option<Option<&'a Unit>>,
    ahead: Option<BTreeMap<usize, &'a Unit>>,
    before: Option<UnfinishedBefore>,
    supply: BTreeMap<Need, Supply>,
}

impl<'a> Explainer<'a> {
    /// Of each unit the first `most` reasons are told, the others counted.
    pub fn new(state: &'a State, fleet: &'a Fleet, run: &'a Run, now: Now, most: usize) -> Self {
        let mut asked: BTreeMap<&UnitId, Vec<&Decision>> = BTreeMap::new();
        for decision in run.people.decisions.values() {
            if let Some(unit) = &decision.unit {
                asked.entry(unit).or_default().push(decision);
            }
        }
        Self { state, fleet, run, now, most, asked, barrier: None, ahead: None, before: None, supply: BTreeMap::new() }
    }

    /// What the unit of that run waits for. None means that it is at its end, does not run, or is granted in this very moment.
    pub fn reasons(&mut self, unit: &Unit) -> Reasons {
        let mut reasons = Reasons::at_most(self.most);
        if !unit.spec.runs || unit.state().is_terminal() {
            return reasons;
        }
        let (state, run, now) = (self.state, self.run, self.now);
        running(self.fleet, run, unit, &mut reasons);
        for decision in self.asked.get(&unit.id).into_iter().flatten() {
            reasons.add(|| open(decision));
        }
        contended(run, unit, &mut reasons);
        if unit.merging().is_some() {
            reasons.add(|| Waiting::on_run(WaitKind::Integration, "its work is being merged with the run's branch".to_owned()));
        }
        if unit.state() == UnitState::FinalReview {
            queue::waits((state, now), run, unit, &mut reasons, || self.ahead(unit));
        }
        if unit.release().is_some() && !wants_work(unit) {
            gates(state, run, unit, now, &mut self.before, &mut reasons);
        }
        let from = reasons.told.len();
        self.empty_seats(unit, &mut reasons);
        if let Some(place) = queue::place(run, unit) {
            reasons.told[from..].iter_mut().for_each(|reason| reason.text = format!("{place}; {}", reason.text));
        }
        reasons
    }

    /// Who is in the queue right before the unit.
    fn ahead(&mut self, unit: &Unit) -> Option<&'a Unit> {
        let run = self.run;
        let ahead = self.ahead.get_or_insert_with(|| {
            let queue = run.queue();
            let mut ahead: BTreeMap<usize, &Unit> =
                queue.clone().zip(queue.clone().skip(1)).map(|(one, next)| (next.spec.position, one)).collect();
            // Who is not in it comes after all.
            ahead.extend(queue.clone().next_back().map(|last| (usize::MAX, last)));
            ahead.extend(queue.clone().next().map(|first| (first.spec.position, first)));
            ahead
        });
        let found = ahead.get(&unit.spec.position).or_else(|| ahead.get(&usize::MAX)).copied();
        found.filter(|ahead| ahead.id != unit.id)
    }

    /// Seats that are empty and should not be: their gates, then the backend, then the slot.
    fn empty_seats(&mut self, unit: &Unit, reasons: &mut Reasons) {
        let (state, fleet, run, now) = (self.state, self.fleet, self.run, self.now);
        let seats = due_seats(run, unit);
        let Some(&first) = seats.first() else { return };
        if gates(state, run, unit, now, &mut self.before, reasons) {
            return;
        }
        let candidate = Candidate::seat_of(run, unit, first);
        let barrier = *self.barrier.get_or_insert_with(|| barrier(state, fleet, run, now));
        if let Some(barrier) = barrier.filter(|barrier| is_barred_by(state, &barrier.id, &candidate)) {
            let text = format!("unit {} has no manifest and waits for every hold; nothing new starts before it", barrier.id);
            reasons.add(|| Waiting::on(WaitKind::Exclusive, &barrier.id, text));
            return;
        }
        let need = need(run, candidate.unit.as_ref(), candidate.seat);
        let supply = self.supply.entry(need).or_insert_with_key(|need| supply(state, fleet, run, need, now));
        if let Some(reason) = short_of(state, fleet, run, &candidate, supply, now) {
            reasons.add(|| reason);
        }
    }
}

fn running(fleet: &Fleet, run: &Run, unit: &Unit, reasons: &mut Reasons) {
    // A check that runs is told with its place in the train.
    let is_told = |attempt: &&Attempt| attempt.granted.seat != Seat::Check || fleet.delivering(&attempt.granted.key(&run.id)).is_some();
    for attempt in unit.live_attempts().filter(is_told) {
        let kind = if attempt.granted.role == roundtable_shared::Role::Review { WaitKind::Review } else { WaitKind::Attempt };
        let delivering = fleet.delivering(&attempt.granted.key(&run.id));
        let doing = match delivering {
            Some(_) => "is over and delivering",
            None if attempt.started_at.is_some() => "runs",
            None => "prepares",
        };
        let why = delivering.filter(|why| !why.is_empty()).map(|why| format!(": {why}")).unwrap_or_default();
        let text = format!("attempt {} ({}) {doing} on {}{why}", attempt.granted.attempt, attempt.granted.role, attempt.granted.worker);
        reasons.add(|| Waiting::on(kind, &attempt.granted.worker, text));
    }
}

/// That a person is asked.
fn open(decision: &Decision) -> Waiting {
    Waiting::on(WaitKind::Decision, &decision.id, format!("decision {} is open: {}", decision.id, decision.context))
}

fn contended(run: &Run, unit: &Unit, reasons: &mut Reasons) {
    for path in unit.contended() {
        for holder in run.holders_of(&unit.id, path) {
            reasons.add(|| {
                let text = format!("it changed {path}, which unit {} ({}) holds", holder.id, holder.state());
                Waiting { kind: WaitKind::Contended, on: holder.id.to_string(), path: path.clone(), text }
            });
        }
    }
}

/// What there is for a need, whichever seat has it.
enum Supply {
    /// Nothing that could be used now.
    Lacking(Waiting),
    /// These backends; and what is said where none of their slots is to be had.
    Offered { backends: Vec<BackendName>, has_free_slot: bool, busy: Waiting },
}

fn supply(state: &State, fleet: &Fleet, run: &Run, need: &Need, now: Now) -> Supply {
    match resolve(state, fleet, run, need, now) {
        Resolved::Parked(refusal) => Supply::Lacking(refused(state, fleet, &refusal, now)),
        Resolved::Missing => {
            let asked = run.people.decisions.values().find(|decision| is_about(decision, need));
            Supply::Lacking(match asked {
                Some(decision) => open(decision),
                None if lacks_labels(state, fleet, run, need, now) => {
                    Waiting::on(WaitKind::Label, need.requires.join(","), absent::labels(need))
                }
                None => Waiting::on(
                    WaitKind::Backend,
                    &need.wanted,
                    format!("no worker offers {}{}", need.wanted, absent::drained(fleet, &need.wanted, now)),
                ),
            })
        }
        Resolved::Use { backends, .. } => {
            let names: Vec<&str> = backends.iter().map(|name| name.as_str()).collect();
            let names = names.join(" or ");
            let labels = if need.requires.is_empty() { String::new() } else { format!(" with {}", need.requires.join(", ")) };
            let busy = Waiting::on(WaitKind::Slot, &names, format!("every slot of {names}{labels} is busy"));
            let has_free_slot = has_free_slot(state, fleet, run, &backends, &need.requires, now);
            Supply::Offered { backends, has_free_slot, busy }
        }
    }
}

/// What that seat lacks of it.
fn short_of(state: &State, fleet: &Fleet, run: &Run, candidate: &Candidate, supply: &Supply, now: Now) -> Option<Waiting> {
    match supply {
        Supply::Lacking(reason) => Some(reason.clone()),
        // One that is free may still be none for this unit.
        Supply::Offered { backends, has_free_slot, busy } => {
            let is_placed = *has_free_slot && place(state, fleet, run, candidate, backends, now).is_some();
            (!is_placed).then(|| busy.clone())
        }
    }
}

/// What keeps a seat whose gates are open from being filled: its backend, then the slot.
pub(crate) fn unfilled(state: &State, fleet: &Fleet, run: &Run, candidate: &Candidate, now: Now) -> Option<Waiting> {
    let need = need(run, candidate.unit.as_ref(), candidate.seat);
    short_of(state, fleet, run, candidate, &supply(state, fleet, run, &need, now), now)
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
