//! `show` and `explain`: everything about one unit.

use roundtable_core::command::Now;
use roundtable_core::fleet::Fleet;
use roundtable_core::state::{Run, State, Unit};
use roundtable_shared::view::{ExplainView, ShowView, WAITING_MAX};

use super::unit::view;
use super::viewer::Viewer;
use super::{attempts, decisions, findings, tasks};

/// Notices of a unit that are shown.
const NOTICES_MAX: usize = 20;

/// `show`.
pub fn show(state: &State, fleet: &Fleet, now: Now, run: &Run, unit: &Unit) -> ShowView {
    let about = |decision: &&roundtable_shared::Decision| decision.unit.as_ref() == Some(&unit.id);
    ShowView {
        unit: view(&mut Viewer::new(state, fleet, now, run, WAITING_MAX), unit),
        tasks: run.origin.outline.unit(unit.id.as_str()).map(|outlined| tasks::tasks(outlined, unit)).unwrap_or_default(),
        attempt_list: attempts::attempts_now(fleet, run, unit),
        findings: findings::findings(run, Some(unit)),
        decisions: decisions::open_decisions(run).into_iter().filter(about).map(|each| decisions::decision(run, each, now.wall)).collect(),
        notices: notices(run, unit),
    }
}

/// What was told about the unit's attempts, the latest of it.
fn notices(run: &Run, unit: &Unit) -> Vec<String> {
    let about = format!("unit {}, attempt ", unit.id);
    let mut told: Vec<String> =
        run.people.notices.iter().filter(|notice| notice.text.starts_with(&about)).map(|n| n.text.clone()).collect();
    told.drain(..told.len().saturating_sub(NOTICES_MAX));
    told
}

/// A reason as a sentence of its own.
fn sentence(reason: &str) -> String {
    let mut letters = reason.trim().chars();
    let mut text: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if !text.ends_with(['.', '!', '?', '…']) {
        text.push('.');
    }
    text
}

/// `explain`: why a unit is not going on, from the functions that let it go on. All reasons there are.
pub fn explain(state: &State, fleet: &Fleet, now: Now, run: &Run, unit: &Unit) -> ExplainView {
    let shown = view(&mut Viewer::new(state, fleet, now, run, usize::MAX), unit);
    let mut sentences = vec![match (&shown.role, &shown.worker) {
        (Some(role), Some(worker)) => {
            let doing = if shown.delivering.is_some() { "is over and delivering" } else { "runs" };
            format!("Unit {} is {}: attempt {} ({role}) {doing} on {worker}.", shown.id, shown.status, shown.attempt)
        }
        _ if !shown.runs => format!("Unit {} does not run in this run.", shown.id),
        _ if unit.state().is_terminal() => format!("Unit {} is {}; it waits for nothing.", shown.id, shown.status),
        _ => format!("Unit {} is {}.", shown.id, shown.status),
    }];
    if let Some(reason) = &shown.blocked_reason {
        sentences.push(format!("{}: {reason}.", if shown.blocked_by.is_some() { "Blocked upstream" } else { "Reason" }));
    }
    sentences.extend(shown.waiting.iter().map(|wait| sentence(&wait.text)));
    ExplainView { run: run.id.to_string(), unit: shown.id, status: shown.status, waiting: shown.waiting, text: sentences.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_sentences() {
        assert_eq!(sentence("unit 1 (not_started) comes first"), "Unit 1 (not_started) comes first.");
        assert_eq!(sentence("manual mode: `orchctl step r assign` moves it"), "Manual mode: `orchctl step r assign` moves it.");
        assert_eq!(sentence("It is so."), "It is so.");
    }
}
