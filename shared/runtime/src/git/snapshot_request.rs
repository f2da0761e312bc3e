//! What a commit of a directory's files is made by, and its bounds: the same for the trusted commit (`snapshot.rs`) and for a look at work under way
//! (`glance.rs`).

use super::withheld::Withheld;
use super::{Checkout, Oid, Signature};

/// What to commit.
#[derive(Clone, Debug)]
pub struct SnapshotRequest<'a> {
    /// The directory. For a commit nothing may run in it any more; a look does without.
    pub checkout: &'a Checkout,
    /// Files that are never committed (they were brought in by `copy`): not at their paths unless the base has them, and nowhere with their content.
    pub withheld: &'a [Withheld],
    /// The commit's parents; normally the checkout's commit alone.
    pub parents: &'a [Oid],
    /// Author and committer.
    pub by: &'a Signature,
    /// The message.
    pub message: &'a str,
    /// Bounds.
    pub limits: SnapshotLimits,
}

/// Bounds on what one commit may add or change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotLimits {
    /// Most files.
    pub files_max: u64,
    /// Most bytes in them.
    pub bytes_max: u64,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self { files_max: 200_000, bytes_max: 2 << 30 }
    }
}
