//! I7, the sentence of liveness: no reachable state has nothing running, no timer armed and no open decision, unless the run has ended, is paused
//! or manual.

use roundtable_shared::{HazardRule, Mode};

use super::{Found, Violation};
use crate::command::Now;
use crate::fleet::Fleet;
use crate::rules::owed::owed_effects;
use crate::schedule::{Standing, WaitKind, Waiting, explain, standing};
use crate::state::{BaseCheck, Run, Stage, State};

/// To be asked when all that can be granted has been: runs that nothing will ever move.
pub fn at_rest(state: &State, fleet: &Fleet, now: Now) -> Vec<Violation> {
    let mut violations = Vec::new();
    for run in state.unfinished() {
        let mut found = Found::of(&run.id);
        if !may_rest(state, run) {
            moves(&mut found, state, fleet, run, now);
        }
        stands(&mut found, state, fleet, run, now);
        violations.extend(found.violations);
    }
    violations
}

/// A person stopped it, is asked, or steps it.
fn may_rest(state: &State, run: &Run) -> bool {
    let stopped = run.life.paused.is_some() || state.paused.is_some() || run.life.halted.is_some();
    stopped || !run.people.decisions.is_empty() || (run.options.mode == Mode::Manual && run.life.step.is_none())
}

fn moves(found: &mut Found<'_>, state: &State, fleet: &Fleet, run: &Run, now: Now) {
    // An attempt has its deadline, an owed effect its answer.
    if run.has_live_attempts() || !owed_effects(run).is_empty() {
        return;
    }
    if own_seat_waits(run) {
        return;
    }
    let mut told = Vec::new();
    for unit in run.units().filter(|unit| unit.spec.runs && !unit.state().is_terminal()) {
        let reasons = explain(state, fleet, &run.id, &unit.id, now);
        found.unless(!reasons.is_empty(), "I7", || format!("unit {} is {} and waits for nothing", unit.id, unit.state()));
        if reasons.iter().any(|reason| is_armed(reason.kind)) {
            return;
        }
        told.extend(reasons.into_iter().map(|reason| format!("unit {} ({}): {}", unit.id, unit.state(), reason.text)));
    }
    found.unless(false, "I7", || format!("nothing runs, no timer is armed and no decision is open: {}", told.join("; ")));
}

/// Reasons that time, or a worker, ends.
fn is_armed(kind: WaitKind) -> bool {
    use WaitKind::{Backend, Backoff, Label, Orchestrator, Parked, Slot};
    matches!(kind, Backoff | Parked | Backend | Label | Slot | Orchestrator)
}

/// Whoever waits for the run is told to stop waiting exactly when only a person can move it.
fn stands(found: &mut Found<'_>, state: &State, fleet: &Fleet, run: &Run, now: Now) {
    let stopped = run.life.paused.is_some() || state.paused.is_some() || run.life.halted.is_some() || run.options.mode == Mode::Manual;
    if stopped || run.people.decisions.is_empty() || run.has_live_attempts() || !owed_effects(run).is_empty() || own_seat_waits(run) {
        return;
    }
    let waits = standing(state, run) == Standing::Waiting;
    let open = run.units().filter(|unit| unit.spec.runs && !unit.state().is_terminal());
    let told = open.map(|unit| (unit, explain(state, fleet, &run.id, &unit.id, now))).collect::<Vec<_>>();
    let free = told.iter().find(|(_, reasons)| reasons.iter().all(|reason| is_armed(reason.kind)));
    found.unless(waits || free.is_some(), "I7", || {
        let texts: Vec<&str> = told.iter().flat_map(|(_, reasons)| reasons).map(|reason| reason.text.as_str()).collect();
        format!("only decisions can move it, and it does not say so: {}", texts.join("; "))
    });
    // After a pause, or under a unit that keeps others back, it may turn out to wait for a person all the same.
    let only_slot = |reasons: &[Waiting]| reasons.iter().all(|reason| matches!(reason.kind, WaitKind::Slot | WaitKind::Parked));
    let free = free.filter(|(_, reasons)| only_slot(reasons) && run.options.hazards == HazardRule::Ordered);
    if let (true, Some((unit, reasons))) = (waits, free) {
        found.unless(false, "I7", || format!("it says that only decisions can move it, but unit {} waits for {reasons:?}", unit.id));
    }
}

/// Whether a seat of the run itself is to be filled: it waits for a slot, or for the time after which the run does without.
fn own_seat_waits(run: &Run) -> bool {
    let agent = run.stage() == Stage::Assigning && matches!(run.options.mode, Mode::Llm | Mode::Deterministic);
    let working = run.stage() == Stage::Working;
    let consulted = run.agents.orchestrator.enabled && run.agents.orchestrator.wanted.is_some();
    let base = matches!(run.branch.base_check, BaseCheck::Wanted { .. }) && !run.is_done();
    agent || run.reassignable().next().is_some() || (working && (consulted || base))
}
