//! `coordinator verify`: log and segments (by the store), the fold, and the repositories' objects that the state needs.

use std::fmt;
use std::path::Path;

use roundtable_runtime::git::GitProgram;
use roundtable_store::OpenError;
use serde::Serialize;

use crate::offline::{self, OfflineError};
use crate::repository::Repositories;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Log and segments.
    #[serde(flatten)]
    store: roundtable_store::Report,
    /// Runs the log folds into.
    runs: usize,
    /// Commits the state needs that were looked for.
    commits: usize,
    /// Of the fold and the repositories.
    beyond: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.store.is_good() && self.beyond.is_empty()
    }

    /// The report as one JSON value.
    pub fn json(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value["ok"] = self.is_good().into();
        value.to_string()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.store.problems {
            writeln!(f, "BAD  {}: {}", problem.place, problem.what)?;
        }
        for problem in &self.beyond {
            writeln!(f, "BAD  {problem}")?;
        }
        writeln!(f, "log: {} rows, {} runs", self.store.rows, self.runs)?;
        writeln!(f, "events: {} of {} attempts ({} torn tails)", self.store.events, self.store.attempts, self.store.torn_tails)?;
        writeln!(f, "repositories: {} commits looked for", self.commits)?;
        write!(f, "{}", if self.is_good() { "all good" } else { "damaged: restore a backup, or start with another data directory" })
    }
}

/// Checks a data directory.
pub async fn verify(data_dir: &Path, store: &Path) -> Result<Report, OpenError> {
    let checked = roundtable_store::verify(store, &data_dir.join("segments")).await?;
    let mut report = Report { store: checked, runs: 0, commits: 0, beyond: Vec::new() };
    if report.store.is_good()
        && let Err(error) = beyond(data_dir, &mut report).await
    {
        report.beyond.push(error.to_string());
    }
    Ok(report)
}

async fn beyond(data_dir: &Path, report: &mut Report) -> Result<(), OfflineError> {
    let core = offline::fold(data_dir).await?;
    let repositories = Repositories::new(data_dir.join("repos"), GitProgram::find().await?);
    for run in core.state.runs.values() {
        report.runs += 1;
        let repository = match repositories.open(&run.source.repository).await {
            Ok(repository) => repository,
            Err(error) => {
                report.beyond.push(format!("run {}: {error}", run.id));
                continue;
            }
        };
        let accepted = run.units().filter_map(|unit| unit.accepted.as_ref().map(|work| work.commit.clone()));
        for commit in [run.base.clone(), run.tip.clone()].into_iter().chain(accepted) {
            report.commits += 1;
            match repository.has_commit(&commit).await {
                Ok(true) => {}
                Ok(false) => report.beyond.push(format!("run {}: commit {commit} is not in its repository", run.id)),
                Err(error) => report.beyond.push(format!("run {}: {error}", run.id)),
            }
        }
    }
    Ok(())
}
