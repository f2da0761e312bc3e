//! What changed between two commits: as typed facts for judging, as text for readers. Renames are never guessed for judging: both ends are facts.

use std::collections::BTreeMap;

use roundtable_shared::{ChangeKind, ChangedPath, EntryKind};

use super::scan::{octal_of, oid_of, path_text, records, text_of};
use super::{EntryMode, Git, GitError, Oid};

/// What stands at one side of a change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SideKind {
    /// Nothing.
    Absent,
    /// A file.
    File,
    /// A file that may be executed.
    Executable,
    /// A symbolic link.
    Link,
    /// A submodule (gitlink).
    Submodule,
    /// A mode no git of today writes.
    Unknown,
}

impl SideKind {
    fn from_bits(bits: u32) -> Self {
        match EntryMode::from_bits(bits) {
            Some(EntryMode::File) => Self::File,
            Some(EntryMode::Executable) => Self::Executable,
            Some(EntryMode::Link) => Self::Link,
            Some(EntryMode::Submodule) => Self::Submodule,
            None if bits == 0 => Self::Absent,
            None => Self::Unknown,
        }
    }
}

/// One path that differs between two commits, as git tells it; [`DiffEntry::changed_path`] is what others judge by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiffEntry {
    /// The path.
    pub path: String,
    /// How it differs.
    pub change: ChangeKind,
    /// What was there.
    pub before: SideKind,
    /// What is there now.
    pub after: SideKind,
    /// The object that was there (`None` = nothing).
    pub before_oid: Option<Oid>,
    /// The object that is there now.
    pub after_oid: Option<Oid>,
    /// Where a link points now, invalid UTF-8 replaced; `None` for everything else.
    pub link_target: Option<String>,
}

impl DiffEntry {
    /// The path as it is judged. Whether it is only encoded anew is not looked at here.
    pub fn changed_path(&self) -> ChangedPath {
        let side = if self.change == ChangeKind::Deleted { self.before } else { self.after };
        let entry = match side {
            SideKind::Executable => EntryKind::Executable,
            SideKind::Submodule | SideKind::Unknown => EntryKind::Gitlink,
            SideKind::Link if self.link_leaves_tree() => EntryKind::EscapingSymlink,
            SideKind::Link => EntryKind::Symlink,
            SideKind::File | SideKind::Absent => EntryKind::File,
        };
        ChangedPath { path: self.path.clone(), change: self.change, entry, unreadable: false, reencoded: false }
    }

    /// Whether it is now a link that may lead out of the tree (or whose target is not readable as a path inside).
    pub fn link_leaves_tree(&self) -> bool {
        self.after == SideKind::Link && self.link_target.as_deref().is_none_or(|target| leaves_tree(&self.path, target))
    }
}

/// A diff as text, cut at a bound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiffText {
    /// The unified diff, invalid UTF-8 replaced.
    pub text: String,
    /// Whether the end is missing.
    pub truncated: bool,
}

/// Longest link target that is read.
const LINK_BYTES_MAX: u64 = 64 << 10;
/// Most paths of a change that are judged.
const CHANGES_BYTES_MAX: u64 = 256 << 20;

impl Git {
    /// All paths that differ between two commits or trees, in order of path. A path that is not UTF-8 is [`GitError::BadPath`].
    pub async fn changed_paths(&self, before: &Oid, after: &Oid) -> Result<Vec<DiffEntry>, GitError> {
        let arguments = [
            "-r",
            "-z",
            "--raw",
            "--no-renames",
            "--full-index",
            "--no-abbrev",
            "--ignore-submodules=none",
            before.as_str(),
            after.as_str(),
        ];
        let answer = self.invoke("diff-tree").args(arguments).output_bytes_max(CHANGES_BYTES_MAX).run().await?;
        let mut changes = parse_raw(&answer.stdout)?;
        self.read_link_targets(&mut changes).await?;
        Ok(changes)
    }

    /// The names git would show as renamed between two commits, new name by old name.
    pub async fn renames(&self, before: &Oid, after: &Oid) -> Result<BTreeMap<String, String>, GitError> {
        let arguments = ["-r", "-z", "--name-status", "--find-renames", "--diff-filter=R", before.as_str(), after.as_str()];
        let answer = self.invoke("diff-tree").args(arguments).output_bytes_max(CHANGES_BYTES_MAX).run().await?;
        let mut renames = BTreeMap::new();
        let mut fields = records(&answer.stdout);
        while let Some(_status) = fields.next() {
            let (Some(old), Some(new)) = (fields.next(), fields.next()) else {
                return Err(GitError::unexpected("diff-tree", "half a rename"));
            };
            renames.insert(path_text(old)?, path_text(new)?);
        }
        Ok(renames)
    }

