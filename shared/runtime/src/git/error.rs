//! What can go wrong with git, in variants a caller can act on.

use std::io;
use std::path::PathBuf;

use super::{GitVersion, Oid, RefName};

/// A failure of a git operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// No git program.
    #[error("git was not found in PATH; install git {} or newer", GitVersion::OLDEST)]
    NoProgram,
    /// The program is too old, or does not say its version.
    #[error("{} is git {found}, but {} or newer is needed; install a newer git or put it first in PATH", program.display(), GitVersion::OLDEST)]
    TooOld {
        /// Which program.
        program: PathBuf,
        /// What it says.
        found: String,
    },
    /// The program could not be started.
    #[error("git {verb} could not be started: {source}")]
    Spawn {
        /// The git command.
        verb: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Reading or writing its streams, or a file beside it, failed.
    #[error("git {verb}: {source}")]
    Io {
        /// The git command, or what was done for it.
        verb: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The command said no.
    #[error("git {verb} failed with exit code {code}: {stderr}")]
    Failed {
        /// The git command.
        verb: &'static str,
        /// Its exit code; 128 + signal if one ended it.
        code: i32,
        /// The end of what it wrote on stderr.
        stderr: String,
    },
    /// It took longer than its limit and was killed.
    #[error("git {verb} took longer than {limit_ms} ms and was ended")]
    TimedOut {
        /// The git command.
        verb: &'static str,
        /// The limit.
        limit_ms: u64,
    },
    /// It wrote more than the caller admits.
    #[error("git {verb} gave more than {bytes_max} bytes")]
    TooMuch {
        /// The git command.
        verb: &'static str,
        /// The bound.
        bytes_max: u64,
    },
    /// Its output does not have the documented form.
    #[error("git {verb} answered in an unknown form: {what}")]
    Unexpected {
        /// The git command.
        verb: &'static str,
        /// What was seen.
        what: String,
    },
    /// Not an object id.
    #[error("{text:?} is not an object id (40 or 64 lower-case hex digits)")]
    BadOid {
        /// The text.
        text: String,
    },
    /// Not a ref name.
    #[error("{text:?} is not a ref name git accepts")]
    BadRef {
        /// The text.
        text: String,
    },
    /// Not a path inside a repository.
    #[error("{path:?} is no path inside the repository: {why}")]
    BadPath {
        /// The path, invalid UTF-8 replaced.
        path: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// A revision that names nothing.
    #[error("{rev:?} names no commit in {}; give a branch, tag or commit that exists there", repository.display())]
    UnknownRevision {
        /// As asked.
        rev: String,
        /// Where.
        repository: PathBuf,
    },
    /// The folder is in no git repository.
    #[error("{} is not inside a git repository; create one with: git init && git add -A && git commit -m start", path.display())]
    NotARepository {
        /// The folder.
        path: PathBuf,
    },
    /// The repository has no work tree.
    #[error("{} is a bare repository; run from a checkout of it", path.display())]
    Bare {
        /// The folder.
        path: PathBuf,
    },
    /// The repository has no commit yet.
    #[error("{} has no commit yet; make one with: git add -A && git commit -m start", path.display())]
    NoCommit {
        /// The folder.
        path: PathBuf,
    },
    /// A ref is not where the caller believed.
    #[error("{name} is at {}, not at {}", show(found), show(expected))]
    RefMoved {
        /// The ref.
        name: RefName,
        /// What the caller believed; `None` = that it does not exist.
        expected: Option<Oid>,
        /// What is there.
        found: Option<Oid>,
    },
    /// An object that should be there is not.
    #[error("object {oid} is not in {}", repository.display())]
    Missing {
        /// Which.
        oid: Oid,
        /// Where.
        repository: PathBuf,
    },
    /// An object of a repository cannot be read.
    #[error("{} has objects that cannot be read ({}); see which with `git fsck`, then fetch them again or restore a backup", repository.display(), why.trim())]
    Damaged {
        /// Which repository.
        repository: PathBuf,
        /// git's words.
        why: String,
    },
    /// A received pack is damaged, hostile, incomplete or too large; nothing of it was kept.
    #[error("the received objects were refused: {why}")]
    PackRefused {
        /// git's words, or ours.
        why: String,
    },
    /// A directory holds more than may be committed.
    #[error("{found} {what} would be committed from {}, more than the {max} that may be; ignore or remove generated files", dir.display())]
    TooLarge {
        /// The directory.
        dir: PathBuf,
        /// `files` or `bytes`.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// The bound.
        max: u64,
    },
}

impl GitError {
    pub(crate) fn io(verb: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { verb, source }
    }

    pub(crate) fn unexpected(verb: &'static str, what: impl Into<String>) -> Self {
        let mut what: String = what.into();
        if let Some((cut, _)) = what.char_indices().nth(200) {
            what.truncate(cut);
        }
        Self::Unexpected { verb, what }
    }

    /// Whether the machine is to blame (its disk, its memory, its limits, the program) rather than what was to be worked on.
    pub fn is_of_machine(&self) -> bool {
        const PHRASES: [&str; 9] = [
            "No space left on device",
            "Disk quota exceeded",
            "Input/output error",
            "Read-only file system",
            "Too many open files",
            "Cannot allocate memory",
            "out of memory",
            "Out of memory",
            "Resource temporarily unavailable",
        ];
        match self {
            // Killed from outside.
            Self::Failed { code: 137 | 143, .. } | Self::NoProgram | Self::TooOld { .. } | Self::Spawn { .. } | Self::TimedOut { .. } => {
                true
            }
            Self::Failed { stderr, .. } => PHRASES.iter().any(|phrase| stderr.contains(phrase)),
            Self::Io { source, .. } => !is_of_paths(source),
            _ => false,
        }
    }
}

/// Whether a path is not what it was taken for, which says nothing about the machine.
fn is_of_paths(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::NotFound
            | K::PermissionDenied
            | K::AlreadyExists
            | K::NotADirectory
            | K::IsADirectory
            | K::DirectoryNotEmpty
            | K::InvalidFilename
            | K::InvalidInput
    ) || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

fn show(oid: &Option<Oid>) -> String {
    oid.as_ref().map_or_else(|| "nothing".to_owned(), Oid::to_string)
}
