//! `coordinator verify`: log, segments and audit log (by the store), the fold, and what the log says must be there: the repositories' objects (by git), the refs
//! where they were put, the events of ended attempts. Changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use roundtable_core::Core;
use roundtable_core::state::{Attempt, Run};
use roundtable_runtime::git::GitProgram;
use roundtable_runtime::terminal::{WIDTH, wrap};
use roundtable_shared::{AttemptKey, CommitId, UnitId};
use roundtable_store::segment::{EventsError, check_events, has_events};
use roundtable_store::snapshot::SnapshotError;
use roundtable_store::verify::PROBLEMS_MAX;
use roundtable_store::{AuditReader, OpenError, Row, Snapshots};
use serde::Serialize;

use crate::audit::dir_of;
use crate::backup::Manifest;
use crate::driver;
use crate::lost::Belongs;
use crate::offline::OfflineError;
use crate::repository::{Repositories, Repository, RepositoryError};
use crate::serve;

/// Records of the audit log read at once.
const AUDIT_STEP: usize = 1000;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Log and segments.
    #[serde(flatten)]
    store: roundtable_store::Report,
    /// Runs the log folds into.
    runs: usize,
    /// Of those, runs whose files were removed: of them the log counts on nothing but itself.
    removed: usize,
    /// Commits the state needs that were looked for.
    commits: usize,
    /// Refs that were looked at.
    refs: usize,
    /// Repositories whose objects were all read.
    repositories: usize,
    /// Records of the audit log.
    audit: u64,
    /// Snapshots of this build, each of which is what the rows up to it come to.
    snapshots: u64,
    /// Of snapshots. They are derived: nothing is lost with them.
    of_snapshots: Vec<String>,
    /// Of the audit log, the fold, the repositories and the events that the log counts on; at most [`PROBLEMS_MAX`].
    beyond: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.store.is_good() && self.beyond.is_empty() && self.of_snapshots.is_empty()
    }

    /// The report as one JSON value.
    pub fn json(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value["ok"] = self.is_good().into();
        value.to_string()
    }

    fn add(&mut self, problem: impl Into<String>) {
        if self.beyond.len() < PROBLEMS_MAX {
            self.beyond.push(problem.into());
        }
    }

    fn room(&self) -> usize {
        PROBLEMS_MAX - self.beyond.len().min(PROBLEMS_MAX)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_store = self.store.problems.iter().map(|problem| format!("{}: {}", problem.place, problem.what));
        for problem in of_store.chain(self.beyond.iter().cloned()).chain(self.of_snapshots.iter().cloned()) {
            writeln!(f, "BAD  {}", wrap(&problem, WIDTH - 5).join("\n     "))?;
        }
        let removed = if self.removed > 0 { format!(", {} of them removed", self.removed) } else { String::new() };
        writeln!(f, "log: {} rows, {} runs{removed}", self.store.rows, self.runs)?;
        if self.snapshots > 0 {
            writeln!(f, "snapshots: {} held against the log", self.snapshots)?;
        }
        writeln!(f, "events: {} of {} attempts ({} torn tails)", self.store.events, self.store.attempts, self.store.torn_tails)?;
        writeln!(f, "repositories: {} read, {} commits and {} refs looked for", self.repositories, self.commits, self.refs)?;
        writeln!(f, "audit log: {} records", self.audit)?;
        let told = match (self.is_good(), self.store.is_good() && self.beyond.is_empty()) {
            (true, _) => "all good",
            (false, true) => "damaged: remove what is named, the log has all of it",
            (false, false) => "damaged: restore a backup, or start with another data directory",
        };
        write!(f, "{told}")
    }
}

/// Checks a data directory.
pub async fn verify(data_dir: &Path) -> Result<Report, OpenError> {
    let segments = data_dir.join("segments");
    let checked = roundtable_store::verify(&crate::serve::store_path(data_dir), &segments).await?;
    let mut report = Report { store: checked, ..Report::default() };
    audit(data_dir, &mut report).await;
    match Manifest::read(data_dir) {
        Ok(None) => {}
        Ok(Some(manifest)) => differences(data_dir, manifest, &mut report).await,
        Err(error) => report.add(error.to_string()),
    }
    if report.store.is_good()
        && let Err(error) = beyond(data_dir, &mut report).await
    {
        report.add(error.to_string());
    }
    Ok(report)
}

/// Every record of the audit log, up to the first bad one.
async fn audit(data_dir: &Path, report: &mut Report) {
    let mut reader = AuditReader::open(&dir_of(data_dir));
    let walked = tokio::task::spawn_blocking(move || {
        let mut records = 0_u64;
        loop {
            match reader.next_batch(AUDIT_STEP) {
                Ok(rows) if rows.is_empty() => return (records, None),
                Ok(rows) => records += rows.len() as u64,
                Err(error) => return (records, Some(error.to_string())),
            }
        }
    });
    match walked.await {
        Ok((records, problem)) => {
            report.audit = records;
            problem.into_iter().for_each(|problem| report.add(problem));
        }
        Err(error) => report.add(format!("the audit log could not be read: {error}")),
    }
}

