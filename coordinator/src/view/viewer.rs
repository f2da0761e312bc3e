//! What looking at the units of a run needs, gathered once for all of them. What is told of a unit is for `unit` and `waiting`.

use std::collections::BTreeMap;

use roundtable_core::command::Now;
use roundtable_core::fleet::Fleet;
use roundtable_core::state::{Run, State, Unit};
use roundtable_shared::UnitId;

use super::upstream::blocked_upstream;

/// State, fleet and moment that a run is looked at in.
pub(super) struct Viewer<'a> {
    pub(super) state: &'a State,
    pub(super) fleet: &'a Fleet,
    pub(super) now: Now,
    pub(super) run: &'a Run,
    /// Units that are blocked by one before them, with that one.
    pub(super) upstream: BTreeMap<&'a UnitId, &'a Unit>,
}

impl<'a> Viewer<'a> {
    pub(super) fn new(state: &'a State, fleet: &'a Fleet, now: Now, run: &'a Run) -> Self {
        Self { state, fleet, now, run, upstream: blocked_upstream(run) }
    }
}
