//! The trusted commit of a directory an agent worked in: its files as they are, read with our own git directory, index and configuration. The agent's
//! `.git`, its commits, hooks, filters and nested repositories count for nothing but the files they left.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::checkout::remove_if_there;
use super::index::copy_index;
use super::scan::{records, text_of};
use super::withheld::{Filter, Withheld};
use super::{Checkout, Git, GitError, Oid, Signature};

/// What to commit.
#[derive(Clone, Debug)]
pub struct SnapshotRequest<'a> {
    /// The directory. Nothing may run in it any more.
    pub checkout: &'a Checkout,
    /// Files that are never committed (they were brought in by `copy`): not at their paths unless the base has them, and nowhere with their content.
    pub withheld: &'a [Withheld],
    /// The commit's parents; normally the checkout's commit alone.
    pub parents: &'a [Oid],
    /// Author and committer.
    pub by: &'a Signature,
    /// The message.
    pub message: &'a str,
    /// Bounds.
    pub limits: SnapshotLimits,
}

/// Bounds on what one commit may add or change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotLimits {
    /// Most files.
    pub files_max: u64,
    /// Most bytes in them.
    pub bytes_max: u64,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self { files_max: 200_000, bytes_max: 2 << 30 }
    }
}

/// A commit of a directory's content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The commit.
    pub commit: Oid,
    /// Its tree.
    pub tree: Oid,
    /// Whether it differs from the checkout's commit.
    pub changed: bool,
    /// Files that were left out because git or our peers cannot name them, or because of what they hold (a few, for a person).
    pub left_out: Vec<String>,
}

/// Names of left-out files that are told.
const LEFT_OUT_MAX: usize = 20;
/// Repositories inside one another that are looked through.
const NESTING_MAX: usize = 64;
/// Output of the listings.
const LIST_BYTES_MAX: u64 = 512 << 20;

/// Paths as git gave them.
#[derive(Default)]
struct Staging {
    removed: Vec<Vec<u8>>,
    written: Vec<Vec<u8>>,
    left_out: Vec<String>,
}

impl Git {
    /// Commits what is in the directory: tracked files as they are now, new files unless `.gitignore` says otherwise. Objects go to the handle's store.
    pub async fn snapshot(&self, request: &SnapshotRequest<'_>) -> Result<Snapshot, GitError> {
        let checkout = request.checkout;
        let index_file = checkout.private.join("snapshot-index");
        let git = self.clone().with_work_tree(&checkout.dir, &index_file);
        git.start_index(checkout, &index_file).await?;
        let staging = match git.stage(request).await {
            // Files or directories may have been made unreadable; they are ours to open.
            Err(GitError::Failed { .. }) => {
                let dir = checkout.dir.clone();
                blocking("chmod", move || make_readable(&dir)).await?;
                git.start_index(checkout, &index_file).await?;
                git.stage(request).await?
            }
            other => other?,
        };
        let tree = git.write_tree().await?;
        tokio::fs::rename(&index_file, checkout.last_index_file()).await.map_err(GitError::io("snapshot"))?;
        let changed = tree != self.tree_of(&checkout.commit).await?;
        let commit = self.commit_tree(&tree, request.parents, request.by, request.message).await?;
        Ok(Snapshot { commit, tree, changed, left_out: staging.left_out })
    }

    /// Begins with the index of the checkout, whose file times spare reading what did not change; without it, with the commit's tree.
    async fn start_index(&self, checkout: &Checkout, index_file: &Path) -> Result<(), GitError> {
        remove_if_there(index_file).await?;
        if !copy_index("snapshot", &checkout.index_file(), index_file).await? {
            self.invoke("read-tree").arg(checkout.commit.as_str()).run().await?;
        }
        Ok(())
    }

    async fn stage(&self, request: &SnapshotRequest<'_>) -> Result<Staging, GitError> {
        let mut staging = Staging::default();
        self.find_tracked(&request.checkout.dir, &mut staging).await?;
        // What is gone leaves the index first: git would not look into a directory that took the place of a file it still lists.
        if !staging.removed.is_empty() {
            self.invoke("update-index").args(["-z", "--force-remove", "--stdin"]).input(nul_ended(&staging.removed)).long().run().await?;
        }
        let filter = Filter::new(request.withheld);
        self.find_new(request, &filter, &mut staging).await?;
        let (dir, mut written) = (request.checkout.dir.clone(), std::mem::take(&mut staging.written));
        let withheld;
        (staging.written, withheld) = blocking("snapshot", move || {
            let withheld = filter.take_by_content(&dir, &mut written)?;
            Ok((written, withheld))
        })
        .await?;
        staging.left_out.extend(withheld.iter().map(|path| String::from_utf8_lossy(path).into_owned()));
        check_size(&request.checkout.dir, &staging.written, request.limits).await?;
        if !staging.written.is_empty() {
            let arguments = ["-z", "--add", "--remove", "--replace", "--stdin"];
            let command = self.invoke("update-index").args(arguments);
            let answer = command.input(nul_ended(&staging.written)).long().run().await?;
            let ignored = answer.stderr.lines().filter_map(|line| line.strip_prefix("Ignoring path "));
            staging.left_out.extend(ignored.map(str::to_owned));
        }
        staging.left_out.truncate(LEFT_OUT_MAX);
        Ok(staging)
    }

