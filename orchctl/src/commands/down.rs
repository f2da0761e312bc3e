//! `orchctl down`: ends the background coordinator with its workers, and says what became of what they did.

use std::time::{Duration, Instant};

use roundtable_runtime::lock::{Holder, holder_of};
use roundtable_shared::view::{Query, RunLine, StatusView, SummaryView};
use serde::Serialize;

use super::answer;
use crate::api::Api;
use crate::args::{DownArgs, JsonArg};
use crate::connect;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::text::count;
use crate::select::exactly;
use crate::session::reader;

/// How long the end of a coordinator is waited for: its agents are stopped and their work is saved first.
const END_WAIT: Duration = Duration::from_secs(60);
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What was ended.
#[derive(Serialize)]
struct DownView {
    /// Whether one was running.
    was_running: bool,
    pid: Option<u32>,
    /// Units whose agents were at work and were stopped.
    units_stopped: u32,
    /// Of those, units whose work did not reach the coordinator: it lies on the worker's disk and is handed in when the run goes on.
    not_handed_in: u32,
    /// Unfinished runs and how each goes on.
    unfinished: Vec<UnfinishedView>,
}

/// A run that goes on another time.
#[derive(Serialize)]
struct UnfinishedView {
    run: String,
    resume: String,
}

pub(super) async fn run(context: &Context, args: &DownArgs) -> Result<Exit> {
    let Some(client) = connect::find(context).await? else {
        if let Some(holder) = holder_of(&context.data_dir) {
            return Err(not_answering(context, &holder));
        }
        let nothing = DownView { was_running: false, pid: None, units_stopped: 0, not_handed_in: 0, unfinished: Vec::new() };
        answer(args.json, &nothing, |_, _| format!("no coordinator is running on {}\n", context.data_dir.display()))?;
        return Ok(Exit::Complete);
    };
    let info = client.info().await?;
    if !info.embedded {
        return Err(Failure::failed(format!(
            "the coordinator was not started in the background: it runs in the foreground as pid {}",
            info.pid
        ))
        .why("`down` ends what `orchctl run --detach` started")
        .next(format!("end it where it runs, with Ctrl-C or `kill {}` (SIGTERM)", info.pid)));
    }
    let before = at_work(&Api::live(client.clone())).await?;
    client.shutdown().await?;
    let deadline = Instant::now() + END_WAIT;
    // Only on this machine can its end be seen; elsewhere it was asked to end, and said yes.
    while context.coordinator.is_none() && holder_of(&context.data_dir).is_some_and(|holder| holder.pid == info.pid) {
        if Instant::now() >= deadline {
            return Err(Failure::failed(format!("the coordinator (pid {}) has not ended within {} s", info.pid, END_WAIT.as_secs()))
                .next(format!("look at what it does: orchctl workers; or end it: kill {}", info.pid)));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let after = if context.coordinator.is_none() { reader(context).await? } else { Api::live(client) };
    let left = if after.client().is_none() { at_work(&after).await? } else { 0 };
    let unfinished = if after.client().is_none() { unfinished(context, &after, args.json).await? } else { Vec::new() };
    let done = DownView { was_running: true, pid: Some(info.pid), units_stopped: before, not_handed_in: left, unfinished };
    answer(args.json, &done, |done, _| text(done, info.pid))?;
    Ok(Exit::Complete)
}

/// A process holds the data dir and does not answer: it is stopped, hangs, or ends right now.
fn not_answering(context: &Context, holder: &Holder) -> Failure {
    Failure::failed(format!("{} is held by {holder}, which does not answer", context.data_dir.display()))
        .why("it is stopped or hangs, or starts or ends right now")
        .next("try again in a moment")
        .next(format!("or end it: kill {0}; if it is stopped, let it go on first: kill -CONT {0}", holder.pid))
}

/// Units of all unfinished runs that agents work on.
async fn at_work(api: &Api) -> Result<u32> {
    let mut units = 0;
    for run in unfinished_lines(api).await? {
        let status: StatusView = api.query(&Query::Status { run: exactly(&run.run) }).await?;
        units += status.counts.running();
    }
    Ok(units)
}

async fn unfinished(context: &Context, api: &Api, json: JsonArg) -> Result<Vec<UnfinishedView>> {
    let mut unfinished = Vec::new();
    for run in unfinished_lines(api).await? {
        let summary: SummaryView = api.query(&Query::Summary { run: exactly(&run.run) }).await?;
        unfinished.push(UnfinishedView { run: run.run, resume: context.with_commands(summary, json).resume });
    }
    Ok(unfinished)
}

async fn unfinished_lines(api: &Api) -> Result<Vec<RunLine>> {
    let runs: Vec<RunLine> = api.query(&Query::Runs).await?;
    Ok(runs.into_iter().filter(|run| run.ended_at.is_none()).collect())
}

fn text(done: &DownView, pid: u32) -> String {
    let mut text = format!("ended the coordinator (pid {pid}) and its workers\n");
    let units = |n: u32| count(u64::from(n), "unit");
    let saved = done.units_stopped.saturating_sub(done.not_handed_in);
    if saved > 0 {
        text.push_str(&format!("work on {} was stopped; what was done so far is saved\n", units(saved)));
    }
    if done.not_handed_in > 0 {
        let kept = "it is kept, and\nhanded in when the run goes on";
        text.push_str(&format!("work on {} was stopped and could not be handed in yet; {kept}\n", units(done.not_handed_in)));
    }
    for run in &done.unfinished {
        text.push_str(&format!("{} goes on with\n  {}\n", run.run, run.resume));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_became_of_the_agents() {
        let unfinished = vec![UnfinishedView { run: "login-k3f9qa".into(), resume: "orchctl run --spec s".into() }];
        let mut done = DownView { was_running: true, pid: Some(7), units_stopped: 3, not_handed_in: 1, unfinished };
        insta::assert_snapshot!(text(&done, 7), @r"
        ended the coordinator (pid 7) and its workers
        work on 2 units was stopped; what was done so far is saved
        work on 1 unit was stopped and could not be handed in yet; it is kept, and
        handed in when the run goes on
        login-k3f9qa goes on with
          orchctl run --spec s
        ");
        done = DownView { units_stopped: 0, not_handed_in: 0, unfinished: Vec::new(), ..done };
        assert_eq!(text(&done, 7), "ended the coordinator (pid 7) and its workers\n");
    }
}
