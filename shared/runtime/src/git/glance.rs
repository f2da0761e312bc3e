//! The commit of a directory in which an agent still works: what lies there at the moment. Nothing of it is touched, and no index that later commits
//! count on is. What changes meanwhile is in it as it was or as it is; what cannot be read is as in the checkout's commit, or not there.

use std::collections::BTreeSet;

use super::snapshot::have_private;
use super::stage::Care;
use super::withheld::Withheld;
use super::{Git, GitError, Oid, SideKind, SnapshotRequest};

impl Git {
    /// Commits what is in the directory now. `None`: nothing differs from the checkout's commit, or what differs must not be told.
    pub async fn glance(&self, request: &SnapshotRequest<'_>) -> Result<Option<Oid>, GitError> {
        let checkout = request.checkout;
        have_private(&checkout.private).await?;
        // Its index goes with it, also where this ends half-way.
        let aside = tempfile::Builder::new().prefix("glance-").tempdir_in(&checkout.private).map_err(GitError::io("glance"))?;
        let index_file = aside.path().join("index");
        let plain = match checkout.is_plain().await? {
            true => Some(self.plain_in(&checkout.dir, aside.path(), &index_file).await?),
            false => None,
        };
        let git = plain.as_ref().map_or_else(|| self.clone().with_work_tree(&checkout.dir, &index_file), |plain| plain.git.clone());
        git.start_index(checkout, &index_file).await?;
        git.stage(request, Care::Glance).await?;
        let tree = git.write_tree().await?;
        if tree == self.tree_of(&checkout.commit).await? || self.holds_withheld(&checkout.commit, &tree, request.withheld).await? {
            return Ok(None);
        }
        self.commit_tree(&tree, request.parents, request.by, request.message).await.map(Some)
    }

    /// Whether a tree has got the content of a withheld file: between the look at a file and its reading somebody may have put another in its place.
    pub(super) async fn holds_withheld(&self, base: &Oid, tree: &Oid, withheld: &[Withheld]) -> Result<bool, GitError> {
        if withheld.is_empty() {
            return Ok(false);
        }
        let changes = self.changed_paths(base, tree).await?;
        let files = changes.into_iter().filter(|change| matches!(change.after, SideKind::File | SideKind::Executable));
        let blobs: Vec<Oid> = files.filter_map(|change| change.after_oid).collect::<BTreeSet<_>>().into_iter().collect();
        for (blob, bytes) in blobs.iter().zip(self.sizes(&blobs.iter().collect::<Vec<_>>()).await?) {
            if withheld.iter().any(|file| file.has_telling_size(bytes as u64)) {
                let content = self.read_blob(blob, bytes as u64).await?;
                if withheld.iter().any(|file| file.is_content(&content)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
