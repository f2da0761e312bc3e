//! Following a run: transitions and agent events as JSON lines, first what is there, then what comes. Slow readers hold nobody back: everything is read
//! from the log and the segments, which have it.

use std::collections::HashMap;
use std::time::Duration;

use roundtable_proto::convert::status_of;
use roundtable_proto::v1;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{AttemptKey, RunId};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::driver::decode_row;
use crate::parts::Parts;
use crate::view;

/// Lines that wait for a slow reader.
const LINES_MAX: usize = 256;
/// Rows, or events, read at once.
const READ_MAX: usize = 1000;
/// Agent events are looked for at least this often while something runs.
const POLL: Duration = Duration::from_millis(150);

type Lines = mpsc::Sender<Result<v1::WatchFrame, Status>>;

/// Starts to follow.
pub(super) fn start(parts: Parts, request: v1::WatchRequest) -> Result<ReceiverStream<Result<v1::WatchFrame, Status>>, Status> {
    if request.agent_events && request.run.is_empty() {
        return Err(status_of(ErrorCode::InvalidInput, "agent events are followed run by run: name one"));
    }
    let (lines, stream) = mpsc::channel(LINES_MAX);
    crate::tasks::spawn("watch", async move {
        if let Err(Some(status)) = follow(&parts, &request, &lines).await {
            // The reader may have gone.
            let _ = lines.send(Err(status)).await;
        }
    });
    Ok(ReceiverStream::new(stream))
}

/// `Err(None)`: the reader has gone.
async fn follow(parts: &Parts, request: &v1::WatchRequest, lines: &Lines) -> Result<(), Option<Status>> {
    let mut published = parts.links.published.clone();
    let mut stop = parts.stop.subscribe();
    let mut seq = request.after_seq;
    let mut events: HashMap<AttemptKey, u64> = HashMap::new();
    loop {
        let head = *published.borrow_and_update();
        // Agent events first: an attempt's last words come before its end.
        if request.agent_events {
            agent_events(parts, request, &mut events, lines).await?;
        }
        if request.transitions {
            seq = transitions(parts, request, seq, head, lines).await?;
        }
        let over = if request.run.is_empty() { false } else { is_over(parts, &request.run).await? };
        if *stop.borrow() || !request.follow || over {
            return Ok(());
        }
        tokio::select! {
            changed = published.changed() => if changed.is_err() { return Ok(()) },
            () = tokio::time::sleep(POLL), if request.agent_events => {}
            _ = stop.changed() => {}
            () = lines.closed() => return Err(None),
        }
    }
}

async fn transitions(parts: &Parts, request: &v1::WatchRequest, mut seq: u64, head: u64, lines: &Lines) -> Result<u64, Option<Status>> {
    while seq < head {
        let rows = parts.log.read(seq + 1, READ_MAX).await.map_err(|error| Some(status_of(ErrorCode::Internal, error.to_string())))?;
        let Some(last) = rows.last().map(|row| row.seq) else { break };
        for row in rows.iter().filter(|row| row.seq <= head) {
            if !request.run.is_empty() && row.run.as_deref() != Some(request.run.as_str()) {
                continue;
            }
            let transition = decode_row(row).map_err(|error| Some(status_of(ErrorCode::Internal, error.to_string())))?;
            send(lines, view::transition_line(row.seq, row.at_ms, &transition)).await?;
        }
        seq = last;
    }
    Ok(seq)
}

async fn agent_events(
    parts: &Parts,
    request: &v1::WatchRequest,
    events: &mut HashMap<AttemptKey, u64>,
    lines: &Lines,
) -> Result<(), Option<Status>> {
    let (run, unit, attempt) = (RunId::from(request.run.clone()), request.unit.clone(), request.attempt);
    let keys = parts.links.handle.read(move |core, _| view::attempt_keys(core, &run, &unit, attempt)).await;
    let keys = keys.map_err(|error| Some(status_of(error.code(), error.to_string())))?;
    for key in keys {
        let next = events.entry(key.clone()).or_insert(1);
        loop {
            let batch = parts.segments.read(&key, *next, READ_MAX).await;
            let batch = batch.map_err(|error| Some(status_of(ErrorCode::Internal, error.to_string())))?;
            if batch.is_empty() {
                break;
            }
            for event in batch {
                *next = event.seq + 1;
                if let Some(line) = view::agent_event_line(&key, event.seq, &event.bytes) {
                    send(lines, line).await?;
                }
            }
        }
    }
    Ok(())
}

async fn is_over(parts: &Parts, run: &str) -> Result<bool, Option<Status>> {
    let run = RunId::from(run);
    let over =
        parts.links.handle.read(move |core, _| core.state.run(&run).is_none_or(|run| run.is_ended() && !run.has_live_attempts())).await;
    over.map_err(|error| Some(status_of(error.code(), error.to_string())))
}

async fn send(lines: &Lines, line: String) -> Result<(), Option<Status>> {
    lines.send(Ok(v1::WatchFrame { line: line.into_bytes() })).await.map_err(|_| None)
}
