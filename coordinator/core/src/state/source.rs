//! Where a run comes from.

use serde::{Deserialize, Serialize};

/// Where a run comes from: the same repository and spec path is the same run while unfinished.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct RunSource {
    /// Key of the repository: its root commit.
    pub repository: String,
    /// Real path of its common git directory, on the submitting host.
    pub git_dir: String,
    /// Real path of the spec's folder, on the submitting host.
    pub spec_path: String,
    /// Real path of the working directory the run was started in.
    pub workdir: String,
}

impl RunSource {
    /// Whether it is the same repository and spec path; the working directory does not matter.
    pub fn is_same(&self, other: &RunSource) -> bool {
        self.git_dir == other.git_dir && self.spec_path == other.spec_path
    }
}
