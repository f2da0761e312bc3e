//! What a data directory takes on the disk, by what it is for. Measured from its folders alone; what comes and goes meanwhile is counted or not. A coordinator
//! that serves walks through them once at a time, however many ask.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use roundtable_core::state::State;
use roundtable_shared::view::{DiskView, RepositoryDisk, RunDisk, Word, WorkerDisk};
use roundtable_shared::{RunId, RunStatus};
use roundtable_store::segment::run_dir;
use tokio::sync::Mutex;

use crate::view;

/// Bytes of a block, as file systems count them.
const BLOCK_BYTES: u64 = 512;

/// What is to be known of a run to say whose files these are.
#[derive(Clone, Debug)]
pub struct RunFacts {
    id: RunId,
    status: Word<RunStatus>,
    ended_at: Option<String>,
    to_accept: bool,
    /// Key of the repository that keeps its commits, while it does.
    repository: Option<String>,
}

impl RunFacts {
    /// Of all runs, oldest first.
    pub fn of(state: &State) -> Vec<Self> {
        let runs = state.created.iter().filter_map(|id| state.run(id));
        let facts = runs.map(|run| {
            let line = view::run_line(state, run);
            let repository = run.life.removed.is_none().then(|| run.origin.source.repository.clone());
            Self { id: run.id.clone(), status: line.status, ended_at: line.ended_at, to_accept: line.to_accept, repository }
        });
        facts.collect()
    }
}

/// A walk may take this share of the time: what the last one found is told for as many times as long as it took.
const SHARE: u32 = 4;
/// But not for longer than that.
const KEPT_MAX: Duration = Duration::from_secs(60);

/// The last walk. Cheap to clone.
#[derive(Clone, Default)]
pub struct Measured(Arc<Mutex<Option<Walk>>>);

struct Walk {
    began: Instant,
    good_until: Instant,
    view: DiskView,
}

impl Measured {
    /// What the last walk found if it still does, or was begun since this was asked; else what the next one finds.
    pub async fn view(&self, data_dir: &Path, runs: Vec<RunFacts>) -> io::Result<DiskView> {
        let (asked, data_dir) = (Instant::now(), data_dir.to_owned());
        let mut last = Arc::clone(&self.0).lock_owned().await;
        if let Some(walk) = last.as_ref().filter(|walk| walk.began >= asked || Instant::now() < walk.good_until) {
            return Ok(walk.view.clone());
        }
        // The walk goes on where whoever asked for it has gone, and nobody begins another beside it.
        let walked = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let view = walk(&data_dir, &runs)?;
            let good_until = Instant::now() + (began.elapsed() * SHARE).min(KEPT_MAX);
            *last = Some(Walk { began, good_until, view: view.clone() });
            Ok(view)
        });
        walked.await.map_err(io::Error::other)?
    }
}

/// Walks through a data directory that nobody serves.
pub async fn measure(data_dir: &Path, runs: Vec<RunFacts>) -> io::Result<DiskView> {
    let data_dir = data_dir.to_owned();
    tokio::task::spawn_blocking(move || walk(&data_dir, &runs)).await.map_err(io::Error::other)?
}

fn walk(data_dir: &Path, runs: &[RunFacts]) -> io::Result<DiskView> {
    let mut view =
        DiskView { data_dir: data_dir.display().to_string(), free_bytes: fs4::available_space(data_dir)?, ..DiskView::default() };
    let mut by_run = ByRun::default();
    for (name, path) in entries(data_dir) {
        match name.as_str() {
            "segments" => by_run.add(&path, |run, bytes| run.events_bytes += bytes),
            "prompts" => by_run.add(&path, |run, bytes| run.prompts_bytes += bytes),
            "attachments" => by_run.add(&path, |run, bytes| run.attached_bytes += bytes),
            "repos" => view.repositories = repositories(&path, runs),
            "workers" => view.workers = entries(&path).into_iter().map(|(name, path)| worker(name, &path)).collect(),
            "mirrors" => view.mirrors_bytes = bytes_in(&path),
            "ballast" => view.ballast_bytes = bytes_in(&path),
            name if name.starts_with("store.db") || name == "snapshots" => view.log_bytes += bytes_in(&path),
            _ => view.other_bytes += bytes_in(&path),
        }
    }
    view.runs = by_run.named(runs);
    let of_runs: u64 = view.runs.iter().map(RunDisk::bytes).sum();
    let of_repositories: u64 = view.repositories.iter().map(|each| each.bytes).sum();
    let of_workers: u64 = view.workers.iter().map(WorkerDisk::bytes).sum();
    view.bytes = of_runs + of_repositories + of_workers + view.log_bytes + view.ballast_bytes + view.mirrors_bytes + view.other_bytes;
    Ok(view)
}

/// What runs have, by the name of their folder.
#[derive(Default)]
struct ByRun(BTreeMap<PathBuf, RunDisk>);

impl ByRun {
    fn add(&mut self, folder: &Path, add: impl Fn(&mut RunDisk, u64)) {
        for (name, path) in entries(folder) {
            add(self.0.entry(PathBuf::from(name)).or_default(), bytes_in(&path));
        }
    }

