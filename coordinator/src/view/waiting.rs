//! What a unit waits for, as the scheduler itself says it.

use roundtable_core::schedule::{self, Waiting};
use roundtable_core::state::Unit;
use roundtable_shared::view::WaitView;

use super::viewer::Viewer;

/// Everything the unit waits for right now.
pub(super) fn waits(viewer: &Viewer<'_>, unit: &Unit) -> Vec<WaitView> {
    let waits = schedule::explain(viewer.state, viewer.fleet, &viewer.run.id, &unit.id, viewer.now);
    waits.into_iter().map(|Waiting { kind, on, path, text }| WaitView { kind: kind.into(), on, path, text }).collect()
}
