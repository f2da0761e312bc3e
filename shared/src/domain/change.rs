//! Facts about what a commit changed, as git tells them; what they mean is the core's to say.

use serde::{Deserialize, Serialize};

/// One path that differs between a base and a result. A rename is a `Deleted` and an `Added`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChangedPath {
    /// Repository-relative, `/`-separated. Bytes that are no UTF-8 are replaced and `unreadable` is set.
    pub path: String,
    /// How it differs.
    pub change: ChangeKind,
    /// What the path is in the result (in the base, for `Deleted`).
    pub entry: EntryKind,
    /// The path's bytes are no UTF-8: it can be covered by no manifest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unreadable: bool,
    /// The content says what the base's says in another encoding: other line ends, another form of Unicode, a byte order mark more or less.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reencoded: bool,
}

/// How a path differs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Not in the base.
    Added,
    /// Other content.
    Modified,
    /// Not in the result.
    Deleted,
    /// Same content, other mode or type.
    ModeChanged,
}

/// What a path is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// An executable file.
    Executable,
    /// A symbolic link that stays inside the tree.
    Symlink,
    /// A symbolic link that leaves the tree.
    EscapingSymlink,
    /// A submodule.
    Gitlink,
}
