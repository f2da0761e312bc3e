//! The trusted commit of a directory an agent worked in: its files as they are, read with our own git directory, index and configuration. The agent's
//! `.git`, its commits, hooks, filters and nested repositories count for nothing but the files they left.

use std::io;
use std::path::Path;

use super::files::{blocking, remove_if_there};
use super::index::copy_index;
use super::stage::{Care, Staging};
use super::{Checkout, Git, GitError, LeftOut, Oid, SnapshotRequest};

/// A commit of a directory's content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The commit.
    pub commit: Oid,
    /// Its tree.
    pub tree: Oid,
    /// Whether it differs from the checkout's commit.
    pub changed: bool,
    /// Files that were left out because git or our peers cannot name them, because of what they hold, or because git cannot read them: a few, for a person.
    pub left_out: Vec<LeftOut>,
    /// How many there are.
    pub left_out_count: usize,
}

impl Git {
    /// Commits what is in the directory: tracked files as they are now, new files unless `.gitignore` says otherwise. Objects go to the handle's store.
    pub async fn snapshot(&self, request: &SnapshotRequest<'_>) -> Result<Snapshot, GitError> {
        let checkout = request.checkout;
        let index_file = checkout.private.join("snapshot-index");
        have_private(&checkout.private).await?;
        let plain = match checkout.is_plain().await? {
            true => Some(self.plain_in(&checkout.dir, &checkout.private, &index_file).await?),
            false => None,
        };
        let git = plain.as_ref().map_or_else(|| self.clone().with_work_tree(&checkout.dir, &index_file), |plain| plain.git.clone());
        git.start_index(checkout, &index_file).await?;
        let staging = match git.stage(request, Care::Quick).await {
            Err(error) if !error.is_of_machine() && !matches!(error, GitError::TooLarge { .. }) => {
                git.stage_with_care(request, &index_file).await?
            }
            other => other?,
        };
        let tree = git.write_tree().await?;
        tokio::fs::rename(&index_file, checkout.last_index_file()).await.map_err(GitError::io("snapshot"))?;
        let changed = tree != self.tree_of(&checkout.commit).await?;
        let commit = self.commit_tree(&tree, request.parents, request.by, request.message).await?;
        let (left_out, left_out_count) = staging.left_out.told();
        Ok(Snapshot { commit, tree, changed, left_out, left_out_count })
    }

    /// Once more, path by path where need be: an agent may have made files unreadable, or left what git cannot take.
    async fn stage_with_care(&self, request: &SnapshotRequest<'_>, index_file: &Path) -> Result<Staging, GitError> {
        let checkout = request.checkout;
        // Files and directories are ours to open.
        let dir = checkout.dir.clone();
        blocking("chmod", move || make_readable(&dir)).await?;
        self.start_index(checkout, index_file).await?;
        let error = match self.stage(request, Care::PathByPath).await {
            Err(error) if !error.is_of_machine() && !matches!(error, GitError::TooLarge { .. }) => error,
            other => return other,
        };
        tracing::debug!(%error, "the index beside a worktree was of no use");
        remove_if_there("snapshot", index_file).await?;
        self.start_from_commit(checkout).await?;
        self.stage(request, Care::PathByPath).await
    }

    /// Begins with the index of the checkout, whose file times spare reading what did not change; without it, with the commit's tree.
    pub(super) async fn start_index(&self, checkout: &Checkout, index_file: &Path) -> Result<(), GitError> {
        remove_if_there("snapshot", index_file).await?;
        match copy_index("snapshot", &checkout.index_file(), index_file).await {
            Ok(true) => Ok(()),
            Err(error) if error.is_of_machine() => Err(error),
            Ok(false) | Err(_) => self.start_from_commit(checkout).await,
        }
    }

    /// Begins with the commit's tree, and learns the times of the files that are as they were.
    async fn start_from_commit(&self, checkout: &Checkout) -> Result<(), GitError> {
        self.invoke("read-tree").arg(checkout.commit.as_str()).run().await?;
        match self.invoke("update-index").args(["-q", "--refresh"]).codes_ok(&[0, 1]).long().run().await {
            // What could not be compared is taken for changed.
            Err(error) if !error.is_of_machine() => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

/// The directory of our own files may be gone, or be something else: it lies beside what the agent writes.
pub(super) async fn have_private(private: &Path) -> Result<(), GitError> {
    let private = private.to_owned();
    blocking("snapshot", move || {
        match private.symlink_metadata() {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => std::fs::remove_file(&private)?,
            Err(_) => {}
        }
        std::fs::create_dir_all(&private)
    })
    .await
}

/// Gives the owner back the right to read files and to read and enter directories. Links are not followed; the agent's `.git` is left alone. What cannot
/// be reached by its path stays as it is: git cannot reach it either.
fn make_readable(root: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let opened = std::fs::read_dir(root)?;
    let mut waiting = vec![opened];
    while let Some(entries) = waiting.pop() {
        for entry in entries {
            let Ok(entry) = entry else { continue };
            let Ok(found) = entry.path().symlink_metadata() else { continue };
            // What is mounted there is somebody's.
            if found.file_type().is_symlink() || entry.file_name() == ".git" || crate::sweep::is_mounted(&entry.path()) {
                continue;
            }
            let needed = if found.is_dir() { 0o700 } else { 0o400 };
            let mode = found.permissions().mode();
            if mode & needed != needed {
                // Whatever refuses shows when git reads it.
                let _ = std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode | needed));
            }
            if found.is_dir()
                && let Ok(inside) = std::fs::read_dir(entry.path())
            {
                waiting.push(inside);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_made_unreadable_becomes_readable_and_links_are_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let outside = home.path().join("outside");
        std::fs::write(&outside, "x").unwrap();
        std::fs::set_permissions(&outside, std::fs::Permissions::from_mode(0o000)).unwrap();
        let dir = home.path().join("tree");
        std::fs::create_dir_all(dir.join("d")).unwrap();
        std::fs::write(dir.join("d/f"), "x").unwrap();
        std::os::unix::fs::symlink(&outside, dir.join("link")).unwrap();
        std::fs::set_permissions(dir.join("d/f"), std::fs::Permissions::from_mode(0o111)).unwrap();
        std::fs::set_permissions(dir.join("d"), std::fs::Permissions::from_mode(0o000)).unwrap();
        make_readable(&dir).unwrap();
        let mode = |path: &Path| path.symlink_metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir.join("d")), 0o700);
        assert_eq!(mode(&dir.join("d/f")), 0o511);
        assert_eq!(mode(&outside), 0);
    }
}
