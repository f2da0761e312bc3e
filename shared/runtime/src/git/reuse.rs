//! What of a used directory may stay for its next commit. An index says of a file that it is as it was when the index was written: which bytes those are
//! depends on the attributes that counted then (line ends, encodings, keywords), and those may be another commit's, or an agent's.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tokio::fs;

use super::files::blocking;
use super::scan::records;
use super::{Checkout, Git, GitError, Oid};

/// Output of a list of files.
const LIST_BYTES_MAX: u64 = 512 << 20;
/// The file that says what git does to the files beside and below it.
const ATTRIBUTES: &[u8] = b".gitattributes";

impl Git {
    /// The files (NUL-ended paths) of an ended attempt's directory that are in an index whose word can be taken for what the new checkout wants there,
    /// that index being at its place then. `before`: the commit whose checkout the directory was; it decides by whose attributes the files lie there.
    /// Empty: nothing of the directory may stay.
    pub(super) async fn reusable(&self, new: &Checkout, before: Option<Oid>) -> Result<Vec<u8>, GitError> {
        let before = before.filter(|before| before.as_str().len() == new.commit.as_str().len());
        let Some(before) = before else { return Ok(Vec::new()) };
        if new.is_plain().await? {
            return Ok(Vec::new());
        }
        let (index_file, last_file) = (new.index_file(), new.last_index_file());
        let has_last = matches!(fs::try_exists(&last_file).await, Ok(true));
        let last = async {
            match has_last {
                true => self.listed(new, &last_file).await.map(Some),
                false => Ok(None),
            }
        };
        // Side by side: an attempt waits for all three.
        let is_same = self.has_same_attributes(&before, &new.commit);
        let (is_same, first, last) = tokio::join!(is_same, self.listed(new, &index_file), last);
        if !is_same {
            return Ok(Vec::new());
        }
        let first = first?;
        let Some(last) = last? else { return Ok(first) };
        // The last commit's index knows more of what lies there, and knows it since a time that git's coarse file times can tell from later edits. But
        // what it knows of files the agent wrote, it knows by the attributes the agent left: those files are as the commit has them only if there are none.
        let (dir, listed) = (new.dir.clone(), last.clone());
        let free_of_attributes =
            !has_attributes(&first) && !blocking("checkout", move || Ok(has_attributes(&listed) || lie_about(&dir, &listed))).await?;
        if !free_of_attributes {
            return Ok(first);
        }
        fs::rename(new.last_index_file(), new.index_file()).await.map_err(GitError::io("checkout"))?;
        Ok(last)
    }

    async fn listed(&self, checkout: &Checkout, index_file: &Path) -> Result<Vec<u8>, GitError> {
        let git = self.clone().with_work_tree(&checkout.dir, index_file);
        Ok(git.invoke("ls-files").args(["-z", "--cached"]).output_bytes_max(LIST_BYTES_MAX).run().await?.stdout)
    }

    /// Whether two commits have the same attributes everywhere. What cannot be told counts as not.
    async fn has_same_attributes(&self, one: &Oid, other: &Oid) -> bool {
        if one == other {
            return true;
        }
        let command = self.invoke("diff-tree").args(["-r", "-z", "--name-only", "--no-renames", one.as_str(), other.as_str()]);
        command.output_bytes_max(LIST_BYTES_MAX).run().await.is_ok_and(|answer| !has_attributes(&answer.stdout))
    }
}

fn has_attributes(listed: &[u8]) -> bool {
    records(listed).any(|path| path.rsplit(|byte| *byte == b'/').next() == Some(ATTRIBUTES))
}

/// Whether attributes that are in no index lie in a directory of a listed file, or above it.
fn lie_about(dir: &Path, listed: &[u8]) -> bool {
    let lie_in = |inside: &[u8]| dir.join(OsStr::from_bytes(inside)).join(OsStr::from_bytes(ATTRIBUTES)).symlink_metadata().is_ok();
    let mut last: &[u8] = b"";
    lie_in(b"")
        || records(listed).any(|path| {
            let parents = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
            // Listed in order, so most files have the directory of the one before.
            let mut new = parents.filter(|parent| !(last.starts_with(parent) && last.get(parent.len()) == Some(&b'/')));
            let found = new.any(lie_in);
            last = path;
            found
        })
}
