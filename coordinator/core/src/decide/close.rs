//! The end of a run: halts, aborts, the last consultation, learnings and owed boxes in the closing commit, the exit code (docs/rules.md, "The end of a run").

use roundtable_shared::limits::LEARNINGS_MAX;
use roundtable_shared::{CommitId, DecisionId, RunId, TaskId, UnitId};

use super::{Deciding, attempt, consult, failure, integrate, withdraw};
use crate::effect::Effect;
use crate::planted::{Bug, planted};
use crate::state::{Learning, Run, Stage};
use crate::transition::Fact;

/// Stops a run for now; running again goes on.
pub(super) fn halt(d: &mut Deciding<'_>, run: &RunId, reason: String, by: String) {
    if d.run(run).halted.is_none() && !d.run(run).is_ended() {
        d.emit(run, Fact::RunHalted { reason, by });
    }
}

/// A run that is to end before its units have: everything is stopped, and it ends once the branch rests.
pub(super) fn finish_ending(d: &mut Deciding<'_>, run: &RunId) {
    let Some(reason) = d.run(run).ending.as_ref().map(|ending| ending.reason.clone()) else { return };
    attempt::revoke_run(d, run, &reason);
    let working: Vec<UnitId> = d.run(run).holders().map(|unit| unit.id.clone()).collect();
    for unit in working {
        failure::back_to_waiting(d, run, &unit);
    }
    integrate::drop_all(d, run, &reason);
    let merging: Vec<UnitId> = d.run(run).units().filter(|unit| unit.merging.is_some()).map(|unit| unit.id.clone()).collect();
    for unit in merging {
        d.emit(run, Fact::MergeSet { unit, merging: None });
    }
    if d.run(run).train.flights.is_empty() || planted(Bug::EndsInMove) {
        end(d, run, 1, reason);
    }
}

/// Every unit that runs is at its end: hear the orchestrator, make the closing commit, end.
pub(super) fn end_when_done(d: &mut Deciding<'_>, run: &RunId) {
    let now = d.run(run);
    let may_end = now.stage == Stage::Working && now.is_done() && now.train.flights.is_empty() && now.halted.is_none();
    if !may_end || now.is_asked_as_a_whole() {
        return;
    }
    if consult::is_owed_at_end(now) {
        return consult::due_at_end(d, run);
    }
    // What is still running now is a consultation or a check of the base that nobody needs any more.
    if !planted(Bug::EndsLive) {
        attempt::revoke_run(d, run, "every unit is at its end");
    }
    match effect(d.run(run)) {
        Some(effect) => {
            d.emit(run, Fact::RunClosing);
            d.effect(effect);
        }
        None => {
            let exit = d.run(run).exit_when_done();
            end(d, run, exit, String::new());
        }
    }
}

/// The closing commit a run owes, if there is anything to commit.
pub(super) fn effect(run: &Run) -> Option<Effect> {
    let owed = if run.tick_path.is_some() { run.unticked.as_slice() } else { &[] };
    let ticks: Vec<TaskId> = owed.iter().flat_map(|unit| integrate::boxes(run, unit)).collect();
    let learnings: Vec<(String, Vec<String>)> =
        run.learnings.iter().map(|learning| (learning.text.clone(), learning.paths.clone())).collect();
    if ticks.is_empty() && learnings.is_empty() {
        return None;
    }
    Some(Effect::CloseRun { run: run.id.clone(), tip: run.tip.clone(), ticks, learnings })
}

/// The closing commit is made.
pub(super) fn closed(d: &mut Deciding<'_>, run: &RunId, commit: Option<CommitId>) {
    if d.state().run(run).is_none_or(|run| run.stage != Stage::Closing) {
        return;
    }
    let ticked = d.run(run).unticked.clone();
    d.emit(run, Fact::RunClosed { commit, ticked });
    let exit = d.run(run).exit_when_done();
    end(d, run, exit, String::new());
}

/// The closing commit cannot be made: the run has done its work all the same.
pub(super) fn end_without_closing(d: &mut Deciding<'_>, run: &RunId, reason: &str) {
    d.notice(run, format!("the closing commit (learnings, boxes) could not be made: {reason}"));
    let exit = d.run(run).exit_when_done();
    end(d, run, exit, String::new());
}

fn end(d: &mut Deciding<'_>, run: &RunId, exit: u8, reason: String) {
    let open: Vec<DecisionId> = d.run(run).decisions.keys().cloned().collect();
    for id in open {
        withdraw(d, run, &id, "the run has ended");
    }
    d.fleet.missing.retain(|(other, _), _| other != run);
    d.fleet.rests.remove(run);
    d.fleet.errands.retain(|(other, _), _| other != run);
    let exit = if planted(Bug::EndsWell) { 0 } else { exit };
    d.emit(run, Fact::RunEnded { exit, reason });
}

/// What a completed unit learned is kept for the closing commit, within its bounds.
pub(super) fn keep_learnings(d: &mut Deciding<'_>, run: &RunId, unit: &UnitId) {
    let (now, of) = (d.run(run), d.unit(run, unit));
    let Some(report) = &of.report else { return };
    let mut known: Vec<String> = now.learnings.iter().map(|learning| learning.text.to_lowercase()).collect();
    let mut learnings = Vec::new();
    for text in &report.learnings {
        let folded = text.to_lowercase();
        if known.len() >= LEARNINGS_MAX || known.contains(&folded) {
            continue;
        }
        known.push(folded);
        learnings.push(Learning { unit: unit.clone(), text: text.clone(), paths: of.changed.clone() });
    }
    if !learnings.is_empty() {
        d.emit(run, Fact::LearningsAdded { learnings });
    }
}
