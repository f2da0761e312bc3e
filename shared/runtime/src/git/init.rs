//! Bare repositories of our own: making one where there is none.

use std::path::Path;

use super::command::Invocation;
use super::{Git, GitError, GitProgram, ObjectFormat};

impl GitProgram {
    /// Makes (or finds) a bare repository of our own and gives a handle on it. Only its owner may enter what is made. Hooks, templates and descriptions are not installed.
    pub async fn init_bare(&self, dir: impl AsRef<Path>, format: ObjectFormat) -> Result<Git, GitError> {
        let git = self.own(dir)?;
        if !tokio::fs::try_exists(git.git_dir.join("HEAD")).await.map_err(GitError::io("init"))? {
            // git makes packs that all may read.
            tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(&git.git_dir).await.map_err(GitError::io("init"))?;
            let format = format!("--object-format={}", format.as_str());
            let arguments = ["--bare", "--quiet", "--template=", "--initial-branch=main", &format];
            Invocation::bare(self, "init").args(arguments).arg(git.git_dir.as_os_str()).run().await?;
        }
        Ok(git)
    }
}
