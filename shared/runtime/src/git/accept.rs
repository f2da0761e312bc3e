//! Moving a person's branches: forward to what a run made, with their files where the branch is checked out. Either all of it happens or nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use roundtable_shared::ChangeKind;

use super::{GitError, Oid, RefName, UserRepository};

/// What is to be moved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// A branch, checked out or not; made if it does not exist.
    Branch(RefName),
    /// The detached `HEAD` of this checkout.
    DetachedHead,
}

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Accepted {
    /// The destination had it all already.
    AlreadyThere,
    /// The branch did not exist and is now at the tip.
    Created,
    /// The destination went forward to the tip.
    FastForwarded,
    /// The destination had moved and is now at this merge.
    Merged {
        /// The merge commit.
        commit: Oid,
    },
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// Files that would be overwritten are changed or new in the checkout.
    #[error("{} has local changes that would be overwritten: {}; commit, stash or move them and try again", checkout.display(), shown(paths))]
    LocalChanges {
        /// The checkout.
        checkout: PathBuf,
        /// The files.
        paths: Vec<String>,
    },
    /// Both sides changed the same places.
    #[error("{branch} has moved and conflicts with the run in: {}; merge by hand with: git merge {tip}", shown(paths))]
    Conflict {
        /// What was to be moved.
        branch: String,
        /// The run's tip.
        tip: Oid,
        /// The files.
        paths: Vec<String>,
    },
    /// The branch is not behind the tip.
    #[error("{branch} has commits that are not the run's; rename it or delete it, then try again")]
    Diverged {
        /// The branch.
        branch: RefName,
    },
    /// A merge, rebase or the like is under way in the checkout.
    #[error("{} is in the middle of a {what}; finish or abort that first", checkout.display())]
    Busy {
        /// The checkout.
        checkout: PathBuf,
        /// What.
        what: &'static str,
    },
    /// `HEAD` is on a branch after all.
    #[error("HEAD is not detached any more; name the branch to move")]
    NotDetached,
    /// git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Where a destination is and which checkout shows it.
struct Place {
    at: Option<Oid>,
    checkout: Option<PathBuf>,
}

impl UserRepository {
    /// Brings the run's `tip` into the destination: forward if it can be, by a merge commit if the destination has moved. Checked-out files follow.
    /// `message` and `at_s` are the merge commit's.
    /// Local files that the commit it comes `from`, or the goal, has too are no hindrance: nothing of them can be lost.
    pub async fn accept(
        &self,
        tip: &Oid,
        from: Option<&Oid>,
        into: &Destination,
        message: &str,
        at_s: u64,
    ) -> Result<Accepted, AcceptError> {
        let place = self.place(into).await?;
        let Some(at) = &place.at else {
            self.move_to(into, &place, tip, from).await?;
            return Ok(Accepted::Created);
        };
        if self.git().is_ancestor(tip, at).await? {
            return Ok(Accepted::AlreadyThere);
        }
        if self.git().is_ancestor(at, tip).await? {
            self.move_to(into, &place, tip, from).await?;
            return Ok(Accepted::FastForwarded);
        }
        let conflict = |paths| AcceptError::Conflict { branch: name_of(into), tip: tip.clone(), paths };
        if self.git().merge_base(at, tip).await?.is_none() {
            return Err(conflict(vec!["(the histories have nothing in common)".to_owned()]));
        }
        let merge = self.git().merge_heads(at, tip).await?;
        if !merge.clean {
            return Err(conflict(merge.conflicts.into_iter().map(|conflict| conflict.path).collect()));
        }
        let by = self.signature(at_s).await?;
        let commit = self.git().commit_tree(&merge.tree, &[at.clone(), tip.clone()], &by, message).await?;
        self.move_to(into, &place, &commit, from).await?;
        Ok(Accepted::Merged { commit })
    }

    /// Creates a branch at `tip`, or moves it forward to it; files follow if it is checked out. Already there is fine.
    pub async fn advance(&self, branch: &RefName, tip: &Oid) -> Result<(), AcceptError> {
        let into = Destination::Branch(branch.clone());
        let place = self.place(&into).await?;
        match &place.at {
            Some(at) if at == tip => Ok(()),
            Some(at) if !self.git().is_ancestor(at, tip).await? => Err(AcceptError::Diverged { branch: branch.clone() }),
            _ => self.move_to(&into, &place, tip, None).await,
        }
    }

    async fn place(&self, into: &Destination) -> Result<Place, AcceptError> {
        match into {
            Destination::DetachedHead => {
                if self.head_is().await? != super::Head::Detached {
                    return Err(AcceptError::NotDetached);
                }
                let at = self.git().resolve_commit("HEAD").await?;
                Ok(Place { at: Some(at), checkout: Some(self.top().to_owned()) })
            }
            Destination::Branch(branch) => {
                let trees = self.git().work_trees().await?;
                let shows = trees.into_iter().find(|tree| tree.branch.as_ref() == Some(branch) && tree.path.is_dir());
                Ok(Place { at: self.git().read_ref(branch).await?, checkout: shows.map(|tree| tree.path) })
            }
        }
    }

    /// Moves the destination to `to`, which descends from where it is.
    async fn move_to(&self, into: &Destination, place: &Place, to: &Oid, from: Option<&Oid>) -> Result<(), AcceptError> {
        match (&place.checkout, &place.at, into) {
            (Some(checkout), Some(at), _) => {
                let there = self.git().program().discover(checkout).await?;
                there.move_files(at, to, from).await
            }
            (_, at, Destination::Branch(branch)) => Ok(self.git().move_ref(branch, at.as_ref(), to).await?),
            (_, _, Destination::DetachedHead) => Err(AcceptError::NotDetached),
        }
    }

    /// Moves `HEAD` of this checkout forward with its files, by the person's own git and configuration but without hooks.
    async fn move_files(&self, at: &Oid, to: &Oid, from: Option<&Oid>) -> Result<(), AcceptError> {
        self.refuse_if_busy().await?;
        let mut paths = self.in_the_way(at, to).await?;
        let known: Vec<&Oid> = [Some(at), Some(to), from].into_iter().flatten().collect();
        let mut over = self.had_by(&known, &known, &paths).await?;
        paths.retain(|path| !over.contains(path));
        if !paths.is_empty() {
            return Err(AcceptError::LocalChanges { checkout: self.top().to_owned(), paths });
        }
        over.extend(self.undone_by_run(at, to, from).await?);
        if !over.is_empty() {
            return self.move_over(at, to, &over).await;
        }
        // A push of the branch between our reading and here makes this fail: `to` is then no fast-forward.
        let arguments =
            ["--ff-only", "--no-autostash", "--no-verify-signatures", "--no-stat", "--quiet", "--no-overwrite-ignore", to.as_str()];
        self.git().invoke("merge").args(arguments).long().run().await?;
        Ok(())
    }

    /// Local files that only the commit the run came from has, and that the run itself put back to how they were, or took away.
    async fn undone_by_run(&self, at: &Oid, to: &Oid, from: Option<&Oid>) -> Result<BTreeSet<String>, AcceptError> {
        let Some(from) = from else { return Ok(BTreeSet::new()) };
        if self.git().is_ancestor(from, at).await? {
            return Ok(BTreeSet::new());
        }
        let moved: BTreeSet<String> = self.git().changed_paths(at, to).await?.into_iter().map(|change| change.path).collect();
        let by_run = self.git().changed_paths(from, to).await?.into_iter().map(|change| change.path);
        let undone: Vec<String> = by_run.filter(|path| !moved.contains(path)).collect();
        Ok(self.had_by(&[from], &[at, from], &undone).await?)
    }

    async fn refuse_if_busy(&self) -> Result<(), AcceptError> {
        let signs = [
            ("MERGE_HEAD", "merge"),
            ("rebase-merge", "rebase"),
            ("rebase-apply", "rebase"),
            ("CHERRY_PICK_HEAD", "cherry-pick"),
            ("REVERT_HEAD", "revert"),
            ("BISECT_LOG", "bisection"),
        ];
        for (file, what) in signs {
            if tokio::fs::try_exists(self.git().git_dir().join(file)).await.map_err(GitError::io("merge"))? {
                return Err(AcceptError::Busy { checkout: self.top().to_owned(), what });
            }
        }
        Ok(())
    }

    /// Files of the checkout that going from `at` to `to` would overwrite though they are changed, staged or not git's at all.
    async fn in_the_way(&self, at: &Oid, to: &Oid) -> Result<Vec<String>, AcceptError> {
        let changes = self.git().changed_paths(at, to).await?;
        let uncommitted: BTreeSet<String> = self.uncommitted(usize::MAX).await?.paths.into_iter().collect();
        let top = self.top().to_owned();
        let in_the_way = changes
            .into_iter()
            .filter(|change| is_local(&change.path, &uncommitted) || (change.change == ChangeKind::Added && is_there(&top, &change.path)));
        Ok(in_the_way.map(|change| change.path).collect())
    }
}

/// Whether a path, a directory of that name, or a file where one of its directories must be, is changed or new.
fn is_local(path: &str, uncommitted: &BTreeSet<String>) -> bool {
    let mut parents = path.match_indices('/').map(|(at, _)| &path[..at]);
    uncommitted.contains(path) || uncommitted.contains(&format!("{path}/")) || parents.any(|parent| uncommitted.contains(parent))
}

/// Whether something stands at a path itself, not behind a link on the way.
fn is_there(top: &Path, path: &str) -> bool {
    let mut place = top.to_owned();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        place.push(part);
        match place.symlink_metadata() {
            Ok(found) if found.is_dir() && parts.peek().is_some() => {}
            Ok(found) => return parts.peek().is_none() && !found.is_dir(),
            Err(_) => return false,
        }
    }
    false
}

fn name_of(into: &Destination) -> String {
    match into {
        Destination::Branch(branch) => branch.short().to_owned(),
        Destination::DetachedHead => "HEAD".to_owned(),
    }
}

fn shown(paths: &[String]) -> String {
    let mut text = paths.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
    if paths.len() > 10 {
        text.push_str(&format!(" and {} more", paths.len() - 10));
    }
    text
}
