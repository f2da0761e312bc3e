//! Acts of a person on a run: assignments, pauses, halts, steps. Drains of workers are in `drain`, decisions are in `answer`, endings of units in `cancel`.

use roundtable_shared::manifest::Manifest;
use roundtable_shared::{Assignment, BackendName, Criticality, DecisionId, DecisionKind, RunId, UnitId, UnitState, read_requirements};

use super::{Deciding, answer, attach, cancel, close, document, drain, remove, step};
use crate::change::Rejection;
use crate::command::{Act, Operate};
use crate::planted::{Bug, planted};
use crate::state::Unit;
use crate::transition::Fact;

/// Carries out an act.
pub(super) fn operate(d: &mut Deciding<'_>, operate: Operate) -> Result<(), Rejection> {
    let Operate { run, by, act } = operate;
    let run = match (run, &act) {
        (_, Act::Drain { worker }) => return drain::drain(d, worker, by),
        (_, Act::Undrain { worker }) => return drain::undrain(d, worker, by),
        (_, Act::KeepAssignment { kept }) => {
            d.emit_fleet(Fact::AssignmentKept { kept: kept.clone() });
            d.done("kept for the run that is to come");
            return Ok(());
        }
        (None, Act::Pause { note }) => return pause_all(d, note.clone(), by),
        (None, Act::Resume) => return resume_all(d, by),
        (None, _) => return Err(Rejection::invalid("only pause and resume can be done to all runs at once; name a run")),
        (Some(run), _) => run,
    };
    let Some(now) = d.state().run(&run) else { return Err(Rejection::not_found(format!("there is no run {run}"))) };
    let is_over = (now.is_ended() || now.ending.is_some()) && !planted(Bug::ActsAfterEnd);
    match &act {
        Act::RecordAccept { .. } | Act::Remove { .. } => {}
        Act::Decide { id, .. } if now.answered.contains_key(id) => {}
        _ if is_over => return Err(Rejection::conflict(format!("run {run} has ended; start a new one with `orchctl run`"))),
        _ => {}
    }
    match act {
        Act::Decide { id, choice, dependants, note } => answer::decide(d, &run, &id, choice, dependants, note, by),
        Act::Assign { unit, owner, criticality, writes, reads, requires } => {
            assign(d, &run, &unit, Changes { owner, criticality, writes, reads, requires }, by)
        }
        Act::AssignAll { proposals } => document::assign_all(d, &run, &proposals, &by),
        Act::Retry { unit } => answer::retry_act(d, &run, &unit, by),
        Act::Skip { unit, dependants } => cancel::skip_act(d, &run, &unit, dependants),
        Act::Cancel { unit: Some(unit) } => cancel::cancel_act(d, &run, &unit),
        Act::Cancel { unit: None } => cancel::cancel_run(d, &run, by),
        Act::Pause { note } => pause(d, &run, note, by),
        Act::Resume => resume(d, &run, by),
        Act::Step { phase } => step::open(d, &run, phase),
        Act::RecordAccept { branch, commit } => {
            d.emit(&run, Fact::RunAccepted { branch: branch.clone(), commit, by });
            d.done(format!("recorded: {branch} was moved"));
            Ok(())
        }
        Act::Remove { force } => remove::remove(d, &run, force, by),
        Act::Halt { reason } => {
            close::halt(d, &run, reason, by);
            d.done("nothing more is granted; running again goes on");
            Ok(())
        }
        Act::Attach { options, mode } => attach::attach(d, &run, &options, mode),
        Act::Drain { .. } | Act::Undrain { .. } | Act::KeepAssignment { .. } => Ok(()),
    }
}

/// A unit of the run, or why not.
pub(super) fn known_unit<'a>(d: &'a Deciding<'_>, run: &RunId, unit: &UnitId) -> Result<&'a Unit, Rejection> {
    d.state().unit(run, unit).ok_or_else(|| Rejection::not_found(format!("run {run} has no unit {unit}")))
}

struct Changes {
    owner: Option<BackendName>,
    criticality: Option<Criticality>,
    writes: Option<Vec<String>>,
    reads: Option<Vec<String>>,
    requires: Option<Vec<String>>,
}

impl Changes {
    /// Whether they are about what rules and agents assign too.
    fn is_assignment(&self) -> bool {
        self.owner.is_some() || self.criticality.is_some() || self.writes.is_some() || self.reads.is_some()
    }
}

