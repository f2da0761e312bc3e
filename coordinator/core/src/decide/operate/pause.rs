//! A person pauses and resumes one run, or all.

use roundtable_shared::RunId;

use crate::change::Rejection;
use crate::transition::Fact;
use crate::txn::Txn;

/// Grants nothing more to the run.
pub(crate) fn pause(d: &mut Txn<'_>, run: &RunId, note: Option<String>, by: String) -> Result<(), Rejection> {
    if d.run(run).life.paused.is_some() {
        d.unchanged("it is paused already");
        return Ok(());
    }
    d.emit(run, Fact::RunPaused { note: note.unwrap_or_default(), by });
    d.done("nothing more is granted; what runs goes on to its end");
    Ok(())
}

/// Grants to it again.
pub(crate) fn resume(d: &mut Txn<'_>, run: &RunId, by: String) -> Result<(), Rejection> {
    if d.run(run).life.paused.is_none() {
        d.unchanged("it is not paused");
        return Ok(());
    }
    d.emit(run, Fact::RunResumed { by });
    d.done("grants go on");
    Ok(())
}

/// Grants nothing more to any run.
pub(crate) fn pause_all(d: &mut Txn<'_>, note: Option<String>, by: String) -> Result<(), Rejection> {
    if d.state().paused.is_some() {
        d.unchanged("everything is paused already");
        return Ok(());
    }
    d.emit_fleet(Fact::AllPaused { note: note.unwrap_or_default(), by });
    d.done("nothing more is granted to any run; what runs goes on to its end");
    Ok(())
}

/// Grants to all again.
pub(crate) fn resume_all(d: &mut Txn<'_>, by: String) -> Result<(), Rejection> {
    let paused: Vec<RunId> = d.state().unfinished().filter(|run| run.life.paused.is_some()).map(|run| run.id.clone()).collect();
    if d.state().paused.is_none() && paused.is_empty() {
        d.unchanged("nothing is paused");
        return Ok(());
    }
    if d.state().paused.is_some() {
        d.emit_fleet(Fact::AllResumed { by: by.clone() });
    }
    for run in paused {
        d.emit(&run, Fact::RunResumed { by: by.clone() });
    }
    d.done("grants go on");
    Ok(())
}
