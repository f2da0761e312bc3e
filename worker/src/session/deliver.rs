//! Delivery: events while the attempt runs, then its commit, then its outcome, until a verdict comes. It goes on over broken links and a coordinator in trouble
//! for as long as it takes: only the coordinator's word ends it.

use std::collections::VecDeque;
use std::time::Duration;

use roundtable_proto::convert::{chunk_in, message_of, report_in, told_code_of};
use roundtable_proto::v1;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{AttemptFacts, LeaseRef};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{debug, info, warn};

use super::bulk::{Bulk, Lent};
use super::large::LargePack;
use super::put::{self, PutError};
use super::{Runner, RunnerError};
use crate::spool::{AttemptSpool, SpoolError};

/// Chunks in flight before an acknowledgement.
const WINDOW: usize = 16;
/// Longest pause after the first failure; doubles with each.
const PAUSE_FIRST_MS: u64 = 500;
/// Longest pause at all. Drawn at random below it, so that what a fleet owes does not come at once.
const PAUSE_MAX_MS: u64 = 15_000;
/// Longest reason that is told, characters.
const WHY_CHARS_MAX: usize = 200;

/// The link as delivery sees it: `None` while it is down.
pub(super) type Client = watch::Receiver<Option<Bulk>>;

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

/// The coordinator's last word on an attempt, if a refusal of its is one. The one place that decides it: nothing else ends a delivery, and a status that
/// something on the way made up is nobody's word.
fn last_word(told: Option<ErrorCode>, why: &str) -> Option<Verdict> {
    match told? {
        // The lease is not known there as this worker's: nothing can come of it any more.
        ErrorCode::Stale => Some(Verdict::Stale(why.to_owned())),
        // What was sent is not what it says, or is more than is taken; it would be the same the next time.
        ErrorCode::InvalidInput => Some(Verdict::Rejected(why.to_owned())),
        // Its disk, its repository, its certificates, the way there: they are put right, and then it is taken.
        ErrorCode::NotFound
        | ErrorCode::Conflict
        | ErrorCode::NotAuthorised
        | ErrorCode::Unreachable
        | ErrorCode::Exhausted
        | ErrorCode::Internal => None,
    }
}

/// The coordinator's answer to a report; `Err`: not now, and why.
fn verdict_of(verdict: v1::Verdict) -> Result<Verdict, String> {
    match verdict.kind() {
        v1::verdict::Kind::Accepted => Ok(Verdict::Accepted),
        v1::verdict::Kind::Stale => Ok(Verdict::Stale(verdict.reason)),
        v1::verdict::Kind::Rejected => Ok(Verdict::Rejected(verdict.reason)),
        v1::verdict::Kind::RetryLater | v1::verdict::Kind::Unspecified => Err(verdict.reason),
    }
}

/// Failures in a row, and the pauses between.
#[derive(Default)]
pub(super) struct Again {
    failures: u32,
}

impl Again {
    /// The pause after one more failure, before full jitter.
    fn bound_ms(&mut self) -> u64 {
        let bound = PAUSE_FIRST_MS.saturating_mul(1 << self.failures.min(10)).min(PAUSE_MAX_MS);
        self.failures += 1;
        bound
    }

    /// Waits it out, or until there is another link, and says whether there is: what was wrong may have been the one there was.
    pub(super) async fn pause(&mut self, client: &mut Client) -> bool {
        let bound = self.bound_ms();
        let pause = getrandom::u64().unwrap_or(bound) % (bound + 1);
        // It may have come while the other connection was still tried.
        if client.has_changed().unwrap_or(false) {
            client.mark_unchanged();
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pause)) => false,
            _ = client.changed() => true,
        }
    }
}

/// A reason in a line, within a bound.
fn short(why: &str) -> String {
    why.lines().next().unwrap_or_default().chars().take(WHY_CHARS_MAX).collect()
}

