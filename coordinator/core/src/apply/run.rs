//! Folds facts about a run as a whole: its life, plan, decisions and orchestrator.

use std::collections::BTreeMap;
use std::sync::Arc;

use roundtable_shared::manifest::Manifest;
use roundtable_shared::time::WallMs;
use roundtable_shared::{Assignment, BackendName, Mode, RunId, UnitId, UnitType};

use super::groups::{facts, others};
use super::{change_planned, unit_mut};
use crate::planted::{Bug, planted};
use crate::shared::List;
use crate::state::{
    Accepted, Agents, AssignAnswer, Assigning, BackendChoices, BaseCheck, Branch, Ended, Ending, HeldPhases, Integration, Learned, Life,
    Notice, Orchestrator, Origin, People, Plan, PlanSource, Progress, Remark, Removed, Resting, Run, RunPhase, Stage, Step, Unit,
    UnitAssignment, UnitPhase, UnitSpec, Wanted,
};
use crate::transition::{AssignFailure, Fact, NewUnit, RunCreated};

/// A new run.
pub(super) fn create(id: &RunId, at: WallMs, created: &RunCreated) -> Run {
    let units: List<Unit> = created.units.iter().enumerate().map(|(place, new)| unit(place, new, created.options.ignore_case)).collect();
    let positions = Arc::new(units.iter().enumerate().map(|(place, unit)| (unit.id.clone(), place)).collect());
    let origin = Origin {
        source: created.source.clone(),
        by: created.by.clone(),
        created_at: at,
        spec: Arc::new(created.spec.clone()),
        outline: Arc::new(created.outline.clone()),
        inputs_digest: created.inputs_digest.clone(),
        base: created.base.clone(),
        started_branch: created.started_branch.clone(),
        tick_path: created.tick_path.clone(),
        spec_paths: created.spec_paths.clone(),
        mirror_paths: created.mirror_paths.clone(),
        imported: created.imported.clone(),
    };
    let orchestrator = Orchestrator { enabled: created.options.mode == Mode::Llm, ..Orchestrator::default() };
    Run {
        id: id.clone(),
        origin: Arc::new(origin),
        options: Arc::new(created.options.clone()),
        life: Life::default(),
        plan: Plan::build(&units, (0..units.len()).collect(), created.options.hazards, &BTreeMap::new()),
        units,
        positions,
        attempts: List::new(),
        live: BTreeMap::new(),
        agents: Agents { orchestrator, ..Agents::default() },
        people: People::default(),
        branch: Branch::at(created.base.clone()),
        progress: Progress::default(),
        backends: BackendChoices::default(),
    }
}

fn unit(position: usize, new: &NewUnit, ignore_case: bool) -> Unit {
    let spec = UnitSpec {
        title: new.title.clone(),
        position,
        optional: new.optional,
        checkpoint: new.checkpoint,
        runs: new.runs,
        details: new.details,
        checkpoint_on: new.checkpoint_on.clone(),
        subtasks: new.subtasks.clone(),
    };
    let assignment = UnitAssignment {
        depends_on: new.depends_on.clone(),
        manifest: Manifest::new(&new.writes, &new.reads, ignore_case).unwrap_or_default(),
        requires: new.requires.clone(),
        exclusive: new.runs && new.writes.is_empty() && new.reads.is_empty(),
        ..UnitAssignment::default()
    };
    // A box that was ticked before says nothing of when.
    let phase = if new.completed { UnitPhase::Completed { at: None, commit: None } } else { UnitPhase::NotStarted };
    Unit { spec, assignment, phase, ..Unit::blank(new.id.clone()) }
}

