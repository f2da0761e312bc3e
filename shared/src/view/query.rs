//! What can be asked about.

use serde::{Deserialize, Serialize};

/// Names a run: a full id, a unique prefix, or `None` = the only unfinished run of the repository, else its latest.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RunSelector {
    /// Id or unique prefix.
    #[serde(default)]
    pub run: Option<String>,
    /// Real path of the common git directory, for `run: None`; if absent too, all repositories count.
    #[serde(default)]
    pub git_dir: Option<String>,
}

/// A `PROJECT_PULSE.md` as it stands.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ExistingPulse {
    /// Its text; `None` if there is none.
    #[serde(default)]
    pub existing_pulse: Option<String>,
    /// Lines of it that its writer did not write; `None` if no writer knows.
    #[serde(default)]
    pub foreign_lines: Option<Vec<String>>,
}

/// A question; the answer is the JSON of the type named.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "query")]
pub enum Query {
    /// `Vec<RunLine>`, oldest first.
    Runs,
    /// [`super::StatusView`].
    Status {
        /// Which run.
        #[serde(flatten)]
        run: RunSelector,
    },
    /// [`super::SummaryView`].
    Summary {
        /// Which run.
        #[serde(flatten)]
        run: RunSelector,
    },
    /// [`super::ShowView`].
    Show {
        /// Which run.
        #[serde(flatten)]
        run: RunSelector,
        /// Unit (or one of its tasks).
        unit: String,
    },
    /// [`super::PromptView`].
    Prompt {
        /// Which run.
        #[serde(flatten)]
        run: RunSelector,
        /// Unit (or one of its tasks); `-` = the run's own seats.
        unit: String,
        /// Which attempt; the last that had a prompt, if absent.
        #[serde(default)]
        attempt: Option<u32>,
    },
    /// `Vec<FindingView>`.
    Findings {
        /// Which run.
        #[serde(flatten)]
        run: RunSelector,
        /// Only this unit's.
        #[serde(default)]
        unit: Option<String>,
    },
    /// `Vec<AttemptView>`.
    Attempts {
        /// Which run.
        #[serde(flatten)]
        run: RunSelector,
        /// Unit; `-` = the run's own seats.
        unit: String,
    },
    /// [`super::ExplainView`].
    Explain {
        /// Which run.
        #[serde(flatten)]
        run: RunSelector,
        /// Unit.
        unit: String,
    },
    /// `Vec<DecisionView>`: open ones; of all unfinished runs if no run is named.
    Decisions {
        /// Which run.
        #[serde(flatten)]
        run: RunSelector,
        /// Answered ones too.
        #[serde(default)]
        all: bool,
    },
    /// [`super::DiffView`]: of a unit's last attempt against its base, or of the run's branch against the run's base.
    Diff {
        /// Which run.
        #[serde(flatten)]
        run: RunSelector,
        /// Unit.
        #[serde(default)]
        unit: Option<String>,
    },
    /// `Vec<WorkerView>`.
    Workers,
    /// [`super::DiskView`]: what the data directory takes on the disk.
    Disk,
    /// [`super::MirrorView`].
    Mirror {
        /// Which run.
        #[serde(flatten)]
        run: RunSelector,
        /// The present `PROJECT_PULSE.md`, in which a person's own lines are kept.
        #[serde(flatten)]
        existing: ExistingPulse,
    },
    /// What the assignment agent of a run answered: `Option<AssignmentView>`.
    Assignment {
        /// Which run.
        #[serde(flatten)]
        run: RunSelector,
    },
    /// The unfinished run of a source, if one: `Option<RunLine>`.
    FindSource {
        /// Real path of the common git directory.
        git_dir: String,
        /// Real path of the spec's folder.
        spec_path: String,
    },
}
