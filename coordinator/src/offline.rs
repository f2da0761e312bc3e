//! A data directory nobody serves, read without a lock.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use roundtable_core::Core;
use roundtable_core::command::Now;
use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::git::GitProgram;
use roundtable_shared::RunId;
use roundtable_shared::view::{Query, SubmitReply, SubmitRequest};
use roundtable_store::{SegmentOptions, SegmentStore, SqliteReader};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::driver::{FoldError, recover};
use crate::history::{History, HistoryError, Wanted, attempt_by_attempt};
use crate::query::{self, QueryError};
use crate::repository::Repositories;
use crate::serve;
use crate::submit;
use crate::told::Told;
use crate::view::attempt_keys;

/// Lines that wait for a slow reader.
const LINES_MAX: usize = 256;

/// Why it could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfflineError {
    /// There is no log, or it cannot be opened.
    #[error(transparent)]
    Store(#[from] roundtable_store::OpenError),
    /// The log cannot be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// No usable git.
    #[error(transparent)]
    Git(#[from] roundtable_runtime::git::GitError),
    /// The agent events cannot be read.
    #[error(transparent)]
    Events(#[from] roundtable_store::segment::EventsError),
    /// The question has no answer.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// The fold of a data directory's log.
pub async fn fold(data_dir: &Path) -> Result<Core, OfflineError> {
    let reader: SqliteReader = serve::open_reader(data_dir)?;
    Ok(recover(&reader, &serve::snapshots(data_dir)).await?.core)
}

/// Answers a question about a data directory, without a lock.
pub async fn query(data_dir: &Path, question: Query) -> Result<serde_json::Value, OfflineError> {
    let core = fold(data_dir).await?;
    let clock = SystemClock;
    let now = Now { mono_ms: clock.boot_ms(), wall: clock.wall() };
    let repositories = Repositories::new(data_dir.join("repos"), GitProgram::find().await?);
    Ok(query::answer_offline(&core, now, &repositories, &Told::new(data_dir), question).await?)
}

/// Which lines of the past are wanted.
#[derive(Clone, Debug, Default)]
pub struct WatchRequest {
    /// Run id; `None` = all runs (transitions only).
    pub run: Option<String>,
    /// Only this unit's agent events; `-` = the run's own seats.
    pub unit: Option<String>,
    /// Only this attempt's agent events.
    pub attempt: Option<u32>,
    /// Transitions.
    pub transitions: bool,
    /// Agent events of the run.
    pub agent_events: bool,
}

/// What `Control.Watch` would have said of the past, a JSON line each.
pub async fn lines(data_dir: &Path, request: WatchRequest) -> Result<ReceiverStream<Result<String, HistoryError>>, OfflineError> {
    let core = fold(data_dir).await?;
    let reader = serve::open_reader(data_dir)?;
    let run = request.run.clone().map(RunId::from);
    let (wants_events, segments) = match &run {
        Some(_) if request.agent_events => (true, Some(SegmentStore::open(&data_dir.join("segments"), SegmentOptions::default())?)),
        _ => (false, None),
    };
    let (lines, stream) = mpsc::channel(LINES_MAX);
    crate::tasks::spawn("lines", async move {
        let told = if request.transitions {
            let wanted = Wanted { run, unit: request.unit, attempt: request.attempt };
            History::new(wanted, segments, 0).tell(&reader, core.state.seq, &lines).await
        } else if let (true, Some(segments), Some(run)) = (wants_events, segments, run) {
            let unit = request.unit.unwrap_or_default();
            let keys = attempt_keys(&core, &run, &unit, request.attempt.unwrap_or(0));
            attempt_by_attempt(&segments, &keys, &mut HashMap::new(), &lines).await
        } else {
            Ok(())
        };
        if let Err(Some(error)) = told {
            let _ = lines.send(Err(error)).await;
        }
    });
    Ok(ReceiverStream::new(stream))
}

/// What a submission to a data directory nobody serves would come to; the directory need not be there, and is not made.
pub async fn foresee(data_dir: &Path, request: &SubmitRequest, files: &BTreeMap<String, Vec<u8>>) -> Result<SubmitReply, OfflineError> {
    let core = if serve::store_path(data_dir).is_file() { fold(data_dir).await? } else { Core::default() };
    Ok(submit::foresee(&core.state, request, files))
}
