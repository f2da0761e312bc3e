//! Readiness, hazards, holds and order as the rules say them, the slow way: every pair of units, no index, nothing remembered. The core must
//! come to the same.

use std::collections::BTreeSet;

use roundtable_core::command::Now;
use roundtable_core::fleet::Fleet;
use roundtable_core::schedule::{Explainer, WaitKind, explain, is_ready};
use roundtable_core::state::{BaseCheck, FixCause, Release, Run, Stage, State, Unit};
use roundtable_shared::{HazardRule, Mode, UnitState};

/// Of so many states one is copied.
const COPIED_EVERY: u64 = 4;

/// A reason to wait, as far as this model knows it: what kind, and on which unit.
pub type Reason = (WaitKind, String);

/// Kinds of reasons this model knows of.
const KNOWN: [WaitKind; 5] = [WaitKind::Dependency, WaitKind::Hazard, WaitKind::Hold, WaitKind::Backoff, WaitKind::Paused];

fn everything(unit: &Unit) -> bool {
    unit.assignment.exclusive && !unit.assignment.settled
}

/// Whether others need not wait for it.
fn is_over(unit: &Unit) -> bool {
    !unit.spec.runs || matches!(unit.state(), UnitState::Completed | UnitState::Skipped | UnitState::Cancelled)
}

fn holds(unit: &Unit) -> bool {
    use UnitState::{FinalReview, FixRequired, InProgress, PendingReview, UnderReview};
    unit.spec.runs && matches!(unit.state(), InProgress | PendingReview | UnderReview | FinalReview | FixRequired)
}

/// Whether the unit waits for a grant (or a release) that takes its hold.
fn takes_hold(unit: &Unit) -> bool {
    unit.spec.runs && (unit.state() == UnitState::NotStarted || (unit.state() == UnitState::Blocked && unit.release().is_some()))
}

/// Whether nothing but integration is left to it.
fn in_queue(unit: &Unit) -> bool {
    unit.state() == UnitState::FinalReview && (unit.is_consolidated() || unit.review.reviewers == 0)
}

/// Whether the unit waits for work: the first time, or at a failed step.
fn begins(unit: &Unit) -> bool {
    unit.spec.runs
        && (unit.state() == UnitState::NotStarted || (unit.state() == UnitState::Blocked && unit.release() == Some(&Release::Subtask)))
}

/// Units that come before this one in plan order.
fn earlier<'a>(run: &'a Run, unit: &'a Unit) -> impl Iterator<Item = &'a Unit> {
    run.plan.order.iter().map(move |at| &run.units[*at]).take_while(move |other| other.id != unit.id)
}

/// Whether an earlier unit writes what a later one reads or writes.
fn threatens(earlier: &Unit, later: &Unit) -> bool {
    let writes = &earlier.assignment.manifest.writes;
    everything(earlier)
        || everything(later)
        || writes.conflicts(&later.assignment.manifest.writes)
        || writes.conflicts(&later.assignment.manifest.reads)
}

/// Everything that stands between a unit and its work.
pub fn reasons(state: &State, run: &Run, unit: &Unit, now: Now) -> BTreeSet<Reason> {
    let mut reasons = BTreeSet::new();
    if run.life.ending.is_some() || run.life.halted.is_some() || run.life.paused.is_some() || state.paused.is_some() {
        reasons.insert((WaitKind::Paused, String::new()));
    }
    if let Some(at) = unit.counters.retry_at.filter(|at| *at > now.wall) {
        reasons.insert((WaitKind::Backoff, at.rfc3339()));
    }
    if begins(unit) {
        let named = unit.assignment.depends_on.iter().chain(&unit.spec.checkpoint_on).filter_map(|on| run.unit(on));
        reasons.extend(named.filter(|on| !is_over(on)).map(|on| (WaitKind::Dependency, on.id.to_string())));
        if !unit.work.started && run.options.hazards == HazardRule::Ordered {
            let open = earlier(run, unit).filter(|other| !is_over(other) && threatens(other, unit));
            reasons.extend(open.map(|other| (WaitKind::Hazard, other.id.to_string())));
        }
    }
    if takes_hold(unit) {
        let meets = |other: &&Unit| {
            let shared = unit.assignment.manifest.writes.conflicts(&other.assignment.manifest.writes);
            other.id != unit.id && holds(other) && (everything(unit) || everything(other) || shared)
        };
        reasons.extend(run.units().filter(meets).map(|other| (WaitKind::Hold, other.id.to_string())));
    }
    reasons
}

/// Whether the unit has a seat to fill that gates stand before.
fn has_seat(unit: &Unit) -> bool {
    match unit.state() {
        UnitState::FixRequired => {
            !matches!(unit.fix(), None | Some(FixCause::Waiting { .. })) && unit.merging().is_none() && unit.live.is_empty()
        }
        _ => begins(unit),
    }
}

/// Reasons that are told of each unit where not all are.
const TOLD_MAX: [usize; 3] = [0, 1, 3];

