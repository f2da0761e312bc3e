//! Mirror files on disk: where they lie and how they are written. What stands in them is rendered by the coordinator.

mod location;
mod record;
mod writer;

pub use location::{Location, MirrorPaths, locate};
pub use writer::{MirrorWriter, Report};
