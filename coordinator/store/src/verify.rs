//! Walks a data directory's log and segments and says what is wrong with them, first the first bad record. Changes nothing.
//!
//! The repository's objects are for git to check; whether rows and events agree with each other is for those who know what they mean.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use roundtable_shared::AttemptKey;
use serde::Serialize;

use crate::log::{LogReader, OpenError, ReadError, Row, RowHash, SqliteReader, page_damage};
use crate::segment::{Cursor, EventsError, is_aside, relative_dir};

/// Rows and events looked at in one go.
const STEP: usize = 4096;
/// Most problems a report lists.
pub const PROBLEMS_MAX: usize = 100;

/// Something wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// The record: `log row 17`, `segments/<attempt>/<file> event 4`.
    pub place: String,
    /// What is wrong with it.
    pub what: String,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// Good rows, from the first on.
    pub rows: u64,
    /// Hash of the last good row.
    pub head_hash: Option<RowHash>,
    /// Good rows per run, the ones of no run under the empty name.
    pub rows_by_run: BTreeMap<String, u64>,
    /// Attempts that have segments.
    pub attempts: u64,
    /// Good events.
    pub events: u64,
    /// Good events of each attempt, by its folder.
    #[serde(skip)]
    events_by_attempt: BTreeMap<PathBuf, u64>,
    /// Bytes of good events.
    pub event_bytes: u64,
    /// Attempts whose last file ends in the middle of a record, as a crash leaves it; cut when the attempt goes on.
    pub torn_tails: u64,
    /// What is wrong, the log first; at most [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
}

impl Report {
    /// Good events of an attempt.
    pub fn events_of(&self, key: &AttemptKey) -> u64 {
        self.events_by_attempt.get(&relative_dir(key)).copied().unwrap_or(0)
    }

    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, place: impl Into<String>, what: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { place: place.into(), what: what.into() });
        }
    }
}

/// Checks the store and the segments. Works beside a running coordinator; `Err` only if there is nothing to check or it cannot be read.
pub async fn verify(store: &Path, segments: &Path) -> Result<Report, OpenError> {
    let mut report = Report::default();
    verify_log(store, &mut report).await?;
    verify_pages(store, &mut report).await?;
    let root = segments.to_owned();
    let walked = tokio::task::spawn_blocking(move || verify_segments(&root, report)).await;
    let io = |error: String| OpenError::Io { path: segments.to_owned(), detail: error };
    walked.map_err(|error| io(error.to_string()))?.map_err(|error| io(error.to_string()))
}

async fn verify_log(store: &Path, report: &mut Report) -> Result<(), OpenError> {
    let log = match SqliteReader::open(store) {
        Ok(log) => log,
        Err(OpenError::Corrupt(corruption)) => {
            let place = corruption.seq.map_or_else(|| "log".to_owned(), |seq| format!("log row {seq}"));
            report.add(place, corruption.detail);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    loop {
        match log.read(report.rows + 1, STEP).await {
            Ok(rows) if rows.is_empty() => return Ok(()),
            Ok(rows) => rows.iter().for_each(|row| count(row, report)),
            Err(ReadError::Corrupt(_)) => break,
            Err(error) => return Err(OpenError::Io { path: store.to_owned(), detail: error.to_string() }),
        }
    }
    // The step was too long to say how many of its rows are good.
    loop {
        match log.read(report.rows + 1, 1).await {
            Ok(rows) if rows.is_empty() => return Ok(()),
            Ok(rows) => rows.iter().for_each(|row| count(row, report)),
            Err(ReadError::Corrupt(corruption)) => {
                report.add(format!("log row {}", corruption.seq.unwrap_or(report.rows + 1)), corruption.detail);
                return Ok(());
            }
            Err(error) => return Err(OpenError::Io { path: store.to_owned(), detail: error.to_string() }),
        }
    }
}

fn count(row: &Row, report: &mut Report) {
    report.rows = row.seq;
    report.head_hash = Some(row.hash);
    *report.rows_by_run.entry(row.run.clone().unwrap_or_default()).or_default() += 1;
}

/// Damage to pages that no row shows, such as a free list that will swallow rows later.
async fn verify_pages(store: &Path, report: &mut Report) -> Result<(), OpenError> {
    let path = store.to_owned();
    let damage = tokio::task::spawn_blocking(move || page_damage(&path)).await;
    let damage = damage.map_err(|error| OpenError::Io { path: store.to_owned(), detail: error.to_string() })?;
    match damage {
        Ok(None) => {}
        Ok(Some(corruption)) | Err(OpenError::Corrupt(corruption)) => report.add("log pages", corruption.detail),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn verify_segments(root: &Path, mut report: Report) -> io::Result<Report> {
    // What is put aside is removed already, as far as anybody is concerned.
    for run in subdirs(root)?.into_iter().filter(|run| !is_aside(run.as_os_str())) {
        for unit in subdirs(&root.join(&run))? {
            for attempt in subdirs(&root.join(&run).join(&unit))? {
                verify_attempt(root, &run.join(&unit).join(&attempt), &mut report)?;
            }
        }
    }
    Ok(report)
}

fn verify_attempt(root: &Path, relative: &Path, report: &mut Report) -> io::Result<()> {
    report.attempts += 1;
    let mut walk = || -> Result<(), EventsError> {
        let mut cursor = Cursor::open_dir(root, relative, 1)?;
        loop {
            let batch = cursor.next_batch(STEP, None)?;
            report.torn_tails += u64::from(batch.torn_bytes > 0);
            if batch.events.is_empty() {
                return Ok(());
            }
            report.events += batch.events.len() as u64;
            *report.events_by_attempt.entry(relative.to_owned()).or_default() += batch.events.len() as u64;
            report.event_bytes += batch.events.iter().map(|event| event.bytes.len() as u64).sum::<u64>();
        }
    };
    match walk() {
        Ok(()) => Ok(()),
        Err(EventsError::Corrupt { file, seq, detail }) => {
            report.add(format!("segments/{file} event {seq}"), detail);
            Ok(())
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Names of the directories in `dir`, in order; none if it is not there.
fn subdirs(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(PathBuf::from(entry.file_name()));
        }
    }
    names.sort_unstable();
    Ok(names)
}
