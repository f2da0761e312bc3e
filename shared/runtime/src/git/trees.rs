//! New trees made from old ones by single edits, without a work tree.

use super::scan::{check_path, oid_of};
use super::{Git, GitError, Oid};

/// What an entry of a tree is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EntryMode {
    /// An ordinary file.
    File,
    /// A file with its executable bit set.
    Executable,
    /// A symbolic link.
    Link,
    /// A commit of another repository.
    Submodule,
}

impl EntryMode {
    /// Reads git's number. The group-writable files of very old histories are files.
    pub(crate) fn from_bits(bits: u32) -> Option<Self> {
        match bits {
            0o100_644 | 0o100_664 => Some(Self::File),
            0o100_755 => Some(Self::Executable),
            0o120_000 => Some(Self::Link),
            0o160_000 => Some(Self::Submodule),
            _ => None,
        }
    }

    /// git's number, in octal digits.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Link => "120000",
            Self::Submodule => "160000",
        }
    }
}

/// One edit of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TreeEdit {
    /// Put an entry at a path, replacing what is there.
    Put {
        /// The path.
        path: String,
        /// What it is.
        mode: EntryMode,
        /// Its object, which must exist (but for submodules).
        oid: Oid,
    },
    /// Take a path away; absent is fine.
    Remove {
        /// The path.
        path: String,
    },
}

impl TreeEdit {
    /// The path it touches.
    pub fn path(&self) -> &str {
        match self {
            Self::Put { path, .. } | Self::Remove { path } => path,
        }
    }
}

impl Git {
    /// The tree that `edits` make of a commit's or tree's. No edits: its own tree.
    pub async fn edit_tree(&self, base: &Oid, edits: &[TreeEdit]) -> Result<Oid, GitError> {
        if edits.is_empty() {
            return self.tree_of(base).await;
        }
        for edit in edits {
            check_path(edit.path())?;
        }
        let scratch = tempfile::Builder::new().prefix("edit-").tempdir_in(&self.git_dir).map_err(GitError::io("read-tree"))?;
        let git = self.clone().with_index(&scratch.path().join("index")).without_work_tree();
        git.invoke("read-tree").arg(base.as_str()).run().await?;
        let answer = git.invoke("update-index").args(["-z", "--replace", "--index-info"]).input(index_info(base, edits)).run().await?;
        if answer.stderr.contains("Ignoring path") {
            return Err(GitError::unexpected("update-index", answer.stderr));
        }
        git.write_tree().await
    }

    /// The tree of the handle's index.
    pub(crate) async fn write_tree(&self) -> Result<Oid, GitError> {
        let answer = self.invoke("write-tree").long().run().await?;
        oid_of("write-tree", answer.line("write-tree")?.as_bytes())
    }

    fn without_work_tree(mut self) -> Self {
        self.work_tree = None;
        self
    }
}

/// Removals first, so that a directory may take a removed file's place.
fn index_info(base: &Oid, edits: &[TreeEdit]) -> String {
    let zero = base.zero();
    let mut removals = String::new();
    let mut puts = String::new();
    for edit in edits {
        match edit {
            TreeEdit::Remove { path } => removals.push_str(&format!("0 {zero}\t{path}\0")),
            TreeEdit::Put { path, mode, oid } => puts.push_str(&format!("{} {oid}\t{path}\0", mode.as_str())),
        }
    }
    removals + &puts
}
