//! The orchestrator agent of llm mode: when it is heard, what its answers do, and when it is given up (docs/rules.md, "Modes"). Nothing ready waits for
//! it, except phases it asked to hold back, and those not for long.

use roundtable_shared::answer::{Action, OrchestrateAnswer, OrchestrateDecision};
use roundtable_shared::time::WallMs;
use roundtable_shared::{OutcomeClass, RunId};

use super::report::{ended, provider_failed};
use super::{Deciding, close, reassign};
use crate::command::{Phase, Report, RoleAnswer};
use crate::state::{AttemptEnd, Run, Stage};
use crate::transition::Fact;

/// Consultations failed in a row after which the run goes on without it.
const FAILURES_MAX: u32 = 2;

/// Something happened that it is to hear of.
pub(super) fn due(d: &mut Deciding<'_>, run: &RunId, why: &str) {
    let now = d.run(run);
    if now.orchestrator.enabled && now.orchestrator.wanted.is_none() && now.stage == Stage::Working && !now.is_done() {
        d.emit(run, Fact::ConsultationWanted { why: why.to_owned(), at_end: false });
    }
}

/// Whether the run may not end before it was heard.
pub(super) fn is_owed_at_end(run: &Run) -> bool {
    run.orchestrator.enabled && !run.orchestrator.heard_at_end
}

/// It is to be heard before the end.
pub(super) fn due_at_end(d: &mut Deciding<'_>, run: &RunId) {
    let agent = &d.run(run).orchestrator;
    let is_due = agent.wanted.as_ref().is_some_and(|wanted| wanted.at_end) || agent.current.as_ref().is_some_and(|current| current.at_end);
    if !is_due {
        d.emit(run, Fact::ConsultationWanted { why: "every unit is at its end".to_owned(), at_end: true });
    }
}

/// The outcome of a live consultation.
pub(super) fn reported(d: &mut Deciding<'_>, run: &RunId, report: &Report) {
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
            failed(d, run, &failure.message);
        }
        (None, answer) => {
            let reason = answer.as_ref().err().cloned().unwrap_or_else(|| "the answer is for another role".to_owned());
            ended(d, report, AttemptEnd::Failed, Some(OutcomeClass::Unit), Some(reason.clone()));
            failed(d, run, &reason);
        }
    }
}

fn answered(d: &mut Deciding<'_>, run: &RunId, answer: &OrchestrateAnswer) {
    let now = d.run(run);
    let agent = &now.orchestrator;
    let (hold_ms, done) = (now.options.limits.hold_ms, now.is_done());
    let (max_actions, max_iterations) = (now.options.max_actions as usize, now.options.max_iterations);
    // Where all is done nothing can change any more, and that is no standstill.
    let is_idle = now.moves == agent.moves_seen && agent.answers > 0 && !done;
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
        return close::halt(d, run, "the orchestrator agent asked to halt".to_owned(), "orchestrator".to_owned());
    }
    if answer.decision == OrchestrateDecision::Complete && !done {
        d.notice(run, "the orchestrator agent says COMPLETE while units are unfinished; not believed".to_owned());
    }
    if idle >= max_iterations {
        let reason = format!("{idle} consultations in a row without any unit changing state");
        return close::halt(d, run, reason, "coordinator".to_owned());
    }
    if actions.contains(&Action::AssignDispatch) {
        reassign::want(d, run);
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

/// A consultation came to nothing: once more, then it has failed.
pub(super) fn failed(d: &mut Deciding<'_>, run: &RunId, reason: &str) {
    let again = !d.run(run).orchestrator.asked_again;
    d.emit(run, Fact::ConsultationFailed { reason: reason.to_owned(), again });
    give_up_if_hopeless(d, run, reason);
}

/// A consultation had no answer in time: it has failed.
pub(super) fn no_answer(d: &mut Deciding<'_>, run: &RunId) {
    let reason = "no answer in time";
    d.emit(run, Fact::ConsultationFailed { reason: reason.to_owned(), again: false });
    give_up_if_hopeless(d, run, reason);
}

fn give_up_if_hopeless(d: &mut Deciding<'_>, run: &RunId, reason: &str) {
    if d.run(run).orchestrator.failures >= FAILURES_MAX {
        give_up(d, run, &format!("{FAILURES_MAX} consultations in a row failed, last: {reason}"));
    }
}

/// The run goes on without it.
pub(crate) fn give_up(d: &mut Deciding<'_>, run: &RunId, reason: &str) {
    if d.run(run).orchestrator.enabled {
        d.emit(run, Fact::OrchestratorDropped { reason: reason.to_owned() });
        d.notice(run, format!("going on without the orchestrator agent: {reason}"));
    }
}
