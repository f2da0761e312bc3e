//! Acts of a person: one file each. Which of them a run that is over still takes is said here.

mod answer;
mod assign;
mod attach;
mod cancel;
mod document;
mod drain;
mod pause;
mod remove;
mod step;

use assign::Changes;

use crate::change::Rejection;
use crate::command::{Act, Operate};
use crate::moves::run;
use crate::planted::{Bug, planted};
use crate::transition::Fact;
use crate::txn::Txn;

/// Carries out an act.
pub(crate) fn operate(d: &mut Txn<'_>, operate: Operate) -> Result<(), Rejection> {
    let Operate { run, by, act } = operate;
    let run = match (run, &act) {
        (_, Act::Drain { worker }) => return drain::drain(d, worker, by),
        (_, Act::Undrain { worker }) => return drain::undrain(d, worker, by),
        (_, Act::KeepAssignment { kept }) => {
            d.emit_fleet(Fact::AssignmentKept { kept: kept.clone() });
            d.done("kept for the run that is to come");
            return Ok(());
        }
        (None, Act::Pause { note }) => return pause::pause_all(d, note.clone(), by),
        (None, Act::Resume) => return pause::resume_all(d, by),
        (None, _) => return Err(Rejection::invalid("only pause and resume can be done to all runs at once; name a run")),
        (Some(run), _) => run,
    };
    let Some(now) = d.state().run(&run) else { return Err(Rejection::not_found(format!("there is no run {run}"))) };
    let is_over = (now.is_ended() || now.life.ending.is_some()) && !planted(Bug::ActsAfterEnd);
    match &act {
        Act::RecordAccept { .. } | Act::Remove { .. } => {}
        Act::Decide { id, .. } if now.people.answered.contains_key(id) => {}
        _ if is_over => return Err(Rejection::conflict(format!("run {run} has ended; start a new one with `orchctl run`"))),
        _ => {}
    }
    match act {
        Act::Decide { id, choice, dependants, note } => answer::decide(d, &run, &id, choice, dependants, note, by),
        Act::Assign { unit, owner, criticality, writes, reads, requires } => {
            assign::assign(d, &run, &unit, Changes { owner, criticality, writes, reads, requires }, by)
        }
        Act::AssignAll { proposals } => document::assign_all(d, &run, &proposals, &by),
        Act::Retry { unit } => answer::retry_act(d, &run, &unit, by),
        Act::Skip { unit, dependants } => cancel::skip_act(d, &run, &unit, dependants),
        Act::Cancel { unit: Some(unit) } => cancel::cancel_act(d, &run, &unit),
        Act::Cancel { unit: None } => cancel::cancel_run(d, &run, by),
        Act::Pause { note } => pause::pause(d, &run, note, by),
        Act::Resume => pause::resume(d, &run, by),
        Act::Step { phase } => step::open(d, &run, phase),
        Act::RecordAccept { branch, commit } => {
            d.emit(&run, Fact::RunAccepted { branch: branch.clone(), commit, by });
            d.done(format!("recorded: {branch} was moved"));
            Ok(())
        }
        Act::Remove { force } => remove::remove(d, &run, force, by),
        Act::Halt { reason } => {
            run::halt(d, &run, reason, by);
            d.done("nothing more is granted; running again goes on");
            Ok(())
        }
        Act::Attach { options, mode } => attach::attach(d, &run, &options, mode),
        Act::Drain { .. } | Act::Undrain { .. } | Act::KeepAssignment { .. } => Ok(()),
    }
}
