//! What a unit waits for, as the scheduler itself says it.

use roundtable_core::schedule::{Reasons, Waiting};
use roundtable_core::state::Unit;
use roundtable_shared::view::WaitView;

use super::number::number;
use super::viewer::Viewer;

/// What the unit waits for right now, as much as the viewer tells; and how much more there is.
pub(super) fn waits(viewer: &mut Viewer<'_>, unit: &Unit) -> (Vec<WaitView>, u32) {
    let Reasons { told, left_out, .. } = viewer.explainer.reasons(unit);
    let view = |Waiting { kind, on, path, text }| WaitView { kind: kind.into(), on, path, text };
    (told.into_iter().map(view).collect(), number(left_out))
}
