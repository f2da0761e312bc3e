//! Work in progress of running attempts: the newest commit of each, under a ref of its own until the attempt's commit comes.

use roundtable_runtime::git::{GitError, Oid, RefUpdate};
use roundtable_shared::{AttemptKey, CommitId};

use super::{Repository, RepositoryError, attempt_ref};

/// Where such commits are kept.
const SPACE: &str = "roundtable-saved";

impl Repository {
    /// Keeps what an attempt has done so far in place of what it had done before.
    pub async fn keep_saved(&self, key: &AttemptKey, commit: &CommitId) -> Result<(), RepositoryError> {
        let (name, commit) = (attempt_ref(SPACE, key)?, Oid::try_from(commit)?);
        let before = self.git.read_ref(&name).await?;
        Ok(self.git.move_ref(&name, before.as_ref(), &commit).await?)
    }

    /// What is kept of an attempt that has not ended.
    pub async fn saved(&self, key: &AttemptKey) -> Result<Option<CommitId>, RepositoryError> {
        Ok(self.git.read_ref(&attempt_ref(SPACE, key)?).await?.map(|oid| oid.commit_id()))
    }

    /// Puts back what is kept of attempts where it is gone or another, as far as the commits are there; how many.
    pub async fn put_saved(&self, saved: &[(AttemptKey, CommitId)]) -> Result<usize, RepositoryError> {
        let mut put = 0;
        for (key, commit) in saved {
            if self.saved(key).await?.as_ref() != Some(commit) && self.has_commit(commit).await? {
                self.keep_saved(key, commit).await?;
                put += 1;
            }
        }
        Ok(put)
    }

    /// Lets go of it: the attempt's own commit is here, and has all of it.
    pub async fn drop_saved(&self, key: &AttemptKey) -> Result<(), RepositoryError> {
        let name = attempt_ref(SPACE, key)?;
        let Some(found) = self.git.read_ref(&name).await? else { return Ok(()) };
        match self.git.update_refs(&[RefUpdate { name, from: Some(found), to: None }]).await {
            // One that was on its way came meanwhile: it goes with its run.
            Ok(()) | Err(GitError::RefMoved { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