fn assign(d: &mut Deciding<'_>, run: &RunId, id: &UnitId, changes: Changes, by: String) -> Result<(), Rejection> {
    let unit = known_unit(d, run, id)?;
    if unit.state.is_terminal() || !unit.runs {
        return Err(Rejection::conflict(format!("unit {id} does not run any more; nothing is left to assign")));
    }
    let changes_manifest = changes.writes.is_some() || changes.reads.is_some();
    if changes_manifest && unit.holds() {
        return Err(Rejection::conflict(format!(
            "unit {id} is {} and holds its writes; change its manifest before it starts, or retry it first",
            unit.state
        )));
    }
    let requires = changes.requires.as_deref().map(read_requirements).transpose().map_err(Rejection::invalid)?;
    let is_assignment = changes.is_assignment();
    let writes = changes.writes.unwrap_or_else(|| unit.manifest.writes.entries().to_vec());
    let reads = changes.reads.unwrap_or_else(|| unit.manifest.reads.entries().to_vec());
    let ignore_case = d.run(run).options.ignore_case;
    let manifest = Manifest::new(&writes, &reads, ignore_case).map_err(|error| Rejection::invalid(error.to_string()))?;
    let assignment = Assignment {
        unit: id.clone(),
        unit_type: unit.unit_type,
        owner_agent: changes.owner.or_else(|| unit.owner.clone()),
        target_window: unit.window.clone().or_else(|| Some(format!("task-{id}"))),
        criticality: changes.criticality.unwrap_or(unit.criticality),
        writes: manifest.writes.entries().to_vec(),
        reads: manifest.reads.entries().to_vec(),
        depends_on: Vec::new(),
    };
    if let Some(requires) = requires {
        d.emit(run, Fact::RequirementsSet { unit: id.clone(), requires, by: by.clone() });
    }
    if is_assignment {
        reassign(d, run, assignment, by);
    }
    d.done(format!("unit {id} is assigned anew"));
    Ok(())
}

/// What a person says stands; a unit that waited for an owner goes on.
pub(super) fn reassign(d: &mut Deciding<'_>, run: &RunId, assignment: Assignment, by: String) {
    let (id, has_owner) = (assignment.unit.clone(), assignment.owner_agent.is_some());
    d.emit(run, Fact::UnitReassigned { assignment: Box::new(assignment), by });
    let missing: DecisionId = DecisionKind::MissingOwnerAgent.id(Some(id.as_str()));
    if has_owner && d.is_open(run, &missing) {
        super::withdraw(d, run, &missing, "it has an owner now");
        answer::go_on(d, run, &id);
    }
}

fn pause(d: &mut Deciding<'_>, run: &RunId, note: Option<String>, by: String) -> Result<(), Rejection> {
    if d.run(run).paused.is_some() {
        d.unchanged("it is paused already");
        return Ok(());
    }
    d.emit(run, Fact::RunPaused { note: note.unwrap_or_default(), by });
    d.done("nothing more is granted; what runs goes on to its end");
    Ok(())
}

fn resume(d: &mut Deciding<'_>, run: &RunId, by: String) -> Result<(), Rejection> {
    if d.run(run).paused.is_none() {
        d.unchanged("it is not paused");
        return Ok(());
    }
    d.emit(run, Fact::RunResumed { by });
    d.done("grants go on");
    Ok(())
}

fn pause_all(d: &mut Deciding<'_>, note: Option<String>, by: String) -> Result<(), Rejection> {
    if d.state().paused.is_some() {
        d.unchanged("everything is paused already");
        return Ok(());
    }
    d.emit_fleet(Fact::AllPaused { note: note.unwrap_or_default(), by });
    d.done("nothing more is granted to any run; what runs goes on to its end");
    Ok(())
}

fn resume_all(d: &mut Deciding<'_>, by: String) -> Result<(), Rejection> {
    let paused: Vec<RunId> = d.state().unfinished().filter(|run| run.paused.is_some()).map(|run| run.id.clone()).collect();
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

/// Whether an operator may have the unit start its work over.
pub(super) fn may_retry(unit: &Unit) -> bool {
    matches!(unit.state, UnitState::NotStarted | UnitState::InProgress | UnitState::FixRequired | UnitState::Blocked)
}
