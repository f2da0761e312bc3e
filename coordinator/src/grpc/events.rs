//! Agent output from workers: checked against the published leases, appended to the segment store, acknowledged once durable. It does not pass through
//! the driver.

use roundtable_proto::convert::status_of;
use roundtable_proto::v1;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{LeaseRef, WorkerId};
use roundtable_store::segment::ChunkError;
use roundtable_store::{Chunk, SegmentStore};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::{Status, Streaming};
use tracing::warn;

use crate::driver::Leases;

/// Acknowledgements that wait for a slow worker; beyond it no more chunks are read from it.
const ACKS_MAX: usize = 64;

/// Acknowledgements to a worker.
pub(super) type Acks = mpsc::Receiver<Result<v1::EventAck, Status>>;

/// Takes a worker's chunks in the background.
pub(super) fn receive(segments: SegmentStore, leases: Leases, worker: WorkerId, mut incoming: Streaming<v1::EventChunk>) -> Acks {
    let (sender, acks) = mpsc::channel(ACKS_MAX);
    crate::tasks::spawn("events", async move {
        while let Some(message) = incoming.next().await {
            let Ok(chunk) = message else { break };
            let ack = take(&segments, &leases, &worker, chunk).await;
            let failed = ack.is_err();
            if sender.send(ack).await.is_err() || failed {
                break;
            }
        }
    });
    acks
}

async fn take(segments: &SegmentStore, leases: &Leases, worker: &WorkerId, chunk: v1::EventChunk) -> Result<v1::EventAck, Status> {
    let wire = chunk.lease.clone();
    let lease: LeaseRef = chunk.lease.ok_or_else(|| status_of(ErrorCode::InvalidInput, "field `lease` is missing"))?.try_into()?;
    let ack = |through_seq, expected_seq, stale| Ok(v1::EventAck { lease: wire.clone(), through_seq, expected_seq, stale });
    // Output of an attempt that has lost its seat is still evidence; output of one this worker never had is refused.
    if leases.of(worker, &lease).is_none() {
        return ack(0, 0, true);
    }
    let count = chunk.events.len() as u64;
    if count == 0 {
        return ack(segments.position(&lease.key).await.map_or(0, |position| position.durable_seq), 0, false);
    }
    let last_seq = chunk.first_seq.saturating_add(count - 1);
    let events = Chunk { first_seq: chunk.first_seq, events: chunk.events };
    let appended = match segments.append(&lease.key, events).await {
        Ok(position) => segments.durable(&lease.key, last_seq.min(position.written_seq)).await,
        Err(error) => Err(error),
    };
    match appended {
        Ok(position) => ack(position.durable_seq, 0, false),
        Err(ChunkError::Nack { expected }) => ack(expected.saturating_sub(1), expected, false),
        Err(ChunkError::Finished { .. }) => ack(last_seq, 0, false),
        Err(ChunkError::Quota { .. } | ChunkError::Refused { .. }) => {
            // The attempt's own bound: what is over it is not kept, and sending it again would not help.
            warn!(lease = %lease.key, "agent output over the bound of one attempt is not kept");
            ack(last_seq, 0, false)
        }
        Err(error) => Err(status_of(ErrorCode::Exhausted, error.to_string())),
    }
}
