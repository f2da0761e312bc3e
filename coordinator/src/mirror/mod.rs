//! The three mirror files of a run, rendered from its state. Writing them to disk, and noticing edits from outside, is the attached client's.

mod agent_state;
pub mod form;
mod pulse;
mod tasks_parsed;

pub use agent_state::agent_state;
use form::AgentState;
pub use pulse::{Pulse, PulseProblem, pulse};
use roundtable_core::state::{Run, State};
use roundtable_shared::time::WallMs;
use roundtable_shared::view::{ExistingPulse, MirrorView};
use serde::Serialize;
pub use tasks_parsed::tasks_parsed;

/// All three, as text. A `PROJECT_PULSE.md` that cannot be understood stays as it is, and the answer says so.
pub fn render(state: &State, run: &Run, now: WallMs, existing: &ExistingPulse) -> MirrorView {
    render_state(agent_state(state, run), run, run.id.as_str(), now, existing)
}

/// The same before there is a run: `run` stands in for it, and nothing of it that only a run has (id, commits, exit) is told.
pub fn render_before(state: &State, run: &Run, now: WallMs, existing: &ExistingPulse) -> MirrorView {
    let state = AgentState { roundtable: None, ..agent_state(state, run) };
    render_state(state, run, "", now, existing)
}

fn render_state(state: AgentState, run: &Run, id: &str, now: WallMs, existing: &ExistingPulse) -> MirrorView {
    let (Pulse { text, kept }, pulse_problem) = match pulse(run, &state, now, existing) {
        Ok(pulse) => (pulse, None),
        Err(problem) => (Pulse { text: existing.existing_pulse.clone().unwrap_or_default(), kept: Vec::new() }, Some(problem.to_string())),
    };
    MirrorView {
        run: id.to_owned(),
        tasks_parsed: json(&tasks_parsed(&state)),
        agent_state: json(&state),
        pulse: text,
        pulse_kept: kept,
        pulse_problem,
    }
}

/// Indented, non-ASCII text as it is unless it would act on whoever reads it, one newline at the end.
fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("mirror forms have text keys and plain values");
    text.push('\n');
    roundtable_shared::text::json(&text).into_owned()
}