/// Folds a fact about its plan and what is kept of it.
pub(super) fn apply(run: &mut Run, at: WallMs, fact: &Fact, learned: &BTreeMap<(BackendName, UnitType), Learned>) {
    match fact {
        Fact::UnitsPlanned { source, assignments, order } => plan(run, *source, assignments, order, learned),
        Fact::ReassignmentSet { units } => run.agents.assigning = Assigning { again: units.clone(), ..Assigning::default() },
        Fact::UnitReassigned { assignment, .. } => {
            let ignore_case = run.options.ignore_case;
            change_planned(run, &assignment.unit, |unit| {
                assign(unit, assignment, ignore_case);
                unit.assignment.pinned |= unit.assignment.owner.is_some();
            });
            // Before it is planned nothing is granted by it, and an import assigns one unit after the other.
            if run.agents.plan_source.is_some() {
                run.plan.measure(&run.units, learned);
            }
        }
        Fact::AssignAnswered { backend, model, proposals } => {
            run.agents.assign_answer = Some(AssignAnswer { backend: backend.clone(), model: model.clone(), proposals: proposals.clone() });
        }
        Fact::AssignFailed { kind, problems, .. } => {
            match kind {
                AssignFailure::Answer => run.agents.assigning.failures += 1,
                AssignFailure::Lost => run.agents.assigning.lost += 1,
                AssignFailure::Provider => run.agents.assigning.refused += 1,
            }
            run.agents.assigning.problems.clone_from(problems);
        }
        Fact::NoticeSaid { text } => run.people.notices.push(Notice { text: text.clone(), at }),
        Fact::BackendSubstituted { wanted, used } => {
            run.backends.substitutes.insert(wanted.clone(), used.clone());
        }
        Fact::BackendReplaced { wanted, used } => {
            run.backends.uses.insert(wanted.clone(), used.clone());
        }
        Fact::NoWorkerSnoozed { backend, until } => {
            run.backends.snoozed.insert(backend.clone(), *until);
        }
        Fact::BaseChecked { result } => run.branch.base_check.clone_from(result),
        Fact::DeferredFixAdded { fix } => run.people.deferred_fixes.push((**fix).clone()),
        Fact::LearningsAdded { learnings } => run.branch.learnings.extend(learnings.iter().cloned()),
        Fact::BlockedItemAdded { item } => {
            run.people.blocked_items.retain(|other| other.task_id != item.task_id);
            run.people.blocked_items.push((**item).clone());
        }
        Fact::BlockedItemCleared { unit } => run.people.blocked_items.retain(|item| item.task_id.as_str() != unit.as_str()),
        others!(plan) => {}
    }
}

/// Folds a fact about its life. `open` are the runs that have not ended.
pub(super) fn life(run: &mut Run, open: &mut Arc<Vec<RunId>>, at: WallMs, fact: &Fact) {
    match fact {
        Fact::RunPaused { note, by } => run.life.paused = Some(Remark { text: note.clone(), by: by.clone(), at }),
        Fact::RunResumed { .. } => run.life.paused = None,
        Fact::RunHalted { reason, by } => run.life.halted = Some(Remark { text: reason.clone(), by: by.clone(), at }),
        Fact::RunAttached { embedded, options } => {
            run.life.halted = None;
            if let Some(options) = options {
                run.agents.orchestrator.enabled |= options.mode == Mode::Llm && run.options.mode != Mode::Llm;
                run.options = Arc::new((**options).clone());
            }
            Arc::make_mut(&mut run.options).embedded = *embedded;
            run.agents.orchestrator.idle_answers = 0;
        }
        Fact::RunEnding { reason, by } => run.life.ending = Some(Ending { reason: reason.clone(), by: by.clone() }),
        Fact::RunClosing => run.life.phase = RunPhase::Closing,
        Fact::RunClosed { commit, ticked } => {
            run.branch.unticked.retain(|unit| !ticked.contains(unit));
            if let Some(commit) = commit {
                run.branch.integrations.push(Integration { unit: None, commit: commit.clone(), changed: Vec::new(), at });
                run.branch.tip = commit.clone();
            }
        }
        Fact::RunEnded { exit, reason } => {
            run.life.step = None;
            run.life.rested = run.waited(at);
            run.life.resting = None;
            run.life.phase = RunPhase::Ended(Ended { exit: *exit, reason: reason.clone(), at });
            Arc::make_mut(open).retain(|id| *id != run.id);
        }
        Fact::RunAccepted { branch, commit, by } => {
            run.life.accepted =
                Some(Accepted { branch: branch.clone(), commit: commit.clone(), tip: run.branch.tip.clone(), by: by.clone(), at });
        }
        Fact::RunRemoved { by, remains } => run.life.removed = Some(Removed { by: by.clone(), at, remains: (**remains).clone() }),
        Fact::StepOpened { phase, units } => run.life.step = Some(Step { phase: *phase, units: units.iter().cloned().collect() }),
        Fact::StepUnitDone { unit } => {
            if let Some(step) = &mut run.life.step {
                step.units.remove(unit);
            }
        }
        Fact::StepClosed => run.life.step = None,
        Fact::RunRests { on, since } => {
            run.life.rested = run.waited(*since);
            run.life.resting = on.map(|on| Resting { on, since: *since });
        }
        others!(life) => {}
    }
}

