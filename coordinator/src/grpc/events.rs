//! Agent output from workers: checked against the published leases, appended to the segment store, acknowledged once durable. It does not pass through
//! the driver, which only hears once of each attempt that its model has answered.

use std::collections::HashSet;

use roundtable_core::command::Command;
use roundtable_proto::convert::{count_of, events_of, status_of};
use roundtable_proto::v1;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::view::EventLine;
use roundtable_shared::{AgentEvent, AttemptKey, LeaseRef, WorkerId};
use roundtable_store::segment::{CHUNK_BYTES_MAX, CHUNK_EVENTS_MAX, ChunkError};
use roundtable_store::{Chunk, SegmentStore, Trouble};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use tracing::warn;

use crate::driver::{Handle, Leases};

/// Chunks that are written and wait to be durable and acknowledged; beyond it no more are read from that worker.
const ACKS_MAX: usize = 64;

/// An outcome waits this long for its events to be durable, then is to come again.
const DURABLE_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Attempts of one stream that are remembered as answered; one told twice does no harm.
const ANSWERED_MAX: usize = 1024;

/// Acknowledgements to a worker.
pub(super) type Acks = mpsc::Receiver<Result<v1::EventAck, Status>>;

/// A chunk that was taken, on its way to its acknowledgement.
struct Taken {
    wire: Option<v1::LeaseRef>,
    what: Next,
}

enum Next {
    /// Acknowledged as it stands.
    Said { through_seq: u64, expected_seq: u64, stale: bool },
    /// Acknowledged once this event is durable.
    Durable { key: AttemptKey, seq: u64 },
}

/// Takes a worker's chunks in the background: they are written as they come, and acknowledged in their order in the rhythm of the group sync. When
/// the worker has sent its last, that is made durable at once, since the outcome waits for it.
pub(super) fn receive<S>(segments: SegmentStore, leases: Leases, driver: Option<Handle>, worker: WorkerId, mut incoming: S) -> Acks
where
    S: Stream<Item = Result<v1::EventChunk, Status>> + Send + Unpin + 'static,
{
    let (taken, waiting) = mpsc::channel(ACKS_MAX);
    let (sender, acks) = mpsc::channel(ACKS_MAX);
    let store = segments.clone();
    crate::tasks::spawn("events", async move {
        let (mut last, mut answered) = (None, Answered::default());
        while let Some(Ok(chunk)) = incoming.next().await {
            let output = Output::read(chunk);
            let served = output.as_ref().ok().and_then(|output| answered.first(output));
            if let (Some(lease), Some(driver)) = (served.filter(|lease| leases.of(&worker, lease).is_some()), driver.clone()) {
                let worker = worker.clone();
                // Output does not wait for the driver. If that has stopped there is nobody to tell.
                crate::tasks::spawn("served", async move {
                    let _ = driver.tell(Command::LeaseServed { worker, lease }).await;
                });
            }
            let next = match output {
                Ok(output) => take(&store, &leases, &worker, output).await,
                Err(status) => Err(status),
            };
            if let Ok(Taken { what: Next::Durable { key, .. }, .. }) = &next {
                last = Some(key.clone());
            }
            let failed = next.is_err();
            if taken.send(next).await.is_err() || failed {
                break;
            }
        }
        if let Some(key) = last
            && let Err(error) = store.flush(&key).await
        {
            warn!(attempt = %key, %error, "agent events could not be made durable");
        }
    });
    crate::tasks::spawn("event-acks", acknowledge(segments, waiting, sender));
    acks
}

/// A chunk that can be read.
struct Output {
    lease: LeaseRef,
    wire: v1::LeaseRef,
    first_seq: u64,
    count: usize,
    /// `None` where there are more than one chunk may have.
    events: Option<Vec<EventLine>>,
}

impl Output {
    fn read(chunk: v1::EventChunk) -> Result<Self, Status> {
        let wire = chunk.lease.clone().ok_or_else(|| status_of(ErrorCode::InvalidInput, "field `lease` is missing"))?;
        let (first_seq, count) = (chunk.first_seq, count_of(&chunk));
        let events = (count <= CHUNK_EVENTS_MAX).then(|| events_of(chunk));
        Ok(Self { lease: wire.clone().try_into()?, wire, first_seq, count, events })
    }
}

/// Attempts of a stream whose model has answered.
#[derive(Default)]
struct Answered {
    told: HashSet<LeaseRef>,
}

