//! What a prompt needs and the core's state does not have: texts from the repository and the fleet, gathered by the shell.

use roundtable_core::Core;
use roundtable_core::command::Now;
use roundtable_core::state::Run;
use roundtable_core::transition::Transition;
use roundtable_shared::ChangedPath;
use roundtable_shared::view::ExistingPulse;

use super::input_of_unit::ConventionBrief;
use super::text;
use crate::{mirror, view};

/// Facts for one turn; what its role does not need stays empty.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PromptFacts {
    /// `AGENTS.md` files that concern the unit, nearest last (implement, fix, review).
    pub conventions: Vec<ConventionBrief>,
    /// What base..commit changes (review).
    pub changed: Vec<ChangedPath>,
    /// Unified diff base..commit, as far as it was read (review).
    pub diff: String,
    /// Size of the whole diff, bytes (review).
    pub diff_bytes: u64,
    /// Paths of the repository at the base (assign).
    pub files: Vec<String>,
    /// How many there are in all (assign).
    pub files_total: u64,
    /// Backends somebody offers (assign).
    pub backends: Vec<String>,
    /// The run's last transitions, oldest first (orchestrate).
    pub last: Vec<Transition>,
}

/// Transitions the orchestrator is shown.
pub const LAST_TRANSITIONS: usize = 20;

/// How a run stands, for the orchestrator: `status --json` without other runs, and `PROJECT_PULSE.md`.
pub(super) fn situation(core: &Core, now: Now, run: &Run) -> (String, String) {
    let mut status = view::status(&core.state, &core.fleet, now, run);
    status.runs.clear();
    let status = serde_json::to_string(&status).expect("a status has text keys and plain values");
    (status, mirror::render(&core.state, run, now.wall, &ExistingPulse::default()).pulse)
}

/// A transition in one line: kind, and what is short of its fields.
pub(super) fn event(transition: &Transition) -> String {
    let line = view::transition_line(0, transition.at.0, transition);
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(&line) else { return transition.kind().to_owned() };
    let mut words = vec![transition.at.rfc3339(), transition.kind().to_owned()];
    for (key, value) in fields.iter().filter(|(key, _)| !["seq", "at", "kind", "run", "lease_id"].contains(&key.as_str())) {
        let shown = match value {
            serde_json::Value::String(value) => text::line(value, 200),
            serde_json::Value::Number(value) => value.to_string(),
            serde_json::Value::Bool(value) => value.to_string(),
            _ => continue,
        };
        words.push(format!("{key}={shown}"));
    }
    words.join(" ")
}
