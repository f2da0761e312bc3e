//! Owners, windows, criticality and manifests: rules and spec first, the agent's answer over them, then the plan is fixed (docs/rules.md, "Assignment").

use std::collections::BTreeSet;

use roundtable_shared::answer::{CheckedAssignment, Proposal};
use roundtable_shared::limits::WINDOWS_MAX;
use roundtable_shared::manifest::Manifest;
use roundtable_shared::spec::{assign_by_rules, plan_order};
use roundtable_shared::{Assignment, BackendName, DecisionKind, Mode, OutcomeClass, RunId, UnitId, WorkerId};

use super::report::{ended, provider_failed};
use super::{Deciding, broad, close, consult, park, reassign};
use crate::command::{Report, RoleAnswer};
use crate::state::{AssignAnswer, AttemptEnd, PlanSource, Run, Stage, Unit};
use crate::transition::{AssignFailure, Fact};

/// Answers of no use before rules decide: one, and once asked again.
const FAILURES_MAX: u32 = 2;
/// Units without a manifest that are named.
const ALONE_NAMED_MAX: usize = 20;
/// Times the agent may be lost before rules decide.
const LOST_MAX: u32 = 3;

/// A run was created: plans it at once where no agent is needed.
pub(super) fn begin(d: &mut Deciding<'_>, run: &RunId) {
    let now = d.run(run);
    let all: Vec<UnitId> = now.units().filter(|unit| unit.runs).map(|unit| unit.id.clone()).collect();
    if all.is_empty() || now.options.mode == Mode::Legacy {
        return plan_units(d, run, &all, PlanSource::Rules, &[]);
    }
    if now.options.mode == Mode::Manual {
        return plan_units(d, run, &all, PlanSource::Manual, &[]);
    }
    // An imported state that asks a person and has all its units assigned: nobody is called before they have answered.
    let is_assigned = |unit: &Unit| unit.state.is_terminal() || (unit.owner.is_some() && unit.window.is_some());
    if !now.decisions.is_empty() && now.units().filter(|unit| unit.runs).all(is_assigned) {
        return plan_units(d, run, &all, PlanSource::Rules, &[]);
    }
    let wanted = now.options.assign_backend.clone();
    plan_from_cache(d, run, &wanted);
}

/// Takes what this backend has answered to the same question before; whether there was such an answer.
pub(crate) fn plan_from_cache(d: &mut Deciding<'_>, run: &RunId, backend: &BackendName) -> bool {
    let Some(proposals) = cached(d, run, backend) else { return false };
    let all: Vec<UnitId> = d.run(run).units().filter(|unit| unit.runs).map(|unit| unit.id.clone()).collect();
    plan_units(d, run, &all, PlanSource::Cache, &proposals);
    true
}

/// An earlier answer to the same question, of the same backend and model.
fn cached(d: &Deciding<'_>, run: &RunId, backend: &BackendName) -> Option<Vec<Proposal>> {
    let now = d.run(run);
    let model = now.model_of(backend);
    let mut earlier =
        d.state().created.iter().rev().filter_map(|id| d.state().run(id)).filter(|other| other.inputs_digest == now.inputs_digest);
    let is_same = |answer: &&AssignAnswer| answer.backend == *backend && answer.model == model;
    let of_runs = || earlier.find_map(|other| other.assign_answer.as_ref().filter(is_same));
    let kept =
        d.state().assignments.iter().rev().filter(|kept| kept.inputs_digest == now.inputs_digest).map(|kept| &kept.answer).find(is_same);
    let answer = kept.or_else(of_runs)?;
    (!now.inputs_digest.is_empty()).then(|| answer.proposals.clone())
}

