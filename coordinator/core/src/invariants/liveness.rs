//! I7, the sentence of liveness: no reachable state has nothing running, no timer armed and no open decision, unless the run has ended, is paused
//! or manual.

use roundtable_shared::Mode;

use super::{Found, Violation};
use crate::command::Now;
use crate::decide::owed_effects;
use crate::fleet::Fleet;
use crate::schedule::{WaitKind, explain};
use crate::state::{BaseCheck, Run, Stage, State};

/// To be asked when all that can be granted has been: runs that nothing will ever move.
pub fn at_rest(state: &State, fleet: &Fleet, now: Now) -> Vec<Violation> {
    let mut violations = Vec::new();
    for run in state.unfinished() {
        let mut found = Found::of(&run.id);
        if !may_rest(state, run) {
            moves(&mut found, state, fleet, run, now);
        }
        violations.extend(found.violations);
    }
    violations
}

/// A person stopped it, is asked, or steps it.
fn may_rest(state: &State, run: &Run) -> bool {
    let stopped = run.paused.is_some() || state.paused.is_some() || run.halted.is_some();
    stopped || !run.decisions.is_empty() || (run.options.mode == Mode::Manual && run.step.is_none())
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
    for unit in run.units().filter(|unit| unit.runs && !unit.state.is_terminal()) {
        let reasons = explain(state, fleet, &run.id, &unit.id, now);
        found.unless(!reasons.is_empty(), "I7", || format!("unit {} is {} and waits for nothing", unit.id, unit.state));
        let is_armed = |kind: WaitKind| {
            matches!(kind, WaitKind::Backoff | WaitKind::Parked | WaitKind::Backend | WaitKind::Slot | WaitKind::Orchestrator)
        };
        if reasons.iter().any(|reason| is_armed(reason.kind)) {
            return;
        }
        told.extend(reasons.into_iter().map(|reason| format!("unit {} ({}): {}", unit.id, unit.state, reason.text)));
    }
    found.unless(false, "I7", || format!("nothing runs, no timer is armed and no decision is open: {}", told.join("; ")));
}

/// Whether a seat of the run itself is to be filled: it waits for a slot, or for the time after which the run does without.
fn own_seat_waits(run: &Run) -> bool {
    let agent = run.stage == Stage::Assigning && matches!(run.options.mode, Mode::Llm | Mode::Deterministic);
    let working = run.stage == Stage::Working;
    let consulted = run.orchestrator.enabled && run.orchestrator.wanted.is_some();
    let base = matches!(run.base_check, BaseCheck::Wanted { .. }) && !run.is_done();
    agent || (working && (consulted || base))
}
