//! The closing commit of a run: boxes still to be ticked, and learnings in the `AGENTS.md` nearest to the files they concern. No Unit-Id.

use std::collections::{BTreeMap, BTreeSet};

use roundtable_runtime::git::{EntryMode, Oid, Signature, TreeEdit};
use roundtable_shared::text::markdown;
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
        let before = self.tree_of(&tip).await?;
        let mut tree = self.ticked(&before, request.tick_path.as_deref(), &request.ticks).await?;
        let mut by_file: BTreeMap<String, (Page, Vec<&str>)> = BTreeMap::new();
        for (text, paths) in &request.learnings {
            let Some(page) = self.nearest(&before, paths).await? else { continue };
            by_file.entry(page.path.clone()).or_insert_with(|| (page, Vec::new())).1.push(text);
        }
        let mut edits = Vec::new();
        for (path, (page, learnings)) in by_file {
            if let Some(added) = with_learnings(&page.text, &learnings) {
                let oid = self.git.write_blob(added.into_bytes()).await?;
                edits.push(TreeEdit::Put { path, mode: page.mode, oid });
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

    /// The `AGENTS.md` in the deepest folder that holds all these files and has a usable one; else the one at the top, which may be new. `None` if what
    /// stands there is no text.
    async fn nearest(&self, tree: &Oid, paths: &[String]) -> Result<Option<Page>, RepositoryError> {
        let mut folder = common_folder(paths);
        while !folder.is_empty() {
            if let Some(page) = self.page(tree, &format!("{folder}/{FILE}")).await? {
                return Ok(Some(page));
            }
            folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
        }
        if let Some(page) = self.page(tree, FILE).await? {
            return Ok(Some(page));
        }
        let is_free = self.git.entry(tree, FILE).await?.is_none() && self.git.list_tree(tree, Some(FILE), 1).await?.entries.is_empty();
        Ok(is_free.then(|| Page { path: FILE.to_owned(), mode: EntryMode::File, text: String::new() }))
    }

    /// The text file at a path, or the one beside it that a link there names.
    async fn page(&self, tree: &Oid, path: &str) -> Result<Option<Page>, RepositoryError> {
        let Some(mut entry) = self.git.entry(tree, path).await? else { return Ok(None) };
        if entry.mode == EntryMode::Link {
            let target = String::from_utf8(self.git.read_blob(&entry.oid, FILE_BYTES_MAX).await?).unwrap_or_default();
            let target = target.strip_prefix("./").unwrap_or(&target);
            if target.is_empty() || target.contains(['/', '\0']) || target == ".." {
                return Ok(None);
            }
            let beside = path.rsplit_once('/').map_or_else(|| target.to_owned(), |(folder, _)| format!("{folder}/{target}"));
            let Some(found) = self.git.entry(tree, &beside).await? else { return Ok(None) };
            entry = found;
        }
        if !matches!(entry.mode, EntryMode::File | EntryMode::Executable) {
            return Ok(None);
        }
        let text = String::from_utf8(self.git.read_blob(&entry.oid, FILE_BYTES_MAX).await?);
        Ok(text.ok().map(|text| Page { path: entry.path, mode: entry.mode, text }))
    }
}

/// A text file that takes learnings.
struct Page {
    path: String,
    mode: EntryMode,
    text: String,
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
    let mut known: BTreeSet<String> = text.lines().map(|line| line.trim_start_matches(['-', '*', ' ']).trim().to_lowercase()).collect();
    let fresh = learnings.iter().map(|each| markdown(each)).filter(|each| !each.is_empty() && known.insert(each.to_lowercase()));
    let new: Vec<String> = fresh.map(|each| format!("- {each}")).collect();
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
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    Some(lines.join(line_end) + line_end)
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
        assert_eq!(with_learnings("x\r\n", &["A"]).as_deref(), Some("x\r\n\r\n## Learnings\r\n\r\n- A\r\n"));
        let hostile = "<!-- hide\u{202e} --> ![p](http://h/x.png) `Vec<T>`";
        assert_eq!(
            with_learnings("", &[hostile]).as_deref(),
            Some("## Learnings\n\n- \\<!-- hide --> !\\[p]\\(http://h/x.png) `Vec<T>`\n")
        );
        assert_eq!(with_learnings("", &["A\n# Heading", " a  # heading ", " "]).as_deref(), Some("## Learnings\n\n- A # Heading\n"));
    }
}