impl Answered {
    /// The attempt of a chunk that shows for the first time that its model has answered.
    fn first(&mut self, output: &Output) -> Option<LeaseRef> {
        let lease = &output.lease;
        if self.told.contains(lease) || !output.events.iter().flatten().any(|line| is_of_model(&line.event)) {
            return None;
        }
        if self.told.len() >= ANSWERED_MAX {
            self.told.clear();
        }
        self.told.insert(lease.clone());
        Some(lease.clone())
    }
}

/// Whether only a model that answers makes such an event; CLIs say hello, warn and print by themselves.
fn is_of_model(event: &AgentEvent) -> bool {
    match event {
        AgentEvent::Message { .. }
        | AgentEvent::Reasoning { .. }
        | AgentEvent::Exec { .. }
        | AgentEvent::FileChange { .. }
        | AgentEvent::Subtask { .. } => true,
        AgentEvent::Started { .. }
        | AgentEvent::Usage { .. }
        | AgentEvent::Warning { .. }
        | AgentEvent::Raw { .. }
        | AgentEvent::Elided { .. }
        | AgentEvent::Completed
        | AgentEvent::Failed { .. } => false,
    }
}

/// Events as they are kept, a JSON each; `None` where they are more bytes than one chunk may have.
fn kept(events: Vec<EventLine>) -> Option<Vec<Vec<u8>>> {
    let mut bytes = 0;
    let json = |line: EventLine| {
        // Plain data of ours: it can always be written.
        let json = line.stored().unwrap_or_default();
        bytes += json.len();
        (bytes <= CHUNK_BYTES_MAX).then_some(json)
    };
    events.into_iter().map(json).collect()
}

async fn acknowledge(
    segments: SegmentStore,
    mut waiting: mpsc::Receiver<Result<Taken, Status>>,
    sender: mpsc::Sender<Result<v1::EventAck, Status>>,
) {
    while let Some(taken) = waiting.recv().await {
        let ack = match taken {
            Ok(Taken { wire, what: Next::Said { through_seq, expected_seq, stale } }) => {
                Ok(v1::EventAck { lease: wire, through_seq, expected_seq, stale })
            }
            Ok(Taken { wire, what: Next::Durable { key, seq } }) => match segments.durable(&key, seq).await {
                Ok(position) => Ok(v1::EventAck { lease: wire, through_seq: position.durable_seq, expected_seq: 0, stale: false }),
                Err(error) => Err(status_of(ErrorCode::Exhausted, error.to_string())),
            },
            Err(status) => Err(status),
        };
        let failed = ack.is_err();
        if sender.send(ack).await.is_err() || failed {
            return;
        }
    }
}

/// Of the events an attempt is said to have had, those that are here and durable. `Err` while that cannot be known: the outcome comes again.
pub(super) async fn durable_of(segments: &SegmentStore, key: &AttemptKey, said: u64) -> Result<u64, Status> {
    if said == 0 {
        return Ok(0);
    }
    let flushed = tokio::time::timeout(DURABLE_WITHIN, segments.flush(key)).await;
    let Ok(flushed) = flushed else {
        let why = segments.trouble().borrow().clone().map(|trouble| match trouble {
            Trouble::Refused { detail } | Trouble::Failed { detail } => crate::driver::problem(&detail),
        });
        let why = why.unwrap_or_else(|| "the coordinator's disk is slow: the attempt's events are not durable yet".to_owned());
        return Err(status_of(ErrorCode::Exhausted, why));
    };
    let position = match flushed {
        Ok(position) => position,
        // Its damage is for `verify` to name; the outcome does not wait for it.
        Err(ChunkError::Corrupt { .. }) => return Ok(said),
        Err(error) => return Err(status_of(ErrorCode::Exhausted, error.to_string())),
    };
    if position.durable_seq < said {
        warn!(attempt = %key, said, here = position.durable_seq, "an attempt ended whose last events never came");
    }
    Ok(position.durable_seq.min(said))
}

/// An attempt's stream is complete: that is marked beside it, so that a cut is seen without the log. Nobody waits for it; without a mark the log's count
/// says the same.
pub(super) fn end(segments: &SegmentStore, key: AttemptKey) {
    let segments = segments.clone();
    crate::tasks::spawn("end-mark", async move {
        match segments.position(&key).await {
            Ok(position) if position.written_seq > 0 && !position.finished => {}
            _ => return,
        }
        if let Err(error) = segments.finish(&key).await {
            warn!(attempt = %key, %error, "the end of an attempt's events could not be marked");
        }
    });
}

