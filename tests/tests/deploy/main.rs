//! What `deploy/` holds, each in the way its own tool would read it: the install script against archives that are and are not what they should be.
#![allow(clippy::unwrap_used, missing_docs)]

mod install;

use std::path::PathBuf;

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}
