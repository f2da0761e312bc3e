//! What surrounds a unit's turn: where its agent works, what units before it left, how the others stand.

use std::collections::BTreeSet;

use roundtable_core::effect::Grant;
use roundtable_core::state::{Learning, Run, Unit};
use roundtable_shared::limits::LEARNINGS_MAX;
use roundtable_shared::{BackendName, Role, UnitId, UnitState};

use crate::prompt::input::*;

/// What the coordinator knows of where a turn runs. A worker's own configuration may open more; a prompt does not promise what it cannot know.
pub(super) fn place(run: &Run, grant: &Grant) -> PlaceBrief {
    let has_sandbox = is_codex(&grant.granted.backend) && run.options.switches.bypass_sandbox != Some(true);
    let network = match grant.granted.backend.as_str() {
        _ if has_sandbox => Network::Closed,
        "codex" | "codex-review" | "gemini" | "opencode" => Network::Open,
        _ => Network::Unknown,
    };
    // Their read-only modes offer no commands at all.
    let shell = match grant.granted.backend.as_str() {
        _ if is_codex(&grant.granted.backend) => Shell::Yes,
        "gemini" | "opencode" if grant.granted.role == Role::Review => Shell::No,
        "gemini" | "opencode" => Shell::Yes,
        _ => Shell::Unknown,
    };
    PlaceBrief { network, shell, setup: run.options.setup.clone() }
}

fn is_codex(backend: &BackendName) -> bool {
    matches!(backend.as_str(), "codex" | "codex-review")
}

/// Units told of at most, beside those it depends on: the latest of them.
const DELIVERED_MAX: usize = 12;

/// Completed units this one depends on, or whose files it names, in plan order. One that declares nothing goes on from everything.
pub(super) fn delivered(run: &Run, unit: &Unit) -> Vec<DeliveredBrief> {
    let needs: BTreeSet<&UnitId> = unit.assignment.depends_on.iter().chain(&unit.spec.checkpoint_on).collect();
    let touches = |other: &Unit| {
        let names = |path: &String| unit.assignment.manifest.writes.covers(path) || unit.assignment.manifest.reads.covers(path);
        unit.claims_all() || other.work.changed.iter().any(names)
    };
    let before = run.in_order().filter(|other| other.id != unit.id && other.state() == UnitState::Completed);
    let mut wanted: Vec<&Unit> = before.filter(|other| needs.contains(&other.id) || touches(other)).collect();
    let mut surplus = wanted.len().saturating_sub(DELIVERED_MAX);
    wanted.retain(|other| {
        let stays = surplus == 0 || needs.contains(&other.id);
        surplus -= usize::from(!stays);
        stays
    });
    let brief = |other: &Unit| DeliveredBrief {
        id: other.id.to_string(),
        title: other.spec.title.clone(),
        summary: other.work.report.as_ref().map(|report| report.summary.clone()).unwrap_or_default(),
        files: other.files(),
    };
    wanted.into_iter().map(brief).collect()
}

/// Every other unit, in document order.
pub(super) fn others(run: &Run, unit: &Unit) -> Vec<OtherBrief> {
    let brief = |other: &Unit| OtherBrief {
        id: other.id.to_string(),
        title: other.spec.title.clone(),
        state: standing(other).to_owned(),
        depends_on_this: other.assignment.depends_on.contains(&unit.id),
    };
    run.units().filter(|other| other.id != unit.id).map(brief).collect()
}

/// What completed units found out about files near this unit's, each once, the latest last.
pub(super) fn learnings(run: &Run, unit: &Unit) -> Vec<LearningBrief> {
    let is_near = |learning: &&Learning| learning.unit != unit.id && learning.paths.iter().any(|path| near(unit, path));
    let mut seen = BTreeSet::new();
    let mut told: Vec<LearningBrief> = Vec::new();
    // A later one about the same thing is the truer one.
    for learning in run.branch.learnings.iter().rev().filter(is_near) {
        if told.len() < LEARNINGS_MAX && seen.insert(learning.text.to_lowercase()) {
            told.push(LearningBrief { unit: learning.unit.to_string(), text: learning.text.clone() });
        }
    }
    told.reverse();
    told
}

/// Whether a path is within the unit's manifest, or beside something that is. A unit that declares nothing is near to everything.
fn near(unit: &Unit, path: &str) -> bool {
    if unit.claims_all() || unit.assignment.manifest.writes.covers(path) || unit.assignment.manifest.reads.covers(path) {
        return true;
    }
    let mut entries = unit.assignment.manifest.writes.entries().iter().chain(unit.assignment.manifest.reads.entries());
    // The top folder is beside everything, which says nothing.
    folder_of(path).is_some_and(|folder| entries.any(|entry| entry_folder(entry) == Some(folder)))
}

fn folder_of(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder)
}

/// The folder an entry of a manifest lies in or names; for a glob the one before its first wildcard.
fn entry_folder(entry: &str) -> Option<&str> {
    let plain = entry.find(['*', '?', '[']).map_or(entry, |at| &entry[..at]);
    folder_of(plain)
}

fn standing(unit: &Unit) -> &'static str {
    match unit.state() {
        UnitState::Completed => "done",
        _ if !unit.spec.runs => "not part of this run",
        UnitState::Skipped | UnitState::Cancelled => "left out",
        UnitState::NotStarted => "not begun",
        UnitState::Blocked => "stopped",
        _ => "under way",
    }
}
