//! Questions to read models. Diffs are not answered here: they need the repository.

use roundtable_core::Core;
use roundtable_core::command::Now;
use roundtable_core::state::{Run, Unit};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::view::{AssignmentView, Query, RunSelector};
use serde::Serialize;
use serde_json::Value;

use super::{SelectError, select_run, select_unit};
use crate::mirror;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// No such run or unit, or more than one.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The question is not one about the state.
    #[error("{0} is not answered from the state alone; this is a bug, please report it")]
    NotHere(&'static str),
    /// A bug here.
    #[error("the answer cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl ViewError {
    /// The code this maps to at every edge.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Select(error) => error.code(),
            Self::NotHere(_) | Self::Json(_) => ErrorCode::Internal,
        }
    }
}

/// The JSON that the question's documentation names.
pub fn answer(core: &Core, now: Now, query: &Query) -> Result<Value, ViewError> {
    let (state, fleet) = (&core.state, &core.fleet);
    match query {
        Query::Runs => json(super::runs(state)),
        Query::Workers => json(super::workers(state, fleet, now)),
        Query::Status { run } => json(super::status(state, fleet, now, of(core, run)?)),
        Query::Summary { run } => json(super::summary(state, fleet, now, of(core, run)?)),
        Query::Show { run, unit } => {
            let run = of(core, run)?;
            json(super::show(state, fleet, now, run, unit_of(run, unit)?))
        }
        Query::Findings { run, unit } => {
            let run = of(core, run)?;
            let unit = unit.as_deref().map(|unit| unit_of(run, unit)).transpose()?;
            json(super::findings(run, unit))
        }
        Query::Attempts { run, unit } => {
            let run = of(core, run)?;
            if unit == "-" { json(super::run_attempts(run)) } else { json(super::attempts_now(fleet, run, unit_of(run, unit)?)) }
        }
        Query::Explain { run, unit } => {
            let run = of(core, run)?;
            json(super::explain(state, fleet, now, run, unit_of(run, unit)?))
        }
        Query::Decisions { run, all } if run.run.is_none() => {
            let here = |each: &&Run| run.git_dir.as_ref().is_none_or(|git_dir| each.origin.source.git_dir == *git_dir);
            let found: Vec<_> = state.unfinished().filter(here).flat_map(|each| super::decisions(each, now.wall, *all)).collect();
            json(found)
        }
        Query::Decisions { run, all } => json(super::decisions(of(core, run)?, now.wall, *all)),
        Query::Mirror { run, existing } => json(mirror::render(state, of(core, run)?, now.wall, existing)),
        Query::Assignment { run } => {
            let run = of(core, run)?;
            json(run.agents.assign_answer.as_ref().map(|answer| AssignmentView {
                inputs_digest: run.origin.inputs_digest.clone(),
                backend: answer.backend.clone(),
                model: answer.model.clone(),
                proposals: answer.proposals.clone(),
            }))
        }
        Query::FindSource { git_dir, spec_path } => {
            let found = state.unfinished().filter(|run| run.origin.source.git_dir == *git_dir && run.origin.source.spec_path == *spec_path);
            json(found.last().map(|run| super::run_line(state, run)))
        }
        Query::Diff { .. } => Err(ViewError::NotHere("a diff")),
        Query::Disk => Err(ViewError::NotHere("what the disk holds")),
        Query::Prompt { .. } => Err(ViewError::NotHere("a prompt")),
    }
}

fn of<'a>(core: &'a Core, selector: &RunSelector) -> Result<&'a Run, ViewError> {
    let id = select_run(&core.state, selector)?;
    core.state.run(&id).ok_or_else(|| SelectError::UnknownRun { wanted: id.to_string() }.into())
}

fn unit_of<'a>(run: &'a Run, wanted: &str) -> Result<&'a Unit, ViewError> {
    let id = select_unit(run, wanted)?;
    run.unit(&id).ok_or(ViewError::NotHere("a unit of the plan that the run does not have"))
}

fn json(value: impl Serialize) -> Result<Value, ViewError> {
    Ok(serde_json::to_value(value)?)
}
