//! What an answer of the orchestrator agent does (docs/rules.md, "Modes").

use roundtable_shared::answer::{Action, OrchestrateAnswer, OrchestrateDecision};
use roundtable_shared::time::WallMs;
use roundtable_shared::{OutcomeClass, RunId};

use crate::command::{Phase, Report, RoleAnswer};
use crate::moves::outcome::{ended, provider_failed};
use crate::moves::{orchestrator, reassignment, run};
use crate::state::AttemptEnd;
use crate::transition::Fact;
use crate::txn::Txn;

/// The outcome of a live consultation.
pub(crate) fn reported(d: &mut Txn<'_>, run: &RunId, report: &Report) {
    match (&report.facts.failure, &report.answer) {
        (None, Ok(RoleAnswer::Orchestrate(answer))) => {
            ended(d, report, AttemptEnd::Completed, None, None);
            answered(d, run, answer);
        }
        (Some(failure), _) => {
            let class = failure.kind.class();
            ended(d, report, AttemptEnd::Failed, Some(class), Some(failure.message.clone()));
            if class == OutcomeClass::Provider {
                provider_failed(d, &report.lease.key, &failure.kind, &failure.message);
            }
            orchestrator::failed(d, run, &failure.message);
        }
        (None, answer) => {
            let reason = answer.as_ref().err().cloned().unwrap_or_else(|| "the answer is for another role".to_owned());
            ended(d, report, AttemptEnd::Failed, Some(OutcomeClass::Unit), Some(reason.clone()));
            orchestrator::failed(d, run, &reason);
        }
    }
}

fn answered(d: &mut Txn<'_>, run: &RunId, answer: &OrchestrateAnswer) {
    let now = d.run(run);
    let agent = &now.agents.orchestrator;
    let (hold_ms, done) = (now.options.limits.hold_ms, now.is_done());
    let (max_actions, max_iterations) = (now.options.max_actions as usize, now.options.max_iterations);
    // Where all is done nothing can change any more, and that is no standstill.
    let is_idle = now.progress.moves == agent.moves_seen && agent.answers > 0 && !done;
    let idle = if is_idle { agent.idle_answers + 1 } else { 0 };
    d.emit(run, Fact::ConsultationAnswered { notes: answer.notes.clone().unwrap_or_default(), idle });
    if answer.actions.len() > max_actions {
        d.notice(run, format!("the orchestrator agent asked for more than {max_actions} actions at once; the rest was cut"));
    }
    if !answer.unknown.is_empty() {
        d.notice(run, format!("the orchestrator agent asked for what does not exist: {}", answer.unknown.join(", ")));
    }
    let actions: Vec<Action> = answer.actions.iter().copied().take(max_actions).collect();
    if actions.contains(&Action::Halt) && done {
        d.notice(run, "the orchestrator agent asked to halt when every unit was at its end; the run is over all the same".to_owned());
    } else if actions.contains(&Action::Halt) {
        return run::halt(d, run, "the orchestrator agent asked to halt".to_owned(), "orchestrator".to_owned());
    }
    if answer.decision == OrchestrateDecision::Complete && !done {
        d.notice(run, "the orchestrator agent says COMPLETE while units are unfinished; not believed".to_owned());
    }
    if idle >= max_iterations {
        let reason = format!("{idle} consultations in a row without any unit changing state");
        return run::halt(d, run, reason, "coordinator".to_owned());
    }
    if actions.contains(&Action::AssignDispatch) {
        reassignment::want(d, run);
    }
    // An action named runs at once, also where it is held in the same breath.
    let phases: Vec<Phase> = answer.hold.iter().filter(|action| !actions.contains(action)).filter_map(|action| phase_of(*action)).collect();
    if !phases.is_empty() && !done {
        d.emit(run, Fact::PhasesHeld { phases, until: WallMs(d.now.wall.0.saturating_add(hold_ms)) });
    }
}

fn phase_of(action: Action) -> Option<Phase> {
    match action {
        Action::AssignDispatch => Some(Phase::Assign),
        Action::DispatchBatch => Some(Phase::Dispatch),
        Action::DispatchReviews => Some(Phase::Reviews),
        Action::ConsolidateReviews => Some(Phase::Consolidate),
        Action::SyncPulse => Some(Phase::SyncPulse),
        Action::Halt => None,
    }
}