/// The outcome of the assignment agent.
pub(super) fn reported(d: &mut Deciding<'_>, run: &RunId, report: &Report) {
    let Some(backend) = d.state().attempt(&report.lease.key).map(|attempt| attempt.backend.clone()) else { return };
    match (&report.facts.failure, &report.answer) {
        (None, Ok(RoleAnswer::Assign(checked))) => {
            ended(d, report, AttemptEnd::Completed, None, None);
            answered(d, run, backend, checked);
        }
        (Some(failure), _) if failure.kind.class() == OutcomeClass::Provider => {
            ended(d, report, AttemptEnd::Failed, Some(OutcomeClass::Provider), Some(failure.message.clone()));
            provider_failed(d, &report.lease.key, &failure.kind, &failure.message);
            let problems = vec![failure.message.clone()];
            d.emit(run, Fact::AssignFailed { backend, kind: AssignFailure::Provider, problems });
        }
        (Some(failure), _) if failure.kind.class() != OutcomeClass::Unit => {
            ended(d, report, AttemptEnd::Failed, Some(failure.kind.class()), Some(failure.message.clone()));
            lost(d, run, &report.worker, &failure.message);
        }
        (failure, answer) => {
            let reason = match (failure, answer) {
                (Some(failure), _) => failure.message.clone(),
                (None, Err(reason)) => reason.clone(),
                (None, Ok(_)) => "the answer is for another role".to_owned(),
            };
            ended(d, report, AttemptEnd::Failed, Some(OutcomeClass::Unit), Some(reason.clone()));
            useless(d, run, backend, vec![reason], &[]);
        }
    }
}

fn answered(d: &mut Deciding<'_>, run: &RunId, backend: BackendName, checked: &CheckedAssignment) {
    let mut problems: Vec<String> = checked.refused.iter().map(ToString::to_string).collect();
    // Asked about once: an agent that means it is believed.
    if d.run(run).assigning.failures + 1 < FAILURES_MAX {
        problems.extend(broad::too_broad(d.run(run), &checked.accepted).iter().map(ToString::to_string));
    }
    if problems.is_empty() {
        return take(d, run, backend, &checked.accepted);
    }
    useless(d, run, backend, problems, &checked.accepted);
}

/// Asks again once, with reasons; what still fails falls back to the rules, and what could be taken is.
fn useless(d: &mut Deciding<'_>, run: &RunId, backend: BackendName, problems: Vec<String>, accepted: &[Proposal]) {
    let listed: String = problems.iter().map(|problem| format!("\n- {problem}")).collect();
    d.emit(run, Fact::AssignFailed { backend: backend.clone(), kind: AssignFailure::Answer, problems });
    if d.run(run).assigning.failures < FAILURES_MAX {
        return;
    }
    if d.run(run).stage != Stage::Assigning {
        d.notice(
            run,
            format!("parts of the assignment agent's new answer were not taken, what was assigned before stands there: {listed}"),
        );
        return reassign::take(d, run, accepted);
    }
    d.notice(run, format!("parts of the assignment agent's answer were not taken, rules decide there: {listed}"));
    if accepted.is_empty() {
        by_rules_alone(d, run);
    } else {
        take(d, run, backend, accepted);
    }
}

fn take(d: &mut Deciding<'_>, run: &RunId, backend: BackendName, proposals: &[Proposal]) {
    if d.run(run).stage != Stage::Assigning {
        return reassign::take(d, run, proposals);
    }
    let model = d.run(run).model_of(&backend);
    d.emit(run, Fact::AssignAnswered { backend, model, proposals: proposals.to_vec() });
    let all: Vec<UnitId> = d.run(run).units().filter(|unit| unit.runs).map(|unit| unit.id.clone()).collect();
    plan_units(d, run, &all, PlanSource::Agent, proposals);
}

/// The agent was lost.
pub(super) fn lost(d: &mut Deciding<'_>, run: &RunId, worker: &WorkerId, reason: &str) {
    let backend = d.run(run).options.assign_backend.clone();
    let problems = d.run(run).assigning.problems.clone();
    d.emit(run, Fact::AssignFailed { backend, kind: AssignFailure::Lost, problems });
    if d.run(run).assigning.lost >= LOST_MAX && d.run(run).stage != Stage::Assigning {
        reassign::give_up(d, run, &format!("the agent was lost {LOST_MAX} times, last on {worker}: {reason}"));
    } else if d.run(run).assigning.lost >= LOST_MAX {
        d.notice(run, format!("the assignment agent was lost {LOST_MAX} times, last on {worker}: {reason}; rules decide"));
        by_rules_alone(d, run);
    }
}

