//! From the core's state and the shell's facts to what a prompt is made of. Nothing here is cut or cleaned; that happens when it is rendered.

mod around;
mod of_run;
mod review;
mod unit;
mod work;

use roundtable_core::Core;
use roundtable_core::command::Now;
use roundtable_core::effect::Grant;
use roundtable_core::state::{Run, Unit};
use roundtable_shared::{Role, Seat, TurnData, TurnSubtask, TurnUnit};

use super::facts::PromptFacts;
use super::input::*;

/// Entries of a list that go into the structured half of a turn; the prompt says how many there are in all.
const TURN_ENTRIES_MAX: usize = 1000;
/// Units that go into the structured half of a run-level turn.
const TURN_UNITS_MAX: usize = 500;

impl PromptInput {
    /// Everything the turn of a grant is told; `None` if the state does not know its run or unit (any more).
    pub fn for_grant(core: &Core, now: Now, grant: &Grant, facts: &PromptFacts) -> Option<Self> {
        let state = &core.state;
        let run = state.run(&grant.lease.key.run)?;
        let unit = match &grant.lease.key.unit {
            Some(id) => Some(run.unit(id)?),
            None => None,
        };
        let attempt = state.attempt(&grant.lease.key);
        let body = match (grant.granted.role, unit) {
            (Role::Implement, Some(unit)) => PromptBody::Implement(Box::new(work::work(run, unit, grant, attempt, facts)?)),
            (Role::Fix, Some(unit)) => PromptBody::Fix(Box::new(work::work(run, unit, grant, attempt, facts)?)),
            (Role::Review, Some(unit)) => PromptBody::Review(Box::new(review::review(run, unit, grant, facts)?)),
            (Role::Assign, _) => PromptBody::Assign(Box::new(of_run::assign(run, facts))),
            (Role::Orchestrate, _) => PromptBody::Orchestrate(Box::new(of_run::orchestrate(core, now, run, facts))),
            (Role::Check, _) => PromptBody::Check,
            (Role::Implement | Role::Fix | Role::Review, None) => return None,
        };
        Some(Self { turn: turn(run, unit, grant), body })
    }
}

fn turn(run: &Run, unit: Option<&Unit>, grant: &Grant) -> TurnData {
    let entries = |list: &[String]| list.iter().take(TURN_ENTRIES_MAX).cloned().collect();
    let round = match grant.granted.role {
        Role::Implement => 1,
        Role::Fix => unit.map_or(1, |unit| unit.counters.fix_attempts + 1),
        Role::Review | Role::Check => unit.map_or(0, |unit| unit.review.round),
        Role::Assign | Role::Orchestrate => grant.granted.turn,
    };
    TurnData {
        run: run.id.clone(),
        unit: unit.map(|unit| unit.id.clone()),
        title: unit.map_or_else(|| spec_name(run), |unit| unit.spec.title.clone()),
        role: grant.granted.role,
        attempt: grant.lease.key.attempt,
        turn_index: grant.granted.turn,
        round,
        reviewer: if let Seat::Review(n) = grant.granted.seat { n } else { 0 },
        writes: unit.map(|unit| entries(unit.assignment.manifest.writes.entries())).unwrap_or_default(),
        reads: unit.map(|unit| entries(unit.assignment.manifest.reads.entries())).unwrap_or_default(),
        open_subtasks: unit.map(open_subtasks).unwrap_or_default(),
        units: if unit.is_none() { turn_units(run) } else { Vec::new() },
        window: unit.and_then(|unit| unit.assignment.window.clone()).unwrap_or_default(),
    }
}

fn open_subtasks(unit: &Unit) -> Vec<TurnSubtask> {
    let open = unit.open_subtasks().filter(|subtask| subtask.id.as_str() != unit.id.as_str());
    let told = open.map(|subtask| TurnSubtask { id: subtask.id.clone(), title: subtask.title.clone(), optional: !subtask.needed });
    told.take(TURN_ENTRIES_MAX).collect()
}

fn turn_units(run: &Run) -> Vec<TurnUnit> {
    let entries = |list: &[String]| list.iter().take(TURN_ENTRIES_MAX).cloned().collect();
    let told = run.units().filter(|unit| unit.spec.runs).map(|unit| TurnUnit {
        id: unit.id.clone(),
        title: unit.spec.title.clone(),
        unit_type: unit.assignment.unit_type,
        writes: entries(unit.assignment.manifest.writes.entries()),
        reads: entries(unit.assignment.manifest.reads.entries()),
        state: unit.state(),
    });
    told.take(TURN_UNITS_MAX).collect()
}

/// The last part of the spec's path.
fn spec_name(run: &Run) -> String {
    let path = run.origin.source.spec_path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path).to_owned()
}
