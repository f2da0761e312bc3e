//! A person's repository: where it is, what it is like, what is not committed there. Moving its branches is `accept.rs`.

use std::path::{Path, PathBuf};

use super::command::{Answer, Invocation};
use super::scan::{oid_of, records};
use super::{Git, GitError, GitProgram, ObjectFormat, Oid, RefName, Signature, TreeEdit, TreeEntry};

/// Paths told to one command.
const PATHS_AT_ONCE: usize = 500;

/// A checkout of a person's repository.
#[derive(Clone, Debug)]
pub struct UserRepository {
    git: Git,
    top: PathBuf,
    common_dir: PathBuf,
}

/// What `HEAD` is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Head {
    /// A branch.
    Branch(RefName),
    /// A commit.
    Detached,
}

/// What a run wants to know of a repository before it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RepositoryFacts {
    /// The commit checked out.
    pub head: Oid,
    /// On which branch.
    pub head_is: Head,
    /// Names the repository's objects across clones ([`Git::root_commit`]).
    pub root: Oid,
    /// How it names objects.
    pub format: ObjectFormat,
    /// Whether its history is cut off.
    pub shallow: bool,
    /// Whether it has submodules; agents see them as empty directories.
    pub submodules: bool,
    /// Whether it keeps files in Git LFS; agents see them as pointers.
    pub lfs: bool,
    /// Whether its file system folds case.
    pub ignore_case: bool,
}

/// What is not committed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UncommittedChanges {
    /// Some paths, changed or new; a new directory is one path that ends with `/`.
    pub paths: Vec<String>,
    /// How many there are.
    pub count: usize,
}

/// A file that is not committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UncommittedFile {
    /// Its path.
    pub path: String,
    /// Whether git has been told of it: committed before, or staged.
    pub tracked: bool,
}

impl GitProgram {
    /// Finds the repository a folder belongs to, as the person's own git would. The folder may be anywhere inside a checkout or linked work tree.
    pub async fn discover(&self, folder: &Path) -> Result<UserRepository, GitError> {
        let not_there = || GitError::NotARepository { path: folder.to_owned() };
        if !tokio::fs::metadata(folder).await.is_ok_and(|m| m.is_dir()) {
            return Err(not_there());
        }
        let ask = |question: &'static [&'static str]| Invocation::bare(self, "rev-parse").discovering(folder).args(question).run();
        let git_dir = match ask(&["--absolute-git-dir"]).await {
            Err(GitError::Failed { stderr, .. }) if stderr.contains("not a git repository") => return Err(not_there()),
            other => path_line(&other?.stdout)?,
        };
        let common_dir = path_line(&ask(&["--path-format=absolute", "--git-common-dir"]).await?.stdout)?;
        let top = match ask(&["--show-toplevel"]).await {
            Err(GitError::Failed { stderr, .. }) if stderr.contains("must be run in a work tree") => {
                return Err(GitError::Bare { path: folder.to_owned() });
            }
            other => path_line(&other?.stdout)?,
        };
        let common_dir = tokio::fs::canonicalize(&common_dir).await.map_err(GitError::io("rev-parse"))?;
        Ok(UserRepository { git: self.user(&git_dir, &common_dir, &top)?, top, common_dir })
    }
}

impl UserRepository {
    /// A handle with the person's configuration; its hooks never run.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// The top folder of the checkout.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// The real path of the common git directory: what makes two checkouts the same repository.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// What a run wants to know. A repository without commits is [`GitError::NoCommit`].
    pub async fn facts(&self) -> Result<RepositoryFacts, GitError> {
        let head = match self.git.resolve_commit("HEAD").await {
            Err(GitError::UnknownRevision { .. }) => return Err(GitError::NoCommit { path: self.top.clone() }),
            other => other?,
        };
        let format = if head.as_str().len() == 64 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
        let shallow = self.git.invoke("rev-parse").arg("--is-shallow-repository").run().await?.line("rev-parse")? == "true";
        Ok(RepositoryFacts {
            head_is: self.head_is().await?,
            root: self.git.root_commit(&head).await?,
            submodules: self.git.entry(&head, ".gitmodules").await?.is_some(),
            lfs: self.has_lfs(&head).await?,
            ignore_case: self.git.setting("core.ignorecase").await?.as_deref() == Some("true"),
            head,
            format,
            shallow,
        })
    }

    /// Where `HEAD` points.
    pub async fn head_is(&self) -> Result<Head, GitError> {
        let answer = self.git.invoke("symbolic-ref").args(["--quiet", "HEAD"]).codes_ok(&[0, 1]).run().await?;
        if answer.code == 1 {
            return Ok(Head::Detached);
        }
        RefName::parse(&answer.line("symbolic-ref")?).map(Head::Branch)
    }

    /// Names what is changed, staged or new and not ignored, at most `paths_max` by name. The index is not touched.
    pub async fn uncommitted(&self, paths_max: usize) -> Result<UncommittedChanges, GitError> {
        let answer = self.status("--untracked-files=normal").await?;
        let mut changes = UncommittedChanges::default();
        for record in records(&answer.stdout) {
            changes.count += 1;
            if changes.paths.len() < paths_max {
                changes.paths.push(String::from_utf8_lossy(record.get(3..).unwrap_or_default()).into_owned());
            }
        }
        Ok(changes)
    }