/// Writes a chunk, or finds why there is nothing to write.
async fn take(segments: &SegmentStore, leases: &Leases, worker: &WorkerId, output: Output) -> Result<Taken, Status> {
    let Output { lease, wire, first_seq, count, events } = output;
    let said =
        |through_seq, expected_seq, stale| Ok(Taken { wire: Some(wire.clone()), what: Next::Said { through_seq, expected_seq, stale } });
    // Output of an attempt that has lost its seat is still evidence; output of one this worker never had is refused.
    if leases.of(worker, &lease).is_none() {
        return said(0, 0, true);
    }
    if count == 0 {
        return said(segments.position(&lease.key).await.map_or(0, |position| position.durable_seq), 0, false);
    }
    let last_seq = first_seq.saturating_add(count as u64 - 1);
    let Some(events) = events.and_then(kept) else {
        warn!(lease = %lease.key, count, "a chunk of agent output over its bound is not kept");
        return said(last_seq, 0, false);
    };
    let events = Chunk { first_seq, events };
    match segments.append(&lease.key, events).await {
        Ok(position) => Ok(Taken { wire: Some(wire), what: Next::Durable { key: lease.key, seq: last_seq.min(position.written_seq) } }),
        Err(ChunkError::Nack { expected }) => said(expected.saturating_sub(1), expected, false),
        Err(ChunkError::Finished { .. }) => said(last_seq, 0, false),
        Err(ChunkError::Quota { .. } | ChunkError::Refused { .. }) => {
            // The attempt's own bound: what is over it is not kept, and sending it again would not help.
            warn!(lease = %lease.key, "agent output over the bound of one attempt is not kept");
            said(last_seq, 0, false)
        }
        Err(error) => Err(status_of(ErrorCode::Exhausted, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use roundtable_proto::convert::protocol_1;
    use roundtable_shared::limits::EVENT_BYTES_MAX;
    use roundtable_shared::time::WallMs;
    use roundtable_shared::{AttemptNo, LeaseId, Usage};
    use roundtable_store::SegmentOptions;
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;

    struct Rig {
        chunks: mpsc::Sender<Result<v1::EventChunk, Status>>,
        acks: Acks,
        lease: LeaseRef,
        segments: SegmentStore,
        _dir: tempfile::TempDir,
    }

    /// A store that syncs by itself only after an hour, so that nothing here can pass by waiting for its rhythm.
    fn rig() -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let options = SegmentOptions { sync_ms: 3_600_000, ..SegmentOptions::default() };
        let segments = SegmentStore::open(dir.path(), options).unwrap();
        let key = AttemptKey { run: "r-1".into(), unit: Some("2".into()), attempt: AttemptNo(1) };
        let lease = LeaseRef { key, lease_id: LeaseId(9) };
        let leases = Leases::default();
        leases.granted(lease.clone(), "w-1".into(), "repo".into(), &roundtable_core::effect::Start::Commit("abc".into()));
        let (chunks, stream) = mpsc::channel(1);
        let acks = receive(segments.clone(), leases, None, "w-1".into(), ReceiverStream::new(stream));
        Rig { chunks, acks, lease, segments, _dir: dir }
    }

    fn chunk(lease: &LeaseRef, first_seq: u64, count: usize, bytes: usize) -> v1::EventChunk {
        let line = EventLine { at: WallMs(1), event: AgentEvent::Message { text: "x".repeat(bytes) } };
        roundtable_proto::convert::chunk(lease.into(), first_seq, vec![line; count])
    }

    #[test]
    fn only_what_a_model_makes_shows_that_it_has_answered_and_once() {
        let key = AttemptKey { run: "r-1".into(), unit: Some("2".into()), attempt: AttemptNo(1) };
        let lease = LeaseRef { key, lease_id: LeaseId(9) };
        let output = |event: AgentEvent| {
            let line = EventLine { at: WallMs(u64::MAX), event };
            let json = serde_json::to_vec(&line).unwrap();
            let of_1 = Output::read(protocol_1::chunk((&lease).into(), 1, vec![json])).unwrap();
            let newest = Output::read(roundtable_proto::convert::chunk((&lease).into(), 1, [line])).unwrap();
            assert_eq!(of_1.events, newest.events);
            newest
        };
        let text = || r#"{"at":1,"kind":"message"}"#.to_owned();
        let mut answered = Answered::default();
        for quiet in [
            AgentEvent::Started { session: Some("s-1".into()) },
            AgentEvent::Warning { text: text() },
            AgentEvent::Raw { stream: "stdout".to_owned(), text: text() },
            AgentEvent::Usage { usage: Usage::default() },
            AgentEvent::Elided { bytes: 7 },
            AgentEvent::Failed { message: text() },
        ] {
            assert_eq!(answered.first(&output(quiet.clone())), None, "{quiet:?}");
        }
        for of_model in [
            AgentEvent::Message { text: text() },
            AgentEvent::Reasoning { text: text() },
            AgentEvent::Exec { command: text(), output: None, exit_code: None, ended: false },
            AgentEvent::FileChange { paths: vec![text()], ok: true },
            AgentEvent::Subtask { id: "2.1".to_owned(), status: "completed".to_owned() },
        ] {
            assert_eq!(Answered::default().first(&output(of_model.clone())), Some(lease.clone()), "{of_model:?}");
        }
        assert_eq!(answered.first(&output(AgentEvent::Message { text: text() })), Some(lease.clone()));
        assert_eq!(answered.first(&output(AgentEvent::Message { text: text() })), None, "told once");
    }

    #[tokio::test]
    async fn chunks_are_written_before_earlier_ones_are_durable_and_the_end_is_not_waited_for() {
        let mut rig = rig();
        for n in 0..20 {
            // Far below what starts a sync by its size.
            rig.chunks.send(Ok(chunk(&rig.lease, 1 + n * 10, 10, 100))).await.unwrap();
        }
        assert!(rig.acks.try_recv().is_err(), "nothing is acknowledged before it is durable");
        drop(rig.chunks);
        let mut through = Vec::new();
        while let Some(ack) = rig.acks.recv().await {
            through.push(ack.unwrap().through_seq);
        }
        assert_eq!(through.len(), 20);
        assert!(through.is_sorted() && through.iter().zip(0..).all(|(through, n)| *through >= 10 + n * 10));
        assert_eq!(through.last(), Some(&200));
    }

    #[tokio::test]
    async fn a_gap_is_told_and_a_strangers_lease_is_stale() {
        let mut rig = rig();
        rig.chunks.send(Ok(chunk(&rig.lease, 5, 1, 10))).await.unwrap();
        assert_eq!(rig.acks.recv().await.unwrap().unwrap().expected_seq, 1);
        let other = LeaseRef { lease_id: LeaseId(8), ..rig.lease.clone() };
        rig.chunks.send(Ok(chunk(&other, 1, 1, 10))).await.unwrap();
        assert!(rig.acks.recv().await.unwrap().unwrap().stale);
        rig.chunks.send(Ok(v1::EventChunk::default())).await.unwrap();
        assert!(rig.acks.recv().await.unwrap().is_err());
        assert!(rig.acks.recv().await.is_none(), "after a refusal the stream is over");
    }

    #[tokio::test]
    async fn events_are_kept_as_their_worker_spools_them_whatever_protocol_it_speaks() {
        let mut rig = rig();
        let line = |n: u64| EventLine { at: WallMs(n), event: AgentEvent::Message { text: format!("\"{n}\"") } };
        let json: Vec<Vec<u8>> = (1..=6).map(|n| serde_json::to_vec(&line(n)).unwrap()).collect();
        rig.chunks.send(Ok(protocol_1::chunk((&rig.lease).into(), 1, json[..2].to_vec()))).await.unwrap();
        rig.chunks.send(Ok(roundtable_proto::convert::chunk((&rig.lease).into(), 3, (3..=4).map(line)))).await.unwrap();
        // One that this release does not know has its number all the same.
        let mut last = roundtable_proto::convert::chunk((&rig.lease).into(), 5, (5..=6).map(line));
        last.events[0].event = None;
        rig.chunks.send(Ok(last)).await.unwrap();
        drop(rig.chunks);
        let mut through = 0;
        while let Some(ack) = rig.acks.recv().await {
            through = ack.unwrap().through_seq;
        }
        assert_eq!(through, 6);
        let mut expected = json;
        expected[4] = serde_json::to_vec(&EventLine { at: WallMs(5), event: AgentEvent::Elided { bytes: 0 } }).unwrap();
        let read: Vec<Vec<u8>> = rig.segments.read(&rig.lease.key, 1, 10).await.unwrap().into_iter().map(|event| event.bytes).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_longer_as_it_is_kept_than_on_the_wire_stays_within_the_bounds() {
        // Six bytes each on disk.
        let long = |count: usize| EventLine { at: WallMs(1), event: AgentEvent::Message { text: "\u{1}".repeat(count) } };
        let bytes = kept(vec![long(EVENT_BYTES_MAX / 2)]).unwrap()[0].len();
        assert!(bytes < 100, "an event of {bytes} bytes");
        assert!(kept(vec![long(EVENT_BYTES_MAX / 7); 4]).is_some());
        assert!(kept(vec![long(EVENT_BYTES_MAX / 7); 5]).is_none());
    }
}