    /// What became of the checkout's own files. Behind a directory that became a link, or as a fifo or the like, a file counts as removed.
    async fn find_tracked(&self, dir: &Path, staging: &mut Staging) -> Result<(), GitError> {
        let arguments = ["-z", "--name-status", "--no-renames", "--ignore-submodules=all"];
        let answer = self.invoke("diff-files").args(arguments).output_bytes_max(LIST_BYTES_MAX).long().run().await?;
        let mut fields = records(&answer.stdout);
        let mut differing: Vec<Vec<u8>> = Vec::new();
        while let (Some(status), Some(path)) = (fields.next(), fields.next()) {
            match text_of("diff-files", status)? {
                "D" => staging.removed.push(path.to_owned()),
                "M" | "T" => differing.push(path.to_owned()),
                other => return Err(GitError::unexpected("diff-files", other)),
            }
        }
        let dir = dir.to_owned();
        let is_kept =
            move |path: &Vec<u8>| dir.join(OsStr::from_bytes(path)).symlink_metadata().is_ok_and(|m| m.is_file() || m.is_symlink());
        let (kept, odd): (Vec<_>, Vec<_>) = blocking("snapshot", move || Ok(differing.into_iter().partition(is_kept))).await?;
        staging.written.extend(kept);
        staging.removed.extend(odd);
        Ok(())
    }

    /// New files. git reports a repository inside the directory as one entry that ends with `/`; its `.git` is put aside and its files are looked at again.
    async fn find_new(&self, request: &SnapshotRequest<'_>, filter: &Filter, staging: &mut Staging) -> Result<(), GitError> {
        for _round in 0..NESTING_MAX {
            let command = self.invoke("ls-files").args(["-z", "--others", "--exclude-standard"]);
            let answer = command.output_bytes_max(LIST_BYTES_MAX).long().run().await?;
            if answer.stderr.contains("could not open directory") {
                return Err(GitError::Failed { verb: "ls-files", code: 0, stderr: answer.stderr });
            }
            let nested: Vec<PathBuf> =
                records(&answer.stdout).filter(|path| path.ends_with(b"/")).map(|p| OsStr::from_bytes(p).into()).collect();
            if nested.is_empty() {
                for path in records(&answer.stdout).filter(|path| !filter.has_path(path)) {
                    match std::str::from_utf8(path) {
                        Ok(_) => staging.written.push(path.to_owned()),
                        Err(_) => staging.left_out.push(String::from_utf8_lossy(path).into_owned()),
                    }
                }
                return Ok(());
            }
            let (dir, private) = (request.checkout.dir.clone(), request.checkout.private.clone());
            blocking("snapshot", move || put_nested_aside(&dir, &private, &nested)).await?;
        }
        Err(GitError::unexpected("ls-files", "repositories nested too deeply"))
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    verb: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, GitError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(GitError::io(verb)),
        Err(error) => Err(GitError::Io { verb, source: io::Error::other(error) }),
    }
}

async fn check_size(dir: &Path, written: &[Vec<u8>], limits: SnapshotLimits) -> Result<(), GitError> {
    let too_large = |what, found, max| GitError::TooLarge { dir: dir.to_owned(), what, found, max };
    let files = u64::try_from(written.len()).unwrap_or(u64::MAX);
    if files > limits.files_max {
        return Err(too_large("files", files, limits.files_max));
    }
    let paths: Vec<PathBuf> = written.iter().map(|path| dir.join(OsStr::from_bytes(path))).collect();
    let size = |path: &PathBuf| path.symlink_metadata().map_or(0, |m| m.len());
    let bytes = blocking("snapshot", move || Ok(paths.iter().map(size).fold(0_u64, u64::saturating_add))).await?;
    if bytes > limits.bytes_max { Err(too_large("bytes", bytes, limits.bytes_max)) } else { Ok(()) }
}

/// Moves the `.git` of each nested repository out of the directory, without following links.
fn put_nested_aside(dir: &Path, private: &Path, nested: &[PathBuf]) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2, renameat};
    let root = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let aside = tempfile::Builder::new().prefix("nested-").tempdir_in(private)?.keep();
    let goal = rustix::fs::open(&aside, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for (n, path) in nested.iter().enumerate() {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = openat2(&root, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)?;
        renameat(&parent, ".git", &goal, n.to_string())?;
    }
    Ok(())
}

/// Gives the owner back the right to read files and to read and enter directories. Links are not followed; the agent's `.git` is left alone.
fn make_readable(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let found = entry.path().symlink_metadata()?;
            if found.file_type().is_symlink() || entry.file_name() == ".git" {
                continue;
            }
            let needed = if found.is_dir() { 0o700 } else { 0o400 };
            let mode = found.permissions().mode();
            if mode & needed != needed {
                std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode | needed))?;
            }
            if found.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(())
}

fn nul_ended(paths: &[Vec<u8>]) -> Vec<u8> {
    let mut input = Vec::with_capacity(paths.iter().map(|path| path.len() + 1).sum());
    for path in paths {
        input.extend_from_slice(path);
        input.push(0);
    }
    input
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_made_unreadable_becomes_readable_and_links_are_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let outside = home.path().join("outside");
        std::fs::write(&outside, "x").unwrap();
        std::fs::set_permissions(&outside, std::fs::Permissions::from_mode(0o000)).unwrap();
        let dir = home.path().join("tree");
        std::fs::create_dir_all(dir.join("d")).unwrap();
        std::fs::write(dir.join("d/f"), "x").unwrap();
        std::os::unix::fs::symlink(&outside, dir.join("link")).unwrap();
        std::fs::set_permissions(dir.join("d/f"), std::fs::Permissions::from_mode(0o111)).unwrap();
        std::fs::set_permissions(dir.join("d"), std::fs::Permissions::from_mode(0o000)).unwrap();
        make_readable(&dir).unwrap();
        let mode = |path: &Path| path.symlink_metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir.join("d")), 0o700);
        assert_eq!(mode(&dir.join("d/f")), 0o511);
        assert_eq!(mode(&outside), 0);
    }
}
