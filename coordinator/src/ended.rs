//! What is kept for a run and goes with its end, however it ends: files under `copy`, which may be secrets. A run that is halted or unfinished keeps them.

use std::time::Duration;

use roundtable_core::Core;
use roundtable_core::command::Command;
use roundtable_shared::RunId;
use tracing::warn;

use crate::attachments::Attachments;
use crate::driver::{Handle, HandleError};
use crate::parts::Parts;

/// Looked at no more often than this.
const PAUSE: Duration = Duration::from_millis(500);
/// How often the driver is asked again whether it can say what became of a submission.
const VERDICT_EVERY: Duration = Duration::from_secs(1);

/// Runs of which an earlier life has left something.
pub(crate) async fn left(parts: &Parts) -> Vec<RunId> {
    parts.attachments.runs().await.unwrap_or_else(|error| {
        warn!(%error, "files under `copy` of ended runs could not be looked for");
        Vec::new()
    })
}

/// Removes what a coordinator that was killed has left: of runs that have ended, and of those that never began.
pub(crate) async fn forget_left(parts: &Parts, left: Vec<RunId>) {
    forget(parts, left, |core, run| core.state.run(run).is_none_or(|run| run.is_ended())).await;
}

/// Removes what is kept for runs that have ended.
pub(crate) async fn forget_ended(parts: &Parts) {
    forget(parts, left(parts).await, |core, run| core.state.run(run).is_some_and(|run| run.is_ended())).await;
}

/// Removes what is kept for a submission that got no verdict, once it is known that its run has not begun. Where the driver has stopped, the next start
/// looks.
pub(crate) async fn forget_unless_begun(handle: Handle, attachments: Attachments, run: RunId) {
    // Refused like everything else while the log cannot be written. Once it is not, what the driver had kept is in the log.
    while let Err(error) = handle.command(Command::Tick).await {
        match error {
            HandleError::Stopped => return,
            HandleError::Rejected(_) | HandleError::Unread => tokio::time::sleep(VERDICT_EVERY).await,
        }
    }
    // What was queued before that tick is decided, durable and published.
    if !handle.read(|core: &Core, _| core.state.run(&run).is_some()) {
        attachments.forget(&run).await;
    }
}

/// Removes what is kept for a run whenever one ends, until the coordinator stops.
pub(crate) async fn watch(parts: Parts) {
    let mut published = parts.links.published.clone();
    let mut stop = parts.stop.subscribe();
    loop {
        forget_ended(&parts).await;
        tokio::select! {
            changed = published.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn forget(parts: &Parts, runs: Vec<RunId>, is_over: fn(&Core, &RunId) -> bool) {
    if runs.is_empty() {
        return;
    }
    let over = parts.links.handle.read(|core: &Core, _| runs.into_iter().filter(|run| is_over(core, run)).collect::<Vec<_>>());
    for run in over {
        parts.attachments.forget(&run).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use roundtable_core::command::{Act, Operate};
    use roundtable_runtime::clock::SystemClock;
    use roundtable_store::log::Fault;
    use roundtable_store::{MemoryDisk, MemoryLog, Snapshots};
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::attachments::Attached;
    use crate::driver::{self, Driver};

    const SOON: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn files_of_a_submission_without_a_verdict_stay_until_it_is_known_that_its_run_has_not_begun() {
        let dir = tempfile::tempdir().unwrap();
        let (attachments, run) = (Attachments::new(dir.path().join("attached")), RunId::from("words-k3v9q2"));
        attachments.keep(&run, vec![Attached { path: ".env".to_owned(), mode: 0o600, data: b"secret".to_vec() }]).await.unwrap();
        let disk = MemoryDisk::default();
        let (effects, _shell) = mpsc::channel(8);
        let log = Arc::new(MemoryLog::open(&disk));
        let parts = driver::Parts {
            log,
            snapshots: Snapshots::in_dir(&dir.path().join("snapshots")),
            clock: Arc::new(SystemClock),
            seed: 1,
            effects,
        };
        let (driver, links) = Driver::open(parts).await.unwrap();
        (1..=4).for_each(|nth| disk.fail_append(nth, Fault::Full));
        let (_shutdown, ended) = watch::channel(false);
        tokio::spawn(driver.run(ended));
        let pause = Operate { run: None, by: "ada".to_owned(), act: Act::Pause { note: None } };
        links.handle.tell(Command::Operate(pause)).await.unwrap();
        let mut trouble = links.trouble.clone();
        tokio::time::timeout(SOON, trouble.wait_for(Option::is_some)).await.unwrap().unwrap();
        let mut forgetting = tokio::spawn(forget_unless_begun(links.handle.clone(), attachments.clone(), run.clone()));
        let early = tokio::time::timeout(Duration::from_millis(200), &mut forgetting).await;
        assert!(early.is_err() && attachments.has(&run), "the batch waits still: the run might begin");
        tokio::time::timeout(SOON, forgetting).await.unwrap().unwrap();
        assert!(!attachments.has(&run));
        assert_eq!(*links.published.borrow(), 1, "what was kept is in the log");
    }
}
