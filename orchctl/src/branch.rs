//! Keeps the run's branch in the user's repository up to date. The user's own branches and files are never touched here.

use std::path::{Path, PathBuf};

use roundtable_runtime::git::{AcceptError, GitProgram, Oid, RefName, UserRepository};

use crate::api::{Client, fetch};
use crate::failure::{Failure, Result};
use crate::workdir::refusal;

/// The branch of a run in a repository.
pub struct RunBranch {
    repository: UserRepository,
    run: String,
    branch: RefName,
    at: Option<String>,
}

impl RunBranch {
    /// In this repository.
    pub fn new(repository: UserRepository, run: &str, branch: &str) -> Result<Self> {
        Ok(Self { repository, run: run.to_owned(), branch: RefName::branch(branch).map_err(refusal)?, at: None })
    }

    /// In the repository with this common git directory, if it is on this machine.
    pub async fn find(git_dir: &str, run: &str, branch: &str) -> Result<Option<Self>> {
        match repository_at(Path::new(git_dir)).await {
            Some(repository) => Self::new(repository, run, branch).map(Some),
            None => Ok(None),
        }
    }

    /// The repository.
    pub fn repository(&self) -> &UserRepository {
        &self.repository
    }

    /// Fetches and moves the branch if the run's tip is not there yet. Gives the tip.
    pub async fn bring_to(&mut self, client: &Client, head: &str) -> Result<Oid> {
        let tip = Oid::parse(head).map_err(refusal)?;
        if self.at.as_deref() == Some(head) {
            return Ok(tip);
        }
        let git = self.repository.git();
        let known = git.read_ref(&self.branch).await.map_err(refusal)?;
        if known.as_ref() != Some(&tip) {
            if git.commits_present(std::slice::from_ref(&tip)).await.map_err(refusal)?.is_empty() {
                let haves: Vec<Oid> = known.into_iter().chain(git.resolve_commit("HEAD").await.ok()).collect();
                fetch(client, git, &self.run, None, &haves).await?;
            }
            self.repository.advance(&self.branch, &tip).await.map_err(not_moved)?;
        }
        self.at = Some(head.to_owned());
        Ok(tip)
    }
}

/// The checkout to which a common git directory belongs: the one we are in, else the main one.
pub async fn repository_at(git_dir: &Path) -> Option<UserRepository> {
    let program = GitProgram::find().await.ok()?;
    let candidates = [Some(PathBuf::from(".")), git_dir.parent().map(Path::to_owned)];
    for folder in candidates.into_iter().flatten() {
        if let Ok(repository) = program.discover(&folder).await
            && repository.common_dir() == git_dir
        {
            return Some(repository);
        }
    }
    None
}

/// A branch that could not be moved, as a failure.
pub fn not_moved(error: AcceptError) -> Failure {
    match error {
        AcceptError::Git(error) => refusal(error),
        other => Failure::failed(other.to_string()),
    }
}
