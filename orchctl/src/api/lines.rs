//! Streams of JSON lines, transitions and agent events, wherever they come from.

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt};

use super::live::Client;
use super::watch::WatchFor;
use super::watching::Watching;
use crate::failure::Result;

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

    /// Of a coordinator, over more than one connection where one is cut.
    pub(super) async fn live(client: &Client, wanted: &WatchFor) -> Result<Self> {
        Ok(Self(Source::Live(Box::new(Watching::begin(client.clone(), wanted.clone()).await?))))
    }

    /// The next line; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        match &mut self.0 {
            Source::Stream(stream) => stream.next().await.transpose(),
            Source::Live(watching) => watching.next().await,
        }
    }
}
