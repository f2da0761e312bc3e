//! What every crate speaks: ids, domain types, manifests, the spec parser, answers of agents, error codes, limits.
//!
//! Pure: no clock, no randomness, no IO, no async. Nothing here knows of gRPC, git, files or processes.

pub mod answer;
pub mod domain;
pub mod error;
pub mod ids;
pub mod limits;
pub mod manifest;
pub mod spec;
pub mod text;
pub mod time;
pub mod view;

pub use domain::*;
pub use ids::*;
