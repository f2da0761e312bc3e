//! Owners, windows, criticality and manifests: rules and spec first, an agent's answer over them, then the plan is fixed
//! (docs/rules.md, "Assignment"). Assigning anew while units are at work is `reassignment`'s.

use std::collections::BTreeMap;

use roundtable_shared::answer::Proposal;
use roundtable_shared::{Assignment, BackendName, RunId, UnitId, WorkerId};

use crate::moves::{orchestrator, reassignment, run};
use crate::rules::planner::Planner;
use crate::state::{AssignAnswer, PlanSource, Stage};
use crate::transition::{AssignFailure, Fact};
use crate::txn::Txn;

/// Units without a manifest that are named.
const ALONE_NAMED_MAX: usize = 20;

/// Times the agent may be lost before rules decide.
const LOST_MAX: u32 = 3;

/// Takes what this backend has answered to the same question before; whether there was such an answer.
pub(crate) fn plan_from_cache(d: &mut Txn<'_>, run: &RunId, backend: &BackendName) -> bool {
    let Some(proposals) = cached(d, run, backend) else { return false };
    let all: Vec<UnitId> = d.run(run).units().filter(|unit| unit.spec.runs).map(|unit| unit.id.clone()).collect();
    plan_units(d, run, &all, PlanSource::Cache, &proposals);
    true
}

/// An earlier answer to the same question, of the same backend and model.
fn cached(d: &Txn<'_>, run: &RunId, backend: &BackendName) -> Option<Vec<Proposal>> {
    let now = d.run(run);
    let model = now.model_of(backend);
    let mut earlier = d
        .state()
        .created
        .iter()
        .rev()
        .filter_map(|id| d.state().run(id))
        .filter(|other| other.origin.inputs_digest == now.origin.inputs_digest);
    let is_same = |answer: &&AssignAnswer| answer.backend == *backend && answer.model == model;
    let of_runs = || earlier.find_map(|other| other.agents.assign_answer.as_ref().filter(is_same));
    let kept = d
        .state()
        .assignments
        .iter()
        .rev()
        .filter(|kept| kept.inputs_digest == now.origin.inputs_digest)
        .map(|kept| &kept.answer)
        .find(is_same);
    let answer = kept.or_else(of_runs)?;
    (!now.origin.inputs_digest.is_empty()).then(|| answer.proposals.clone())
}

/// The assignment agent was lost: it is asked again, or done without.
pub(crate) fn assigner_lost(d: &mut Txn<'_>, run: &RunId, worker: &WorkerId, reason: &str) {
    let backend = d.run(run).options.assign_backend.clone();
    let problems = d.run(run).agents.assigning.problems.clone();
    d.emit(run, Fact::AssignFailed { backend, kind: AssignFailure::Lost, problems });
    if d.run(run).agents.assigning.lost >= LOST_MAX && d.run(run).stage() != Stage::Assigning {
        reassignment::give_up(d, run, &format!("the agent was lost {LOST_MAX} times, last on {worker}: {reason}"));
    } else if d.run(run).agents.assigning.lost >= LOST_MAX {
        d.notice(run, format!("the assignment agent was lost {LOST_MAX} times, last on {worker}: {reason}; rules decide"));
        by_rules_alone(d, run);
    }
}

/// Rules and the spec's own lines decide for all units.
pub(crate) fn by_rules_alone(d: &mut Txn<'_>, run: &RunId) {
    let all: Vec<UnitId> = d.run(run).units().filter(|unit| unit.spec.runs).map(|unit| unit.id.clone()).collect();
    plan_units(d, run, &all, PlanSource::Rules, &[]);
}

/// Merges rules, spec and proposals for those units, and fixes the order of all.
pub(crate) fn plan_units(d: &mut Txn<'_>, run: &RunId, units: &[UnitId], source: PlanSource, proposals: &[Proposal]) {
    let now = d.run(run);
    let mut planner = Planner::new(now);
    let said: BTreeMap<&UnitId, &Proposal> = proposals.iter().rev().map(|said| (&said.unit, said)).collect();
    let assignments: Vec<Assignment> = units.iter().filter_map(|id| planner.assignment(id, source, &said)).collect();
    let order = planner.order();
    let problems = planner.problems;
    d.emit(run, Fact::UnitsPlanned { source, assignments, order });
    for problem in problems {
        d.notice(run, problem);
    }
    if d.run(run).options.plan_only {
        run::halt(d, run, "its units are planned, and no more was asked for".to_owned(), "coordinator".to_owned());
    }
    if source != PlanSource::Manual {
        tell_without_manifest(d, run);
        orchestrator::due(d, run, "units are planned");
    }
    run::forget_missing(d, run);
}

/// Names the units that run alone because nobody knows what they write. A checkpoint waits for all before it by its nature.
fn tell_without_manifest(d: &mut Txn<'_>, run: &RunId) {
    let now = d.run(run);
    let open = || now.units().filter(|unit| unit.spec.runs && !unit.state().is_terminal());
    let alone: Vec<&str> = open().filter(|unit| unit.claims_all() && !unit.spec.checkpoint).map(|unit| unit.id.as_str()).collect();
    if alone.is_empty() || open().count() < 2 {
        return;
    }
    let more = if alone.len() > ALONE_NAMED_MAX { ", …" } else { "" };
    let named = alone[..alone.len().min(ALONE_NAMED_MAX)].join(", ");
    let (have, each) =
        if alone.len() == 1 { ("1 unit has".to_owned(), "it runs") } else { (format!("{} units have", alone.len()), "each runs") };
    let text = format!(
        "{have} no manifest, so {each} alone: {named}{more}; `_writes:` lines in tasks.md or `orchctl assign RUN UNIT --writes PATHS` give one"
    );
    d.notice(run, text);
}
