//! Following a run: transitions and agent events as JSON lines, first what is there, then what comes. Slow readers hold nobody back: everything is read
//! from the log and the segments, which have it.

use std::collections::HashMap;
use std::time::Duration;

use roundtable_proto::convert::status_of;
use roundtable_proto::v1;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::{AttemptKey, RunId};
use roundtable_store::segment::Reader;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use crate::history::{History, HistoryError, Lines, Stopped, Wanted, attempt_by_attempt, wrong};
use crate::parts::Parts;
use crate::view;

/// Lines that wait for a slow reader.
const LINES_MAX: usize = 256;
/// Agent events are looked for at least this often while something runs.
const POLL: Duration = Duration::from_millis(150);

/// Starts to follow.
pub(super) fn start(
    parts: Parts,
    request: v1::WatchRequest,
) -> Result<impl Stream<Item = Result<v1::WatchFrame, Status>> + Send + use<>, Status> {
    if request.agent_events && request.run.is_empty() {
        return Err(status_of(ErrorCode::InvalidInput, "agent events are followed run by run: name one"));
    }
    let (lines, stream) = mpsc::channel(LINES_MAX);
    crate::tasks::spawn("watch", async move {
        if let Err(Some(error)) = follow(&parts, &request, &lines).await {
            // The reader may have gone.
            let _ = lines.send(Err(error)).await;
        }
    });
    Ok(ReceiverStream::new(stream).map(|line: Result<String, HistoryError>| match line {
        Ok(line) => Ok(v1::WatchFrame { line: line.into_bytes() }),
        Err(error) => Err(status_of(error.code(), error.to_string())),
    }))
}

async fn follow(parts: &Parts, request: &v1::WatchRequest, lines: &Lines) -> Result<(), Stopped> {
    let mut published = parts.links.published.clone();
    let mut stop = parts.stop.subscribe();
    let wanted = Wanted {
        run: (!request.run.is_empty()).then(|| RunId::from(request.run.clone())),
        unit: (!request.unit.is_empty()).then(|| request.unit.clone()),
        attempt: (request.attempt != 0).then_some(request.attempt),
    };
    let mut history = History::new(wanted, request.agent_events.then(|| parts.segments.clone()), request.after_seq);
    let mut readers: HashMap<AttemptKey, Reader> = HashMap::new();
    loop {
        let head = *published.borrow_and_update();
        // Asked before reading, so that nothing of a run that ends meanwhile is missed.
        let over = if request.run.is_empty() { false } else { is_over(parts, &request.run) };
        if request.transitions {
            history.tell(parts.log.as_ref(), head, lines).await?;
        } else if request.agent_events {
            let (run, unit, attempt) = (RunId::from(request.run.clone()), request.unit.clone(), request.attempt);
            let keys = parts.links.handle.view(move |core, _| view::attempt_keys(core, &run, &unit, attempt)).await.map_err(wrong)?;
            attempt_by_attempt(&parts.segments, &keys, &mut readers, lines).await?;
        }
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

fn is_over(parts: &Parts, run: &str) -> bool {
    let run = RunId::from(run);
    parts.links.handle.read(|core, _| core.state.run(&run).is_none_or(|run| run.is_ended() && !run.has_live_attempts()))
}
