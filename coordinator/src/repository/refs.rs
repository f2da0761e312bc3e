//! Refs of a run as its log has them: a branch or attempt that somebody moved or deleted in the repository is put back, as far as the objects are there.
//! What the log says is the caller's to know.

use std::collections::HashMap;

use roundtable_runtime::git::{GitError, Oid, RefName};
use roundtable_shared::{AttemptKey, CommitId, RunId};

use super::{Repository, RepositoryError, attempt_ref, branch_of};

impl Repository {
    /// Puts the run's branch where it belongs, from where it was found; whether it is there now. Not if it has moved since: then somebody works on it.
    pub async fn put_branch(&self, run: &RunId, found: Option<&CommitId>, to: &CommitId) -> Result<bool, RepositoryError> {
        let found = found.map(Oid::try_from).transpose()?;
        match self.git.move_ref(&branch_of(run)?, found.as_ref(), &Oid::try_from(to)?).await {
            Ok(()) => Ok(true),
            Err(GitError::RefMoved { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts back the refs of a run's attempts that are gone or elsewhere, as far as their commits are there; how many.
    pub async fn put_attempts(&self, run: &RunId, attempts: &[(AttemptKey, CommitId)]) -> Result<usize, RepositoryError> {
        let space = format!("refs/roundtable/{}", RefName::component(run.as_str()));
        let found: HashMap<String, Oid> =
            self.git.list_refs(&space).await?.into_iter().map(|(name, oid)| (name.as_str().to_owned(), oid)).collect();
        let mut wrong: Vec<(RefName, Oid)> = Vec::new();
        for (key, commit) in attempts {
            let (name, commit) = (attempt_ref("roundtable", key)?, Oid::try_from(commit)?);
            if found.get(name.as_str()) != Some(&commit) {
                wrong.push((name, commit));
            }
        }
        let commits: Vec<Oid> = wrong.iter().map(|(_, commit)| commit.clone()).collect();
        let present = self.git.commits_present(&commits).await?;
        let mut put = 0;
        for (name, commit) in wrong.iter().filter(|(_, commit)| present.contains(commit)) {
            match self.git.move_ref(name, found.get(name.as_str()), commit).await {
                Ok(()) => put += 1,
                // Its own result came meanwhile.
                Err(GitError::RefMoved { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(put)
    }
}
