//! Acts of a person, as they cross the wire.

use serde::{Deserialize, Serialize};

use super::plan::AssignmentView;
use super::query::RunSelector;

/// An act.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Operation {
    /// The run; ignored where `all` is set.
    #[serde(flatten)]
    pub run: RunSelector,
    /// All runs (pause, resume).
    #[serde(default)]
    pub all: bool,
    /// What.
    pub act: OperationAct,
}

/// What is done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum OperationAct {
    /// Answer a decision.
    Decide {
        /// Its id.
        id: String,
        /// Number, letter, keyword or the option's text, as typed.
        choice: String,
        /// For resume: a commit the coordinator has (upload it first).
        #[serde(default)]
        commit: Option<String>,
        /// For skip: `go-on` or `skip`.
        #[serde(default)]
        dependants: Option<String>,
        /// For the record.
        #[serde(default)]
        note: Option<String>,
    },
    /// Change an assignment.
    Assign {
        /// Unit.
        unit: String,
        /// Owner.
        #[serde(default)]
        owner: Option<String>,
        /// Criticality word.
        #[serde(default)]
        criticality: Option<String>,
        /// Writes.
        #[serde(default)]
        writes: Option<Vec<String>>,
        /// Reads.
        #[serde(default)]
        reads: Option<Vec<String>>,
        /// Labels of whoever works on it.
        #[serde(default)]
        requires: Option<Vec<String>>,
    },
    /// Keep what an assignment agent answered before any run (the run named is ignored).
    KeepAssignment {
        /// It.
        assignment: AssignmentView,
    },
    /// Change assignments by a document: all of it, or nothing.
    AssignDocument {
        /// The document, as the assignment agent answers.
        document: String,
    },
    /// The work seat again, counters at 0.
    Retry {
        /// Unit.
        unit: String,
    },
    /// Go on without it.
    Skip {
        /// Unit.
        unit: String,
        /// `go-on` or `skip`.
        #[serde(default)]
        dependants: Option<String>,
    },
    /// End a unit or the run.
    Cancel {
        /// Unit; absent = the run.
        #[serde(default)]
        unit: Option<String>,
    },
    /// Grant nothing more.
    Pause {
        /// For the record.
        #[serde(default)]
        note: Option<String>,
    },
    /// Grant again.
    Resume,
    /// Manual mode: one phase.
    Step {
        /// `assign`, `dispatch`, `reviews`, `consolidate`, `sync-pulse`.
        phase: String,
    },
    /// The user's branch was moved.
    RecordAccept {
        /// Which.
        branch: String,
        /// Where to.
        commit: String,
    },
    /// Remove an ended run's files; what the log says of it stays.
    Remove {
        /// Also if it is complete and nobody has accepted its commits.
        #[serde(default)]
        force: bool,
    },
    /// Stop for now; running again goes on.
    Halt {
        /// For the record.
        reason: String,
    },
    /// Grant nothing more to a worker (the run named is ignored).
    Drain {
        /// Its name.
        worker: String,
    },
    /// Grant to it again (the run named is ignored).
    Undrain {
        /// Its name.
        worker: String,
    },
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OperationReply {
    /// Full id of the run it was done to; empty for all.
    pub run: String,
    /// In words.
    pub text: String,
    /// It had been done before; nothing changed.
    #[serde(default)]
    pub unchanged: bool,
}
