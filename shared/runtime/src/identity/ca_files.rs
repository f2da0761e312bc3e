//! The files of an authority's directory: read whole and bounded, and what to do about one that is not what it should be.

use std::path::Path;

use super::IdentityError;
use crate::fsx;

/// Largest file of the CA.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A file's text; one that is not there is an error.
pub(super) fn read(path: &Path) -> Result<String, IdentityError> {
    let bytes = fsx::read_bounded(path, FILE_BYTES_MAX).map_err(IdentityError::io(path))?;
    let bytes = bytes.ok_or_else(|| IdentityError::io(path)(std::io::ErrorKind::NotFound.into()))?;
    String::from_utf8(bytes).map_err(|error| bad_file(path, error))
}

/// What is wrong with a file, and what to do about it.
pub(super) fn bad_file(path: &Path, error: impl std::fmt::Display) -> IdentityError {
    IdentityError::BadFile {
        path: path.to_owned(),
        why: format!("{error}; restore it from a backup, or remove the directory to begin a new cluster"),
    }
}
