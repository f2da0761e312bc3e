//! Streams of JSON lines: transitions and agent events.

use std::pin::Pin;

use roundtable_proto::v1;
use tokio_stream::{Stream, StreamExt};

use super::watching::Watching;
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

/// Lines as they come.
pub struct Lines(Source);

enum Source {
    /// Of a data dir.
    #[cfg_attr(not(feature = "embedded"), allow(dead_code))]
    Stream(Pin<Box<dyn Stream<Item = Result<Vec<u8>>> + Send>>),
    /// Of a coordinator.
    Live(Box<Watching>),
}

impl Lines {
    /// Of any stream of lines.
    #[cfg_attr(not(feature = "embedded"), allow(dead_code))]
    pub fn new(stream: impl Stream<Item = Result<Vec<u8>>> + Send + 'static) -> Self {
        Self(Source::Stream(Box::pin(stream)))
    }

    pub(super) fn live(watching: Watching) -> Self {
        Self(Source::Live(Box::new(watching)))
    }

    /// The next line; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        match &mut self.0 {
            Source::Stream(stream) => stream.next().await.transpose(),
            Source::Live(watching) => watching.next().await,
        }
    }
}