/// Folds a fact about what people are asked.
pub(super) fn decide(run: &mut Run, fact: &Fact) {
    match fact {
        Fact::DecisionRaised { decision } => {
            run.people.decisions.insert(decision.id.clone(), (**decision).clone());
        }
        Fact::DecisionAnswered { id, answer } => {
            if let Some(mut decision) = run.people.decisions.remove(id) {
                decision.answer = Some((**answer).clone());
                Arc::make_mut(&mut run.people.answered).insert(id.clone(), decision);
            }
        }
        Fact::DecisionWithdrawn { id, .. } => {
            run.people.decisions.remove(id);
        }
        others!(decision) => {}
    }
}

/// Folds a fact about its orchestrator agent.
pub(super) fn consult(run: &mut Run, at: WallMs, fact: &Fact) {
    let agent = &mut run.agents.orchestrator;
    match fact {
        Fact::ConsultationWanted { why, at_end } => {
            let wanted = agent.wanted.get_or_insert_with(|| Wanted { since: at, why: why.clone(), at_end: false });
            wanted.at_end |= at_end;
        }
        Fact::ConsultationAnswered { notes, idle } => {
            let at_end = agent.current.take().is_some_and(|current| current.at_end);
            agent.answers += 1;
            agent.asked_again = false;
            agent.failures = 0;
            agent.idle_answers = *idle;
            agent.moves_seen = agent.moves_asked;
            agent.heard_at_end |= at_end;
            agent.notes.clone_from(notes);
            agent.held = None;
        }
        Fact::ConsultationFailed { again, .. } => {
            let current = agent.current.take();
            agent.asked_again = *again;
            if *again {
                agent.wanted = agent.wanted.take().or(current);
            } else {
                agent.failures += 1;
                agent.heard_at_end |= current.is_some_and(|current| current.at_end);
            }
            agent.held = None;
        }
        Fact::OrchestratorDropped { .. } => {
            *agent = Orchestrator { answers: agent.answers, notes: std::mem::take(&mut agent.notes), ..Orchestrator::default() };
        }
        Fact::PhasesHeld { phases, until } => {
            let held = HeldPhases { phases: phases.iter().copied().collect(), until: *until };
            agent.held = (!held.phases.is_empty()).then_some(held);
        }
        others!(agent) => {}
    }
}

fn plan(
    run: &mut Run,
    source: PlanSource,
    assignments: &[Assignment],
    order: &[UnitId],
    learned: &BTreeMap<(BackendName, UnitType), Learned>,
) {
    let ignore_case = run.options.ignore_case;
    for assignment in assignments {
        // The plan is made anew of all units.
        if let Some(unit) = unit_mut(run, &assignment.unit) {
            assign(unit, assignment, ignore_case);
        }
    }
    let order = order.iter().filter_map(|id| run.positions.get(id).copied()).collect();
    run.plan = Plan::build(&run.units, order, run.options.hazards, learned);
    run.agents.plan_source = Some(source);
    if run.stage() == Stage::Assigning {
        run.life.phase = RunPhase::Working;
        if run.options.check.is_some() && !planted(Bug::BaseUnchecked) {
            run.branch.base_check = BaseCheck::Wanted { red: 0, lost: 0, retry_at: None };
        }
    }
}

fn assign(unit: &mut Unit, assignment: &Assignment, ignore_case: bool) {
    let (runs, started) = (unit.spec.runs, unit.work.started);
    let own = &mut unit.assignment;
    own.unit_type = assignment.unit_type;
    own.owner.clone_from(&assignment.owner_agent);
    own.window.clone_from(&assignment.target_window);
    own.criticality = assignment.criticality;
    own.manifest = Manifest::new(&assignment.writes, &assignment.reads, ignore_case).unwrap_or_default();
    own.exclusive = runs && own.manifest.is_exclusive() && (!started || own.exclusive);
    for id in &assignment.depends_on {
        if !own.depends_on.contains(id) {
            own.depends_on.push(id.clone());
        }
    }
}
