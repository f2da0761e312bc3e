//! Starting a run.

use serde::{Deserialize, Serialize};

use super::plan::ProblemView;
use crate::domain::RunOptions;

/// Header of a submission; the spec's files follow.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SubmitRequest {
    /// Key of the repository: its root commit.
    pub repository: String,
    /// Real path of the common git directory.
    pub git_dir: String,
    /// Real path of the spec's folder.
    pub spec_path: String,
    /// Real path of the working directory.
    pub workdir: String,
    /// Spec's folder relative to the repository's top; `None` if it lies outside.
    pub spec_in_repository: Option<String>,
    /// Mirror files relative to the repository's top, where they lie inside it: never changes of a unit.
    #[serde(default)]
    pub mirror_paths: Vec<String>,
    /// Base commit, uploaded before.
    pub base: String,
    /// The branch that is checked out, if one.
    pub started_branch: Option<String>,
    /// Options.
    pub options: RunOptions,
    /// Whether the mode was asked for; else an unfinished run keeps its own.
    #[serde(default)]
    pub mode_given: bool,
    /// Keep an unfinished run of the same source and start another.
    pub fresh: bool,
    /// Treat missing requirements or design as errors.
    pub strict: bool,
    /// Only say what would happen: parse, lint, find the run to resume.
    pub dry_run: bool,
    /// Text of an `AGENT_STATE.json` to continue from.
    #[serde(default)]
    pub import: Option<String>,
    /// Whether that text is one that the client wrote as a mirror file, so that the run it names is this one.
    #[serde(default)]
    pub import_is_ours: bool,
    /// Units that text calls completed count as such, whether their files are in the base or not.
    #[serde(default)]
    pub import_is_trusted: bool,
    /// Real path of the repository's top folder; empty if unknown.
    #[serde(default)]
    pub top: String,
}

/// What became of a submission.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SubmitReply {
    /// The run; empty when there are errors.
    pub run: String,
    /// An unfinished run of the same source goes on.
    pub resumed: bool,
    /// The source's last run is finished and nothing is new: its summary holds.
    pub finished: bool,
    /// Problems of the spec that stop it.
    pub errors: Vec<ProblemView>,
    /// Problems worth knowing.
    pub warnings: Vec<ProblemView>,
    /// Set when an unfinished run exists but its plan or plan-shaping options differ: what differs (the way out is `--fresh`).
    pub changed: Option<String>,
    /// Set when an unfinished run exists that did not begin with the state given.
    #[serde(default)]
    pub other_state: bool,
    /// The commit an unfinished run started from.
    #[serde(default)]
    pub base: String,
    /// What importing a state came to, as far as the user should know.
    #[serde(default)]
    pub notices: Vec<String>,
    /// Names what an assignment agent is asked about; empty where no run was made.
    #[serde(default)]
    pub inputs_digest: String,
    /// Units that will run.
    pub units: u32,
    /// Least number of agent calls still to make.
    pub calls: u32,
}
