//! How long runs that are over keep their files: by age, and by what all of them take. Nothing goes by itself unless that was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use roundtable_core::Core;
use roundtable_core::command::{Act, Command, Operate};
use roundtable_core::state::State;
use roundtable_shared::RunId;
use roundtable_shared::time::WallMs;
use roundtable_store::segment::{is_aside, run_dir};
use tracing::{info, warn};

use crate::disk::bytes_in;
use crate::parts::Parts;

/// In whose name runs are removed.
const BY: &str = "retention";

/// Limits of what is kept of ended runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Retention {
    /// Runs that ended longer ago lose their files.
    pub keep_runs: Option<Duration>,
    /// The oldest lose theirs while events and prompts of all runs take more.
    pub keep_bytes: Option<u64>,
}

/// A run that may lose its files.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Candidate {
    run: RunId,
    ended_at: WallMs,
}

/// Removes what is beyond the limits.
pub(crate) async fn apply(parts: &Parts, limits: Retention) {
    if limits == Retention::default() {
        return;
    }
    let Ok((candidates, gone)) = parts.links.handle.view(|core: &Core, _| (candidates(&core.state), gone(&core.state))).await else {
        return;
    };
    let sizes = match limits.keep_bytes {
        Some(_) => sizes(parts, &candidates, gone).await,
        None => Sizes::default(),
    };
    for run in beyond(&candidates, limits, parts.clock.wall(), &sizes) {
        let act = Operate { run: Some(run.clone()), by: BY.to_owned(), act: Act::Remove { force: false } };
        match parts.links.handle.command(Command::Operate(act)).await {
            Ok(_) => info!(%run, "its time is over: its files go, its summary is kept"),
            Err(error) => warn!(%run, %error, "a run beyond the limits could not be removed"),
        }
    }
}

/// Ended runs, oldest end first, but for those whose commits are nowhere else.
fn candidates(state: &State) -> Vec<Candidate> {
    let runs = state.runs.values().filter(|run| run.life.removed.is_none());
    let mut candidates: Vec<Candidate> = runs
        .filter_map(|run| {
            let ended = run.ended().filter(|ended| ended.exit != 0 || !run.has_more_to_accept())?;
            Some(Candidate { run: run.id.clone(), ended_at: ended.at })
        })
        .collect();
    candidates.sort_by_key(|candidate| candidate.ended_at);
    candidates
}

/// Folders of runs that are removed: what lies in them still, while a backup is made or a disk refuses, goes without anybody's help.
fn gone(state: &State) -> BTreeSet<PathBuf> {
    state.runs.values().filter(|run| run.life.removed.is_some()).map(|run| run_dir(&run.id)).collect()
}

/// What runs take.
#[derive(Default)]
struct Sizes {
    /// Of all, but for what goes already.
    all: u64,
    by_run: BTreeMap<RunId, u64>,
}

async fn sizes(parts: &Parts, candidates: &[Candidate], gone: BTreeSet<PathBuf>) -> Sizes {
    let data_dir = parts.data_dir.to_path_buf();
    let runs: Vec<RunId> = candidates.iter().map(|candidate| candidate.run.clone()).collect();
    tokio::task::spawn_blocking(move || measure(&data_dir, runs, &gone)).await.unwrap_or_default()
}

fn measure(data_dir: &Path, runs: Vec<RunId>, gone: &BTreeSet<PathBuf>) -> Sizes {
    let folders = ["segments", "prompts"].map(|kind| data_dir.join(kind));
    let of = |run: &RunId| folders.iter().map(|folder| bytes_in(&folder.join(run_dir(run)))).sum::<u64>();
    let stays = |name: &OsStr| !gone.contains(Path::new(name)) && !is_aside(name);
    let entries = folders.iter().flat_map(std::fs::read_dir).flatten().flatten();
    let all = entries.filter(|entry| stays(&entry.file_name())).map(|entry| bytes_in(&entry.path())).sum();
    Sizes { all, by_run: runs.into_iter().map(|run| (run.clone(), of(&run))).collect() }
}

/// Runs that are beyond the limits; `candidates` come with the oldest end first.
fn beyond(candidates: &[Candidate], limits: Retention, now: WallMs, sizes: &Sizes) -> Vec<RunId> {
    let mut left = sizes.all;
    let mut beyond = Vec::new();
    for candidate in candidates {
        let age_ms = u128::from(now.since(candidate.ended_at));
        let is_old = limits.keep_runs.is_some_and(|keep| age_ms > keep.as_millis());
        let is_too_much = limits.keep_bytes.is_some_and(|keep| left > keep);
        if is_old || is_too_much {
            left = left.saturating_sub(sizes.by_run.get(&candidate.run).copied().unwrap_or(0));
            beyond.push(candidate.run.clone());
        }
    }
    beyond
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_goes_already_takes_nobody_else_along() {
        let home = tempfile::tempdir().unwrap();
        for folder in ["segments/stays-abcdef", "segments/gone-abcdef", "segments/.removed-0-gone-abcdef", "prompts/gone-abcdef"] {
            let folder = home.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("file"), vec![1; 100_000]).unwrap();
        }
        let (stays, gone): (RunId, RunId) = ("stays-abcdef".into(), "gone-abcdef".into());
        let sizes = measure(home.path(), vec![stays.clone()], &[run_dir(&gone)].into());
        assert_eq!(sizes.all, sizes.by_run[&stays]);
        assert!(sizes.all >= 100_000, "{}", sizes.all);
    }

    const HOUR: u64 = 3_600_000;

    fn named(limits: Retention) -> Vec<String> {
        let candidates = [("a", 1), ("b", 5), ("c", 9)].map(|(run, hour)| Candidate { run: run.into(), ended_at: WallMs(hour * HOUR) });
        // 50 are taken by runs that may not be touched.
        let sizes = Sizes { all: 350, by_run: ["a", "b", "c"].map(|run| (run.into(), 100)).into() };
        beyond(&candidates, limits, WallMs(10 * HOUR), &sizes).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_oldest_go_first_and_no_more_than_needed() {
        let age = |hours| Retention { keep_runs: Some(Duration::from_millis(hours * HOUR)), ..Retention::default() };
        let bytes = |bytes| Retention { keep_bytes: Some(bytes), ..Retention::default() };
        assert_eq!(named(age(9)), [""; 0], "an age is over when it is exceeded");
        assert_eq!(named(age(4)), ["a", "b"]);
        assert_eq!(named(bytes(350)), [""; 0]);
        assert_eq!(named(bytes(349)), ["a"]);
        assert_eq!(named(bytes(60)), ["a", "b", "c"]);
        assert_eq!(named(bytes(0)), ["a", "b", "c"], "what is left may not be touched");
        assert_eq!(named(Retention { keep_bytes: Some(249), ..age(8) }), ["a", "b"]);
    }
}