/// Rules and the spec's own lines decide for all units.
pub(crate) fn by_rules_alone(d: &mut Deciding<'_>, run: &RunId) {
    let all: Vec<UnitId> = d.run(run).units().filter(|unit| unit.runs).map(|unit| unit.id.clone()).collect();
    plan_units(d, run, &all, PlanSource::Rules, &[]);
}

/// Merges rules, spec and proposals for those units, and fixes the order of all.
pub(super) fn plan_units(d: &mut Deciding<'_>, run: &RunId, units: &[UnitId], source: PlanSource, proposals: &[Proposal]) {
    let now = d.run(run);
    let mut planner = Planner::new(now);
    let assignments: Vec<Assignment> = units.iter().filter_map(|id| planner.assignment(id, source, proposals)).collect();
    let order = planner.order();
    let problems = planner.problems;
    d.emit(run, Fact::UnitsPlanned { source, assignments, order });
    for problem in problems {
        d.notice(run, problem);
    }
    if d.run(run).options.plan_only {
        close::halt(d, run, "its units are planned, and no more was asked for".to_owned(), "coordinator".to_owned());
    }
    if source != PlanSource::Manual {
        tell_without_manifest(d, run);
        consult::due(d, run, "units are planned");
    }
    park::forget_missing(d, run);
}

