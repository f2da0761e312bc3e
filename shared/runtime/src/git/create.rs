//! New places for a person: a repository from nothing, and a linked work tree of an existing one.

use std::path::Path;

use super::command::Invocation;
use super::program::absolute;
use super::{GitError, GitProgram, Oid, RefName, Signature, UserRepository};

impl GitProgram {
    /// Makes a repository of the files in `dir` (made if absent), with one commit of all of them on `branch`.
    pub async fn create_repository(&self, dir: &Path, branch: &str, by: &Signature, message: &str) -> Result<UserRepository, GitError> {
        let dir = absolute(dir)?;
        let branch = RefName::branch(branch)?;
        tokio::fs::create_dir_all(&dir).await.map_err(GitError::io("init"))?;
        let arguments = ["--quiet", "--template=", &format!("--initial-branch={}", branch.short())];
        Invocation::bare(self, "init").discovering(&dir).args(arguments).run().await?;
        let repository = self.discover(&dir).await?;
        let git = repository.git();
        git.invoke("add").args(["--all"]).long().run().await?;
        let tree = git.write_tree().await?;
        let commit = git.commit_tree(&tree, &[], by, message).await?;
        git.move_ref(&branch, None, &commit).await?;
        Ok(repository)
    }
}

impl UserRepository {
    /// Checks a commit out into `dir`, which must be absent or empty, as a linked work tree without a branch.
    pub async fn add_work_tree(&self, dir: &Path, commit: &Oid) -> Result<(), GitError> {
        let dir = absolute(dir)?;
        self.git().invoke("worktree").args(["add", "--quiet", "--detach"]).arg(&dir).arg(commit.as_str()).long().run().await?;
        Ok(())
    }
}
