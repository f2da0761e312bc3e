//! What `deploy/` holds, each in the way its own tool would read it, or started as it would be there.
#![allow(clippy::unwrap_used, missing_docs)]

mod commands;
mod compose;
mod containers;
mod fresh_user;
mod install;
mod kubernetes;
mod samples;
mod systemd;
mod yaml;

use std::path::PathBuf;

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}
