//! `orchctl runs prune`: removes the files of runs that ended long ago, of all repositories.

use std::time::Duration;

use roundtable_shared::time::WallMs;
use roundtable_shared::view::{OperationReply, Query, RunLine};

use super::runs_rm::{remove, told};
use super::{answer, now};
use crate::args::RunsPruneArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::mirror::forget_gone;
use crate::output;
use crate::session::{Session, reader};

pub(super) async fn run(context: &Context, args: &RunsPruneArgs) -> Result<Exit> {
    if args.dry_run {
        let runs: Vec<RunLine> = reader(context).await?.query(&Query::Runs).await?;
        let old: Vec<RunLine> = runs.into_iter().filter(|run| is_old(run, args.older_than, now())).collect();
        answer(args.json, &old, |old, paint| {
            if old.is_empty() { "no run is old enough\n".to_owned() } else { output::runs::render(old, now(), paint) }
        })?;
        return Ok(Exit::Complete);
    }
    let session = Session::begin(context).await?;
    let done = async {
        let runs: Vec<RunLine> = session.api.query(&Query::Runs).await?;
        let mut replies = Vec::new();
        for run in runs.iter().filter(|run| is_old(run, args.older_than, now())) {
            replies.push(remove(&session.api, &run.run, false).await?);
        }
        Ok::<Vec<OperationReply>, crate::failure::Failure>(replies)
    };
    let done = done.await;
    session.end().await;
    forget_gone(&context.data_dir);
    answer(args.json, &done?, |replies, _| if replies.is_empty() { "no run is old enough\n".to_owned() } else { told(replies) })?;
    Ok(Exit::Complete)
}

/// Whether a run's files may go for its age, which counts from its end.
fn is_old(run: &RunLine, older_than: Duration, now: WallMs) -> bool {
    let ended = run.ended_at.as_deref().and_then(WallMs::parse_rfc3339);
    let is_past = ended.is_some_and(|ended| u128::from(now.since(ended)) >= older_than.as_millis());
    is_past && !run.to_accept && run.removed_at.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_still_be_wanted_is_not_old() {
        let now = WallMs(100_000);
        let run = RunLine { ended_at: Some(WallMs(40_000).rfc3339()), ..RunLine::default() };
        let is_old = |run: &RunLine, seconds| is_old(run, Duration::from_secs(seconds), now);
        assert!(is_old(&run, 60) && !is_old(&run, 61));
        assert!(!is_old(&RunLine { ended_at: None, ..run.clone() }, 0), "unfinished");
        assert!(!is_old(&RunLine { to_accept: true, ..run.clone() }, 0), "complete, and not accepted");
        assert!(!is_old(&RunLine { removed_at: Some(now.rfc3339()), ..run }, 0), "gone already");
    }
}
