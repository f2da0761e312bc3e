//! Mirror files on disk: where they lie and how they are written. What stands in them is rendered by the coordinator.

mod files;
mod location;
mod record;
mod writer;

pub use files::MirrorFiles;
pub use location::{Location, MirrorPaths, locate};
pub use record::forget_gone;
pub use writer::{MirrorWriter, Report, note_read, was_written};
