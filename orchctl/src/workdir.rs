//! The repository a run works on: checks before anything starts, with the exact way out of each problem. Running git is the runtime's.

use std::path::{Path, PathBuf};

use roundtable_runtime::git::{GitError, GitProgram, Head, Oid, RepositoryFacts, Signature, UncommittedFile, UserRepository};
use roundtable_shared::spec::Spec;
use roundtable_shared::time::WallMs;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::mirror::MirrorFiles;

/// Uncommitted files looked at.
const FILES_MAX: usize = 100_000;
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

/// Where the work lies.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "embedded"), expect(dead_code, reason = "read by a coordinator inside"))]
pub struct WorkPlace<'a> {
    /// Real path of the repository's top folder.
    pub top: &'a Path,
    /// Real path of the folder the run is started in.
    pub workdir: &'a Path,
    /// Whether the file system folds case.
    pub ignore_case: bool,
}

/// Which commit a run starts from.
pub struct Base {
    /// The commit.
    pub commit: Oid,
    /// Files that are not committed, without the spec's and mirror files.
    pub uncommitted: Vec<String>,
    /// What the user should know: submodules, LFS.
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
    pub async fn base(&self, rev: Option<&str>, include_dirty: bool, aside: &Aside<'_>, now: WallMs) -> Result<Base> {
        let files = self.repository.uncommitted_files(FILES_MAX).await.map_err(refusal)?;
        let commit = if include_dirty {
            let by = Signature::roundtable(now.0 / 1000);
            let but_for: Vec<String> = files.iter().filter(|file| aside.stays_out(file)).map(|file| file.path.clone()).collect();
            self.repository.commit_uncommitted(&by, "Include uncommitted changes\n", &but_for).await.map_err(refusal)?
        } else {
            match rev {
                Some(rev) => self.repository.git().resolve_commit(rev).await.map_err(refusal)?,
                None => self.facts.head.clone(),
            }
        };
        let mut warnings = Vec::new();
        if self.facts.submodules {
            warnings.push("the repository has submodules: agents see them as empty folders".to_owned());
        }
        if self.facts.lfs {
            warnings.push("the repository keeps files in Git LFS: agents see pointers, not contents".to_owned());
        }
        let uncommitted = files.into_iter().filter(|file| !aside.covers(&file.path)).map(|file| file.path).collect();
        Ok(Base { commit, uncommitted, warnings })
    }

    /// Those of the uncommitted files that a commit does not have as they are here.
    pub async fn not_in(&self, commit: &Oid, files: &[String]) -> Result<Vec<String>> {
        let git = self.repository.git();
        if files.is_empty() || git.commits_present(std::slice::from_ref(commit)).await.map_err(refusal)?.is_empty() {
            return Ok(files.to_vec());
        }
        let had = self.repository.had_by(&[commit], &[commit, &self.facts.head], files).await.map_err(refusal)?;
        Ok(files.iter().filter(|file| !had.contains(*file)).cloned().collect())
    }
}

/// What of a checkout is not the work: the spec, which the run brings along, and mirror files.
pub struct Aside<'a> {
    /// The spec's folder in the repository; `None` if it is elsewhere.
    pub spec: Option<String>,
    /// Mirror files.
    pub mirrors: MirrorFiles<'a>,
}

impl Aside<'_> {
    fn covers(&self, path: &str) -> bool {
        self.spec.as_deref().is_some_and(|spec| is_within(path, spec)) || self.mirrors.covers(path)
    }

    /// Whether a file is left out where all changes are included: mirror files, and a spec that was never made part of the repository.
    fn stays_out(&self, file: &UncommittedFile) -> bool {
        let is_spec = |spec: &str| {
            Spec::FILES.iter().any(|name| file.path == if spec.is_empty() { (*name).to_owned() } else { format!("{spec}/{name}") })
        };
        self.mirrors.covers(&file.path) || (!file.tracked && self.spec.as_deref().is_some_and(is_spec))
    }
}

/// The common git directory of the repository a folder is in, if it is in one.
pub async fn git_dir_of(path: &Path) -> Option<String> {
    let program = GitProgram::find().await.ok()?;
    let repository = program.discover(path).await.ok()?;
    Some(repository.common_dir().to_string_lossy().into_owned())
}

/// Whether a file lies in a folder of the repository; the top folder is nobody's.
fn is_within(path: &str, folder: &str) -> bool {
    !folder.is_empty() && path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Names some of the paths.
pub fn some_of(paths: &[String]) -> String {
    let named = paths.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = if paths.len() > NAMED_MAX { format!(" and {} more", paths.len() - NAMED_MAX) } else { String::new() };
    format!("{named}{more}")
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
    fn a_folder_has_what_is_below_it() {
        assert!(is_within("docs/.specs/login/tasks.md", "docs/.specs/login"));
        for elsewhere in ["src/a.py", "docs/.specs/login2/tasks.md", "docs/.specs/login"] {
            assert!(!is_within(elsewhere, "docs/.specs/login"), "{elsewhere}");
        }
        assert!(!is_within("src/a.py", ""));
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
        assert_eq!((some_of(&paths).as_str(), some_of(&paths[..2]).as_str()), ("f0, f1, f2, f3, f4 and 2 more", "f0, f1"));
    }
}