/// Where the core tells other reasons, or another number of them, when it tells but the first.
fn explain_differences(state: &State, fleet: &Fleet, run: &Run, now: Now) -> Vec<String> {
    let mut found = Vec::new();
    let mut explainers = TOLD_MAX.map(|most| (most, Explainer::new(state, fleet, run, now, most)));
    for unit in run.units() {
        let all = explain(state, fleet, &run.id, &unit.id, now);
        for (most, explainer) in &mut explainers {
            let reasons = explainer.reasons(unit);
            let is_first = reasons.told[..] == all[..all.len().min(*most)];
            let count = reasons.told.len() + reasons.left_out;
            // The plans here are too small for any of it not to be counted.
            if !is_first || count != all.len() || reasons.at_least {
                found.push(format!("unit {} ({}): the first {most} of {all:?} are told as {reasons:?}", unit.id, unit.state()));
            }
        }
    }
    found
}

/// Where the core and this model differ, in words.
pub fn differences(state: &State, fleet: &Fleet, run: &Run, now: Now) -> Vec<String> {
    let mut found = index_differences(run);
    found.extend(explain_differences(state, fleet, run, now));
    // What readers get finds units by an index of its own.
    if state.seq.is_multiple_of(COPIED_EVERY) {
        found.extend(index_differences(&run.clone()).into_iter().map(|text| format!("in a copy: {text}")));
    }
    if run.stage() != Stage::Working {
        return found;
    }
    for unit in run.units().filter(|unit| unit.spec.runs && !is_over(unit) && has_seat(unit)) {
        let own = reasons(state, run, unit, now);
        let told: BTreeSet<Reason> = explain(state, fleet, &run.id, &unit.id, now)
            .into_iter()
            .filter_map(|waiting| match waiting.kind {
                // The core tells units without a manifest apart from others that come first; barriers stand beside no other reason.
                WaitKind::Exclusive if waiting.text.starts_with("comes after") => Some((WaitKind::Hazard, waiting.on)),
                kind => KNOWN.contains(&kind).then_some((kind, waiting.on)),
            })
            .collect();
        if own != told {
            found.push(format!("unit {} ({}): the rules say {own:?}, the core tells {told:?}", unit.id, unit.state()));
        }
        let other_gates = run.options.mode == Mode::Manual || run.agents.orchestrator.held.is_some();
        if !other_gates && is_ready(state, run, unit, now) != own.is_empty() {
            found.push(format!("unit {} ({}): the rules say {own:?}, the core says ready {}", unit.id, unit.state(), !own.is_empty()));
        }
    }
    found
}

/// What is left undone in the train: once nothing of it is under way, nobody stands outside it who may join, and nobody at its front who may be integrated.
pub fn train_differences(run: &Run, fleet: &Fleet, now: Now) -> Vec<String> {
    let mut found = Vec::new();
    let stopped = run.life.ending.is_some()
        || run.life.halted.is_some()
        || run.options.mode == Mode::Manual
        || run.agents.orchestrator.held.is_some();
    let gated = matches!(run.branch.base_check, BaseCheck::Wanted { .. } | BaseCheck::Red { .. });
    let flights = &run.branch.train.flights;
    if stopped || gated || flights.iter().any(|flight| flight.intended) {
        return found;
    }
    let checks = run.branch.base_check != BaseCheck::None;
    let waived = run.branch.base_check == BaseCheck::Waived;
    if let Some(first) = flights.first() {
        let passes = first.candidate.is_some() && (!checks || first.checks.green || (waived && first.checks.red > 0));
        if passes {
            found.push(format!("unit {} heads the train, may be integrated and is not", first.unit));
        }
        if first.misfit.is_some() || (checks && !waived && first.checks.red > 1 && !first.checks.green && first.alone.is_none()) {
            found.push(format!("unit {} heads the train, is to be sent back and is not", first.unit));
        }
    }
    let slots: usize = fleet
        .workers
        .values()
        .filter(|worker| worker.is_here(now))
        .flat_map(|worker| worker.offers.values())
        .filter(|offer| offer.offer.name.as_str() == "check" && offer.is_usable(now))
        .map(|offer| offer.offer.slots as usize)
        .sum();
    let has_room = flights.len() < (2 * slots).clamp(4, 64);
    let is_open = flights.last().is_none_or(|last| last.candidate.is_some());
    let in_train = |unit: &Unit| flights.iter().any(|flight| flight.unit == unit.id);
    let waits =
        |unit: &&Unit| unit.state() == UnitState::FinalReview && (unit.is_consolidated() || unit.review.reviewers == 0) && !in_train(unit);
    if let Some(unit) = run.units().find(waits).filter(|_| has_room && is_open) {
        found.push(format!("unit {} may join the train and has not", unit.id));
    }
    found
}

