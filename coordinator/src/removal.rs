//! Removed runs: the log says so first, then their files go: events, prompts, refs, and once nobody can be counting on them the objects that only those kept.
//! What a crash left in between goes at the next start. The rows of the log stay, so that summary, findings and attempts are told as before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use roundtable_core::Core;
use roundtable_core::state::{Run, State};
use roundtable_runtime::lock::FileLock;
use roundtable_shared::view::{Operation, OperationAct, OperationReply};
use roundtable_shared::{CommitId, RunId, text};
use roundtable_store::segment::run_dir;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::disk::bytes_in;
use crate::operate::{self, OperateError};
use crate::parts::Parts;
use crate::repository::Partials;
use crate::retention::{self, Retention};
use crate::told::Told;

/// How often what could not be removed is tried again, and repositories are looked through for what nobody keeps.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Events that are still being written, and others who remove files, are waited for so long.
const SETTLED_WITHIN: Duration = Duration::from_secs(3);
const SETTLED_EVERY: Duration = Duration::from_millis(50);
/// A run that was removed in this life is looked at again for so long: what was being handed in just then may have come behind the look.
const AGAIN_FOR: Duration = Duration::from_secs(300);
/// Whoever has a run removed waits so long for its files to go, well within what a call may take.
const TOLD_WITHIN: Duration = Duration::from_secs(30);
/// Whoever copies the data directory's files shares it; whoever removes some has it alone.
const LOCK: &str = "files.lock";

/// Keeps runs' files where they are until it is dropped; `None` while some are being removed.
pub(crate) fn keep_files(data_dir: &Path) -> std::io::Result<Option<FileLock>> {
    FileLock::try_shared(&data_dir.join(LOCK))
}

/// A removed run, and what it takes along.
struct Gone {
    run: RunId,
    repository: String,
    /// Commits that people uploaded for it, and that no other run needs.
    persons: Vec<CommitId>,
}

/// What went.
#[derive(Default)]
struct Cleared {
    bytes: u64,
    refs: usize,
}

/// Does an act of a person. The files of a run that it removes are gone when this returns, as far as nobody else is at work on them and it takes no longer than
/// a person waits.
pub async fn operate(parts: &Parts, operation: Operation, by: String) -> Result<OperationReply, OperateError> {
    let removes = matches!(operation.act, OperationAct::Remove { .. });
    let mut reply = operate::operate(&parts.links.handle, operation, by).await?;
    if removes && !reply.unchanged {
        let (parts, run) = (parts.clone(), RunId::from(reply.run.as_str()));
        let removing = async move {
            let cleared = clear(&parts, Some(&run), &BTreeSet::new()).await;
            collect(&parts).await;
            cleared
        };
        reply.text = match finished(TOLD_WITHIN, removing).await {
            Some(Ok((cleared, _))) => format!("{}: {} and {} refs went", reply.text, text::bytes(cleared.bytes), cleared.refs),
            Some(Err(why)) => format!("{}; its files go later: {why}", reply.text),
            None => format!("{}; its files are still going", reply.text),
        };
    }
    Ok(reply)
}

/// What comes of work that goes on to its end also where nobody waits for it any more: a git that is killed halfway has all of it to do again. `None` if it takes
/// longer than that.
async fn finished<T: Send + 'static>(within: Duration, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    tokio::time::timeout(within, crate::tasks::spawn("removal", work)).await.ok()?.ok()?
}

