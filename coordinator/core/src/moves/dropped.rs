//! What an agent changed and nobody takes over is named once.

use roundtable_shared::{RunId, UnitId};

use crate::rules::manifest::Judged;
use crate::txn::Txn;

/// Says once that changes of the spec's own files are left out.
pub(crate) fn note_dropped(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, judged: &Judged) {
    if !judged.of_spec.is_empty() {
        let files = judged.of_spec.join(", ");
        d.notice(run, format!("unit {unit}: changes of the spec's own files are left out of its work: {files}"));
    }
}