/// The index of the plan against what it is made of.
fn index_differences(run: &Run) -> Vec<String> {
    let mut found = Vec::new();
    let plan = &run.plan;
    let mut order = plan.order.to_vec();
    order.sort_unstable();
    if order != (0..run.units.len()).collect::<Vec<_>>() {
        found.push(format!("the order {:?} is not all units once", plan.order));
        return found;
    }
    let lookup = plan.lookup(&run.units);
    let queued = run.units().filter(|unit| in_queue(unit)).count();
    if lookup.queue.len() != queued {
        found.push(format!("{queued} units stand in the integration queue, and {:?} are noted", lookup.queue));
    }
    let startable: BTreeSet<usize> = plan.all_startable(&run.units).collect();
    if startable.len() != plan.all_startable(&run.units).count() {
        found.push("a unit stands in two lines".to_owned());
    }
    for (kind, line) in &lookup.startable {
        for (chain, rank) in line {
            let unit = &run.units[plan.order[*rank]];
            let is_right = (&kind.owner, kind.unit_type, &kind.requires)
                == (&unit.assignment.owner, unit.assignment.unit_type, &unit.assignment.requires);
            if !is_right || chain.0 != plan.remaining_ms[unit.spec.position] {
                found.push(format!("unit {} stands in a line that is not its own, or at another place", unit.id));
            }
        }
    }
    for unit in run.units() {
        let at = unit.spec.position;
        let mut needs: Vec<usize> = unit
            .assignment
            .depends_on
            .iter()
            .chain(&unit.spec.checkpoint_on)
            .filter_map(|on| run.unit(on))
            .filter(|on| on.spec.runs)
            .map(|on| on.spec.position)
            .collect();
        needs.sort_unstable();
        let mut known = plan.needs[at].clone();
        known.sort_unstable();
        if needs != known {
            found.push(format!("unit {} needs {needs:?}, the index has {known:?}", unit.id));
        }
        let is_hazard =
            |other: &&Unit| !is_over(other) && unit.spec.runs && !everything(other) && !everything(unit) && threatens(other, unit);
        let hazards: BTreeSet<usize> = earlier(run, unit).filter(is_hazard).map(|other| other.spec.position).collect();
        let known: BTreeSet<usize> = plan.nearest_hazards(&run.units, unit).map(|rank| plan.order[rank]).collect();
        if hazards != known || plan.has_open_hazard(&run.units, unit) == hazards.is_empty() {
            found.push(format!("unit {} has open hazards {hazards:?}, the index has {known:?}", unit.id));
        }
        let is_to_begin = unit.spec.runs && unit.state() == UnitState::NotStarted;
        let is_ordered = run.options.hazards == HazardRule::Ordered && !unit.work.started;
        let waits = needs.iter().any(|on| !is_over(&run.units[*on]))
            || (is_ordered && earlier(run, unit).any(|other| !is_over(other) && threatens(other, unit)));
        if startable.contains(&at) && !is_to_begin {
            found.push(format!("unit {} ({}) is in line", unit.id, unit.state()));
        } else if is_to_begin && !waits && !startable.contains(&at) {
            found.push(format!("unit {} waits for no other and is not in line", unit.id));
        } else if is_to_begin && !startable.contains(&at) && !lookup.waits_on[at].is_some_and(|on| lookup.waiters[on].contains(&at)) {
            found.push(format!("unit {} is neither in line nor woken by what it waits for", unit.id));
        }
        let meets = |other: &Unit| {
            everything(unit) || everything(other) || unit.assignment.manifest.writes.conflicts(&other.assignment.manifest.writes)
        };
        let is_free = !run.units().any(|other| other.id != unit.id && holds(other) && meets(other));
        if plan.hold_is_free(&run.units, unit) != is_free {
            found.push(format!("the hold of unit {} is free: {is_free}, the index says {}", unit.id, !is_free));
        }
        let comes_late = plan.needs[at].iter().find(|on| plan.rank[**on] > plan.rank[at]);
        // Until it is planned, the order is that of the document.
        if comes_late.is_some() && run.stage() != Stage::Assigning {
            found.push(format!("unit {} comes before {comes_late:?}, on which it depends", unit.id));
        }
        let rank = plan.rank[at];
        let sets = [
            (plan.unfinished.contains(rank), !is_over(unit), "unfinished"),
            (plan.unfinished_all.contains(rank), !is_over(unit) && everything(unit), "unfinished without a manifest"),
            (plan.begun.contains(rank), !is_over(unit) && unit.state() != UnitState::NotStarted, "begun"),
            (plan.active.contains(rank), !is_over(unit) && unit.state() != UnitState::NotStarted && !in_queue(unit), "active"),
            (lookup.queue.contains(&(unit.queued().unwrap_or(0), rank)), in_queue(unit), "in the integration queue"),
            (plan.holders.contains(at), holds(unit), "a holder"),
            (plan.holders_all.contains(at), holds(unit) && everything(unit), "a holder of everything"),
        ];
        for (has, is, what) in sets {
            if has != is {
                found.push(format!("unit {} is {what}: {is}, the index says {has}", unit.id));
            }
        }
    }
    found
}