    /// In the order of the runs; what belongs to none comes last.
    fn named(mut self, runs: &[RunFacts]) -> Vec<RunDisk> {
        let mut named = Vec::new();
        for run in runs {
            // Files under `copy` lie under the id itself.
            for folder in [run_dir(&run.id), PathBuf::from(run.id.as_str())] {
                let Some(found) = self.0.remove(&folder) else { continue };
                let (id, status) = (run.id.to_string(), run.status.clone());
                named.push(RunDisk { run: id, status, ended_at: run.ended_at.clone(), to_accept: run.to_accept, ..found });
            }
        }
        named.extend(self.0.into_iter().map(|(folder, found)| RunDisk { run: folder.display().to_string(), ..found }));
        named
    }
}

fn repositories(folder: &Path, runs: &[RunFacts]) -> Vec<RepositoryDisk> {
    let each = entries(folder).into_iter().map(|(name, path)| {
        let repository = name.strip_suffix(".git").unwrap_or(&name).to_owned();
        let keeps = runs.iter().filter(|run| run.repository.as_ref() == Some(&repository)).count();
        RepositoryDisk { bytes: bytes_in(&path), runs: u32::try_from(keeps).unwrap_or(u32::MAX), repository }
    });
    each.collect()
}

fn worker(name: String, workspace: &Path) -> WorkerDisk {
    let mut disk = WorkerDisk { worker: name, ..WorkerDisk::default() };
    for (name, path) in entries(workspace) {
        let bytes = bytes_in(&path);
        match name.as_str() {
            "spool" => disk.spool_bytes += bytes,
            "trees" => disk.trees_bytes += bytes,
            "cache" => disk.cache_bytes += bytes,
            _ => disk.other_bytes += bytes,
        }
    }
    disk
}

/// What the files at that path, and all below, take. What cannot be looked at counts nothing.
pub(crate) fn bytes_in(path: &Path) -> u64 {
    let (mut bytes, mut folders) = (0, Vec::new());
    let mut look = |path: PathBuf, folders: &mut Vec<PathBuf>| {
        if let Ok(facts) = path.symlink_metadata() {
            bytes += facts.blocks() * BLOCK_BYTES;
            if facts.is_dir() {
                folders.push(path);
            }
        }
    };
    look(path.to_owned(), &mut folders);
    while let Some(folder) = folders.pop() {
        for (_, path) in entries(&folder) {
            look(path, &mut folders);
        }
    }
    bytes
}

/// Names and paths in a folder, in order; none if it cannot be read.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let found = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(String, PathBuf)> = found.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn put(path: &Path, bytes: usize) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, vec![7; bytes]).unwrap();
    }

    #[tokio::test]
    async fn whoever_asks_during_a_walk_is_told_what_the_next_one_finds_and_a_long_one_is_told_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let measured = Measured::default();
        let bytes = || async { measured.view(dir.path(), Vec::new()).await.unwrap().ballast_bytes };
        // A walk is under way; whoever asked for it has gone.
        let under_way = Arc::clone(&measured.0).lock_owned().await;
        let (one, other) = (bytes(), bytes());
        let both = async { tokio::join!(one, other) };
        tokio::pin!(both);
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut both).await.is_err(), "none is begun beside it");
        drop(under_way);
        assert_eq!(both.await, (0, 0));
        assert_eq!(bytes().await, 0);
        {
            let mut last = measured.0.lock().await;
            let walk = last.as_mut().unwrap();
            walk.good_until = Instant::now() + Duration::from_secs(60);
        }
        put(&dir.path().join("ballast"), 70_000);
        assert_eq!(bytes().await, 0, "as the last one found it");
        measured.0.lock().await.as_mut().unwrap().good_until = Instant::now();
        assert!(bytes().await >= 70_000);
    }

    #[tokio::test]
    async fn each_byte_is_somebodys() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        put(&at("store.db"), 100_000);
        put(&at("store.db-wal"), 10_000);
        put(&at("segments/demo-abcdef/1/1/00000000000000000001.seg"), 200_000);
        put(&at("segments/gone-abcdef/1/1/00000000000000000001.seg"), 10_000);
        put(&at("prompts/demo-abcdef/1/1/prompt.md"), 20_000);
        put(&at("repos/0123.git/objects/pack/p.pack"), 300_000);
        put(&at("workers/w-1/cache/0123.git/objects/pack/p.pack"), 50_000);
        put(&at("workers/w-1/spool/x/events"), 5_000);
        put(&at("ballast"), 70_000);
        std::os::unix::fs::symlink("/", at("link")).unwrap();
        let run = RunFacts {
            id: "demo-abcdef".into(),
            status: RunStatus::Complete.into(),
            ended_at: Some("2026-01-01T00:00:00Z".to_owned()),
            to_accept: true,
            repository: Some("0123".to_owned()),
        };
        let view = measure(dir.path(), vec![run]).await.unwrap();
        assert_eq!(
            view.runs.iter().map(|run| (run.run.as_str(), run.to_accept)).collect::<Vec<_>>(),
            [("demo-abcdef", true), ("gone-abcdef", false)]
        );
        assert!(view.runs[0].events_bytes >= 200_000 && view.runs[0].prompts_bytes >= 20_000, "{view:?}");
        assert_eq!((view.repositories[0].repository.as_str(), view.repositories[0].runs), ("0123", 1));
        assert!(view.workers[0].cache_bytes >= 50_000 && view.workers[0].spool_bytes >= 5_000, "{view:?}");
        assert!(view.ballast_bytes >= 70_000 && view.log_bytes >= 110_000 && view.free_bytes > 0, "{view:?}");
        assert!(view.bytes < 2_000_000, "a link leads nowhere: {view:?}");
    }
}
