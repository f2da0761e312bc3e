//! What must hold before a seat may be filled, worker and backend aside: each gate is asked by the scheduler and told by `explain`.

use roundtable_shared::manifest::PathSet;
use roundtable_shared::{HazardRule, Seat, UnitState};

use crate::command::{Now, Phase};
use crate::planted::{Bug, planted};
use crate::rules::step;
use crate::schedule::before::{self, FirstUnits, UnfinishedBefore};
use crate::schedule::waiting::{Reasons, WaitKind, Waiting};
use crate::state::{FixCause, Release, Run, Stage, State, Unit, UnitPhase};

/// Whether the unit waits for a work grant (ready or not).
pub(crate) fn wants_work(unit: &Unit) -> bool {
    match &unit.phase {
        UnitPhase::NotStarted => true,
        UnitPhase::Blocked(blocked) => blocked.release == Some(Release::Subtask),
        UnitPhase::FixRequired(owed) => !matches!(owed.cause, FixCause::Waiting { .. }) && owed.merging.is_none(),
        _ => false,
    }
}

/// Seats of the unit that are empty and should not be.
pub(crate) fn due_seats(run: &Run, unit: &Unit) -> Vec<Seat> {
    match unit.state() {
        _ if !unit.spec.runs => Vec::new(),
        UnitState::PendingReview | UnitState::UnderReview => {
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

/// Whether nothing but holds of others stands in between.
pub(crate) fn waits_for_holds_alone(state: &State, run: &Run, unit: &Unit, now: Now) -> bool {
    !Gates { holds_count: false, ..Gates::asked(run, unit, now) }.any(state)
}

/// Adds what stands between the unit and its next seat, worker and backend aside; tells whether anything does. How many come before a unit is counted in
/// `before`, which is made when it is first needed.
pub(crate) fn gates(state: &State, run: &Run, unit: &Unit, now: Now, before: &mut Option<UnfinishedBefore>, reasons: &mut Reasons) -> bool {
    Gates { told: Some((reasons, before)), ..Gates::asked(run, unit, now) }.any(state)
}

/// Asks each gate; with somewhere to tell reasons it goes on after the first and tells them all.
struct Gates<'a> {
    run: &'a Run,
    unit: &'a Unit,
    now: Now,
    told: Option<(&'a mut Reasons, &'a mut Option<UnfinishedBefore>)>,
    time_counts: bool,
    phase_counts: bool,
    holds_count: bool,
}

impl<'a> Gates<'a> {
    fn asked(run: &'a Run, unit: &'a Unit, now: Now) -> Self {
        Self { run, unit, now, told: None, time_counts: true, phase_counts: true, holds_count: true }
    }

    /// Whether anything stands in the way.
    fn any(&mut self, state: &State) -> bool {
        let gates: [fn(&mut Self, &State) -> bool; 5] = [Self::of_run, Self::of_phase, Self::of_time, Self::of_order, Self::of_hold];
        let mut found = false;
        for gate in gates {
            found |= gate(self, state);
            if found && self.told.is_none() {
                return true;
            }
        }
        found
    }

    /// A closed gate, with words for it where they are wanted.
    fn closed(&mut self, reason: impl FnOnce() -> Waiting) -> bool {
        if let Some((reasons, _)) = &mut self.told {
            reasons.add(reason);
        }
        true
    }

    /// Whether units stand before this one: the first of them are told in words, the others by their number. Where only the answer counts, `any` has it.
    fn closed_by(
        &mut self,
        any: impl FnOnce() -> bool,
        first: impl FnOnce(usize) -> FirstUnits,
        reason: impl Fn(&Unit) -> Waiting,
    ) -> bool {
        let Some((reasons, _)) = &mut self.told else { return any() };
        let found = first(reasons.room());
        found.places.iter().for_each(|at| reasons.add(|| reason(&self.run.units[*at])));
        reasons.leave_out(found.left_out, found.at_least);
        !found.places.is_empty() || found.left_out > 0
    }

    fn of_run(&mut self, state: &State) -> bool {
        let run = self.run;
        if let Some(ended) = &run.ended() {
            return self.closed(|| Waiting::on_run(WaitKind::Ended, format!("the run has ended: {}", ended.reason)));
        }
        if run.stage() == Stage::Assigning {
            return self.closed(|| Waiting::on_run(WaitKind::Assignment, "owners and manifests are being found".to_owned()));
        }
        let stopped = run.life.ending.as_ref().map(|ending| ("is ending", ending.reason.clone()));
        let halted = run.life.halted.as_ref().map(|halted| ("is halted", halted.text.clone()));
        let own = run.life.paused.as_ref().filter(|_| !planted(Bug::PauseIgnored));
        let of_all = state.paused.as_ref().filter(|_| !planted(Bug::PauseOfAllIgnored));
        let paused = own.or(of_all).map(|paused| ("is paused", paused.text.clone()));
        match stopped.or(halted).or(paused) {
            Some((how, why)) => self.closed(|| {
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                Waiting::on_run(WaitKind::Paused, format!("the run {how}{why}"))
            }),
            None => false,
        }
    }

    fn of_phase(&mut self, _: &State) -> bool {
        let (run, unit) = (self.run, self.unit);
        let phase = match unit.state() {
            UnitState::PendingReview | UnitState::UnderReview => Phase::Reviews,
            UnitState::FinalReview => Phase::Consolidate,
            _ => Phase::Dispatch,
        };
        let mut found = false;
        if run.is_held(phase, self.now.wall) {
            found |= self.closed(|| {
                Waiting::on_run(WaitKind::Orchestrator, "the orchestrator agent asked to hold this back for a moment".to_owned())
            });
        }
        if self.phase_counts && !step::allows(run, phase, &unit.id) {
            found |= self.closed(|| {
                let word = match phase {
                    Phase::Dispatch if unit.assignment.owner.is_none() || unit.assignment.window.is_none() => "assign",
                    Phase::Reviews => "reviews",
                    Phase::Consolidate => "consolidate",
                    _ => "dispatch",
                };
                Waiting::on_run(WaitKind::Step, format!("manual mode: `orchctl step {} {word}` moves it", run.id))
            });
        }
        found
    }

    fn of_time(&mut self, _: &State) -> bool {
        let now = self.now.wall;
        match self.unit.counters.retry_at.filter(|at| self.time_counts && *at > now && !planted(Bug::BackoffIgnored)) {
            Some(at) => self.closed(|| {
                let wait_s = at.since(now).div_ceil(1000);
                Waiting::on(WaitKind::Backoff, at.rfc3339(), format!("tried again in {wait_s} s"))
            }),
            None => false,
        }
    }

    /// Dependencies, and hazards before the first grant.
    fn of_order(&mut self, _: &State) -> bool {
        let (run, unit) = (self.run, self.unit);
        if !wants_work(unit) || unit.state() == UnitState::FixRequired {
            return false;
        }
        let mut found = false;
        let needs = run.plan.needs[unit.spec.position].iter().map(|at| &run.units[*at]);
        for on in needs.filter(|on| !on.is_settled_for_others() && !planted(Bug::DependencyForgotten)) {
            found |= self.closed(|| {
                let is_implied = unit.spec.checkpoint_on.contains(&on.id);
                let how = if is_implied { "a checkpoint comes after unit" } else { "depends on unit" };
                Waiting::on(WaitKind::Dependency, &on.id, format!("{how} {} ({})", on.id, on.state()))
            });
            if self.told.is_none() {
                return true;
            }
        }
        if unit.work.started || run.options.hazards == HazardRule::Writes {
            return found;
        }
        found | self.of_hazards()
    }

    /// Earlier units that this one meets because one of both has no manifest, then those whose writes it touches.
    fn of_hazards(&mut self) -> bool {
        let (run, unit) = (self.run, self.unit);
        let comes_after = self.of_exclusive();
        if planted(Bug::HazardForgotten) || (comes_after && self.told.is_none()) {
            return comes_after;
        }
        let meets = self.closed_by(
            || run.plan.has_open_hazard(&run.units, unit),
            |most| before::hazards(run, unit, most),
            |earlier| {
                let path = hazard_path(unit, earlier);
                let text = format!("unit {} ({}) comes first and writes {path}", earlier.id, earlier.state());
                Waiting { kind: WaitKind::Hazard, on: earlier.id.to_string(), path, text }
            },
        );
        comes_after || meets
    }

    fn of_exclusive(&mut self) -> bool {
        let (run, claims_all) = (self.run, self.unit.claims_all());
        let (plan, rank) = (&run.plan, run.plan.rank[self.unit.spec.position]);
        let earlier = if claims_all { &plan.unfinished } else { &plan.unfinished_all };
        if planted(Bug::ExclusiveForgotten) || earlier.before(rank).next().is_none() {
            return false;
        }
        let Some((reasons, before)) = &mut self.told else { return true };
        let (room, mut told) = (reasons.room(), 0);
        for earlier in earlier.before(rank).take(room).map(|rank| &run.units[plan.order[rank]]) {
            told += 1;
            reasons.add(|| {
                let whose = if claims_all { "this unit" } else { "it" };
                let text = format!(
                    "comes after unit {} ({}): {whose} has no manifest and counts as touching everything",
                    earlier.id,
                    earlier.state()
                );
                Waiting::on(WaitKind::Exclusive, &earlier.id, text)
            });
        }
        if told == room {
            let before = before.get_or_insert_with(|| UnfinishedBefore::of(plan));
            reasons.leave_out(before.count(rank, claims_all) - told, false);
        }
        true
    }

    /// Holds of others, where a grant (or a release) takes the unit's own.
    fn of_hold(&mut self, _: &State) -> bool {
        let (run, unit) = (self.run, self.unit);
        let takes_hold = self.holds_count && (unit.state() == UnitState::NotStarted || unit.release().is_some());
        if !takes_hold || planted(Bug::HoldForgotten) {
            return false;
        }
        self.closed_by(
            || !run.plan.hold_is_free(&run.units, unit),
            |most| before::holders(run, unit, most),
            |holder| {
                let path = hold_path(unit, holder);
                let text = format!("unit {} ({}) holds {}", holder.id, holder.state(), if path.is_empty() { "everything" } else { &path });
                Waiting { kind: WaitKind::Hold, on: holder.id.to_string(), path, text }
            },
        )
    }
}

/// A path in which a later unit meets an earlier one's writes.
pub(crate) fn hazard_path(unit: &Unit, earlier: &Unit) -> String {
    let meets = |set: &PathSet| earlier.assignment.manifest.writes.first_conflict(set).map(|conflict| conflict.path);
    meets(&unit.assignment.manifest.writes).or_else(|| meets(&unit.assignment.manifest.reads)).unwrap_or_default()
}

/// A path both units write.
fn hold_path(unit: &Unit, holder: &Unit) -> String {
    holder.assignment.manifest.writes.first_conflict(&unit.assignment.manifest.writes).map(|conflict| conflict.path).unwrap_or_default()
}
