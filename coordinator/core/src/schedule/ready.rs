//! What must hold before a seat may be filled, worker and backend aside: each gate is asked by the scheduler and told by `explain`.

use roundtable_shared::{HazardRule, Seat, UnitState};

use crate::command::{Now, Phase};
use crate::planted::{Bug, planted};
use crate::rules::step;
use crate::schedule::waiting::{Reasons, WaitKind, Waiting};
use crate::state::{FixCause, Places, Plan, Release, Run, Stage, State, Unit};

/// Dependencies that are counted at most once enough of them have been told.
const COUNTED_MAX: usize = 256;

/// Whether the unit waits for a work grant (ready or not).
pub(crate) fn wants_work(unit: &Unit) -> bool {
    match unit.state() {
        UnitState::NotStarted => true,
        UnitState::Blocked => unit.release() == Some(&Release::Subtask),
        UnitState::FixRequired => unit.fix().is_some_and(|cause| !matches!(cause, FixCause::Waiting { .. })) && unit.merging().is_none(),
        _ => false,
    }
}

/// Seats of the unit that are empty and should not be.
pub(crate) fn due_seats(run: &Run, unit: &Unit) -> Vec<Seat> {
    match unit.state() {
        _ if !unit.spec.runs => Vec::new(),
        UnitState::PendingReview | UnitState::UnderReview => {
            if unit.merging().is_some() {
                return Vec::new();
            }
            unit.missing_reviews().filter(|seat| !unit.live.contains_key(seat) || planted(Bug::SeatTwice)).collect()
        }
        UnitState::FinalReview => {
            if unit.live.is_empty() && run.is_check_due(&unit.id) {
                vec![Seat::Check]
            } else {
                Vec::new()
            }
        }
        _ if wants_work(unit) && unit.live.is_empty() => vec![Seat::Work],
        _ => Vec::new(),
    }
}

/// Whether that seat is empty and should not be.
pub(crate) fn seat_is_due(run: &Run, unit: &Unit, seat: Seat) -> bool {
    due_seats(run, unit).contains(&seat)
}

/// Whether nothing but a slot stands between the unit and its next seat.
pub fn is_ready(state: &State, run: &Run, unit: &Unit, now: Now) -> bool {
    !Gates::asked(run, unit, now).any(state)
}

/// The same, manual mode's phases aside: what a step that is about to open may take up.
pub(crate) fn is_ready_for_step(state: &State, run: &Run, unit: &Unit, now: Now) -> bool {
    !Gates { phase_counts: false, ..Gates::asked(run, unit, now) }.any(state)
}

/// The same, backoff aside: only time stands in between.
pub(crate) fn is_ready_but_for_time(state: &State, run: &Run, unit: &Unit, now: Now) -> bool {
    !Gates { time_counts: false, ..Gates::asked(run, unit, now) }.any(state)
}

/// Whether the run as a whole lets units be begun.
pub(crate) fn may_begin(state: &State, run: &Run, now: Now) -> bool {
    let Some(unit) = run.startable().next() else { return false };
    !Gates::asked(run, unit, now).of_run(state) && !run.is_held(Phase::Dispatch, now.wall)
}

/// Adds what stands between the unit and its next seat, worker and backend aside; tells whether anything does. With `before` what it comes after is counted
/// from there.
pub(crate) fn gates(state: &State, run: &Run, unit: &Unit, now: Now, before: Option<&UnfinishedBefore>, reasons: &mut Reasons) -> bool {
    Gates { reasons: Some(reasons), before, ..Gates::asked(run, unit, now) }.any(state)
}

/// Whether nothing but holds of others stands in between.
pub(crate) fn waits_for_holds_alone(state: &State, run: &Run, unit: &Unit, now: Now) -> bool {
    // Holds are asked about last: what comes first tells.
    let mut first = Reasons::at_most(1);
    gates(state, run, unit, now, None, &mut first);
    first.told.iter().all(|reason| reason.kind == WaitKind::Hold)
}

/// How many of the units that have not come to their end stand before each place of the plan's order, so that they are counted once for many questions.
pub(crate) struct UnfinishedBefore {
    all: Vec<usize>,
    without_manifest: Vec<usize>,
}

impl UnfinishedBefore {
    /// Of that plan as it is now. Costs as much as there are units.
    pub(crate) fn of(plan: &Plan) -> Self {
        let count = |ranks: &Places| {
            let mut counts = vec![0; plan.order.len() + 1];
            ranks.iter().filter(|rank| *rank < plan.order.len()).for_each(|rank| counts[rank + 1] = 1);
            (1..counts.len()).for_each(|rank| counts[rank] += counts[rank - 1]);
            counts
        };
        Self { all: count(&plan.unfinished), without_manifest: count(&plan.unfinished_all) }
    }
}

