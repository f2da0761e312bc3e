//! Packs coming in: in one go, or over more than one link, each of which adds to what is kept until the whole is here.

use roundtable_proto::convert::status_of;
use roundtable_runtime::git::Sender;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{CommitId, text};
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::repository_status;
use crate::repository::{Claim, PartialError, Partials, Repository};

/// What a pack is for, and how large it may be.
pub(super) struct Target<'a> {
    pub(super) repository: &'a Repository,
    pub(super) commit: &'a CommitId,
    pub(super) sender: Sender,
    pub(super) bytes_max: u64,
}

/// What a pack is as a whole that comes over more than one link; without a digest it comes in one go.
pub(super) struct Whole {
    /// What it is kept as: nobody can guess another's, and what is in it is no path.
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) bytes: u64,
    pub(super) offset: u64,
    pub(super) claim: Claim,
}

/// Takes what comes over this link, and the whole once it is here.
pub(super) async fn take(
    partials: &Partials,
    whole: &Whole,
    target: Target<'_>,
    pieces: &mut (impl Stream<Item = Result<Vec<u8>, Status>> + Unpin),
) -> Result<(), Status> {
    if !whole.digest.is_empty() {
        return take_part(partials, whole, target, pieces).await;
    }
    let refused = |error| repository_status(&error);
    let Target { repository, commit, sender, bytes_max } = target;
    let mut incoming = repository.receive_within(commit, sender, bytes_max).map_err(refused)?;
    while let Some(piece) = pieces.next().await {
        incoming.push(&piece?).await.map_err(refused)?;
    }
    incoming.finish().await.map_err(refused)
}

async fn take_part(
    partials: &Partials,
    whole: &Whole,
    target: Target<'_>,
    pieces: &mut (impl Stream<Item = Result<Vec<u8>, Status>> + Unpin),
) -> Result<(), Status> {
    let Target { repository, commit, sender, bytes_max } = target;
    if whole.bytes > bytes_max {
        let (found, max) = (text::bytes(whole.bytes), text::bytes(bytes_max));
        let why =
            format!("a pack of {found} is not taken; {max} is the most (`coordinator serve --pack-bytes` where it is no work in progress)");
        return Err(status_of(ErrorCode::InvalidInput, why));
    }
    let not_now = |error| partial_status(&error);
    let mut part = partials.go_on(&whole.name, whole.claim, whole.offset, whole.bytes).await.map_err(not_now)?;
    while let Some(piece) = pieces.next().await {
        part.push(&piece?).await.map_err(not_now)?;
    }
    part.check(&whole.digest).await.map_err(not_now)?;
    let mut incoming = repository.receive_within(commit, sender, bytes_max).map_err(|error| repository_status(&error))?;
    part.give(&mut incoming).await.map_err(|error| partial_status(&PartialError::Io(error)))?;
    match incoming.finish().await {
        Ok(()) => part.forget().await,
        Err(error) => {
            // What git says no to is no better the next time; what our machine failed at may be.
            if error.code() == ErrorCode::InvalidInput {
                part.forget().await;
            }
            return Err(repository_status(&error));
        }
    }
    Ok(())
}

/// How much of a pack has come so far.
pub(super) async fn received(partials: &Partials, name: &str) -> Result<u64, Status> {
    partials.received(name).await.map_err(|error| partial_status(&PartialError::Io(error)))
}

fn partial_status(error: &PartialError) -> Status {
    if let PartialError::Io(error) = error {
        tracing::error!(%error, "a pack that comes in pieces could not be kept");
        return status_of(ErrorCode::Exhausted, "the coordinator's disk failed or is full; its log says why");
    }
    status_of(error.code(), error.to_string())
}
