//! Copies of an index.

use std::io;
use std::path::Path;

use super::GitError;
use super::files::blocking;

/// Copies an index file with its time; `false` if there is none. git trusts what an index says of a file only if the file is older than the index, as
/// far as its times can tell, which is to the second. A copy with a later time would hide a change that came within a second and kept the size.
pub(super) async fn copy_index(verb: &'static str, from: &Path, to: &Path) -> Result<bool, GitError> {
    let (from, to) = (from.to_owned(), to.to_owned());
    blocking(verb, move || {
        match std::fs::copy(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let written = std::fs::metadata(&from)?.modified()?;
        std::fs::File::options().write(true).open(&to)?.set_modified(written)?;
        Ok(true)
    })
    .await
}
