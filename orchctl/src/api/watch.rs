//! What of a run is followed: transitions, agent events, or both.

use roundtable_proto::v1;

/// What is followed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WatchFor {
    /// Full id of the run.
    pub run: String,
    /// Only this unit's agent events.
    pub unit: Option<String>,
    /// Only this attempt's agent events.
    pub attempt: Option<u32>,
    /// Transitions are wanted.
    pub transitions: bool,
    /// Agent events are wanted.
    pub agent_events: bool,
    /// Go on after the present end.
    pub follow: bool,
}

impl WatchFor {
    /// Asks for it, from behind that row of the log on.
    pub(super) fn request(&self, after_seq: u64) -> v1::WatchRequest {
        v1::WatchRequest {
            run: self.run.clone(),
            unit: self.unit.clone().unwrap_or_default(),
            attempt: self.attempt.unwrap_or(0),
            after_seq,
            transitions: self.transitions,
            agent_events: self.agent_events,
            follow: self.follow,
        }
    }
}
