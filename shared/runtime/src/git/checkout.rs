//! Directories agents work in: a clean checkout whose `.git` is disposable. It serves the agent's own `git diff`, `status`, `log` and `commit`; nothing
//! here or elsewhere reads it again.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use tokio::fs;

use super::files::{blocking, remove_if_there};
use super::index::copy_index;
use super::plain::PLAIN_ATTRIBUTES;
use super::program::absolute;
use super::quoting::quoted_path;
use super::scan::records;
use super::{Git, GitError, Oid, RefName};
use crate::sweep::{self, Keep};

/// What to check out where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckoutRequest {
    /// The directory the agent will see: absent or empty, or for [`Git::recheckout`] that of an ended attempt.
    pub dir: PathBuf,
    /// A directory the agent cannot write, for the trusted index; made if absent.
    pub private: PathBuf,
    /// The commit.
    pub commit: Oid,
    /// The name of the branch the agent finds itself on, without `refs/heads/`.
    pub branch: String,
}

impl CheckoutRequest {
    /// What there is once it is carried out.
    fn checkout(&self) -> Result<Checkout, GitError> {
        Ok(Checkout { dir: absolute(&self.dir)?, private: absolute(&self.private)?, commit: self.commit.clone() })
    }
}

/// A directory an agent works in. Plain data: it can be stored and used again after a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkout {
    /// The directory the agent sees.
    pub dir: PathBuf,
    /// Where the trusted index lies.
    pub private: PathBuf,
    /// The commit that is checked out there.
    pub commit: Oid,
}

impl Checkout {
    pub(crate) fn index_file(&self) -> PathBuf {
        self.private.join("index")
    }

    /// What the last snapshot found.
    pub(crate) fn last_index_file(&self) -> PathBuf {
        self.private.join("last-index")
    }

    /// Names the commit whose checkout the directory is. Only there while that is so: a checkout takes it away before it touches a file, and writes it
    /// when nothing is left to do.
    fn commit_file(&self) -> PathBuf {
        self.private.join("commit")
    }

    /// The commit whose checkout the directory has been so far, by its own word, which is taken back: after a failure or a kill on the way nobody is to
    /// count on what lies there.
    async fn take_commit(&self) -> Result<Option<Oid>, GitError> {
        let commit = fs::read_to_string(self.commit_file()).await.ok().and_then(|text| Oid::parse(&text).ok());
        remove_if_there("checkout", &self.commit_file()).await?;
        Ok(commit)
    }

    /// Is there where the files lie as the commit has them, because its attributes ask for what git cannot do.
    fn plain_file(&self) -> PathBuf {
        self.private.join("plain")
    }

    /// Whether they do, so that they must be read without attributes too.
    pub(crate) async fn is_plain(&self) -> Result<bool, GitError> {
        fs::try_exists(self.plain_file()).await.map_err(GitError::io("checkout"))
    }
}

impl Git {
    /// Checks a commit out. No filter, hook or other program of the repository's runs; Git LFS files stay pointers, submodules stay empty directories.
    pub async fn checkout(&self, request: &CheckoutRequest) -> Result<Checkout, GitError> {
        let checkout = request.checkout()?;
        let branch = RefName::branch(&request.branch)?;
        fs::create_dir_all(&checkout.dir).await.map_err(GitError::io("checkout"))?;
        fs::create_dir_all(&checkout.private).await.map_err(GitError::io("checkout"))?;
        let mut entries = fs::read_dir(&checkout.dir).await.map_err(GitError::io("checkout"))?;
        if entries.next_entry().await.map_err(GitError::io("checkout"))?.is_some() {
            let why = std::io::Error::new(std::io::ErrorKind::DirectoryNotEmpty, format!("{} is not empty", checkout.dir.display()));
            return Err(GitError::Io { verb: "checkout", source: why });
        }
        checkout.take_commit().await?;
        remove_if_there("checkout", &checkout.index_file()).await?;
        remove_if_there("checkout", &checkout.last_index_file()).await?;
        self.fill(&checkout, &branch).await?;
        Ok(checkout)
    }

    /// Makes the directory of an ended attempt a clean checkout of another commit: what is not of the new commit goes, ignored files too; what the agent
    /// did not touch stays as it lies there, but for files with a second name somewhere or odd permissions, and unless the new commit's attributes
    /// would have it lie there otherwise. Nothing may run in it any more. After an error the directory is good for removal only.
    pub async fn recheckout(&self, request: &CheckoutRequest) -> Result<Checkout, GitError> {
        let checkout = request.checkout()?;
        let branch = RefName::branch(&request.branch)?;
        let before = checkout.take_commit().await?;
        let listed = self.reusable(&checkout, before).await?;
        if listed.is_empty() {
            remove_if_there("checkout", &checkout.index_file()).await?;
        }
        remove_if_there("checkout", &checkout.last_index_file()).await?;
        let dir = checkout.dir.clone();
        blocking("checkout", move || clean(&dir, &listed)).await?;
        self.fill(&checkout, &branch).await?;
        Ok(checkout)
    }

