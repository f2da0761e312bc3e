//! Files that never enter a commit although they lie in the directory: known by path and by content, so that no moving or copying brings them in.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Content shorter than this says nothing about where it came from.
const CONTENT_BYTES_MIN: u64 = 8;

/// A file that is not to be committed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Withheld {
    /// Where it was put, relative to the directory.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Digest of its content.
    pub digest: String,
}

impl Withheld {
    /// A file with this content at this path.
    pub fn new(path: impl Into<String>, content: &[u8]) -> Self {
        let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        Self { path: path.into(), bytes, digest: blake3::hash(content).to_hex().to_string() }
    }
}

impl Withheld {
    /// Whether something of that size may be it, and is enough to say where it came from.
    pub(super) fn has_telling_size(&self, bytes: u64) -> bool {
        self.bytes == bytes && bytes >= CONTENT_BYTES_MIN
    }

    /// Whether that is its content.
    pub(super) fn is_content(&self, content: &[u8]) -> bool {
        u64::try_from(content.len()).is_ok_and(|bytes| self.has_telling_size(bytes))
            && blake3::hash(content).to_hex().as_str() == self.digest
    }
}

/// Looks for them among paths.
pub(crate) struct Filter {
    paths: BTreeSet<Vec<u8>>,
    contents: BTreeMap<u64, BTreeSet<String>>,
}

impl Filter {
    pub(crate) fn new(withheld: &[Withheld]) -> Self {
        let mut contents: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        for file in withheld.iter().filter(|file| file.bytes >= CONTENT_BYTES_MIN) {
            contents.entry(file.bytes).or_default().insert(file.digest.clone());
        }
        Self { paths: withheld.iter().map(|file| file.path.as_bytes().to_vec()).collect(), contents }
    }

    /// Whether a path is one of theirs, or lies below one that was made a directory.
    pub(crate) fn has_path(&self, path: &[u8]) -> bool {
        let mut parents = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
        !self.paths.is_empty() && (self.paths.contains(path) || parents.any(|parent| self.paths.contains(parent)))
    }

    /// Takes the paths with a withheld content out of a list, and gives them.
    pub(crate) fn take_by_content(&self, dir: &Path, paths: &mut Vec<Vec<u8>>) -> io::Result<Vec<Vec<u8>>> {
        let (mut kept, mut withheld) = (Vec::with_capacity(paths.len()), Vec::new());
        for path in paths.drain(..) {
            let list = if self.has_content(&dir.join(OsStr::from_bytes(&path)))? { &mut withheld } else { &mut kept };
            list.push(path);
        }
        *paths = kept;
        Ok(withheld)
    }

    fn has_content(&self, file: &PathBuf) -> io::Result<bool> {
        if self.contents.is_empty() {
            return Ok(false);
        }
        // A link is committed as a link: it carries a name, not a content.
        let facts = match file.symlink_metadata() {
            Ok(facts) if facts.is_file() => facts,
            _ => return Ok(false),
        };
        let Some(digests) = self.contents.get(&facts.len()) else { return Ok(false) };
        match std::fs::read(file) {
            Ok(content) => Ok(digests.contains(blake3::hash(&content).to_hex().as_str())),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                // git could not read it either, and has everything made readable then.
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
