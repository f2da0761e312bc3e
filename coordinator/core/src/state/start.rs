//! What the worktree of an attempt is made of.

use roundtable_shared::CommitId;
use serde::{Deserialize, Serialize};

/// What a worktree is made of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// A commit as it is.
    Commit(CommitId),
    /// The merge of an attempt's commit with the tip, conflict markers left in.
    MergeWithTip {
        /// Base of the attempt.
        base: CommitId,
        /// The attempt's commit.
        commit: CommitId,
        /// The tip.
        tip: CommitId,
    },
}

impl Start {
    /// The commit, where the grant names it: a merge is made afterwards, and kept under a ref.
    pub fn named(&self) -> Option<&CommitId> {
        match self {
            Self::Commit(commit) => Some(commit),
            Self::MergeWithTip { .. } => None,
        }
    }
}