    async fn fill(&self, checkout: &Checkout, branch: &RefName) -> Result<(), GitError> {
        let git = self.clone().with_work_tree(&checkout.dir, &checkout.index_file());
        remove_if_there("checkout", &checkout.plain_file()).await?;
        let arguments = ["--reset", "-u", checkout.commit.as_str()];
        match git.invoke("read-tree").args(arguments).long().run().await {
            // Attributes of the commit may ask for what git cannot do.
            Err(error @ GitError::Failed { .. }) if !error.is_of_machine() => {
                // What lies there as attributes had it must not be taken for the commit's own bytes.
                remove_if_there("checkout", &checkout.index_file()).await?;
                let dir = checkout.dir.clone();
                blocking("checkout", move || clean(&dir, &[])).await?;
                let plain = self.plain_in(&checkout.dir, &checkout.private, &checkout.index_file()).await?;
                fs::write(checkout.plain_file(), "").await.map_err(GitError::io("checkout"))?;
                plain.git.invoke("read-tree").args(arguments).long().run().await.map_err(|_| error)?;
            }
            other => drop(other?),
        }
        self.plant_disposable_git(checkout, branch).await?;
        fs::write(checkout.commit_file(), checkout.commit.as_str()).await.map_err(GitError::io("checkout"))
    }

    /// Writes the agent's `.git` file by file: what git itself would put there by template or configuration of the host stays out.
    async fn plant_disposable_git(&self, checkout: &Checkout, branch: &RefName) -> Result<(), GitError> {
        let dot_git = checkout.dir.join(".git");
        let sha256 = checkout.commit.as_str().len() == 64;
        let mut config = format!(
            "[core]\n\trepositoryformatversion = {}\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n",
            u8::from(sha256)
        );
        config.push_str("[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[user]\n\tname = Agent\n\temail = agent@localhost\n");
        if sha256 {
            config.push_str("[extensions]\n\tobjectformat = sha256\n");
        }
        let branch_file = dot_git.join(branch.as_str());
        for dir in [dot_git.join("objects/info"), dot_git.join("objects/pack"), dot_git.join("info"), dot_git.join("refs/tags")] {
            fs::create_dir_all(dir).await.map_err(GitError::io("checkout"))?;
        }
        fs::create_dir_all(branch_file.parent().unwrap_or(&dot_git)).await.map_err(GitError::io("checkout"))?;
        // The agent's git is to see the files as ours does.
        let attributes = if checkout.is_plain().await? { PLAIN_ATTRIBUTES.as_bytes().to_vec() } else { Vec::new() };
        let mut alternate = quoted_path(&self.objects());
        alternate.push(b'\n');
        let files: [(PathBuf, Vec<u8>); 6] = [
            (dot_git.join("HEAD"), format!("ref: {branch}\n").into_bytes()),
            (dot_git.join("config"), config.into_bytes()),
            (dot_git.join("info/exclude"), Vec::new()),
            (dot_git.join("info/attributes"), attributes),
            (dot_git.join("objects/info/alternates"), alternate),
            (branch_file, format!("{}\n", checkout.commit).into_bytes()),
        ];
        for (file, bytes) in files {
            fs::write(file, bytes).await.map_err(GitError::io("checkout"))?;
        }
        let boundaries = self.boundaries().await?;
        if !boundaries.is_empty() {
            let text: String = boundaries.iter().map(|oid| format!("{oid}\n")).collect();
            fs::write(dot_git.join("shallow"), text).await.map_err(GitError::io("checkout"))?;
        }
        copy_index("checkout", &checkout.index_file(), &dot_git.join("index")).await?;
        Ok(())
    }
}

/// Removes all but the listed files (NUL-ended paths) and the directories that lead to them. Links are removed, never followed, and nothing is touched
/// that is mounted inside.
fn clean(dir: &Path, listed: &[u8]) -> io::Result<()> {
    let mut files: BTreeSet<&[u8]> = BTreeSet::new();
    let mut dirs: BTreeSet<&[u8]> = BTreeSet::new();
    for path in records(listed) {
        files.insert(path);
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            dirs.insert(&path[..at]);
        }
    }
    let keep = |path: &[u8], is_dir: bool| match (is_dir, files.contains(path)) {
        (true, _) if dirs.contains(path) => Keep::Inside,
        // A listed directory is a submodule; git left it empty.
        (true, true) => Keep::Empty,
        (false, true) => Keep::File,
        (_, false) => Keep::Nothing,
    };
    Ok(sweep::clean(dir, &keep)?)
}
