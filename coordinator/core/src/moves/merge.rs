//! A merge of a unit's work with the tip is owed.

use roundtable_shared::{RunId, UnitId};

use crate::rules::owed;
use crate::state::{Merging, Work};
use crate::transition::Fact;
use crate::txn::Txn;

/// Begins one; the unit is in `fix_required` and stays there until the answer.
pub(crate) fn begin(d: &mut Txn<'_>, run: &RunId, unit: &UnitId, work: Work, by_person: bool) {
    let merging = Merging { tip: d.run(run).branch.tip.clone(), work, by_person };
    d.emit(run, Fact::MergeSet { unit: unit.clone(), merging: Some(merging) });
    if let Some(effect) = owed::merge(d.run(run), d.unit(run, unit)) {
        d.effect(effect);
    }
}
