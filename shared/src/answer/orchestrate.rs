//! What the orchestrator agent answers when it is consulted.

use serde::{Deserialize, Serialize};

use super::AnswerError;
use super::fields;

/// Whether the agent thinks the run is over. It is not believed while units are unfinished.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OrchestrateDecision {
    /// Nothing is left.
    Complete,
    /// Go on.
    Continue,
}

/// A phase the agent can ask for or hold back (docs/rules.md, "Modes").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Assign waiting units.
    AssignDispatch,
    /// Grant work.
    DispatchBatch,
    /// Grant reviews.
    DispatchReviews,
    /// Consolidate reviews that are in.
    ConsolidateReviews,
    /// Write the pulse.
    SyncPulse,
    /// End the run.
    Halt,
}

impl Action {
    /// All, in the order of work.
    pub const ALL: [Action; 6] =
        [Self::AssignDispatch, Self::DispatchBatch, Self::DispatchReviews, Self::ConsolidateReviews, Self::SyncPulse, Self::Halt];

    /// The word used in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AssignDispatch => "assign_dispatch",
            Self::DispatchBatch => "dispatch_batch",
            Self::DispatchReviews => "dispatch_reviews",
            Self::ConsolidateReviews => "consolidate_reviews",
            Self::SyncPulse => "sync_pulse",
            Self::Halt => "halt",
        }
    }

    /// Reads that word, with `-` or `_`, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.trim().to_ascii_lowercase().replace(['-', ' '], "_");
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

/// The final JSON of a consultation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrchestrateAnswer {
    /// Whether it thinks the run is over.
    pub decision: OrchestrateDecision,
    /// What to do, in this order and as often as named; more than the run's limit are cut by the caller.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// A note for the record.
    #[serde(default)]
    pub notes: Option<String>,
    /// Phases that wait for the next answer.
    #[serde(default)]
    pub hold: Vec<Action>,
    /// Words in `actions` and `hold` that name nothing; worth a notice.
    #[serde(default)]
    pub unknown: Vec<String>,
}

impl OrchestrateAnswer {
    /// Reads the last object of an answer.
    pub fn parse(text: &str) -> Result<Self, AnswerError> {
        let object = fields::object(text, &["decision", "actions"])?;
        let decision = match fields::get(&object, &["decision"]) {
            None if object.contains_key("actions") => OrchestrateDecision::Continue,
            None => return Err(AnswerError::Missing { key: "decision" }),
            Some(value) => match fields::text(value).unwrap_or_default().to_ascii_uppercase().as_str() {
                "COMPLETE" | "COMPLETED" | "DONE" => OrchestrateDecision::Complete,
                "CONTINUE" | "CONTINUED" => OrchestrateDecision::Continue,
                _ => {
                    return Err(AnswerError::Unusable { key: "decision", found: fields::shown(value), wanted: "`COMPLETE` or `CONTINUE`" });
                }
            },
        };
        let mut unknown = Vec::new();
        let actions = actions_of(&object, "actions", &mut unknown);
        let hold = actions_once(actions_of(&object, "hold", &mut unknown));
        Ok(Self { decision, actions, notes: fields::meaningful(&object, &["notes", "note"]), hold, unknown })
    }
}

/// `"halt"`, or `{"type": "halt"}`.
fn actions_of(object: &fields::Object, key: &str, unknown: &mut Vec<String>) -> Vec<Action> {
    let items = fields::list(object, &[key]);
    let words = items.iter().filter_map(|item| match item {
        serde_json::Value::Object(entry) => fields::field(entry, &["type", "action", "name"]),
        other => fields::text(other),
    });
    words
        .filter_map(|word| {
            let action = Action::parse(&word);
            if action.is_none() && unknown.len() < 20 {
                unknown.push(fields::shorten(&word));
            }
            action
        })
        .collect()
}

fn actions_once(list: Vec<Action>) -> Vec<Action> {
    let mut out: Vec<Action> = Vec::new();
    for action in list {
        if !out.contains(&action) {
            out.push(action);
        }
    }
    out
}
