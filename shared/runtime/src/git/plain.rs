//! A handle that takes files as they are: no attribute of any `.gitattributes` counts, so none can make git refuse what a file holds.

use std::path::Path;

use super::files::blocking;
use super::quoting::quoted_path;
use super::{Git, GitError, ObjectFormat};

/// The attributes that change content, all back to nothing. This file is stronger than any in a directory.
pub(super) const PLAIN_ATTRIBUTES: &str = "* -text !eol !crlf !ident !filter !working-tree-encoding\n";

/// The handle, and the git directory that makes it so.
pub(super) struct Plain {
    pub(super) git: Git,
    /// Removed with this value.
    _dir: tempfile::TempDir,
}

impl Git {
    /// The same objects, seen without attributes. Its git directory is made anew below `private`.
    pub(super) async fn plain(&self, private: &Path) -> Result<Plain, GitError> {
        let private = private.to_owned();
        let dir = blocking("init", move || tempfile::Builder::new().prefix("plain-").tempdir_in(private)).await?;
        let format = if self.is_sha256().await? { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
        let mut git = self.program.init_bare(dir.path().join("git"), format).await?;
        let (info, alternates) = (git.git_dir.join("info"), git.git_dir.join("objects/info"));
        let mut objects = quoted_path(&self.objects());
        objects.push(b'\n');
        blocking("init", move || {
            std::fs::create_dir_all(&info)?;
            std::fs::write(info.join("attributes"), PLAIN_ATTRIBUTES)?;
            std::fs::create_dir_all(&alternates)?;
            std::fs::write(alternates.join("alternates"), objects)
        })
        .await?;
        git.object_dir = Some(self.object_dir.clone().unwrap_or_else(|| self.objects()));
        git.durable = self.durable;
        Ok(Plain { git, _dir: dir })
    }

    /// The same for a directory with its index.
    pub(super) async fn plain_in(&self, dir: &Path, private: &Path, index_file: &Path) -> Result<Plain, GitError> {
        let mut plain = self.plain(private).await?;
        plain.git = plain.git.with_work_tree(dir, index_file);
        Ok(plain)
    }

    async fn is_sha256(&self) -> Result<bool, GitError> {
        Ok(self.invoke("rev-parse").arg("--show-object-format").run().await?.line("rev-parse")? == "sha256")
    }
}
