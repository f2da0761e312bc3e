//! Keeps the run's branch in the user's repository up to date. The user's own branches and files are never touched here.

use std::path::Path;

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

    /// In the repository with this common git directory, if it is on this machine (as in [`repository_at`]).
    pub async fn find(git_dir: &str, base: &str, run: &str, branch: &str) -> Result<Option<Self>> {
        match repository_at(Path::new(git_dir), base).await {
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

/// The checkout to which a common git directory belongs: the one we are in, else the main one. Where that directory is no more (moved, or cloned again),
/// the one we are in will do if it has the run's base commit.
pub async fn repository_at(git_dir: &Path, base: &str) -> Option<UserRepository> {
    let program = GitProgram::find().await.ok()?;
    let here = program.discover(Path::new(".")).await.ok();
    if let Some(here) = here.as_ref().filter(|here| here.common_dir() == git_dir) {
        return Some(here.clone());
    }
    if git_dir.exists() {
        let main = program.discover(git_dir.parent()?).await.ok()?;
        return (main.common_dir() == git_dir).then_some(main);
    }
    let (here, base) = (here?, Oid::parse(base).ok()?);
    let has_base = here.git().commits_present(std::slice::from_ref(&base)).await.is_ok_and(|present| !present.is_empty());
    has_base.then_some(here)
}

/// A branch called `roundtable` leaves no room for the runs' branches, which are named `roundtable/RUN`.
pub async fn refuse_occupied_name(repository: &UserRepository) -> Result<()> {
    let taken = RefName::branch("roundtable").map_err(refusal)?;
    if repository.git().read_ref(&taken).await.map_err(refusal)?.is_none() {
        return Ok(());
    }
    Err(Failure::usage("a branch called `roundtable` is in the way")
        .why("each run has a branch named roundtable/RUN, and git cannot have both")
        .next("rename it: git branch -m roundtable OTHER-NAME"))
}

/// A branch that could not be moved, as a failure.
pub fn not_moved(error: AcceptError) -> Failure {
    match error {
        AcceptError::Git(error) => refusal(error),
        other => Failure::failed(other.to_string()),
    }
}
