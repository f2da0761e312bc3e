//! What is kept for a run and goes with its end, however it ends: files under `copy`, which may be secrets. A run that is halted or unfinished keeps them.

use std::time::Duration;

use roundtable_core::Core;
use roundtable_shared::RunId;
use tracing::warn;

use crate::parts::Parts;

/// Looked at no more often than this.
const PAUSE: Duration = Duration::from_millis(500);

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

/// The same whenever one ends, until the coordinator stops.
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
    let over = parts.links.handle.read(move |core: &Core, _| runs.into_iter().filter(|run| is_over(core, run)).collect::<Vec<_>>());
    // Without a driver nothing can be told; the next start looks again.
    for run in over.await.unwrap_or_default() {
        parts.attachments.forget(&run).await;
    }
}