/// Asks each gate; with `reasons` it goes on after the first and tells them all.
struct Gates<'a> {
    run: &'a Run,
    unit: &'a Unit,
    now: Now,
    reasons: Option<&'a mut Reasons>,
    before: Option<&'a UnfinishedBefore>,
    time_counts: bool,
    phase_counts: bool,
}

impl<'a> Gates<'a> {
    fn asked(run: &'a Run, unit: &'a Unit, now: Now) -> Self {
        Self { run, unit, now, reasons: None, before: None, time_counts: true, phase_counts: true }
    }

    /// Whether anything stands in the way.
    fn any(&mut self, state: &State) -> bool {
        let gates: [fn(&mut Self, &State) -> bool; 5] = [Self::of_run, Self::of_phase, Self::of_time, Self::of_order, Self::of_hold];
        let mut found = false;
        for gate in gates {
            found |= gate(self, state);
            if found && self.reasons.is_none() {
                return true;
            }
        }
        found
    }

    /// A closed gate, with words for it where they are wanted.
    fn closed(&mut self, reason: impl FnOnce(&Self) -> Waiting) -> bool {
        if let Some(reasons) = self.reasons.take() {
            reasons.add(|| reason(self));
            self.reasons = Some(reasons);
        }
        true
    }

    /// How many more reasons are told in words; none where only the answer counts.
    fn room(&self) -> usize {
        self.reasons.as_ref().map_or(0, |reasons| reasons.room())
    }

    fn leave_out(&mut self, count: usize) {
        if let Some(reasons) = &mut self.reasons {
            reasons.leave_out(count);
        }
    }

    fn of_run(&mut self, state: &State) -> bool {
        let run = self.run;
        if let Some(ended) = &run.ended() {
            return self.closed(|_| Waiting::on_run(WaitKind::Ended, format!("the run has ended: {}", ended.reason)));
        }
        if run.stage() == Stage::Assigning {
            return self.closed(|_| Waiting::on_run(WaitKind::Assignment, "owners and manifests are being found".to_owned()));
        }
        let stopped = run.life.ending.as_ref().map(|ending| ("is ending", ending.reason.clone()));
        let halted = run.life.halted.as_ref().map(|halted| ("is halted", halted.text.clone()));
        let own = run.life.paused.as_ref().filter(|_| !planted(Bug::PauseIgnored));
        let of_all = state.paused.as_ref().filter(|_| !planted(Bug::PauseOfAllIgnored));
        let paused = own.or(of_all).map(|paused| ("is paused", paused.text.clone()));
        match stopped.or(halted).or(paused) {
            Some((how, why)) => self.closed(|_| {
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                Waiting::on_run(WaitKind::Paused, format!("the run {how}{why}"))
            }),
            None => false,
        }
    }

    fn of_phase(&mut self, _: &State) -> bool {
        let phase = match self.unit.state() {
            UnitState::PendingReview | UnitState::UnderReview => Phase::Reviews,
            UnitState::FinalReview => Phase::Consolidate,
            _ => Phase::Dispatch,
        };
        let mut found = false;
        if self.run.is_held(phase, self.now.wall) {
            found |= self.closed(|_| {
                Waiting::on_run(WaitKind::Orchestrator, "the orchestrator agent asked to hold this back for a moment".to_owned())
            });
        }
        if self.phase_counts && !step::allows(self.run, phase, &self.unit.id) {
            found |= self.closed(|gates| {
                let word = match phase {
                    Phase::Dispatch if gates.unit.assignment.owner.is_none() || gates.unit.assignment.window.is_none() => "assign",
                    Phase::Reviews => "reviews",
                    Phase::Consolidate => "consolidate",
                    _ => "dispatch",
                };
                Waiting::on_run(WaitKind::Step, format!("manual mode: `orchctl step {} {word}` moves it", gates.run.id))
            });
        }
        found
    }

    fn of_time(&mut self, _: &State) -> bool {
        match self.unit.counters.retry_at.filter(|at| self.time_counts && *at > self.now.wall && !planted(Bug::BackoffIgnored)) {
            Some(at) => self.closed(|gates| {
                let wait_s = at.since(gates.now.wall).div_ceil(1000);
                Waiting { kind: WaitKind::Backoff, on: at.rfc3339(), path: String::new(), text: format!("tried again in {wait_s} s") }
            }),
            None => false,
        }
    }

