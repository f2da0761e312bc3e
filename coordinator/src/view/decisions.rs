//! Decisions with where their evidence is and the exact command per option.

use roundtable_core::state::{Attempt, Run};
use roundtable_runtime::terminal::shell_word;
use roundtable_shared::time::WallMs;
use roundtable_shared::view::{AnswerView, DecisionView};
use roundtable_shared::{Choice, Decision, DecisionKind, OutcomeClass};

/// Open decisions, most urgent first, then oldest.
pub(crate) fn open_decisions(run: &Run) -> Vec<&Decision> {
    let mut open: Vec<&Decision> = run.people.decisions.values().collect();
    open.sort_by(|a, b| b.priority.cmp(&a.priority).then(a.created_at.cmp(&b.created_at)).then(a.id.cmp(&b.id)));
    open
}

/// What a decision is about, as the mirror's `task_id`: the unit's task, the backend's name, or nothing.
pub(crate) fn decision_task(decision: &Decision) -> String {
    let unit = decision.unit.as_ref().map(ToString::to_string);
    unit.or_else(|| decision.backend.as_ref().map(ToString::to_string)).unwrap_or_default()
}

/// Whether it is open for so long that it is shown louder.
pub(crate) fn is_escalated(run: &Run, decision: &Decision, now: WallMs) -> bool {
    decision.answer.is_none() && now.since(decision.created_at) >= run.options.limits.decision_escalate_ms
}

/// `decisions RUN`: open ones, with `all` the answered ones after them.
pub fn decisions(run: &Run, now: WallMs, all: bool) -> Vec<DecisionView> {
    let answered = run.people.answered.values().filter(|answered| all && !run.people.decisions.contains_key(&answered.id));
    let mut answered: Vec<&Decision> = answered.collect();
    answered.sort_by_key(|decision| decision.created_at);
    open_decisions(run).into_iter().chain(answered).map(|each| decision(run, each, now)).collect()
}

/// One decision.
pub fn decision(run: &Run, decision: &Decision, now: WallMs) -> DecisionView {
    let at = format!("{}/{}", run.id, decision.id);
    let command = |keyword: &String| format!("orchctl decide {} {}", shell_word(&at), shell_word(keyword));
    DecisionView {
        id: decision.id.to_string(),
        task_id: decision_task(decision),
        priority: decision.priority.into(),
        context: decision.context.clone(),
        options: decision.options.clone(),
        keywords: decision.keywords.clone(),
        created_at: decision.created_at.rfc3339(),
        escalated: is_escalated(run, decision, now),
        run: run.id.to_string(),
        evidence: evidence(run, decision),
        commands: decision.keywords.iter().map(command).collect(),
        answer: decision.answer.as_ref().map(|answer| AnswerView {
            choice: match &answer.choice {
                Choice::Answer { option } => option.clone(),
                choice => choice.keyword().to_owned(),
            },
            by: answer.by.clone(),
            at: answer.at.rfc3339(),
            note: answer.note.clone(),
        }),
    }
}

/// Commands that show diff, findings and log, as far as there are any.
fn evidence(run: &Run, decision: &Decision) -> Vec<String> {
    let on = |command: &str, unit: &str| format!("orchctl {command} {} {}", shell_word(run.id.as_str()), shell_word(unit));
    let Some(unit) = decision.unit.as_ref().and_then(|id| run.unit(id)) else {
        return match decision.kind {
            DecisionKind::NoWorker => refused(run, decision, on),
            DecisionKind::CheckRedOnBase => vec![on("logs", "-"), format!("orchctl diff {}", shell_word(run.id.as_str()))],
            _ => vec![format!("orchctl status {}", shell_word(run.id.as_str()))],
        };
    };
    let mut commands = Vec::new();
    if unit.attempts.iter().any(|attempt| attempt.commit().is_some()) {
        commands.push(on("diff", unit.id.as_str()));
    }
    if !unit.review.findings.is_empty() {
        commands.push(on("findings", unit.id.as_str()));
    }
    if !unit.attempts.is_empty() {
        commands.push(on("logs", unit.id.as_str()));
        commands.push(format!("{} {}", on("checkout", unit.id.as_str()), shell_word(&format!("/tmp/{}-{}", run.id, unit.id))));
    }
    if commands.is_empty() {
        commands.push(on("show", unit.id.as_str()));
    }
    commands
}

/// What was refused stays readable when its worker has gone; how the CLIs are now is asked anew.
fn refused(run: &Run, decision: &Decision, on: impl Fn(&str, &str) -> String) -> Vec<String> {
    let is_refusal =
        |attempt: &Attempt| attempt.class() == Some(OutcomeClass::Provider) && Some(&attempt.granted.backend) == decision.backend.as_ref();
    let of_unit = run.units().find(|unit| unit.attempts.iter().any(is_refusal)).map(|unit| unit.id.as_str());
    let of_run = run.attempts.iter().any(is_refusal).then_some("-");
    let log = of_unit.or(of_run).map(|unit| on("logs", unit));
    log.into_iter().chain(["orchctl workers".to_owned(), "worker doctor".to_owned()]).collect()
}
