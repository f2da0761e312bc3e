//! Answers of agents: finds the JSON object in what they said last, reads it leniently, refuses what cannot be meant. The published schemas
//! are here too. Asking again and falling back are the engine's.

mod assign;
mod document;
mod extract;
mod fields;
mod orchestrate;
mod review;
mod tolerant;
mod work;

pub use assign::{AssignAnswer, CheckedAssignment, Proposal, Refusal};
pub use extract::{last_object, last_object_with};
pub use orchestrate::{Action, OrchestrateAnswer, OrchestrateDecision};
pub use review::ReviewAnswer;
pub use work::{Evidence, Learning, RefusalKind, WorkAnswer, WorkStatus};

/// Schema of [`WorkAnswer`], in the strict form that constrained decoding accepts.
pub const WORK_SCHEMA: &str = include_str!("schemas/work.json");
/// Schema of [`ReviewAnswer`].
pub const REVIEW_SCHEMA: &str = include_str!("schemas/review.json");
/// Schema of [`AssignAnswer`].
pub const ASSIGN_SCHEMA: &str = include_str!("schemas/assign.json");
/// Schema of [`OrchestrateAnswer`].
pub const ORCHESTRATE_SCHEMA: &str = include_str!("schemas/orchestrate.json");

/// Why an answer cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AnswerError {
    /// There is no JSON object in it.
    #[error("the answer holds no JSON object; end with one JSON object that has {expected}; it ended with: {tail}")]
    NoObject {
        /// The keys wanted.
        expected: String,
        /// The end of the answer, shortened.
        tail: String,
    },
    /// A key is missing.
    #[error("the answer's JSON object lacks `{key}`; add it")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key has a value that cannot be meant.
    #[error("`{key}` of the answer is {found}; use {wanted}")]
    Unusable {
        /// The key.
        key: &'static str,
        /// What stands there, shortened.
        found: String,
        /// What may stand there.
        wanted: &'static str,
    },
}

#[cfg(test)]
mod tests;
