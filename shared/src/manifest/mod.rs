//! Manifests: which paths a unit writes and reads, and when two of them could meet.
//!
//! Owns normalisation of entries, matching and the exact conflict test. Knows nothing of holds, hazards or git.

mod conflicting;
mod glob;
mod index;
mod path;
mod product;
mod set;

pub use conflicting::{ConflictingIds, FirstIds};
pub use index::PathIndex;
pub use path::{PathError, may_be_folder, normalise_entry, normalise_path};
pub use set::{Conflict, PathSet};

use serde::{Deserialize, Serialize};

/// What a unit writes and reads (docs/spec-format.md, "What a unit writes and reads").
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// Paths it may write.
    pub writes: PathSet,
    /// Paths it reads.
    pub reads: PathSet,
}

impl Manifest {
    /// Compiles both lists; `ignore_case` as the repository's `core.ignorecase`.
    pub fn new<S: AsRef<str>>(writes: &[S], reads: &[S], ignore_case: bool) -> Result<Self, PathError> {
        Ok(Self { writes: PathSet::new(writes, ignore_case)?, reads: PathSet::new(reads, ignore_case)? })
    }

    /// A unit without writes and reads counts as reading and writing everything.
    pub fn is_exclusive(&self) -> bool {
        self.writes.is_empty() && self.reads.is_empty()
    }

    /// Whether some path could be written by both: what holds forbid.
    pub fn conflicts(&self, other: &Manifest) -> bool {
        self.is_exclusive() || other.is_exclusive() || self.writes.conflicts(&other.writes)
    }

    /// Whether this unit must wait for an `earlier` one: the earlier writes what this one reads or writes.
    pub fn waits_for(&self, earlier: &Manifest) -> bool {
        if self.is_exclusive() || earlier.is_exclusive() {
            return true;
        }
        earlier.writes.conflicts(&self.writes) || earlier.writes.conflicts(&self.reads)
    }
}
