//! Streams of JSON lines: transitions and agent events.

use std::pin::Pin;

use roundtable_proto::v1;
use tokio_stream::{Stream, StreamExt};

use crate::failure::Result;

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
    pub(super) fn request(&self) -> v1::WatchRequest {
        v1::WatchRequest {
            run: self.run.clone(),
            unit: self.unit.clone().unwrap_or_default(),
            attempt: self.attempt.unwrap_or(0),
            after_seq: 0,
            transitions: self.transitions,
            agent_events: self.agent_events,
            follow: self.follow,
        }
    }
}

/// Lines as they come.
pub struct Lines(Pin<Box<dyn Stream<Item = Result<Vec<u8>>> + Send>>);

impl Lines {
    /// Of any stream of lines.
    pub fn new(stream: impl Stream<Item = Result<Vec<u8>>> + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }

    /// The next line; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        self.0.next().await.transpose()
    }
}
