//! Refs: read, list, and move by compare-and-swap.

use super::command::Answer;
use super::scan::{oid_of, text_of};
use super::{Git, GitError, Oid, RefName};

/// One move of a ref, made only if it is where the caller believes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefUpdate {
    /// The ref.
    pub name: RefName,
    /// Where it must be now; `None` = it must not exist.
    pub from: Option<Oid>,
    /// Where it goes; `None` = it is deleted.
    pub to: Option<Oid>,
}

impl Git {
    /// Where a ref is, or `None` if it does not exist.
    pub async fn read_ref(&self, name: &RefName) -> Result<Option<Oid>, GitError> {
        let answer =
            self.invoke("rev-parse").args(["--verify", "--quiet", "--end-of-options", name.as_str()]).codes_ok(&[0, 1]).run().await?;
        if answer.code == 1 {
            return Ok(None);
        }
        oid_of("rev-parse", answer.line("rev-parse")?.as_bytes()).map(Some)
    }

    /// All refs below a prefix that ends with `/` (`refs/roundtable/<run>/`), in order of name.
    pub async fn list_refs(&self, prefix: &str) -> Result<Vec<(RefName, Oid)>, GitError> {
        let pattern = prefix.trim_end_matches('/');
        RefName::parse(&format!("{pattern}/x"))?;
        self.refs_under(pattern).await
    }

    /// All refs there are, in order of name.
    pub async fn all_refs(&self) -> Result<Vec<(RefName, Oid)>, GitError> {
        self.refs_under("refs").await
    }

    async fn refs_under(&self, pattern: &str) -> Result<Vec<(RefName, Oid)>, GitError> {
        let answer = self.invoke("for-each-ref").args(["--format=%(objectname) %(refname)", pattern]).run().await?;
        let mut refs = Vec::new();
        for line in answer.stdout.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let line = text_of("for-each-ref", line)?;
            let (oid, name) = line.split_once(' ').ok_or_else(|| GitError::unexpected("for-each-ref", line))?;
            refs.push((RefName::parse(name)?, oid_of("for-each-ref", oid.as_bytes())?));
        }
        Ok(refs)
    }

    /// Moves refs, all or none, each only from where the caller believes it is. If one has moved, [`GitError::RefMoved`] says where it is.
    ///
    /// A ref that is already at its goal while the caller believed it elsewhere is also an error here; [`Git::move_ref`] forgives that. In a repository of our
    /// own, which nobody else writes to, a lock that a killed git has left is cleared when it is met.
    pub async fn update_refs(&self, updates: &[RefUpdate]) -> Result<(), GitError> {
        let Some(some_oid) = updates.iter().find_map(|u| u.from.as_ref().or(u.to.as_ref())) else { return Ok(()) };
        let zero = some_oid.zero();
        let mut script = String::from("start\n");
        for update in updates {
            let from = update.from.as_ref().unwrap_or(&zero);
            let to = update.to.as_ref().unwrap_or(&zero);
            script.push_str(&format!("update {} {to} {from}\n", update.name));
        }
        script.push_str("prepare\ncommit\n");
        let mut answer = self.run_moves(&script).await?;
        if answer.code != 0 && self.clear_lock_met(&answer.stderr).await? {
            answer = self.run_moves(&script).await?;
        }
        if answer.code == 0 { Ok(()) } else { Err(self.why_not_moved(updates, answer).await) }
    }

    async fn run_moves(&self, script: &str) -> Result<Answer, GitError> {
        let _moving = self.moving.read().await;
        self.invoke("update-ref").args(["--no-deref", "--stdin"]).input(script).codes_ok(&[0, 1, 128]).run().await
    }

    /// Moves one ref by compare-and-swap. Already being at the goal counts as moved, so that a repetition after a crash succeeds.
    pub async fn move_ref(&self, name: &RefName, from: Option<&Oid>, to: &Oid) -> Result<(), GitError> {
        let update = RefUpdate { name: name.clone(), from: from.cloned(), to: Some(to.clone()) };
        match self.update_refs(&[update]).await {
            Err(GitError::RefMoved { found: Some(found), .. }) if found == *to => Ok(()),
            other => other,
        }
    }

    /// The refusal, told as a moved ref where that is the reason.
    async fn why_not_moved(&self, updates: &[RefUpdate], answer: Answer) -> GitError {
        for update in updates {
            match self.read_ref(&update.name).await {
                Ok(found) if found != update.from => {
                    return GitError::RefMoved { name: update.name.clone(), expected: update.from.clone(), found };
                }
                Ok(_) => {}
                Err(error) => return error,
            }
        }
        GitError::Failed { verb: "update-ref", code: answer.code, stderr: answer.stderr }
    }
}
