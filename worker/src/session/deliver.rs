//! Delivery: events while the attempt runs, then its commit, then its outcome, until a verdict comes. It goes on over broken links for as long as it takes.

use std::collections::VecDeque;
use std::time::Duration;

use roundtable_proto::convert::{code_of, message_of};
use roundtable_proto::v1;
use roundtable_proto::v1::fleet_client::FleetClient;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{AttemptFacts, LeaseRef};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tracing::{debug, info, warn};

use super::fetch::{self, PutError};
use super::{Runner, RunnerError};
use crate::spool::{AttemptSpool, SpoolError};

/// Chunks in flight before an acknowledgement.
const WINDOW: usize = 16;
/// Pause after a failure that a new link alone does not cure.
const PAUSE: Duration = Duration::from_millis(500);
/// Tries with an answer from the coordinator before a delivery is given up as refused.
const REFUSED_MAX: u32 = 5;

/// The link as delivery sees it: `None` while it is down.
pub(super) type Client = watch::Receiver<Option<FleetClient<Channel>>>;

/// The coordinator's last word on an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It counts.
    Accepted,
    /// Another attempt has the seat; it was kept for the record.
    Stale(String),
    /// Not believed.
    Rejected(String),
}

/// Sends events until the attempt has ended and all are durable at the coordinator, or it does not want them.
pub(super) async fn events(spool: AttemptSpool, mut client: Client) {
    let mut acked = 0;
    loop {
        let Some(link) = connected(&mut client).await else { return };
        match stream_events(&spool, link, &mut acked).await {
            Ok(()) => return,
            Err(StreamError::Link(why)) => {
                debug!(lease = %spool.lease().lease.key, %why, "sending events broke; again");
                tokio::time::sleep(PAUSE).await;
            }
            // It would be no better the next time, and the outcome must not wait for it.
            Err(StreamError::Spool(error)) => {
                return warn!(lease = %spool.lease().lease.key, %error, "the rest of an attempt's events cannot be sent");
            }
        }
    }
}

/// Why a stream of events broke.
enum StreamError {
    /// The way there.
    Link(String),
    /// Our own disk.
    Spool(SpoolError),
}

impl From<String> for StreamError {
    fn from(why: String) -> Self {
        Self::Link(why)
    }
}

/// One stream of chunks and acknowledgements.
async fn stream_events(spool: &AttemptSpool, mut client: FleetClient<Channel>, acked: &mut u64) -> Result<(), StreamError> {
    let lease = v1::LeaseRef::from(&spool.lease().lease);
    let (chunks, stream) = mpsc::channel(WINDOW);
    let mut chunks = Some(chunks);
    let mut acks = client.put_events(ReceiverStream::new(stream)).await.map_err(|status| message_of(&status))?.into_inner();
    let mut reader = spool.reader(*acked + 1).map_err(StreamError::Spool)?;
    let mut position = spool.watch();
    // Last event of each chunk that is not acknowledged: one acknowledgement may stand for many of them.
    let mut in_flight = VecDeque::with_capacity(WINDOW);
    loop {
        let now = *position.borrow_and_update();
        if let Some(chunks) = &chunks
            && reader.next_seq() <= now.written_seq
            && in_flight.len() < WINDOW
        {
            let first_seq = reader.next_seq();
            let events = reader.read(now.written_seq).map_err(StreamError::Spool)?;
            let chunk = v1::EventChunk { lease: Some(lease.clone()), first_seq, events };
            chunks.send(chunk).await.map_err(|_| "the stream closed".to_owned())?;
            in_flight.push_back(reader.next_seq() - 1);
            continue;
        }
        if now.ended && *acked >= now.written_seq {
            return Ok(());
        }
        if now.ended && reader.next_seq() > now.written_seq {
            // Closing our half says that this was all: the coordinator then makes it durable at once.
            chunks = None;
        }
        tokio::select! {
            changed = position.changed(), if chunks.is_some() && in_flight.len() < WINDOW => changed.map_err(|_| "the spool closed".to_owned())?,
            ack = acks.next() => {
                let ack = ack.ok_or_else(|| "the stream ended".to_owned())?.map_err(|status| message_of(&status))?;
                if ack.stale {
                    return Ok(());
                }
                if ack.expected_seq != 0 {
                    *acked = ack.expected_seq - 1;
                    return Err(format!("the coordinator wants events from {} on", ack.expected_seq).into());
                }
                *acked = ack.through_seq.max(*acked);
                while in_flight.front().is_some_and(|last| last <= acked) {
                    in_flight.pop_front();
                }
            }
        }
    }
}