/// A backup has all that its list names, as it was.
async fn differences(folder: &Path, manifest: Manifest, report: &mut Report) {
    let folder = folder.to_owned();
    match tokio::task::spawn_blocking(move || manifest.differences(&folder)).await {
        Ok(differences) => differences.into_iter().for_each(|difference| report.add(difference)),
        Err(error) => report.add(error.to_string()),
    }
}

async fn beyond(data_dir: &Path, report: &mut Report) -> Result<(), OfflineError> {
    let core = fold(data_dir, report).await?;
    let repositories = Repositories::new(data_dir.join("repos"), GitProgram::find().await?);
    let mut by_repository: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in core.state.runs.values() {
        report.runs += 1;
        if run.life.removed.is_some() {
            report.removed += 1;
            continue;
        }
        events(run, &data_dir.join("segments"), report);
        by_repository.entry(&run.origin.source.repository).or_default().push(run);
    }
    for (key, runs) in by_repository {
        match repositories.existing(key).await {
            Ok(Some(repository)) => {
                let folder = data_dir.join("repos").join(format!("{key}.git/"));
                if let Err(error) = examine(&repository, &folder, key, &runs, report).await {
                    report.add(format!("repository {key}: {error}"));
                }
            }
            Ok(None) => report.add(format!("repository {key} is gone; run {} needs it", runs[0].id)),
            Err(error) => report.add(format!("repository {key}: {error}")),
        }
    }
    Ok(())
}

/// Folds the whole log, and holds each snapshot against what its rows come to.
async fn fold(data_dir: &Path, report: &mut Report) -> Result<Core, OfflineError> {
    let snapshots = serve::snapshots(data_dir);
    let mut rows = snapshots.rows().unwrap_or_else(|error| {
        report.of_snapshots.push(format!("snapshots: {error}"));
        Vec::new()
    });
    let reader = serve::open_reader(data_dir)?;
    let folded = driver::fold_seen(&reader, |row, core| {
        if rows.contains(&row.seq) {
            rows.retain(|seq| *seq != row.seq);
            match compare(&snapshots, row, core) {
                Ok(is_ours) => report.snapshots += u64::from(is_ours),
                Err(what) => report.of_snapshots.push(format!("snapshot at row {}: {what}", row.seq)),
            }
        }
    });
    let core = folded.await.map_err(OfflineError::from)?.core;
    report.of_snapshots.extend(rows.into_iter().map(|seq| format!("snapshot at row {seq}: the log has no such row")));
    Ok(core)
}

/// Whether a snapshot is one of this build, and then the same as the state. One that is gone by now has made way for a later one.
fn compare(snapshots: &Snapshots, row: &Row, core: &Core) -> Result<bool, String> {
    let snapshot = match snapshots.read(row.seq) {
        Ok(snapshot) => snapshot,
        Err(SnapshotError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.to_string()),
    };
    if snapshot.label.codec != driver::codec() {
        return Ok(false);
    }
    if snapshot.label.head.hash != row.hash {
        return Err("it was made at another row of that number".to_owned());
    }
    match driver::decode_state(snapshot.body()) {
        Ok(state) if state == core.state => Ok(true),
        Ok(_) => Err("it is not what the rows up to it come to".to_owned()),
        Err(error) => Err(format!("it cannot be understood: {error}")),
    }
}

/// One repository: all its objects, then what each run needs of it. Refs and commits are looked at run by run, so that no more than one run's are in memory.
async fn examine(repository: &Repository, folder: &Path, key: &str, runs: &[&Run], report: &mut Report) -> Result<(), RepositoryError> {
    report.repositories += 1;
    let folder = folder.display().to_string();
    for problem in repository.damage(report.room()).await? {
        let problem = problem.replace(&folder, "");
        report.add(format!("repository {key}: {}", problem.strip_prefix("error: ").unwrap_or(&problem)));
    }
    for run in runs {
        commits(repository, run, report).await?;
        refs(repository, run, report).await?;
    }
    Ok(())
}

async fn commits(repository: &Repository, run: &Run, report: &mut Report) -> Result<(), RepositoryError> {
    let accepted = run.units().filter_map(|unit| unit.work.accepted.as_ref().map(|work| work.commit.clone()));
    // What the next attempt begins with, also where it was only saved on the way.
    let open = run.units().filter(|unit| !unit.state().is_terminal());
    let left = open.filter_map(|unit| unit.work.last.as_ref().map(|work| work.commit.clone()));
    let wanted: Vec<CommitId> = [run.origin.base.clone(), run.branch.tip.clone()].into_iter().chain(accepted).chain(left).collect();
    report.commits += wanted.len();
    for commit in repository.missing(wanted).await? {
        report.add(format!("run {}: commit {commit} is not in its repository", run.id));
    }
    Ok(())
}

