//! What `deploy/` holds, each in the way its own tool would read it, or started as it would be there.
#![allow(clippy::unwrap_used, missing_docs)]

mod install;
mod systemd;

use std::path::PathBuf;

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}