/// Sends commit and outcome until there is a verdict. `None`: the worker stops first; the spool has it.
pub(super) async fn outcome(spool: &AttemptSpool, runner: &impl Runner, facts: &AttemptFacts, client: &mut Client) -> Option<Verdict> {
    let mut refused = 0;
    loop {
        let link = connected(client).await?;
        match try_outcome(spool, runner, facts, link).await {
            Ok(verdict) => return Some(verdict),
            Err(Failed::Link(why)) => debug!(lease = %spool.lease().lease.key, %why, "delivery broke; again"),
            Err(Failed::Refused(why)) => {
                refused += 1;
                warn!(lease = %spool.lease().lease.key, %why, refused, "the coordinator did not take the outcome");
                if refused >= REFUSED_MAX {
                    return Some(Verdict::Rejected(why));
                }
            }
            Err(Failed::Here(RunnerError(why))) => return Some(Verdict::Rejected(why)),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

enum Failed {
    /// The way there; try again.
    Link(String),
    /// The coordinator said no; try again a few times.
    Refused(String),
    /// Our own side cannot deliver it.
    Here(RunnerError),
}

async fn try_outcome(
    spool: &AttemptSpool,
    runner: &impl Runner,
    facts: &AttemptFacts,
    mut client: FleetClient<Channel>,
) -> Result<Verdict, Failed> {
    let lease = spool.lease();
    if let Some(commit) = &facts.commit {
        match fetch::put_pack(&client, runner, lease, commit).await {
            Ok(()) => {}
            Err(PutError::Runner(error)) => return Err(Failed::Here(error)),
            Err(PutError::Status(status)) => return failed(&status),
        }
    }
    let text = serde_json::to_string(facts).map_err(|error| Failed::Here(RunnerError(error.to_string())))?;
    let digest = blake3::hash(text.as_bytes()).to_hex().to_string();
    let report = v1::OutcomeReport { lease: Some((&lease.lease).into()), facts: text, digest };
    let verdict = match client.report(report).await {
        Ok(verdict) => verdict.into_inner(),
        Err(status) => return failed(&status),
    };
    match verdict.kind() {
        v1::verdict::Kind::Accepted => Ok(Verdict::Accepted),
        v1::verdict::Kind::Stale => Ok(Verdict::Stale(verdict.reason)),
        v1::verdict::Kind::Rejected => Ok(Verdict::Rejected(verdict.reason)),
        v1::verdict::Kind::RetryLater | v1::verdict::Kind::Unspecified => Err(Failed::Refused(verdict.reason)),
    }
}

fn failed(status: &tonic::Status) -> Result<Verdict, Failed> {
    match code_of(status) {
        // The lease is not known there at all: nothing more can be done for it.
        ErrorCode::Stale => Ok(Verdict::Stale(message_of(status))),
        ErrorCode::Unreachable => Err(Failed::Link(message_of(status))),
        _ => Err(Failed::Refused(message_of(status))),
    }
}

/// The client, once there is one; `None` when the worker stops.
pub(super) async fn connected(client: &mut Client) -> Option<FleetClient<Channel>> {
    client.wait_for(Option::is_some).await.ok()?.clone()
}

/// Says what became of an attempt.
pub(super) fn log(lease: &LeaseRef, facts: &AttemptFacts, verdict: &Verdict) {
    let first_line = |text: &str| text.lines().next().unwrap_or_default().chars().take(160).collect::<String>();
    let ended = facts.failure.as_ref().map_or_else(|| "well".to_owned(), |failure| first_line(&failure.message));
    match verdict {
        Verdict::Accepted => info!(attempt = %lease.key, ended, "handed in"),
        Verdict::Stale(why) => info!(lease = %lease.key, %why, "too late, kept for the record"),
        Verdict::Rejected(why) => warn!(lease = %lease.key, %why, "not believed"),
    }
}