/// Looks after removed runs, after those whose time is over, and after parts of packs that were given up, until the coordinator stops.
pub(crate) async fn watch(parts: Parts, limits: Retention) {
    if let Err(error) = parts.segments.clear_aside().await {
        warn!(%error, "events of removed runs are still there");
    }
    let mut stop = parts.stop.subscribe();
    let mut rhythm = tokio::time::interval(LOOK_EVERY);
    rhythm.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let partials = Partials::new(parts.data_dir.join("incoming"), parts.limits.incoming_bytes);
    let mut looked = Looked::default();
    // Of what an earlier life removed nothing can be on its way.
    let mut again_for = Duration::ZERO;
    loop {
        tokio::select! {
            _ = rhythm.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = partials.tidy().await {
            warn!(%error, "parts of packs that nobody goes on with could not be removed");
        }
        retention::apply(&parts, limits).await;
        let again_for = std::mem::replace(&mut again_for, AGAIN_FOR);
        match clear(&parts, None, &looked.enough(Instant::now())).await {
            Ok((_, runs)) => looked.note(runs, Instant::now() + again_for),
            Err(why) => info!(why, "files of removed runs stay for now"),
        }
        collect(&parts).await;
    }
}

/// Removed runs whose files went, and until when they are looked at again.
#[derive(Default)]
struct Looked(BTreeMap<RunId, Instant>);

impl Looked {
    fn note(&mut self, runs: Vec<RunId>, until: Instant) {
        for run in runs {
            self.0.entry(run).or_insert(until);
        }
    }

    /// Those that need no further look.
    fn enough(&self, now: Instant) -> BTreeSet<RunId> {
        self.0.iter().filter(|(_, until)| **until <= now).map(|(run, _)| run.clone()).collect()
    }
}

/// Removes the files of one removed run, or of all but `done`. Which they were; `Err` says why nothing can be removed now.
async fn clear(parts: &Parts, only: Option<&RunId>, done: &BTreeSet<RunId>) -> Result<(Cleared, Vec<RunId>), String> {
    let (only, done) = (only.cloned(), done.clone());
    let wanted = move |run: &RunId| only.as_ref().is_none_or(|only| only == run) && !done.contains(run);
    let gone = parts.links.handle.view(move |core: &Core, _| removed(&core.state, wanted)).await.map_err(|error| error.to_string())?;
    let mut cleared = Cleared::default();
    if gone.is_empty() {
        return Ok((cleared, Vec::new()));
    }
    let _alone = alone(&parts.data_dir).await?;
    let mut by_repository: BTreeMap<&str, Vec<&Gone>> = BTreeMap::new();
    let (mut went, mut stays) = (Vec::new(), None);
    for each in &gone {
        match clear_files(parts, &each.run).await {
            Ok(bytes) => {
                cleared.bytes += bytes;
                by_repository.entry(&each.repository).or_default().push(each);
            }
            Err(why) => stays = Some(why),
        }
    }
    for (key, gone) in by_repository {
        match forget(parts, key, &gone).await {
            Ok(refs) => {
                cleared.refs += refs;
                went.extend(gone.iter().map(|each| each.run.clone()));
            }
            Err(why) => stays = Some(why),
        }
    }
    match stays {
        Some(why) if went.is_empty() => Err(why),
        // One that cannot go keeps no other.
        stays => {
            if let Some(why) = stays {
                info!(why, "files of some removed runs could not be removed; they are tried again");
            }
            Ok((cleared, went))
        }
    }
}

/// Removes the refs of removed runs of a repository; how many there were.
async fn forget(parts: &Parts, key: &str, gone: &[&Gone]) -> Result<usize, String> {
    let runs: Vec<RunId> = gone.iter().map(|each| each.run.clone()).collect();
    let persons: Vec<CommitId> = gone.iter().flat_map(|each| each.persons.iter().cloned()).collect();
    match parts.repositories.existing(key).await.map_err(|error| error.to_string())? {
        Some(repository) => repository.forget(&runs, &persons).await.map_err(|error| error.to_string()),
        None => Ok(0),
    }
}

/// The data directory's files for this process alone, waiting a moment for whoever removes some just now. A backup takes longer.
async fn alone(data_dir: &Path) -> Result<FileLock, String> {
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        match FileLock::try_alone(&data_dir.join(LOCK)) {
            Ok(Some(lock)) => return Ok(lock),
            Ok(None) if Instant::now() < deadline => tokio::time::sleep(SETTLED_EVERY).await,
            Ok(None) => return Err("a backup is being made".to_owned()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Removes what lies in folders of a run's own; how much that was.
async fn clear_files(parts: &Parts, run: &RunId) -> Result<u64, String> {
    let folders = ["segments", "prompts"].map(|kind| parts.data_dir.join(kind).join(run_dir(run)));
    let measured = tokio::task::spawn_blocking(move || folders.iter().map(|folder| bytes_in(folder)).sum::<u64>());
    let bytes = measured.await.map_err(|error| error.to_string())?;
    let deadline = Instant::now() + SETTLED_WITHIN;
    while !parts.segments.forget(run).await.map_err(|error| error.to_string())? {
        if Instant::now() >= deadline {
            return Err(format!("events of run {run} are still being written"));
        }
        tokio::time::sleep(SETTLED_EVERY).await;
    }
    Told::new(&parts.data_dir).forget(run).await.map_err(|error| format!("prompts of run {run}: {error}"))?;
    parts.attachments.forget(run).await;
    Ok(bytes)
}

/// Throws away objects that nobody keeps, in repositories in which no run is under way.
async fn collect(parts: &Parts) {
    let keys = match parts.repositories.to_collect().await {
        Ok(keys) => keys,
        Err(error) => return warn!(%error, "repositories could not be looked through"),
    };
    for key in keys {
        let asked = key.clone();
        let Ok(Some(needed)) = parts.links.handle.view(move |core: &Core, _| needed(&core.state, &asked)).await else { continue };
        let Ok(_alone) = alone(&parts.data_dir).await else { return };
        match parts.repositories.existing(&key).await {
            Ok(Some(repository)) => match repository.collect(&needed).await {
                Ok(true) => info!(repository = key, "objects of removed runs are gone"),
                Ok(false) => {}
                Err(error) => warn!(repository = key, %error, "objects of removed runs could not be thrown away"),
            },
            Ok(None) => {}
            Err(error) => warn!(repository = key, %error, "a repository cannot be opened"),
        }
    }
}

/// Commits of a repository that runs count on which are not removed; `None` while one of them is under way.
fn needed(state: &State, repository: &str) -> Option<Vec<CommitId>> {
    let runs = || state.runs.values().filter(|run| run.origin.source.repository == repository && run.life.removed.is_none());
    let is_quiet = runs().all(|run| run.is_ended());
    is_quiet.then(|| runs().flat_map(|run| given_by_people(run)).cloned().collect())
}

/// Removed runs that are wanted, each with what it takes along.
fn removed(state: &State, wanted: impl Fn(&RunId) -> bool) -> Vec<Gone> {
    let gone: Vec<&Run> = state.runs.values().map(|run| &**run).filter(|run| run.life.removed.is_some() && wanted(&run.id)).collect();
    if gone.is_empty() {
        return Vec::new();
    }
    let kept: BTreeSet<&CommitId> =
        state.runs.values().filter(|run| run.life.removed.is_none()).flat_map(|run| given_by_people(run)).collect();
    let each = gone.into_iter().map(|run| Gone {
        run: run.id.clone(),
        repository: run.origin.source.repository.clone(),
        persons: given_by_people(run).filter(|commit| !kept.contains(commit)).cloned().collect(),
    });
    each.collect()
}

/// Commits of a run that no attempt may have handed in: its base, and work that stands in for an attempt's.
fn given_by_people(run: &Run) -> impl Iterator<Item = &CommitId> {
    let works = run.units().flat_map(|unit| unit.work.accepted.iter().chain(&unit.work.last)).map(|work| &work.commit);
    std::iter::once(&run.origin.base).chain(works)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_longer_than_somebody_waits_goes_on_and_so_it_does_when_they_have_gone() {
        assert_eq!(finished(Duration::from_secs(60), async { 7 }).await, Some(7));
        let (go, asked) = tokio::sync::watch::channel(false);
        let (done, mut ends) = tokio::sync::mpsc::channel(2);
        let work = || {
            let (mut asked, done) = (asked.clone(), done.clone());
            async move {
                let _ = asked.wait_for(|go| *go).await;
                let _ = done.send(()).await;
            }
        };
        assert_eq!(finished(Duration::from_millis(10), work()).await, None);
        let gone = tokio::time::timeout(Duration::from_millis(10), finished(Duration::from_secs(60), work())).await;
        assert!(gone.is_err());
        go.send_replace(true);
        for _ in 0..2 {
            let end = tokio::time::timeout(Duration::from_secs(60), ends.recv()).await;
            assert_eq!(end, Ok(Some(())));
        }
    }

    #[test]
    fn a_run_is_looked_at_again_for_a_while_after_it_was_removed_and_not_for_ever() {
        let (mut looked, now) = (Looked::default(), Instant::now());
        looked.note(vec!["old-abcdef".into()], now);
        looked.note(vec!["new-abcdef".into()], now + AGAIN_FOR);
        // Each look finds it removed once more.
        looked.note(vec!["new-abcdef".into()], now + AGAIN_FOR * 2);
        assert_eq!(looked.enough(now), BTreeSet::from([RunId::from("old-abcdef")]));
        assert_eq!(looked.enough(now + AGAIN_FOR).len(), 2);
    }
}
