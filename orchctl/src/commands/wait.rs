//! `orchctl wait`.

use std::time::Instant;

use roundtable_runtime::shutdown::{self, Stage};
use roundtable_shared::view::{Query, StatusView, SummaryView};

use super::{answer, warn};
use crate::args::WaitArgs;
use crate::branch::RunBranch;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::follow::{Ended, Follower, Until, exit_of, is_over};
use crate::mirror::{MirrorWriter, locate};
use crate::output;
use crate::output::progress::Progress;
use crate::select::{Selector, exactly};
use crate::session::{reader, reader_after};

pub(super) async fn run(context: &Context, args: &WaitArgs) -> Result<Exit> {
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout);
    let (_trigger, shutdown) = shutdown::on_signals().map_err(|error| Failure::failed("signals cannot be handled").why(error))?;
    let mut api = reader(context).await?;
    let selector = Selector::new(&api, context.git_dir_here().await).await?;
    let line = selector.run(args.run.as_deref())?.clone();
    let status: StatusView = api.query(&Query::Status { run: exactly(&line.run) }).await?;
    let mut progress = Progress::for_stderr().with_reach(context.reach());
    progress.start_from(&status, Instant::now());
    let mirror = mirror_of(context, args, &line.spec);
    let branch = RunBranch::find(&line.repository, &status.base, &line.run, &status.branch).await?;
    if api.client().is_none() && !is_over(&status) {
        let idle = Failure::unreachable("no coordinator is running, so nothing moves");
        // Somebody may be about to go on with it; longer than that nobody is waited for.
        match within(deadline, reader_after(context, idle, &line.run)).await {
            Some(found) => api = found?,
            None => warn("no coordinator is running, so nothing moves; go on with `orchctl run` as before"),
        }
    }
    let mut parts = (progress, mirror, branch);
    let ended = loop {
        let (progress, mirror, branch) = parts;
        let mut follower = Follower::new(&api, &line.run, progress).with_mirror(mirror).with_branch(branch);
        let ended = follower.follow(Until::Over, deadline, &shutdown, Stage::Draining).await;
        parts = follower.into_parts();
        match ended {
            Ended::Lost(lost) => match reader_after(context, lost, &line.run).await {
                Ok(other) => api = other,
                Err(lost) => break Ended::Lost(lost),
            },
            ended => break ended,
        }
    };
    parts.0.finish();
    let exit = match ended {
        Ended::Over(status) => exit_of(&status),
        Ended::TimedOut => Exit::TimedOut,
        Ended::Interrupted => return Ok(Exit::Interrupted),
        Ended::Lost(failure) => {
            return Err(failure.next(format!("then `orchctl wait {}` again", line.run)));
        }
    };
    let summary: SummaryView = api.query(&Query::Summary { run: exactly(&line.run) }).await?;
    let summary = context.with_commands(summary, args.json);
    answer(args.json, &summary, output::summary::render)?;
    Ok(exit)
}

/// What comes before the deadline, if there is one.
async fn within<T>(deadline: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), future).await.ok(),
        None => Some(future.await),
    }
}

/// The writer of the mirror files; a place that cannot be written to is said, and stops nothing.
fn mirror_of(context: &Context, args: &WaitArgs, spec: &str) -> Option<MirrorWriter> {
    let location = locate(spec.as_ref(), args.output.as_deref());
    match MirrorWriter::open(location.paths, &context.data_dir) {
        Ok(writer) => Some(writer),
        Err(error) => {
            warn(&format!("mirror files cannot be written: {error}"));
            None
        }
    }
}
