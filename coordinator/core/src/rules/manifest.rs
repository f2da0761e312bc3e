//! Manifest enforcement (docs/rules.md, "Manifests and holds"): what a received commit may change, what it may claim, what it must wait for, what is a breach.

use roundtable_shared::manifest::normalise_entry;
use roundtable_shared::{ChangeKind, ChangedPath, EntryKind, ManifestRule};

use crate::planted::{Bug, planted};
use crate::state::{Run, Unit};

/// Why a file that is not the unit's may not be written again in another encoding: everybody else's change of it would conflict, and nobody asked for it.
const SAME_TEXT: &str = "only its line ends or its encoding changed, not its text; put it back as it was, or have the unit's writes name it if that is the task";

/// A judged change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Judged {
    /// What counts: the spec's own files, mirror files and learnings left out. Sorted.
    pub paths: Vec<String>,
    /// Something was left out.
    pub dropped: bool,
    /// Of that, the spec's own files: worth a word, because the agent will think that it changed them.
    pub of_spec: Vec<String>,
    /// Outside the manifest and held by nobody: to be claimed.
    pub claim: Vec<String>,
    /// Outside the manifest and held by another unit.
    pub contended: Vec<String>,
    /// What may not be at all, each with why. If there is any, nothing else counts.
    pub breach: Vec<(String, String)>,
}

/// Judges what a commit changes against its base. A person's change may go outside the manifest, but not touch what nobody may.
pub(crate) fn judge(run: &Run, unit: &Unit, changed: &[ChangedPath], by_person: bool) -> Judged {
    let mut judged = Judged::default();
    for change in changed {
        if is_ours(run, unit, &change.path) {
            judged.dropped = true;
            if run.origin.spec_paths.contains(&change.path) {
                judged.of_spec.push(change.path.clone());
            }
            continue;
        }
        judged.paths.push(change.path.clone());
        if let Some(why) = forbidden(change) {
            judged.breach.push((change.path.clone(), why));
        } else if !by_person && !unit.claims_all() && is_protected(&change.path) && !names(unit, &change.path) {
            judged.breach.push((change.path.clone(), "needs an entry of its own in the unit's writes".to_owned()));
        } else if !by_person && change.reencoded && !unit.assignment.manifest.writes.covers(&change.path) {
            judged.breach.push((change.path.clone(), SAME_TEXT.to_owned()));
        } else if is_own(run, unit, &change.path) && (!by_person || !is_protected(&change.path) || names(unit, &change.path))
            || planted(Bug::BreachPassed)
        {
            // Its own.
        } else if let Some(holder) = run.holders_of(&unit.id, &change.path).next().filter(|_| !planted(Bug::HeldPathClaimed)) {
            if run.options.manifest == ManifestRule::Strict && !unit.assignment.exclusive && !by_person {
                judged.breach.push((change.path.clone(), format!("outside the manifest, and held by unit {}", holder.id)));
            } else {
                judged.contended.push(change.path.clone());
            }
        } else if unit.claims_all() {
            // Nobody else's, and everything is its own.
        } else if run.options.manifest == ManifestRule::Strict && !unit.assignment.exclusive && !by_person {
            judged.breach.push((change.path.clone(), "outside the manifest".to_owned()));
        } else {
            judged.claim.push(change.path.clone());
        }
    }
    judged.paths.sort();
    judged.paths.dedup();
    judged
}

/// Whether a path is the unit's by its manifest. What turns up below an entry that looked like a file is claimed where that can be done, so that others
/// that foresaw it are asked first.
fn is_own(run: &Run, unit: &Unit, path: &str) -> bool {
    let writes = &unit.assignment.manifest.writes;
    if run.options.manifest == ManifestRule::Strict && !unit.assignment.exclusive { writes.covers(path) } else { writes.foresees(path) }
}

/// Whether edits of `AGENTS.md` files are part of the unit's work rather than learnings.
pub(crate) fn keeps_agents_md(unit: &Unit) -> bool {
    unit.assignment.manifest.writes.entries().iter().any(|entry| is_agents_md(entry))
}

/// Files that agents may edit but whose edits are dropped: boxes are ticked by us, learnings collected, mirror files rendered.
fn is_ours(run: &Run, unit: &Unit, path: &str) -> bool {
    run.origin.spec_paths.iter().chain(&run.origin.mirror_paths).any(|ours| ours == path) || (is_agents_md(path) && !names(unit, path))
}

fn is_agents_md(path: &str) -> bool {
    path.rsplit('/').next() == Some("AGENTS.md")
}

/// Whether the writes name this very file (or its protected folder), not merely cover it by a wider entry.
fn names(unit: &Unit, path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    let named = |entry: &String| {
        let entry = entry.trim_end_matches('/');
        entry == path
            || entry.rsplit('/').next() == Some(last)
            || (path.starts_with(".github/workflows/") && entry.starts_with(".github/workflows"))
    };
    unit.assignment.manifest.writes.covers(path) && unit.assignment.manifest.writes.entries().iter().any(named)
}

/// Files that change what the repository, its automation or this project does. Some file systems take no notice of case.
fn is_protected(path: &str) -> bool {
    if planted(Bug::ProtectedPassed) {
        return false;
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    let workflows = ".github/workflows";
    let is_within = |dir: &str| path.get(..dir.len()).is_some_and(|head| head.eq_ignore_ascii_case(dir));
    let is_workflow = is_within(workflows) && matches!(path.as_bytes().get(workflows.len()), None | Some(b'/'));
    is_workflow || [".gitattributes", "roundtable.toml"].iter().any(|name| last.eq_ignore_ascii_case(name))
}

/// What no unit may bring in, whatever its manifest says.
fn forbidden(change: &ChangedPath) -> Option<String> {
    if change.unreadable {
        return Some("its name is no UTF-8".to_owned());
    }
    if let Err(error) = normalise_entry(&change.path) {
        return Some(error.to_string());
    }
    if change.path.rsplit('/').next() == Some(".gitmodules") {
        return Some("submodules cannot be changed by a unit".to_owned());
    }
    if change.change == ChangeKind::Deleted {
        return None;
    }
    match change.entry {
        _ if planted(Bug::ForbiddenPassed) => None,
        EntryKind::EscapingSymlink => Some("a symbolic link that leaves the repository".to_owned()),
        EntryKind::Gitlink => Some("a submodule".to_owned()),
        EntryKind::File | EntryKind::Executable | EntryKind::Symlink => None,
    }
}