/// Sends events until the attempt has ended and all are durable at the coordinator, or it does not want them. `say` is told what stands in the way, empty
/// once nothing does.
pub(super) async fn events(spool: AttemptSpool, mut client: Client, say: impl Fn(String)) {
    let (mut acked, mut again) = (0, Again::default());
    loop {
        let Some(bulk) = connected(&mut client).await else { return };
        let before = acked;
        let sent = match bulk.lend().await {
            Ok(link) => stream_events(&spool, &link, &mut acked).await.inspect_err(|error| error.tell(&link)),
            Err(error) => Err(StreamError::Link(error.to_string())),
        };
        match sent {
            Ok(()) => return say(String::new()),
            Err(StreamError::Told(told, why)) if last_word(told, &why).is_some() => {
                return warn!(lease = %spool.lease().lease.key, %why, "the rest of an attempt's events is not wanted");
            }
            Err(StreamError::Told(_, why) | StreamError::Link(why)) => {
                debug!(lease = %spool.lease().lease.key, %why, "sending events broke; again");
                say(short(&why));
                if acked > before {
                    again = Again::default();
                }
                again.pause(&mut client).await;
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
    /// The coordinator's word, if it is one.
    Told(Option<ErrorCode>, String),
    /// The way there.
    Link(String),
    /// Our own disk.
    Spool(SpoolError),
}

impl StreamError {
    /// A connection that did not hold is not used again.
    fn tell(&self, link: &Lent) {
        match self {
            Self::Told(told, _) => link.failed(*told),
            Self::Link(_) => link.broke(),
            Self::Spool(_) => {}
        }
    }
}

impl From<tonic::Status> for StreamError {
    fn from(status: tonic::Status) -> Self {
        Self::Told(told_code_of(&status), message_of(&status))
    }
}

impl From<String> for StreamError {
    fn from(why: String) -> Self {
        Self::Link(why)
    }
}

/// One stream of chunks and acknowledgements.
async fn stream_events(spool: &AttemptSpool, link: &Lent, acked: &mut u64) -> Result<(), StreamError> {
    let lease = v1::LeaseRef::from(&spool.lease().lease);
    let (chunks, stream) = mpsc::channel(WINDOW);
    let mut chunks = Some(chunks);
    let mut acks = link.client().put_events(ReceiverStream::new(stream)).await?.into_inner();
    let mut reader = spool.reader(*acked + 1).map_err(StreamError::Spool)?;
    let mut position = spool.watch();
    // Last event of each chunk that is not acknowledged, and the room it takes: one acknowledgement may stand for many of them.
    let mut in_flight = VecDeque::with_capacity(WINDOW);
    loop {
        let now = *position.borrow_and_update();
        if now.ended && *acked >= now.written_seq {
            return Ok(());
        }
        if now.ended && reader.next_seq() > now.written_seq {
            // Closing our half says that this was all: the coordinator then makes it durable at once.
            chunks = None;
        }
        let has_window = chunks.is_some() && in_flight.len() < WINDOW;
        let has_more = has_window && reader.next_seq() <= now.written_seq;
        tokio::select! {
            room = link.room(), if has_more => {
                let Some(chunks) = &chunks else { continue };
                let first_seq = reader.next_seq();
                let events = reader.read(now.written_seq).map_err(StreamError::Spool)?;
                chunks.send(chunk_in(link.protocol(), lease.clone(), first_seq, events)).await.map_err(|_| "the stream closed".to_owned())?;
                in_flight.push_back((reader.next_seq() - 1, room));
            }
            changed = position.changed(), if has_window && !has_more => changed.map_err(|_| "the spool closed".to_owned())?,
            ack = acks.next() => {
                let ack = ack.ok_or_else(|| "the stream ended".to_owned())??;
                if ack.stale {
                    return Ok(());
                }
                if ack.expected_seq != 0 {
                    *acked = ack.expected_seq - 1;
                    return Err(format!("the coordinator wants events from {} on", ack.expected_seq).into());
                }
                *acked = ack.through_seq.max(*acked);
                while in_flight.front().is_some_and(|(last, _)| *last <= *acked) {
                    in_flight.pop_front();
                }
            }
        }
    }
}

/// Sends commit and outcome until there is a verdict. `None`: the worker stops first; the spool has it. `say` is told what stands in the way.
pub(super) async fn outcome(
    spool: &AttemptSpool,
    runner: &impl Runner,
    facts: &AttemptFacts,
    client: &mut Client,
    say: impl Fn(String),
) -> Option<Verdict> {
    let mut again = Again::default();
    let mut upload = Upload::default();
    loop {
        let bulk = connected(client).await?;
        let tried = match bulk.lend().await {
            Ok(link) => try_outcome(spool, runner, facts, &link, &mut upload).await,
            Err(error) => Err(error.to_string()),
        };
        let why = match tried {
            Ok(verdict) => return Some(verdict),
            Err(why) => why,
        };
        warn!(lease = %spool.lease().lease.key, %why, failures = again.failures + 1, "the outcome is not handed in yet; again");
        say(short(&why));
        let has_changed = again.pause(client).await;
        // Over another link there may be a coordinator that was restored.
        upload.is_there &= !has_changed && client.borrow().is_some();
    }
}

/// What is known of a commit's way from one try to the next.
#[derive(Default)]
struct Upload {
    /// A pack that is not made anew for each.
    large: Option<LargePack>,
    /// It has come.
    is_there: bool,
}

/// One try; `Err` says why there is no verdict yet.
async fn try_outcome(
    spool: &AttemptSpool,
    runner: &impl Runner,
    facts: &AttemptFacts,
    link: &Lent,
    upload: &mut Upload,
) -> Result<Verdict, String> {
    let word = |status: &tonic::Status| {
        let (told, why) = (told_code_of(status), message_of(status));
        link.failed(told);
        last_word(told, &why).ok_or(why)
    };
    let lease = spool.lease();
    if let Some(commit) = facts.commit.as_ref().filter(|_| !upload.is_there) {
        match put::put_pack(&link.client(), runner, spool, commit, &mut upload.large).await {
            Ok(()) => upload.is_there = true,
            Err(PutError::Runner(RunnerError(why))) => return Err(why),
            Err(PutError::Status(status)) => return word(&status),
        }
    }
    match link.client().report(report_in(link.protocol(), &lease.lease, facts)).await {
        Ok(verdict) => verdict_of(verdict.into_inner()),
        Err(status) => word(&status),
    }
}

/// The link's second connection, once there is a link; `None` when the worker stops.
pub(super) async fn connected(client: &mut Client) -> Option<Bulk> {
    client.wait_for(Option::is_some).await.ok()?.clone()
}

/// The second connection, open, however many tries it takes; `None` when the worker stops.
pub(super) async fn lent(client: &mut Client) -> Option<Lent> {
    let mut again = Again::default();
    loop {
        match connected(client).await?.lend().await {
            Ok(link) => return Some(link),
            Err(error) => debug!(%error, "the second connection could not be opened; again"),
        }
        again.pause(client).await;
    }
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

#[cfg(test)]
mod tests {
    use roundtable_proto::convert::status_of;
    use tonic::{Code, Status};

    use super::*;

    fn word(status: &Status) -> Option<Verdict> {
        last_word(told_code_of(status), "why")
    }

    #[test]
    fn only_the_coordinators_own_last_word_ends_a_delivery() {
        let cases = [
            (ErrorCode::Stale, Some(Verdict::Stale("why".into()))),
            (ErrorCode::InvalidInput, Some(Verdict::Rejected("why".into()))),
            (ErrorCode::NotFound, None),
            (ErrorCode::Conflict, None),
            (ErrorCode::NotAuthorised, None),
            (ErrorCode::Unreachable, None),
            (ErrorCode::Exhausted, None),
            (ErrorCode::Internal, None),
        ];
        for (code, wanted) in cases {
            assert_eq!(word(&status_of(code, "why")), wanted, "{code:?}");
        }
    }

    #[test]
    fn no_status_that_was_made_up_on_the_way_ends_it() {
        for code in (0..=16).map(Code::from_i32) {
            assert_eq!(word(&Status::new(code, "why")), None, "{code:?}");
        }
    }

    #[test]
    fn three_answers_are_verdicts() {
        use v1::verdict::Kind;
        let answer = |kind: Kind| verdict_of(v1::Verdict { kind: kind.into(), reason: "why".into() });
        assert_eq!(answer(Kind::Accepted), Ok(Verdict::Accepted));
        assert_eq!(answer(Kind::Stale), Ok(Verdict::Stale("why".into())));
        assert_eq!(answer(Kind::Rejected), Ok(Verdict::Rejected("why".into())));
        assert_eq!(answer(Kind::RetryLater), Err("why".into()));
        assert_eq!(answer(Kind::Unspecified), Err("why".into()));
        assert!(verdict_of(v1::Verdict { kind: 99, reason: String::new() }).is_err(), "one of a later release");
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut again = Again::default();
        let bounds: Vec<u64> = (0..8).map(|_| again.bound_ms()).collect();
        assert_eq!(bounds, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]);
    }
}