/// Names the units that run alone because nobody knows what they write. A checkpoint waits for all before it by its nature.
fn tell_without_manifest(d: &mut Deciding<'_>, run: &RunId) {
    let now = d.run(run);
    let open = || now.units().filter(|unit| unit.runs && !unit.state.is_terminal());
    let alone: Vec<&str> = open().filter(|unit| unit.claims_all() && !unit.checkpoint).map(|unit| unit.id.as_str()).collect();
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

/// Merges what rules, spec, agents and people say, unit by unit.
pub(super) struct Planner<'a> {
    run: &'a Run,
    windows: BTreeSet<String>,
    /// Dependencies by place, as they grow.
    edges: Vec<Vec<usize>>,
    pub(super) problems: Vec<String>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(run: &'a Run) -> Self {
        let windows = run.units().filter_map(|unit| unit.window.clone()).collect();
        Self { run, windows, edges: run.plan.needs.clone(), problems: Vec::new() }
    }

    fn assignment(&mut self, id: &UnitId, source: PlanSource, proposals: &[Proposal]) -> Option<Assignment> {
        let unit = self.run.unit(id)?;
        // Manual mode's open owner is decided below.
        let mode = if self.run.options.mode == Mode::Legacy { Mode::Legacy } else { Mode::Deterministic };
        let rules = assign_by_rules(self.run.outline.unit(id.as_str())?, mode);
        let keep = Proposal::keep(id.clone());
        let said = proposals.iter().find(|proposal| proposal.unit == *id).unwrap_or(&keep);
        let is_manual = source == PlanSource::Manual;
        // What an imported state says is an earlier answer to the same question: it stands.
        let carried = unit.carried.as_ref().unwrap_or(&keep);
        let (writes, reads) = self.manifest(unit, said);
        // What import or the operator said stands.
        let is_assigned = unit.owner.is_some() || unit.window.is_some() || carried.criticality.is_some();
        let asks_for_owner = self.run.decisions.contains_key(&DecisionKind::MissingOwnerAgent.id(Some(id.as_str())));
        // A person is asked who is to have it: nobody else says so meanwhile.
        let proposed = said.owner_agent.clone().or(rules.owner_agent).filter(|_| !asks_for_owner);
        let owner = unit.owner.clone().or(proposed);
        let window = unit.window.clone().or_else(|| said.target_window.clone()).unwrap_or_else(|| format!("task-{id}"));
        let depends_on =
            carried.depends_on.iter().chain(&said.depends_on).filter(|on| self.add_dependency(unit.position, on)).cloned().collect();
        Some(Assignment {
            unit: id.clone(),
            unit_type: carried.unit_type.or(said.unit_type).unwrap_or(rules.unit_type),
            owner_agent: if is_manual { unit.owner.clone() } else { owner },
            target_window: if is_manual { unit.window.clone() } else { Some(self.window(window)) },
            criticality: if is_assigned { unit.criticality } else { said.criticality.unwrap_or(rules.criticality) },
            writes,
            reads,
            depends_on,
        })
    }

    /// What an agent proposes for a unit that had been assigned before; what it leaves out stays.
    pub(super) fn again(&mut self, unit: &Unit, said: &Proposal) -> Assignment {
        let (writes, reads) = self.manifest(unit, said);
        let depends_on = said.depends_on.iter().filter(|on| self.add_dependency(unit.position, on)).cloned().collect();
        Assignment {
            unit: unit.id.clone(),
            unit_type: said.unit_type.unwrap_or(unit.unit_type),
            owner_agent: said.owner_agent.clone().or_else(|| unit.owner.clone()),
            target_window: said.target_window.clone().map(|window| self.window(window)).or_else(|| unit.window.clone()),
            criticality: said.criticality.unwrap_or(unit.criticality),
            writes,
            reads,
            depends_on,
        }
    }

    /// Writes and reads as proposed, if they are any; whoever has begun holds what it was given, and what an import said stands.
    fn manifest(&mut self, unit: &Unit, said: &Proposal) -> (Vec<String>, Vec<String>) {
        let carries = |field: fn(&Proposal) -> &Option<Vec<String>>| unit.carried.as_ref().is_some_and(|carried| field(carried).is_some());
        let of = |field: fn(&Proposal) -> &Option<Vec<String>>, own: &[String]| {
            field(said).clone().filter(|_| !unit.started && !carries(field)).unwrap_or_else(|| own.to_vec())
        };
        let (own_writes, own_reads) = (unit.manifest.writes.entries(), unit.manifest.reads.entries());
        let (writes, reads) = (of(|said| &said.writes, own_writes), of(|said| &said.reads, own_reads));
        match Manifest::new(&writes, &reads, self.run.options.ignore_case) {
            Ok(_) => (writes, reads),
            Err(error) => {
                self.problems.push(format!("unit {}: the manifest proposed for it is not used: {error}", unit.id));
                (own_writes.to_vec(), own_reads.to_vec())
            }
        }
    }

    /// At most nine windows; later ones share.
    fn window(&mut self, wanted: String) -> String {
        if self.windows.contains(&wanted) || self.windows.len() < WINDOWS_MAX {
            self.windows.insert(wanted.clone());
            return wanted;
        }
        let spread = wanted.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        self.windows.iter().nth(spread % self.windows.len()).cloned().unwrap_or(wanted)
    }

    /// Adds a dependency unless it is unknown, does not run, or would close a cycle.
    pub(super) fn add_dependency(&mut self, from: usize, on: &UnitId) -> bool {
        let Some(to) = self.run.positions.get(on).copied().filter(|to| self.run.units[*to].runs) else { return false };
        if self.edges[from].contains(&to) {
            return false;
        }
        if to == from || self.reaches(to, from) {
            self.problems.push(format!("unit {} cannot also depend on {on}: that closes a cycle; not used", self.run.units[from].id));
            return false;
        }
        self.edges[from].push(to);
        true
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut seen = BTreeSet::from([from]);
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            if at == to {
                return true;
            }
            open.extend(self.edges[at].iter().copied().filter(|next| seen.insert(*next)));
        }
        false
    }

    pub(super) fn order(&self) -> Vec<UnitId> {
        plan_order(&self.edges, |_| true).into_iter().map(|at| self.run.units[at].id.clone()).collect()
    }
}
