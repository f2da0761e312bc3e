//! The coordinator as commands see it: questions, acts, streams, packs. Live over gRPC, or (reading only) a data dir that nobody serves.
//!
//! Finding one is `connect`'s; errors leave here as failures with their exit codes.

mod lines;
mod live;
mod packed;
#[cfg(test)]
mod played;
mod transfer;
mod watch;
mod watching;

use roundtable_shared::view::{Operation, OperationReply, Query, SubmitReply, SubmitRequest};
use serde::de::DeserializeOwned;

use crate::failure::{Failure, Result};
use crate::intake::{CopyFile, SpecFolder};

pub use lines::Lines;
pub use live::{Client, refusal};
pub use transfer::{fetch, upload};
pub use watch::WatchFor;

/// Something that answers.
pub struct Api {
    link: Link,
}

enum Link {
    Live(Client),
    Offline(crate::embed::Offline),
}

impl Api {
    /// A live coordinator.
    pub fn live(client: Client) -> Self {
        Self { link: Link::Live(client) }
    }

    /// A data dir that nobody serves: it can be read.
    pub fn offline(offline: crate::embed::Offline) -> Self {
        Self { link: Link::Offline(offline) }
    }

    /// The live coordinator; `None` for a data dir.
    pub fn client(&self) -> Option<&Client> {
        match &self.link {
            Link::Live(client) => Some(client),
            Link::Offline(_) => None,
        }
    }

    /// Asks for a read model.
    pub async fn query<T: DeserializeOwned>(&self, query: &Query) -> Result<T> {
        let text = match &self.link {
            Link::Live(client) => client.query(query).await?,
            Link::Offline(offline) => offline.query(query).await?,
        };
        serde_json::from_slice(&text).map_err(|error| {
            Failure::failed("the coordinator's answer cannot be read")
                .why(error)
                .next("coordinator and orchctl may be of different versions: compare --version")
        })
    }

    /// Follows transitions and agent events, or reads what there is.
    pub async fn watch(&self, wanted: &WatchFor) -> Result<Lines> {
        match &self.link {
            Link::Live(client) => Lines::live(client, wanted).await,
            Link::Offline(offline) => offline.watch(wanted).await,
        }
    }

    /// Does an act of a person.
    pub async fn operate(&self, operation: &Operation) -> Result<OperationReply> {
        self.live_client()?.operate(operation).await
    }

    /// Starts or resumes a run.
    pub async fn submit(&self, request: &SubmitRequest, spec: &SpecFolder, copies: &[CopyFile]) -> Result<SubmitReply> {
        self.live_client()?.submit(request, spec, copies).await
    }

    /// What a submission would come to: nothing is started.
    pub async fn foresee(&self, request: &SubmitRequest, spec: &SpecFolder) -> Result<SubmitReply> {
        let request = SubmitRequest { dry_run: true, ..request.clone() };
        match &self.link {
            Link::Live(client) => client.submit(&request, spec, &[]).await,
            Link::Offline(offline) => offline.foresee(&request, spec).await,
        }
    }

    /// The live coordinator, for what a data dir alone cannot do.
    pub fn live_client(&self) -> Result<&Client> {
        self.client().ok_or_else(|| Failure::unreachable("no coordinator is running").next("start one: coordinator serve"))
    }
}