    /// The unified diff between two commits or trees, renames shown, cut after `bytes_max` at a line's end. `paths` limits it (empty = all).
    pub async fn diff_text(&self, before: &Oid, after: &Oid, paths: &[String], bytes_max: usize) -> Result<DiffText, GitError> {
        let arguments =
            ["-r", "-p", "--find-renames", "--no-ext-diff", "--no-textconv", "--no-color", before.as_str(), after.as_str(), "--"];
        let mut cut = Cut { bytes: Vec::new(), bytes_max, over: false };
        let command = self.invoke("diff-tree").args(arguments).args(paths).output_bytes_max(u64::MAX);
        let streams = super::command::Streams { input: None, output: Some(&mut cut) };
        match command.run_with(streams).await {
            Ok(_) => {}
            Err(GitError::Io { .. }) if cut.over => {}
            Err(error) => return Err(error),
        }
        Ok(cut.finish())
    }

    async fn read_link_targets(&self, changes: &mut [DiffEntry]) -> Result<(), GitError> {
        for change in changes.iter_mut().filter(|change| change.after == SideKind::Link) {
            let Some(oid) = &change.after_oid else { continue };
            change.link_target = match self.read_blob(oid, LINK_BYTES_MAX).await {
                Ok(target) => Some(String::from_utf8_lossy(&target).into_owned()),
                Err(GitError::TooMuch { .. }) => None,
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }
}

/// `:<mode> <mode> <oid> <oid> <status>` NUL `<path>` NUL, repeated.
fn parse_raw(bytes: &[u8]) -> Result<Vec<DiffEntry>, GitError> {
    let mut changes = Vec::new();
    let mut fields = records(bytes);
    while let Some(head) = fields.next() {
        let unknown = || GitError::unexpected("diff-tree", String::from_utf8_lossy(head));
        let words: Vec<&str> = text_of("diff-tree", head)?.strip_prefix(':').ok_or_else(unknown)?.split(' ').collect();
        let [old_mode, new_mode, old_oid, new_oid, _status] = words[..] else { return Err(unknown()) };
        let path = path_text(fields.next().ok_or_else(unknown)?)?;
        let before = SideKind::from_bits(octal_of("diff-tree", old_mode.as_bytes())?);
        let after = SideKind::from_bits(octal_of("diff-tree", new_mode.as_bytes())?);
        let change = match (before, after) {
            (SideKind::Absent, _) => ChangeKind::Added,
            (_, SideKind::Absent) => ChangeKind::Deleted,
            _ if old_oid == new_oid => ChangeKind::ModeChanged,
            _ => ChangeKind::Modified,
        };
        let present = |oid: &str| oid_of("diff-tree", oid.as_bytes()).map(|oid| (!oid.is_zero()).then_some(oid));
        changes.push(DiffEntry {
            path,
            change,
            before,
            after,
            before_oid: present(old_oid)?,
            after_oid: present(new_oid)?,
            link_target: None,
        });
    }
    Ok(changes)
}

/// Whether a link at `path` may lead out of the tree. Safe against links through links: a path's directories are real, so leading `..` climb as they
/// read; after a name that may itself be a link, a `..` would climb from somewhere else, so it counts as leaving.
fn leaves_tree(path: &str, target: &str) -> bool {
    let depth = path.matches('/').count();
    let mut climbed = 0_usize;
    let mut descended = false;
    if target.is_empty() || target.starts_with('/') || target.contains('\0') {
        return true;
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if descended => return true,
            ".." => climbed += 1,
            part if part.eq_ignore_ascii_case(".git") => return true,
            _ => descended = true,
        }
    }
    climbed > depth
}

/// A sink that keeps the beginning and then refuses, which ends the command.
struct Cut {
    bytes: Vec<u8>,
    bytes_max: usize,
    over: bool,
}

impl Cut {
    fn finish(mut self) -> DiffText {
        if self.over {
            let end = self.bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
            self.bytes.truncate(end);
        }
        DiffText { text: String::from_utf8_lossy(&self.bytes).into_owned(), truncated: self.over }
    }
}

impl tokio::io::AsyncWrite for Cut {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
        block: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let room = self.bytes_max.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&block[..room.min(block.len())]);
        if block.len() > room {
            self.over = true;
            return std::task::Poll::Ready(Err(std::io::Error::other("enough")));
        }
        std::task::Poll::Ready(Ok(block.len()))
    }

    fn poll_flush(self: std::pin::Pin<&mut Self>, _context: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: std::pin::Pin<&mut Self>, _context: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_leave_the_tree_are_seen() {
        for (path, target) in [
            ("a", "/etc"),
            ("a", ".."),
            ("a/b", "../.."),
            ("a", "b/../../x"),
            ("d/x", "e/l/../secret"),
            ("a", ""),
            ("a", ".git/config"),
            ("a/b", "../.Git"),
        ] {
            assert!(leaves_tree(path, target), "{path} -> {target}");
        }
        for (path, target) in [("a", "b"), ("a/b", "../c"), ("a/b/c", "../../d/e"), ("a", "./b"), ("a", ".gitignore"), ("a/b", "..")] {
            assert!(!leaves_tree(path, target), "{path} -> {target}");
        }
    }
}
