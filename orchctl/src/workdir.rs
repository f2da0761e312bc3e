//! The repository a run works on: checks before anything starts, with the exact way out of each problem. Running git is the runtime's.

use std::path::{Path, PathBuf};

use roundtable_runtime::git::{GitError, GitProgram, Head, Oid, RepositoryFacts, Signature, UserRepository};
use roundtable_shared::time::WallMs;

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Uncommitted paths looked at.
const PATHS_MAX: usize = 10_000;
/// Uncommitted paths named.
const NAMED_MAX: usize = 5;

/// A checkout with at least one commit.
pub struct Workdir {
    /// The repository.
    pub repository: UserRepository,
    /// What was found out about it.
    pub facts: RepositoryFacts,
    path: PathBuf,
}

/// Which commit a run starts from.
pub struct Base {
    /// The commit.
    pub commit: Oid,
    /// What the user should know: uncommitted changes that are not in it, submodules, LFS.
    pub warnings: Vec<String>,
}

impl Workdir {
    /// Finds the repository of a folder and what a run wants to know of it.
    pub async fn open(path: &Path) -> Result<Self> {
        let program = GitProgram::find().await.map_err(refusal)?;
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let repository = program.discover(&path).await.map_err(refusal)?;
        let facts = repository.facts().await.map_err(refusal)?;
        Ok(Self { repository, facts, path })
    }

    /// The real path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The real path of the common git directory, by which runs know the repository.
    pub fn git_dir(&self) -> String {
        self.repository.common_dir().to_string_lossy().into_owned()
    }

    /// The branch that is checked out.
    pub fn branch(&self) -> Option<String> {
        match &self.facts.head_is {
            Head::Branch(name) => Some(name.short().to_owned()),
            Head::Detached => None,
        }
    }

    /// The commit to start from: `rev`, the working tree as it is, or `HEAD`.
    pub async fn base(&self, rev: Option<&str>, include_dirty: bool, spec: &Path, now: WallMs) -> Result<Base> {
        let mut warnings = Vec::new();
        let commit = if include_dirty {
            let by = Signature::roundtable(now.0 / 1000);
            self.repository.commit_uncommitted(&by, "Include uncommitted changes\n").await.map_err(refusal)?
        } else {
            let dirty = self.uncommitted(spec).await?;
            if !dirty.is_empty() {
                warnings.push(dirty_warning(&dirty));
            }
            match rev {
                Some(rev) => self.repository.git().resolve_commit(rev).await.map_err(refusal)?,
                None => self.facts.head.clone(),
            }
        };
        if self.facts.submodules {
            warnings.push("the repository has submodules: agents see them as empty folders".to_owned());
        }
        if self.facts.lfs {
            warnings.push("the repository keeps files in Git LFS: agents see pointers, not contents".to_owned());
        }
        Ok(Base { commit, warnings })
    }

    /// What is not committed, without what the run brings along or writes itself: the spec's folder and the mirror files beside it.
    pub async fn uncommitted(&self, spec: &Path) -> Result<Vec<String>> {
        let changes = self.repository.uncommitted(PATHS_MAX).await.map_err(refusal)?;
        let spec = self.repository.relative(spec);
        Ok(changes.paths.into_iter().filter(|path| spec.as_deref().is_none_or(|spec| !is_ours(path, spec))).collect())
    }
}

/// The common git directory of the repository a folder is in, if it is in one.
pub async fn git_dir_of(path: &Path) -> Option<String> {
    let program = GitProgram::find().await.ok()?;
    let repository = program.discover(path).await.ok()?;
    Some(repository.common_dir().to_string_lossy().into_owned())
}

/// Whether an uncommitted path is the spec, a folder that is new because of it, or a mirror file beside it.
fn is_ours(path: &str, spec: &str) -> bool {
    let folder = path.trim_end_matches('/');
    let beside = spec.rsplit_once('/').map_or("", |(beside, _)| beside);
    let within = |dir: &str| dir.is_empty() || folder == dir || folder.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
    let is_mirror =
        |name: &str| ["TASKS_PARSED.json", "AGENT_STATE.json", "PROJECT_PULSE.md"].iter().any(|mirror| name.starts_with(mirror));
    let (dir, name) = folder.rsplit_once('/').unwrap_or(("", folder));
    let new_parent = path.ends_with('/') && spec.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    (!spec.is_empty() && within(spec)) || new_parent || (is_mirror(name) && (dir == beside || dir == spec))
}

fn dirty_warning(paths: &[String]) -> String {
    let named = paths.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = if paths.len() > NAMED_MAX { format!(" and {} more", paths.len() - NAMED_MAX) } else { String::new() };
    format!("uncommitted changes are not included: {named}{more}; commit them, or use --include-dirty")
}

/// A failure of git as a user meets it: what is wrong with the input is exit 3, everything else 1.
pub fn refusal(error: GitError) -> Failure {
    match error {
        GitError::NotARepository { path } => Failure::usage(format!("{} is not in a git repository", path.display()))
            .next("make one: git init && git add -A && git commit -m start")
            .next("or name one with --workdir DIR"),
        GitError::NoCommit { path } => Failure::usage(format!("{} has no commit yet, so there is nothing to start from", path.display()))
            .next("make one: git add -A && git commit -m start"),
        GitError::Bare { path } => {
            Failure::usage(format!("{} is a bare repository", path.display())).next("name a checkout of it with --workdir DIR")
        }
        GitError::UnknownRevision { rev, repository } => Failure::usage(format!("{rev} names no commit in {}", repository.display()))
            .next("give a branch, tag or commit that exists there"),
        other => Failure::new(Exit::Failed, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_run_brings_along_is_no_dirt() {
        let spec = "docs/.specs/login";
        for ours in [
            "docs/.specs/login/tasks.md",
            "docs/.specs/login/",
            "docs/.specs/",
            "docs/",
            "docs/.specs/AGENT_STATE.json",
            "docs/.specs/AGENT_STATE.json.edited-1",
        ] {
            assert!(is_ours(ours, spec), "{ours}");
        }
        for theirs in ["src/a.py", "docs/.specs/login2/tasks.md", "docs/readme.md", "AGENT_STATE.json", "src/", "docs/.specs/other/"] {
            assert!(!is_ours(theirs, spec), "{theirs}");
        }
        assert!(!is_ours("src/a.py", ""));
        assert!(is_ours("AGENT_STATE.json", "login"));
    }

    #[test]
    fn refusals_are_usage_errors_with_the_way_out() {
        let failure = refusal(GitError::NotARepository { path: "/tmp/x".into() });
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.render(crate::output::paint::Paint::plain()).contains("git init && git add -A && git commit -m start"));
        assert_eq!(refusal(GitError::NoCommit { path: "/tmp/x".into() }).exit(), Exit::Usage);
        assert_eq!(refusal(GitError::NoProgram).exit(), Exit::Failed);
    }

    #[test]
    fn many_paths_are_counted() {
        let paths: Vec<String> = (0..7).map(|n| format!("f{n}")).collect();
        assert_eq!(
            dirty_warning(&paths),
            "uncommitted changes are not included: f0, f1, f2, f3, f4 and 2 more; commit them, or use --include-dirty"
        );
    }
}
