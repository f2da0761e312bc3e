//! What looking at the units of a run needs, gathered once for all of them, so that each costs the same however many there are. What is told of a unit is
//! for `unit`.

use std::collections::BTreeMap;

use roundtable_core::command::Now;
use roundtable_core::fleet::Fleet;
use roundtable_core::schedule::Explainer;
use roundtable_core::state::{Run, State};

use super::upstream::Upstream;

/// A run at the moment it is looked at.
pub(super) struct Viewer<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) now: Now,
    pub(super) run: &'a Run,
    /// Units that are blocked by one before them.
    pub(super) upstream: Upstream<'a>,
    /// Why units wait.
    pub(super) explainer: Explainer<'a>,
    /// By task, fixes that were left for later.
    pub(super) deferred: BTreeMap<&'a str, usize>,
}

impl<'a> Viewer<'a> {
    /// Of each unit so many reasons to wait are told.
    pub(super) fn new(state: &'a State, fleet: &'a Fleet, now: Now, run: &'a Run, reasons_max: usize) -> Self {
        let mut deferred = BTreeMap::new();
        run.people.deferred_fixes.iter().for_each(|fix| *deferred.entry(fix.task_id.as_str()).or_insert(0) += 1);
        let explainer = Explainer::new(state, fleet, run, now, reasons_max);
        Self { fleet, now, run, upstream: Upstream::of(run), explainer, deferred }
    }
}
