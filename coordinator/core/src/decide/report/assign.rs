//! The assignment agent's answer: taken, asked for again once with what is wrong, or left to the rules (docs/rules.md, "Assignment").

use roundtable_shared::answer::{CheckedAssignment, Proposal};
use roundtable_shared::{BackendName, OutcomeClass, RunId, UnitId};

use crate::command::{Report, RoleAnswer};
use crate::moves::outcome::{ended, provider_failed};
use crate::moves::{plan, reassignment};
use crate::rules::broad;
use crate::state::{AttemptEnd, PlanSource, Stage};
use crate::transition::{AssignFailure, Fact};
use crate::txn::Txn;

/// Answers of no use before rules decide: one, and once asked again.
const FAILURES_MAX: u32 = 2;

/// The outcome of the assignment agent.
pub(crate) fn reported(d: &mut Txn<'_>, run: &RunId, report: &Report) {
    let Some(backend) = d.state().attempt(&report.lease.key).map(|attempt| attempt.granted.backend.clone()) else { return };
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
            plan::assigner_lost(d, run, &report.worker, &failure.message);
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

fn answered(d: &mut Txn<'_>, run: &RunId, backend: BackendName, checked: &CheckedAssignment) {
    let mut problems: Vec<String> = checked.refused.iter().map(ToString::to_string).collect();
    // Asked about once: an agent that means it is believed.
    if d.run(run).agents.assigning.failures + 1 < FAILURES_MAX {
        problems.extend(broad::too_broad(d.run(run), &checked.accepted).iter().map(ToString::to_string));
    }
    if problems.is_empty() {
        return take(d, run, backend, &checked.accepted);
    }
    useless(d, run, backend, problems, &checked.accepted);
}

/// Asks again once, with reasons; what still fails falls back to the rules, and what could be taken is.
fn useless(d: &mut Txn<'_>, run: &RunId, backend: BackendName, problems: Vec<String>, accepted: &[Proposal]) {
    let listed: String = problems.iter().map(|problem| format!("\n- {problem}")).collect();
    d.emit(run, Fact::AssignFailed { backend: backend.clone(), kind: AssignFailure::Answer, problems });
    if d.run(run).agents.assigning.failures < FAILURES_MAX {
        return;
    }
    if d.run(run).stage() != Stage::Assigning {
        d.notice(
            run,
            format!("parts of the assignment agent's new answer were not taken, what was assigned before stands there: {listed}"),
        );
        return reassignment::take(d, run, accepted);
    }
    d.notice(run, format!("parts of the assignment agent's answer were not taken, rules decide there: {listed}"));
    if accepted.is_empty() {
        plan::by_rules_alone(d, run);
    } else {
        take(d, run, backend, accepted);
    }
}

fn take(d: &mut Txn<'_>, run: &RunId, backend: BackendName, proposals: &[Proposal]) {
    if d.run(run).stage() != Stage::Assigning {
        return reassignment::take(d, run, proposals);
    }
    let model = d.run(run).model_of(&backend);
    d.emit(run, Fact::AssignAnswered { backend, model, proposals: proposals.to_vec() });
    let all: Vec<UnitId> = d.run(run).units().filter(|unit| unit.spec.runs).map(|unit| unit.id.clone()).collect();
    plan::plan_units(d, run, &all, PlanSource::Agent, proposals);
}