/// The run's branch and the refs of its attempts stand where the log says.
async fn refs(repository: &Repository, run: &Run, report: &mut Report) -> Result<(), RepositoryError> {
    let refs = repository.refs_of(&run.id).await?;
    report.refs += 1;
    match refs.branch(&run.id)? {
        None => report.add(format!("run {}: its branch is gone; the log says it is at {}", run.id, run.branch.tip)),
        // A coordinator that was killed may have moved the branch, and not yet said so: the next one does.
        Some(found) if !Belongs::of(run).has(repository, &found).await? => {
            report.add(format!("run {}: its branch is at {found}; the log says {}", run.id, run.branch.tip));
        }
        Some(_) => {}
    }
    for (unit, attempt) in attempts(run) {
        let Some(commit) = attempt.commit() else { continue };
        report.refs += 1;
        let (name, kept) = refs.attempt(&AttemptKey { run: run.id.clone(), unit: unit.cloned(), attempt: attempt.granted.attempt })?;
        match kept {
            Some(kept) if kept == *commit => {}
            Some(kept) => report.add(format!("{name} is at {kept}; the log says {commit}")),
            None => report.add(format!("{name} is gone; the log says it keeps {commit}")),
        }
    }
    Ok(())
}

/// Ended attempts have the events that the log counted, to the last: what was cut off at an end looks whole to itself.
fn events(run: &Run, segments: &Path, report: &mut Report) {
    for (unit, attempt) in attempts(run).filter(|(_, attempt)| attempt.events() > 0) {
        let key = AttemptKey { run: run.id.clone(), unit: unit.cloned(), attempt: attempt.granted.attempt };
        if report.store.events_of(&key) >= attempt.events() {
            continue;
        }
        if matches!(has_events(segments, &key), Ok(false)) {
            report.add(format!("segments of {key} are gone; the log says it had {} events", attempt.events()));
            continue;
        }
        // It may have ended since its folder was walked through.
        match check_events(segments, &key, attempt.events()) {
            Ok(()) => {}
            Err(EventsError::Corrupt { file, seq, detail }) => {
                report.add(format!("segments/{file} event {seq}: {detail}; the log says that {key} had {} events", attempt.events()));
            }
            Err(error) => report.add(format!("segments of {key}: {error}")),
        }
    }
}

/// All attempts of a run, each with its unit.
pub(crate) fn attempts(run: &Run) -> impl Iterator<Item = (Option<&UnitId>, &Attempt)> {
    let of_units = run.units().flat_map(|unit| unit.attempts.iter().map(move |attempt| (Some(&unit.id), attempt)));
    run.attempts.iter().map(|attempt| (None, attempt)).chain(of_units)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use roundtable_store::{Head, Label, LogReader};

    use super::*;
    use crate::driver::{codec, decode_row, encode_state};

    #[tokio::test]
    async fn a_snapshot_that_is_not_what_the_log_comes_to_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/log-1/store.db");
        std::fs::copy(stored, serve::store_path(dir.path())).unwrap();
        let (log, snapshots) = (serve::open_reader(dir.path()).unwrap(), serve::snapshots(dir.path()));
        let rows = log.read(1, 20).await.unwrap();
        let mut core = Core::default();
        rows.iter().for_each(|row| core.replay(&decode_row(row).unwrap()));
        let label = |row: &Row, codec: &str| {
            let head = Head { seq: row.seq, hash: row.hash };
            Label { incarnation: log.incarnation(), head, codec: codec.to_owned() }
        };
        let checked = async || {
            let mut report = Report::default();
            fold(dir.path(), &mut report).await.unwrap();
            (report.snapshots, report.of_snapshots)
        };
        snapshots.write(&label(&rows[19], codec()), |out| encode_state(&core.state, out)).unwrap();
        assert_eq!(checked().await, (1, Vec::new()));
        // One of another build is not ours to judge.
        snapshots.write(&label(&rows[19], "0.0.1"), |out| encode_state(&Default::default(), out)).unwrap();
        assert_eq!(checked().await, (0, Vec::new()));
        // A state that is another row's, under a label that is right.
        snapshots.write(&label(&rows[10], codec()), |out| encode_state(&core.state, out)).unwrap();
        assert_eq!(checked().await, (0, vec!["snapshot at row 11: it is not what the rows up to it come to".to_owned()]));
        // Cut off.
        let path = std::fs::read_dir(dir.path().join("snapshots")).unwrap().next().unwrap().unwrap().path();
        std::fs::write(&path, &std::fs::read(&path).unwrap()[..100]).unwrap();
        assert_eq!(checked().await, (0, vec!["snapshot at row 11: its content does not match its hash".to_owned()]));
        let report = Report { of_snapshots: checked().await.1, ..Report::default() };
        assert!(!report.is_good() && report.to_string().ends_with("remove what is named, the log has all of it"), "{report}");
    }
}