    /// Dependencies, and hazards before the first grant.
    fn of_order(&mut self, _: &State) -> bool {
        if !wants_work(self.unit) || self.unit.state() == UnitState::FixRequired {
            return false;
        }
        let (run, unit) = (self.run, self.unit);
        let (mut found, mut looked) = (false, 0);
        for &on in &run.plan.needs[unit.spec.position] {
            // Once there is no room for more, so many further ones are counted.
            looked += usize::from(self.room() == 0);
            if found && looked > COUNTED_MAX {
                break;
            }
            let on = &run.units[on];
            if !on.is_settled_for_others() && !planted(Bug::DependencyForgotten) {
                found |= self.closed(|_| {
                    let is_implied = unit.spec.checkpoint_on.contains(&on.id);
                    let how = if is_implied { "a checkpoint comes after unit" } else { "depends on unit" };
                    Waiting {
                        kind: WaitKind::Dependency,
                        on: on.id.to_string(),
                        path: String::new(),
                        text: format!("{how} {} ({})", on.id, on.state()),
                    }
                });
                if self.reasons.is_none() {
                    return true;
                }
            }
        }
        if unit.work.started || run.options.hazards == HazardRule::Writes {
            return found;
        }
        found | self.of_hazards()
    }

    /// Earlier units that this one meets because one of both has no manifest, then those whose writes it touches.
    fn of_hazards(&mut self) -> bool {
        let comes_after = self.of_exclusive();
        if planted(Bug::HazardForgotten) || (comes_after && self.reasons.is_none()) {
            return comes_after;
        }
        let (run, unit) = (self.run, self.unit);
        if self.reasons.is_none() {
            return run.plan.has_open_hazard(&run.units, unit);
        }
        let (some, count) = run.plan.some_open_hazards(&run.units, unit, self.room());
        self.leave_out(count - some.len());
        for earlier in some.iter().map(|at| &run.units[*at]) {
            self.closed(|gates| {
                let path = hazard_path(gates.unit, earlier);
                let text = format!("unit {} ({}) comes first and writes {path}", earlier.id, earlier.state());
                Waiting { kind: WaitKind::Hazard, on: earlier.id.to_string(), path, text }
            });
        }
        comes_after || count > 0
    }

    fn of_exclusive(&mut self) -> bool {
        let (run, claims_all) = (self.run, self.unit.claims_all());
        let (plan, rank) = (&run.plan, run.plan.rank[self.unit.spec.position]);
        let earlier = if claims_all { &plan.unfinished } else { &plan.unfinished_all };
        if planted(Bug::ExclusiveForgotten) || earlier.before(rank).next().is_none() {
            return false;
        }
        let told = earlier.before(rank).take(self.room());
        let count = match (&self.reasons, self.before) {
            (None, _) => 0,
            (Some(_), Some(before)) if claims_all => before.all[rank],
            (Some(_), Some(before)) => before.without_manifest[rank],
            (Some(_), None) => earlier.before(rank).count(),
        };
        let mut left = count;
        for earlier in told.map(|rank| &run.units[plan.order[rank]]) {
            left -= 1;
            self.closed(|_| {
                let whose = if claims_all { "this unit" } else { "it" };
                Waiting {
                    kind: WaitKind::Exclusive,
                    on: earlier.id.to_string(),
                    path: String::new(),
                    text: format!(
                        "comes after unit {} ({}): {whose} has no manifest and counts as touching everything",
                        earlier.id,
                        earlier.state()
                    ),
                }
            });
        }
        self.leave_out(left);
        true
    }

    /// Holds of others, where a grant (or a release) takes the unit's own.
    fn of_hold(&mut self, _: &State) -> bool {
        let (run, unit) = (self.run, self.unit);
        let takes_hold = matches!(unit.state(), UnitState::NotStarted | UnitState::Blocked) && !planted(Bug::HoldForgotten);
        if !takes_hold || !(wants_work(unit) || unit.release().is_some()) {
            return false;
        }
        if self.reasons.is_none() {
            return !run.plan.hold_is_free(&run.units, unit);
        }
        let (some, count) = run.plan.some_holders(&run.units, unit, self.room());
        self.leave_out(count - some.len());
        for holder in some.iter().map(|at| &run.units[*at]) {
            self.closed(|gates| {
                let path = hold_path(gates.unit, holder);
                let text = format!("unit {} ({}) holds {}", holder.id, holder.state(), if path.is_empty() { "everything" } else { &path });
                Waiting { kind: WaitKind::Hold, on: holder.id.to_string(), path, text }
            });
        }
        count > 0
    }
}

/// A path in which a later unit meets an earlier one's writes.
pub(crate) fn hazard_path(unit: &Unit, earlier: &Unit) -> String {
    let meets =
        |set: &roundtable_shared::manifest::PathSet| earlier.assignment.manifest.writes.first_conflict(set).map(|conflict| conflict.path);
    meets(&unit.assignment.manifest.writes).or_else(|| meets(&unit.assignment.manifest.reads)).unwrap_or_default()
}

/// A path both units write.
fn hold_path(unit: &Unit, holder: &Unit) -> String {
    holder.assignment.manifest.writes.first_conflict(&unit.assignment.manifest.writes).map(|conflict| conflict.path).unwrap_or_default()
}
