//! Which run or unit a person means.

use roundtable_core::state::{Run, State};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::view::RunSelector;
use roundtable_shared::{RunId, UnitId};

/// Names that an error lists at most.
const NAMED_MAX: usize = 10;

/// Why no run or unit is meant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SelectError {
    /// There is none at all.
    #[error("there is no run {scope}; start one with `orchctl run --spec DIR`")]
    NoRuns {
        /// Where was looked.
        scope: &'static str,
    },
    /// None has that id.
    #[error("no run is called {wanted}; `orchctl runs` lists them")]
    UnknownRun {
        /// As typed.
        wanted: String,
    },
    /// Several have ids that begin so.
    #[error("{wanted} fits several runs: {}; give more of the id", .candidates.join(", "))]
    AmbiguousRun {
        /// As typed.
        wanted: String,
        /// Their ids.
        candidates: Vec<String>,
    },
    /// The run has no such unit.
    #[error("run {run} has no unit {wanted}; it has {}", .units.join(", "))]
    UnknownUnit {
        /// The run.
        run: RunId,
        /// As typed.
        wanted: String,
        /// The first of its units.
        units: Vec<String>,
    },
}

impl SelectError {
    /// The code this maps to at every edge.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NoRuns { .. } | Self::UnknownRun { .. } | Self::UnknownUnit { .. } => ErrorCode::NotFound,
            Self::AmbiguousRun { .. } => ErrorCode::InvalidInput,
        }
    }
}

/// The run that is meant: a full id, a unique beginning of one, or (none named) the only unfinished run of the repository, else its latest.
pub fn select_run(state: &State, selector: &RunSelector) -> Result<RunId, SelectError> {
    match selector.run.as_deref().map(str::trim).filter(|wanted| !wanted.is_empty()) {
        Some(wanted) => named(state, wanted),
        None => unnamed(state, selector.git_dir.as_deref()),
    }
}

fn named(state: &State, wanted: &str) -> Result<RunId, SelectError> {
    if state.runs.contains_key(wanted) {
        return Ok(RunId::from(wanted));
    }
    let fits: Vec<&RunId> = state.created.iter().filter(|id| id.as_str().starts_with(wanted)).collect();
    match fits.as_slice() {
        [] => Err(SelectError::UnknownRun { wanted: wanted.to_owned() }),
        [one] => Ok((*one).clone()),
        several => Err(SelectError::AmbiguousRun { wanted: wanted.to_owned(), candidates: names(several.iter().map(ToString::to_string)) }),
    }
}

fn unnamed(state: &State, git_dir: Option<&str>) -> Result<RunId, SelectError> {
    // One that was removed is meant only by its name.
    let here = |run: &&Run| run.life.removed.is_none() && git_dir.is_none_or(|git_dir| run.origin.source.git_dir == git_dir);
    let mut unfinished = state.unfinished().filter(here);
    if let (Some(only), None) = (unfinished.next(), unfinished.next()) {
        return Ok(only.id.clone());
    }
    let latest = state.created.iter().rev().filter_map(|id| state.run(id)).find(here);
    let scope = if git_dir.is_some() { "of this repository" } else { "yet" };
    latest.map(|run| run.id.clone()).ok_or(SelectError::NoRuns { scope })
}

/// The unit that is meant: by its id, or by that of one of its tasks.
pub fn select_unit(run: &Run, wanted: &str) -> Result<UnitId, SelectError> {
    let wanted = wanted.trim();
    if let Some(unit) = run.units().find(|unit| unit.id.as_str() == wanted) {
        return Ok(unit.id.clone());
    }
    match run.origin.outline.units.iter().find(|unit| unit.task(wanted).is_some()) {
        Some(unit) => Ok(unit.id.clone()),
        None => Err(SelectError::UnknownUnit {
            run: run.id.clone(),
            wanted: wanted.to_owned(),
            units: names(run.units().map(|unit| unit.id.to_string())),
        }),
    }
}

fn names(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = all.take(NAMED_MAX + 1).collect();
    if names.len() > NAMED_MAX {
        names[NAMED_MAX] = "…".to_owned();
    }
    names
}
