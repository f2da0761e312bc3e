//! What a received commit changed, as facts for the core's manifest check.

use roundtable_runtime::git::{DiffEntry, GitError, Oid};
use roundtable_shared::{ChangeKind, ChangedPath, CommitId, EntryKind};

use super::{Repository, RepositoryError};

impl Repository {
    /// All paths that differ between two commits. Names that are no UTF-8 are one `unreadable` path, which no manifest covers.
    pub async fn changed(&self, base: &CommitId, commit: &CommitId) -> Result<Vec<ChangedPath>, RepositoryError> {
        self.changed_between(&Oid::try_from(base)?, &Oid::try_from(commit)?).await
    }

    pub(super) async fn changed_between(&self, base: &Oid, commit: &Oid) -> Result<Vec<ChangedPath>, RepositoryError> {
        if let Some(known) = self.memo.changes(base, commit) {
            return Ok(known.as_ref().clone());
        }
        match self.git.changed_paths(base, commit).await {
            Ok(changes) => {
                let reencoded = self.git.encoded_anew(&changes).await?;
                let judged = |change: &DiffEntry| ChangedPath { reencoded: reencoded.contains(&change.path), ..change.changed_path() };
                let changes: Vec<ChangedPath> = changes.iter().map(judged).collect();
                self.memo.note_changes(base, commit, &changes);
                Ok(changes)
            }
            Err(GitError::BadPath { path, .. }) => {
                Ok(vec![ChangedPath { path, change: ChangeKind::Added, entry: EntryKind::File, unreadable: true, reencoded: false }])
            }
            Err(error) => Err(error.into()),
        }
    }
}