    /// The same file by file, those of new directories too, at most `files_max`.
    pub async fn uncommitted_files(&self, files_max: usize) -> Result<Vec<UncommittedFile>, GitError> {
        let answer = self.status("--untracked-files=all").await?;
        let file = |record: &[u8]| UncommittedFile {
            path: String::from_utf8_lossy(record.get(3..).unwrap_or_default()).into_owned(),
            tracked: !record.starts_with(b"??"),
        };
        Ok(records(&answer.stdout).take(files_max).map(file).collect())
    }

    async fn status(&self, untracked: &'static str) -> Result<Answer, GitError> {
        let arguments = ["--porcelain=v1", "-z", "--no-renames", untracked, "--ignore-submodules=none"];
        self.git.invoke("status").args(arguments).env("GIT_OPTIONAL_LOCKS", "0").long().run().await
    }

    /// A commit on top of `HEAD` of everything that is not committed (new files too, ignored ones not), but for some files, which are in it as
    /// `HEAD` has them. Neither index, branch nor files are touched.
    pub async fn commit_uncommitted(&self, by: &Signature, message: &str, but_for: &[String]) -> Result<Oid, GitError> {
        let head = self.git.resolve_commit("HEAD").await?;
        let scratch = self.scratch_index().await?;
        scratch.git.invoke("add").args(["--all"]).config("advice.addEmbeddedRepo=false").long().run().await?;
        let mut edits = Vec::new();
        for some in but_for.chunks(PATHS_AT_ONCE) {
            let there = self.git.entries(&head, some).await?;
            edits.extend(
                some.iter()
                    .filter(|path| there.iter().all(|entry| entry.path != **path))
                    .map(|path| TreeEdit::Remove { path: path.clone() }),
            );
            edits.extend(there.into_iter().map(|TreeEntry { path, mode, oid }| TreeEdit::Put { path, mode, oid }));
        }
        let all = scratch.git.write_tree().await?;
        let tree = self.git.edit_tree(&all, &edits).await?;
        if tree == self.git.tree_of(&head).await? {
            return Ok(head);
        }
        self.git.commit_tree(&tree, &[head], by, message).await
    }

    /// A path below the top folder as the repository names it; `None` if it is elsewhere. Links on the way are followed, the last component's not.
    pub fn relative(&self, path: &Path) -> Option<String> {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let real = parent.canonicalize().ok()?.join(path.file_name()?);
        let top = self.top.canonicalize().ok()?;
        real.strip_prefix(top).ok()?.to_str().map(str::to_owned)
    }

    /// The person's name and address, if git knows them; else the project's own.
    pub(crate) async fn signature(&self, at_s: u64) -> Result<Signature, GitError> {
        let name = self.git.setting("user.name").await?.filter(|text| !text.trim().is_empty());
        let email = self.git.setting("user.email").await?.filter(|text| !text.trim().is_empty());
        Ok(match (name, email) {
            (Some(name), Some(email)) => Signature { name, email, at_s },
            _ => Signature::roundtable(at_s),
        })
    }

    async fn has_lfs(&self, commit: &Oid) -> Result<bool, GitError> {
        let listing = self.git.list_tree(commit, None, usize::MAX).await?;
        let attributes = listing.entries.iter().filter(|entry| entry.path.rsplit('/').next() == Some(".gitattributes"));
        for entry in attributes.take(100) {
            let text = self.git.read_blob(&entry.oid, 16 << 20).await?;
            if String::from_utf8_lossy(&text).contains("filter=lfs") {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Git {
    /// One configured value; of several the last.
    pub(crate) async fn setting(&self, key: &'static str) -> Result<Option<String>, GitError> {
        let answer = self.invoke("config").args(["--get", key]).codes_ok(&[0, 1]).run().await?;
        if answer.code == 1 { Ok(None) } else { answer.line("config").map(Some) }
    }
}

pub(crate) fn path_line(bytes: &[u8]) -> Result<PathBuf, GitError> {
    use std::os::unix::ffi::OsStrExt;
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if line.is_empty() { Err(GitError::unexpected("rev-parse", "no path")) } else { Ok(PathBuf::from(std::ffi::OsStr::from_bytes(line))) }
}

/// The work trees of a repository and what is checked out in each.
pub(crate) struct WorkTree {
    pub(crate) path: PathBuf,
    pub(crate) branch: Option<RefName>,
    pub(crate) head: Option<Oid>,
}

impl Git {
    pub(crate) async fn work_trees(&self) -> Result<Vec<WorkTree>, GitError> {
        use std::os::unix::ffi::OsStrExt;
        let answer = self.invoke("worktree").args(["list", "--porcelain", "-z"]).run().await?;
        let mut trees: Vec<WorkTree> = Vec::new();
        for record in records(&answer.stdout) {
            if let Some(path) = record.strip_prefix(b"worktree ") {
                trees.push(WorkTree { path: PathBuf::from(std::ffi::OsStr::from_bytes(path)), branch: None, head: None });
            } else if let Some(tree) = trees.last_mut() {
                if let Some(branch) = record.strip_prefix(b"branch ") {
                    tree.branch = std::str::from_utf8(branch).ok().and_then(|name| RefName::parse(name).ok());
                } else if let Some(head) = record.strip_prefix(b"HEAD ") {
                    tree.head = oid_of("worktree", head).ok().filter(|oid| !oid.is_zero());
                }
            }
        }
        Ok(trees)
    }
}
