//! Repositories with a real git.
#![allow(clippy::unwrap_used)]
