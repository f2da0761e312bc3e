//! Whether a repository still has what the log says it has: sound objects, and refs that stand where they were put.

use std::collections::BTreeMap;

use roundtable_runtime::git::{Oid, RefName};
use roundtable_shared::{AttemptKey, CommitId, RunId};

use super::{Repositories, Repository, RepositoryError, attempt_ref, branch_of};

/// Commits that one git process is asked for.
const COMMITS_AT_ONCE: usize = 1000;

/// Refs of one run, by name.
pub struct RunRefs(BTreeMap<RefName, Oid>);

impl Repositories {
    /// The repository of that key; `None` if it is not there. Nothing is made.
    pub async fn existing(&self, key: &str) -> Result<Option<Repository>, RepositoryError> {
        let root = Oid::parse(key).map_err(|_| RepositoryError::Key(key.chars().take(80).collect()))?;
        if self.root.join(format!("{root}.git")).is_dir() { self.open(key).await.map(Some) } else { Ok(None) }
    }
}

impl Repository {
    /// Damaged and missing objects, a line each, at most `problems_max`.
    pub async fn damage(&self, problems_max: usize) -> Result<Vec<String>, RepositoryError> {
        Ok(self.git.fsck(problems_max).await?)
    }

    /// The refs of a run: its branch and its attempts.
    pub async fn refs_of(&self, run: &RunId) -> Result<RunRefs, RepositoryError> {
        let mut refs: BTreeMap<RefName, Oid> =
            self.git.list_refs(&format!("refs/roundtable/{}/", RefName::component(run.as_str()))).await?.into_iter().collect();
        let branch = branch_of(run)?;
        if let Some(oid) = self.git.read_ref(&branch).await? {
            refs.insert(branch, oid);
        }
        Ok(RunRefs(refs))
    }

    /// Those of the commits that are not here.
    pub async fn missing(&self, commits: Vec<CommitId>) -> Result<Vec<CommitId>, RepositoryError> {
        let mut missing = Vec::new();
        for some in commits.chunks(COMMITS_AT_ONCE) {
            let oids = some.iter().map(Oid::try_from).collect::<Result<Vec<_>, _>>()?;
            let present = self.git.commits_present(&oids).await?;
            missing.extend(oids.iter().filter(|oid| !present.contains(oid)).map(Oid::commit_id));
        }
        Ok(missing)
    }

    /// Whether `later` goes on from `earlier`.
    pub async fn goes_on_from(&self, earlier: &CommitId, later: &CommitId) -> Result<bool, RepositoryError> {
        Ok(self.git.is_ancestor(&Oid::try_from(earlier)?, &Oid::try_from(later)?).await?)
    }
}

impl RunRefs {
    /// Where the run's branch is.
    pub fn branch(&self, run: &RunId) -> Result<Option<CommitId>, RepositoryError> {
        Ok(self.0.get(&branch_of(run)?).map(Oid::commit_id))
    }

    /// What an attempt's ref keeps, with its name.
    pub fn attempt(&self, key: &AttemptKey) -> Result<(String, Option<CommitId>), RepositoryError> {
        let name = attempt_ref("roundtable", key)?;
        let kept = self.0.get(&name).map(Oid::commit_id);
        Ok((name.to_string(), kept))
    }
}
