//! Facts for a prompt that the state does not have: conventions, diffs and file lists from the repository, the last transitions from the log.

use roundtable_core::Core;
use roundtable_core::effect::Grant;
use roundtable_shared::Role;
use roundtable_shared::manifest::Manifest;

use super::ShellError;
use crate::driver::decode_row;
use crate::parts::Parts;
use crate::prompt::{ConventionBrief, LAST_TRANSITIONS, PromptFacts};
use crate::repository::Repository;

/// Longest diff that is read for a review, bytes.
const DIFF_BYTES_MAX: usize = 256 << 10;
/// Most paths told to the assignment agent.
const FILES_MAX: usize = 20_000;
/// Longest file of conventions that is read, bytes.
const CONVENTIONS_BYTES_MAX: usize = 64 << 10;
/// Most files of conventions.
const CONVENTIONS_MAX: usize = 8;
/// Rows of the log looked through for a run's last transitions.
const ROWS_BACK: u64 = 2_000;

/// What of a unit's manifest says where conventions that concern it lie.
pub(super) fn paths_of(manifest: &Manifest) -> Vec<String> {
    manifest.writes.entries().iter().chain(manifest.reads.entries()).cloned().collect()
}

/// What the role of this grant needs. `paths`: those of its unit's manifest.
pub(super) async fn gather(parts: &Parts, repository: &Repository, grant: &Grant, paths: &[String]) -> Result<PromptFacts, ShellError> {
    let mut facts = PromptFacts::default();
    match grant.granted.role {
        Role::Implement | Role::Fix => facts.conventions = conventions(repository, grant, paths).await?,
        Role::Review => {
            facts.conventions = conventions(repository, grant, paths).await?;
            review(repository, grant, &mut facts).await?;
        }
        Role::Assign => {
            let (files, truncated) = repository.files(&grant.granted.base, FILES_MAX).await?;
            facts.files_total = files.len() as u64 + u64::from(truncated);
            facts.files = files;
            facts.backends = backends(parts);
        }
        Role::Orchestrate => facts.last = last_transitions(parts, grant).await?,
        Role::Check => {}
    }
    Ok(facts)
}

/// The change under review: from the unit's base to what its worktree is made of.
async fn review(repository: &Repository, grant: &Grant, facts: &mut PromptFacts) -> Result<(), ShellError> {
    let roundtable_core::effect::Start::Commit(commit) = &grant.granted.start else { return Ok(()) };
    facts.changed = repository.changed(&grant.granted.base, commit).await?;
    let diff = repository.diff(&grant.granted.base, commit, DIFF_BYTES_MAX).await?;
    facts.diff_bytes = diff.text.len() as u64 + u64::from(diff.truncated);
    facts.diff = diff.text;
    Ok(())
}

/// `AGENTS.md` at the top and in the folders above the unit's paths, nearest last.
async fn conventions(repository: &Repository, grant: &Grant, paths: &[String]) -> Result<Vec<ConventionBrief>, ShellError> {
    let found = repository.read_files(&grant.granted.base, &candidates(paths.iter())).await?;
    let brief = |(path, bytes): (String, Vec<u8>)| {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(CONVENTIONS_BYTES_MAX)]).into_owned();
        ConventionBrief { path, text }
    };
    Ok(found.into_iter().map(brief).collect())
}

/// Where an `AGENTS.md` that concerns these entries may lie, the top first.
fn candidates<'a>(entries: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut paths = vec!["AGENTS.md".to_owned()];
    for entry in entries {
        let mut folder = String::new();
        for part in entry.split('/').take_while(|part| !part.contains(['*', '?', '['])) {
            if !folder.is_empty() {
                let path = format!("{folder}/AGENTS.md");
                if !paths.contains(&path) && paths.len() < CONVENTIONS_MAX {
                    paths.push(path);
                }
                folder.push('/');
            }
            folder.push_str(part);
        }
    }
    paths
}

fn backends(parts: &Parts) -> Vec<String> {
    parts.links.handle.read(|core: &Core, now| {
        let mut names: Vec<String> = Vec::new();
        for worker in core.fleet.workers.values().filter(|worker| worker.is_here(now)) {
            for name in worker.offers.keys().filter(|name| name.as_str() != roundtable_core::schedule::CHECK_BACKEND) {
                let name = name.to_string();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    })
}

async fn last_transitions(parts: &Parts, grant: &Grant) -> Result<Vec<roundtable_core::Transition>, ShellError> {
    let head = *parts.links.published.borrow();
    let from = head.saturating_sub(ROWS_BACK) + 1;
    let rows = parts.log.read(from, usize::try_from(ROWS_BACK).unwrap_or(usize::MAX)).await;
    let rows = rows.map_err(|error| ShellError::Gone(format!("the log cannot be read: {error}")))?;
    let of_run = rows.iter().filter(|row| row.run.as_deref() == Some(grant.lease.key.run.as_str()));
    let mut last: Vec<_> = of_run.filter_map(|row| decode_row(row).ok()).collect();
    let surplus = last.len().saturating_sub(LAST_TRANSITIONS);
    last.drain(..surplus);
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conventions_are_looked_for_from_the_top_down_to_the_entry() {
        let entries = ["src/api/users.rs".to_owned(), "src/*.rs".to_owned(), "docs".to_owned()];
        assert_eq!(candidates(entries.iter()), ["AGENTS.md", "src/AGENTS.md", "src/api/AGENTS.md"]);
    }
}
