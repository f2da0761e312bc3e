//! A run begins: its units are recorded as the spec has them, then assigned.

mod import;

use std::collections::{BTreeMap, BTreeSet};

use roundtable_shared::spec::{Level, NotRun, SelectedUnit, Unit as Outline, select};
use roundtable_shared::{Mode, RunId, RunOptions, SubtaskState, UnitId};

use crate::change::{Rejection, Reply};
use crate::command::Submit;
use crate::moves::{plan, run};
use crate::state::{PlanSource, Subtask, Unit};
use crate::transition::{Fact, NewUnit, RunCreated};
use crate::txn::Txn;

/// Starts a run, or finds the unfinished one of the same source.
pub(crate) fn submit(d: &mut Txn<'_>, submit: Submit) -> Result<(), Rejection> {
    if d.state().run(&submit.run).is_some() {
        return Err(Rejection::conflict(format!("there is a run {} already", submit.run)));
    }
    if submit.outline.has_errors() {
        return Err(Rejection::invalid("the plan has errors; `orchctl plan` lists them"));
    }
    let earlier: Vec<RunId> =
        d.state().unfinished().filter(|run| run.origin.source.is_same(&submit.source)).map(|run| run.id.clone()).collect();
    if let (false, Some(run)) = (submit.fresh, earlier.last()) {
        d.reply(Reply::Submitted { run: run.clone(), resumed: true, notices: Vec::new() });
        return Ok(());
    }
    let Submit {
        run,
        source,
        spec,
        outline,
        inputs_digest,
        mut options,
        base,
        started_branch,
        tick_path,
        spec_paths,
        mirror_paths,
        imported,
        by,
        ..
    } = submit;
    if let Some(name) = imported.as_ref().and_then(|imported| imported.session_name.clone())
        && options.session_name == RunOptions::default().session_name
    {
        options.session_name = name;
    }
    let selection = select(&outline.units, options.with_optional, &options.only, "tasks.md");
    if let Some(problem) = selection.problems.iter().find(|problem| problem.level == Level::Error) {
        return Err(Rejection::invalid(problem.to_string()));
    }
    for earlier in earlier {
        run::halt(d, &earlier, format!("run {run} was started afresh from the same spec"), by.clone());
    }
    let runs: BTreeMap<&UnitId, &SelectedUnit> = selection.runs.iter().map(|unit| (&unit.id, unit)).collect();
    let left_out: BTreeMap<&UnitId, NotRun> = selection.left_out.iter().map(|(id, why)| (id, *why)).collect();
    let new = |unit: &Outline| new_unit(unit, runs.get(&unit.id).copied(), left_out.get(&unit.id).copied(), options.with_optional);
    let units = outline.units.iter().map(new).collect();
    let notices: Vec<String> = selection.problems.iter().map(ToString::to_string).collect();
    let created = RunCreated {
        source,
        by,
        options,
        spec,
        outline,
        inputs_digest,
        base,
        started_branch,
        tick_path,
        spec_paths,
        mirror_paths,
        imported: imported.as_ref().map(|imported| imported.digest.clone()),
        units,
    };
    d.emit(&run, Fact::RunCreated(Box::new(created)));
    for notice in notices {
        d.notice(&run, notice);
    }
    let said = imported.map(|imported| import::take_up(d, &run, &imported)).unwrap_or_default();
    begin(d, &run);
    d.reply(Reply::Submitted { run, resumed: false, notices: said });
    Ok(())
}

fn new_unit(unit: &Outline, selected: Option<&SelectedUnit>, left_out: Option<NotRun>, with_optional: bool) -> NewUnit {
    let explicit: BTreeSet<&UnitId> = unit.depends_on.iter().collect();
    let (depends_on, checkpoint_on) =
        selected.map(|selected| selected.depends_on.iter().cloned().partition(|id| explicit.contains(id))).unwrap_or_default();
    let details: usize = unit.tasks.iter().map(|task| task.details.len()).sum();
    NewUnit {
        id: unit.id.clone(),
        title: unit.title.clone(),
        optional: unit.optional,
        checkpoint: unit.checkpoint,
        runs: selected.is_some(),
        completed: left_out == Some(NotRun::Completed),
        details: u32::try_from(details).unwrap_or(u32::MAX),
        depends_on,
        checkpoint_on,
        subtasks: subtasks(unit, with_optional),
        writes: unit.writes.clone(),
        reads: unit.reads.clone(),
        requires: unit.requires.clone(),
    }
}

fn subtasks(unit: &Outline, with_optional: bool) -> Vec<Subtask> {
    unit.leaves()
        .map(|task| Subtask {
            id: task.id.clone(),
            title: task.title.clone(),
            needed: task.needed,
            runs: task.needed || with_optional,
            state: if task.status == SubtaskState::Completed { SubtaskState::Completed } else { SubtaskState::NotStarted },
            error: None,
        })
        .collect()
}

/// A run was created: plans it at once where no agent is needed.
pub(crate) fn begin(d: &mut Txn<'_>, run: &RunId) {
    let now = d.run(run);
    let all: Vec<UnitId> = now.units().filter(|unit| unit.spec.runs).map(|unit| unit.id.clone()).collect();
    if all.is_empty() || now.options.mode == Mode::Legacy {
        return plan::plan_units(d, run, &all, PlanSource::Rules, &[]);
    }
    if now.options.mode == Mode::Manual {
        return plan::plan_units(d, run, &all, PlanSource::Manual, &[]);
    }
    // An imported state that asks a person and has all its units assigned: nobody is called before they have answered.
    let is_assigned = |unit: &Unit| unit.state().is_terminal() || (unit.assignment.owner.is_some() && unit.assignment.window.is_some());
    if !now.people.decisions.is_empty() && now.units().filter(|unit| unit.spec.runs).all(is_assigned) {
        return plan::plan_units(d, run, &all, PlanSource::Rules, &[]);
    }
    let wanted = now.options.assign_backend.clone();
    plan::plan_from_cache(d, run, &wanted);
}
