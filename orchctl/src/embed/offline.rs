//! A data dir that nobody serves, read without a lock.

use std::path::{Path, PathBuf};

use roundtable_coordinator::offline::{self, OfflineError, WatchRequest};
use roundtable_coordinator::serve::{self, OpenError, store_path};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::view::{Query, SubmitReply, SubmitRequest};
use tokio_stream::StreamExt;

use crate::api::{Lines, WatchFor};
use crate::failure::{Failure, Result};
use crate::intake::SpecFolder;

/// Its reader.
pub struct Offline {
    data_dir: PathBuf,
}

impl Offline {
    /// Of this folder, which need not exist.
    pub fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned() }
    }

    /// A read model as JSON.
    pub async fn query(&self, query: &Query) -> Result<Vec<u8>> {
        if !store_path(&self.data_dir).is_file() {
            // Nothing there, or something that is gone.
            if let Err(error) = serve::open_reader(&self.data_dir) {
                return if matches!(error, OpenError::Missing { .. }) { nothing_yet(query) } else { Err(refusal(error.into())) };
            }
        }
        let answer = offline::query(&self.data_dir, query.clone()).await.map_err(refusal)?;
        serde_json::to_vec(&answer).map_err(|error| Failure::failed("the answer cannot be written as JSON").why(error))
    }

    /// What a submission would come to.
    pub async fn foresee(&self, request: &SubmitRequest, spec: &SpecFolder) -> Result<SubmitReply> {
        offline::foresee(&self.data_dir, request, &spec.files).await.map_err(refusal)
    }

    /// The lines there are; nothing more comes.
    pub async fn watch(&self, wanted: &WatchFor) -> Result<Lines> {
        let request = WatchRequest {
            run: (!wanted.run.is_empty()).then(|| wanted.run.clone()),
            unit: wanted.unit.clone(),
            attempt: wanted.attempt,
            transitions: wanted.transitions,
            agent_events: wanted.agent_events,
        };
        let lines = offline::lines(&self.data_dir, request).await.map_err(refusal)?;
        let lines = lines.map(|line| line.map(String::into_bytes).map_err(|error| unreadable(&error)));
        Ok(Lines::new(lines))
    }
}

/// Answers about a data dir where nothing has ever run.
fn nothing_yet(query: &Query) -> Result<Vec<u8>> {
    match query {
        Query::Runs | Query::Workers | Query::Decisions { .. } => Ok(b"[]".to_vec()),
        Query::FindSource { .. } => Ok(b"null".to_vec()),
        _ => Err(Failure::of(ErrorCode::NotFound, "there is no run yet").next("start one with `orchctl run --spec DIR`")),
    }
}

fn refusal(error: OfflineError) -> Failure {
    match &error {
        OfflineError::Query(query) => Failure::of(query.code(), error.to_string()),
        _ => unreadable(&error),
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Failure {
    Failure::failed("the data dir cannot be read").why(error).next("`coordinator verify` names what is damaged")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::exit::Exit;

    #[tokio::test]
    async fn a_fresh_machine_has_no_runs_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let offline = Offline::new(&dir.path().join("never"));
        assert_eq!(offline.query(&Query::Runs).await.unwrap(), b"[]");
        let missing = offline.query(&Query::Status { run: Default::default() }).await.unwrap_err();
        assert_eq!(missing.exit(), Exit::Failed);
        assert!(!dir.path().join("never").exists());
    }
}
