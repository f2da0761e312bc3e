//! I4: holds of live units are disjoint, and a unit without a manifest holds everything.

use roundtable_shared::manifest::PathSet;

use super::Found;
use crate::state::{Run, Unit};
use crate::transition::Fact;

/// Facts that give a unit a hold, or another one.
pub(super) fn after(found: &mut Found<'_>, run: &Run, fact: &Fact) {
    let unit = match fact {
        Fact::UnitMoved { unit, .. } | Fact::ManifestClaimed { unit, .. } | Fact::ManifestSettled { unit, .. } => unit,
        // What is imported is sorted out within the same batch: that is looked at when it rests.
        Fact::UnitReassigned { assignment, by } if by != "import" => &assignment.unit,
        Fact::UnitsPlanned { .. } => return all(found, run),
        _ => return,
    };
    let Some(unit) = run.unit(unit).filter(|unit| unit.spec.runs && unit.state().holds()) else { return };
    for other in run.units().filter(|other| other.id != unit.id) {
        pair(found, unit, other);
    }
}

/// Every pair of units.
pub(super) fn all(found: &mut Found<'_>, run: &Run) {
    let holders: Vec<&Unit> = run.units().filter(|unit| unit.spec.runs && unit.state().holds()).collect();
    for (at, unit) in holders.iter().enumerate() {
        for other in &holders[at + 1..] {
            pair(found, unit, other);
        }
    }
}

fn pair(found: &mut Found<'_>, unit: &Unit, other: &Unit) {
    if !other.spec.runs || !other.state().holds() {
        return;
    }
    let everything = |unit: &Unit| unit.assignment.exclusive && !unit.assignment.settled;
    let meet = everything(unit) || everything(other) || share_a_path(unit, other);
    found.unless(!meet, "I4", || {
        let path = unit.assignment.manifest.writes.first_conflict(&other.assignment.manifest.writes).map(|conflict| conflict.path);
        let path = path.unwrap_or_else(|| "everything".to_owned());
        format!("units {} ({}) and {} ({}) both hold {path}", unit.id, unit.state(), other.id, other.state())
    });
}

/// Whether some path is in the writes of both. A path that was claimed is a file that was seen: nothing lies below it.
fn share_a_path(unit: &Unit, other: &Unit) -> bool {
    let (left, right) = (&unit.assignment.manifest.writes, &other.assignment.manifest.writes);
    if !left.conflicts(right) {
        return false;
    }
    let (left_files, right_files) = (files(unit), files(other));
    left_files.iter().any(|path| right.covers(path))
        || right_files.iter().any(|path| left.covers(path))
        || planned(unit, left_files).conflicts(&planned(other, right_files))
}

/// Entries that are known to be files.
fn files(unit: &Unit) -> &[String] {
    if unit.assignment.settled { unit.assignment.manifest.writes.entries() } else { &unit.assignment.claimed }
}

fn planned(unit: &Unit, files: &[String]) -> PathSet {
    let entries: Vec<&String> = unit.assignment.manifest.writes.entries().iter().filter(|entry| !files.contains(entry)).collect();
    PathSet::new(&entries, false).unwrap_or_default()
}
