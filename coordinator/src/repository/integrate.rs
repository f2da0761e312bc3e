//! Merging an attempt with the tip: the unit's commit on the run's branch, and the start of a retry or fix. Commits are deterministic, so a redo after a
//! crash gives the same ids. The branch is moved elsewhere, by compare-and-swap.

use std::collections::BTreeSet;

use roundtable_core::command::Prepared;
use roundtable_core::effect::PrepareIntegration;
use roundtable_runtime::git::{Merge, Oid, Signature, TreeEdit};
use roundtable_shared::spec::tick;
use roundtable_shared::{BackendName, ChangedPath, CommitId};

use super::{FILE_BYTES_MAX, Repository, RepositoryError};

/// Longest text about a conflict that is kept, bytes.
const EVIDENCE_BYTES_MAX: usize = 16 << 10;

/// A unit's commit to be made.
pub struct IntegrateRequest {
    /// What, as the core asked.
    pub asked: PrepareIntegration,
    /// The spec's own files and mirror files: changes of agents to them are dropped.
    pub dropped: Vec<String>,
    /// `tasks.md`, if boxes are ticked in commits.
    pub tick_path: Option<String>,
}

/// What a worktree is made of, once merged.
pub struct Start {
    /// The commit.
    pub commit: CommitId,
    /// Paths with conflict markers.
    pub conflicts: Vec<String>,
}

impl Repository {
    /// The unit's commit on the tip: merge-tree of its base, the tip and its last attempt, with the spec's own files left alone and boxes ticked.
    pub async fn prepare(&self, request: &IntegrateRequest) -> Result<Prepared, RepositoryError> {
        let asked = &request.asked;
        let (base, tip) = (Oid::try_from(&asked.base)?, Oid::try_from(&asked.tip)?);
        let theirs = self.without_dropped(&base, &Oid::try_from(&asked.commit)?, request).await?;
        let merge = self.git.merge(&base, &tip, &theirs).await?;
        if !merge.clean {
            return Ok(conflict(&merge));
        }
        if merge.tree == self.tree_of(&tip).await? {
            return Ok(Prepared::Empty);
        }
        let changed = self.changed_between(&tip, &merge.tree).await?;
        if let Some(conflict) = self.strayed(&base, &theirs, &changed).await? {
            return Ok(conflict);
        }
        let tree = self.ticked(&merge.tree, request.tick_path.as_deref(), &asked.ticks).await?;
        let by = Signature::roundtable(asked.date_ms / 1000);
        let commit = self.git.commit_tree(&tree, std::slice::from_ref(&tip), &by, &message(asked)).await?;
        // What is asked next: for the one behind it, and for whoever begins on it.
        self.memo.note_tree(&commit, &tree);
        self.memo.note_present(&commit);
        self.memo.carry_files(&tip, &commit, &changed, request.tick_path.as_deref());
        Ok(Prepared::Clean { commit: commit.commit_id(), changed })
    }

    /// The merge of an attempt with the tip as a start for more work: markers left in where it conflicts.
    pub async fn merged_start(&self, base: &CommitId, commit: &CommitId, tip: &CommitId) -> Result<Start, RepositoryError> {
        let (base, commit, tip) = (Oid::try_from(base)?, Oid::try_from(commit)?, Oid::try_from(tip)?);
        let merge = self.git.merge(&base, &tip, &commit).await?;
        let merged = self.merge_commit(&merge, &tip, &commit).await?;
        Ok(Start { commit: merged.commit_id(), conflicts: merge.conflicts.into_iter().map(|each| each.path).collect() })
    }

    /// The same as the answer of `Effect::MergeWithTip`: clean with what it changes against the tip, or the conflict.
    pub async fn merge_with_tip(&self, base: &CommitId, commit: &CommitId, tip: &CommitId) -> Result<Prepared, RepositoryError> {
        let (base, commit, tip) = (Oid::try_from(base)?, Oid::try_from(commit)?, Oid::try_from(tip)?);
        let merge = self.git.merge(&base, &tip, &commit).await?;
        if !merge.clean {
            return Ok(conflict(&merge));
        }
        if merge.tree == self.tree_of(&tip).await? {
            return Ok(Prepared::Empty);
        }
        let changed = self.changed_between(&tip, &merge.tree).await?;
        if let Some(conflict) = self.strayed(&base, &commit, &changed).await? {
            return Ok(conflict);
        }
        let merged = self.merge_commit(&merge, &tip, &commit).await?;
        Ok(Prepared::Clean { commit: merged.commit_id(), changed })
    }

