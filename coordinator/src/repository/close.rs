//! The closing commit of a run: boxes still to be ticked, and learnings in the `AGENTS.md` nearest to the files they concern. No Unit-Id.

use std::collections::BTreeMap;

use roundtable_runtime::git::{EntryMode, Oid, Signature, TreeEdit};
use roundtable_shared::{CommitId, TaskId};

use super::{FILE_BYTES_MAX, Repository, RepositoryError};

const FILE: &str = "AGENTS.md";
const HEADING: &str = "## Learnings";

/// What a run leaves at its end.
pub struct CloseRequest {
    /// Tip of its branch.
    pub tip: CommitId,
    /// `tasks.md`, if boxes are ticked in commits.
    pub tick_path: Option<String>,
    /// Boxes still to be ticked.
    pub ticks: Vec<TaskId>,
    /// Learnings with the files they concern.
    pub learnings: Vec<(String, Vec<String>)>,
    /// Date of the commit, milliseconds.
    pub date_ms: u64,
}

impl Repository {
    /// Makes the closing commit; `None` if there is nothing to commit. The branch is not moved.
    pub async fn close(&self, request: &CloseRequest) -> Result<Option<CommitId>, RepositoryError> {
        let tip = Oid::try_from(&request.tip)?;
        let before = self.git.tree_of(&tip).await?;
        let mut tree = self.ticked(&before, request.tick_path.as_deref(), &request.ticks).await?;
        let mut by_file: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (text, paths) in &request.learnings {
            by_file.entry(self.nearest(&before, paths).await?).or_default().push(text);
        }
        let mut edits = Vec::new();
        for (path, learnings) in by_file {
            let entry = self.git.entry(&before, &path).await?;
            let text = match &entry {
                Some(entry) => String::from_utf8_lossy(&self.git.read_blob(&entry.oid, FILE_BYTES_MAX).await?).into_owned(),
                None => String::new(),
            };
            if let Some(added) = with_learnings(&text, &learnings) {
                let oid = self.git.write_blob(added.into_bytes()).await?;
                edits.push(TreeEdit::Put { path, mode: entry.map_or(EntryMode::File, |entry| entry.mode), oid });
            }
        }
        tree = self.git.edit_tree(&tree, &edits).await?;
        if tree == before {
            return Ok(None);
        }
        let message = if edits.is_empty() { "Tick completed tasks\n" } else { "Record what was learned\n" };
        let by = Signature::roundtable(request.date_ms / 1000);
        Ok(Some(self.git.commit_tree(&tree, &[tip], &by, message).await?.commit_id()))
    }

    /// The `AGENTS.md` in the deepest folder that holds all these files and has one; else the one at the top.
    async fn nearest(&self, tree: &Oid, paths: &[String]) -> Result<String, RepositoryError> {
        let mut folder = common_folder(paths);
        while !folder.is_empty() {
            let path = format!("{folder}/{FILE}");
            if self.git.entry(tree, &path).await?.is_some() {
                return Ok(path);
            }
            folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
        }
        Ok(FILE.to_owned())
    }
}

/// The deepest folder that holds all the files; empty for the top.
fn common_folder(paths: &[String]) -> String {
    let mut folders = paths.iter().map(|path| path.rsplit_once('/').map_or("", |(folder, _)| folder));
    let Some(first) = folders.next() else { return String::new() };
    let mut common: Vec<&str> = first.split('/').filter(|part| !part.is_empty()).collect();
    for folder in folders {
        let same = common.iter().zip(folder.split('/')).take_while(|(a, b)| *a == b).count();
        common.truncate(same);
    }
    common.join("/")
}

/// The file with these learnings under their heading; `None` if it has them all.
fn with_learnings(text: &str, learnings: &[&str]) -> Option<String> {
    let known: Vec<String> = text.lines().map(|line| line.trim_start_matches(['-', '*', ' ']).trim().to_lowercase()).collect();
    let new: Vec<String> =
        learnings.iter().filter(|each| !known.contains(&each.trim().to_lowercase())).map(|each| format!("- {}", each.trim())).collect();
    if new.is_empty() {
        return None;
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = match lines.iter().position(|line| line.trim() == HEADING) {
        Some(heading) => {
            let next =
                lines[heading + 1..].iter().position(|line| line.starts_with('#')).map_or(lines.len(), |offset| heading + 1 + offset);
            let last = lines[..next].iter().rposition(|line| !line.trim().is_empty()).unwrap_or(heading);
            if last == heading {
                lines.insert(heading + 1, String::new());
                heading + 2
            } else {
                last + 1
            }
        }
        None => {
            if lines.last().is_some_and(|line| !line.trim().is_empty()) {
                lines.push(String::new());
            }
            lines.extend([HEADING.to_owned(), String::new()]);
            lines.len()
        }
    };
    lines.splice(at..at, new);
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_folder_is_the_deepest_that_holds_all() {
        let of = |paths: &[&str]| common_folder(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["a/b/c.rs", "a/b/d/e.rs"]), "a/b");
        assert_eq!(of(&["a/b.rs", "x.rs"]), "");
        assert_eq!(of(&[]), "");
        assert_eq!(of(&["ab/c.rs", "a/c.rs"]), "");
    }

    #[test]
    fn learnings_go_under_their_heading_once() {
        let first = with_learnings("# House rules\n\nBe kind.\n", &["Run `make gen` after editing protos"]);
        assert_eq!(first.as_deref(), Some("# House rules\n\nBe kind.\n\n## Learnings\n\n- Run `make gen` after editing protos\n"));
        let text = "## Learnings\n\n- A\n\n## Other\n\nx\n";
        assert_eq!(with_learnings(text, &["a ", "B"]).as_deref(), Some("## Learnings\n\n- A\n- B\n\n## Other\n\nx\n"));
        assert_eq!(with_learnings(text, &["A"]), None);
        assert_eq!(with_learnings("", &["A"]).as_deref(), Some("## Learnings\n\n- A\n"));
    }
}