    /// A merge follows files that the tip renamed. What then lands in a path the attempt never changed was judged under another name (I6), so it goes back.
    async fn strayed(&self, base: &Oid, theirs: &Oid, merged: &[ChangedPath]) -> Result<Option<Prepared>, RepositoryError> {
        let own = self.changed_between(base, theirs).await?;
        let own: BTreeSet<&str> = own.iter().map(|change| change.path.as_str()).collect();
        let paths: Vec<String> =
            merged.iter().filter(|change| !own.contains(change.path.as_str())).map(|change| change.path.clone()).collect();
        if paths.is_empty() {
            return Ok(None);
        }
        let evidence = "The run's branch has renamed files that this work changes; bring the changes to the new names.\n".to_owned();
        Ok(Some(Prepared::Conflict { paths, evidence }))
    }

    async fn merge_commit(&self, merge: &Merge, tip: &Oid, commit: &Oid) -> Result<Oid, RepositoryError> {
        if tip == commit {
            return Ok(tip.clone());
        }
        // A fixed date: the same merge is the same commit whenever it is made.
        let by = Signature::roundtable(0);
        let parents = [tip.clone(), commit.clone()];
        Ok(self.git.commit_tree(&merge.tree, &parents, &by, "Merge the run's branch into the unit's work\n").await?)
    }

    /// The attempt's commit with paths that are not the agents' to change put back as they were at its base.
    async fn without_dropped(&self, base: &Oid, commit: &Oid, request: &IntegrateRequest) -> Result<Oid, RepositoryError> {
        let is_dropped = |path: &str| {
            let learnings = !request.asked.keeps_agents_md && path.rsplit('/').next() == Some("AGENTS.md");
            learnings || request.dropped.iter().any(|dropped| dropped == path)
        };
        let mut edits = Vec::new();
        for change in self.changed_between(base, commit).await? {
            if change.unreadable || !is_dropped(&change.path) {
                continue;
            }
            edits.push(match self.git.entry(base, &change.path).await? {
                Some(entry) => TreeEdit::Put { path: change.path, mode: entry.mode, oid: entry.oid },
                None => TreeEdit::Remove { path: change.path },
            });
        }
        if edits.is_empty() {
            return Ok(commit.clone());
        }
        let tree = self.git.edit_tree(commit, &edits).await?;
        Ok(self.git.commit_tree(&tree, std::slice::from_ref(base), &Signature::roundtable(0), "Leave the spec's files alone\n").await?)
    }

    /// The tree with boxes ticked in `tasks.md`, which is taken as it is there now.
    pub(super) async fn ticked(&self, tree: &Oid, path: Option<&str>, ticks: &[roundtable_shared::TaskId]) -> Result<Oid, RepositoryError> {
        let Some(path) = path.filter(|_| !ticks.is_empty()) else { return Ok(tree.clone()) };
        let Some(entry) = self.git.entry(tree, path).await? else { return Ok(tree.clone()) };
        let Ok(text) = String::from_utf8(self.git.read_blob(&entry.oid, FILE_BYTES_MAX).await?) else { return Ok(tree.clone()) };
        let ticked = tick(&text, ticks);
        if ticked == text {
            return Ok(tree.clone());
        }
        let oid = self.git.write_blob(ticked.into_bytes()).await?;
        Ok(self.git.edit_tree(tree, &[TreeEdit::Put { path: path.to_owned(), mode: entry.mode, oid }]).await?)
    }
}

fn conflict(merge: &Merge) -> Prepared {
    let mut evidence = String::new();
    for message in merge.messages.iter().filter(|message| message.kind.starts_with("CONFLICT")) {
        if evidence.len() + message.text.len() > EVIDENCE_BYTES_MAX {
            evidence.push_str("…\n");
            break;
        }
        evidence.push_str(&message.text);
        evidence.push('\n');
    }
    Prepared::Conflict { paths: merge.conflicts.iter().map(|each| each.path.clone()).collect(), evidence }
}

fn message(asked: &PrepareIntegration) -> String {
    let title: String = asked.title.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let title = match title.trim() {
        "" => format!("Unit {}", asked.unit),
        title => title.to_owned(),
    };
    let mut text = format!("{title}\n\nUnit-Id: {}\nAttempt: {}\n", asked.unit, asked.attempt);
    // One trailer, whoever reviewed; where a playbook lies is nobody's business in a history that is published.
    let mut reviewers: Vec<&str> = Vec::new();
    for backend in asked.reviewed_by.iter().map(BackendName::kind) {
        if !reviewers.contains(&backend) {
            reviewers.push(backend);
        }
    }
    if !reviewers.is_empty() {
        text.push_str(&format!("Reviewed-by-agent: {}\n", reviewers.join(", ")));
    }
    text
}
