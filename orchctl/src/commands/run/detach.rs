//! `run --detach`: the same run with coordinator and workers in the background.

use std::collections::BTreeSet;

use roundtable_runtime::shutdown::{self, Shutdown};
use roundtable_shared::WorkerStatus;
use roundtable_shared::view::{Query, SubmitReply, SummaryView, WorkerView};
use serde::Serialize;

use super::attached::{catch_up, mirror};
use super::confirm::{confirm, interrupted_before};
use super::prepare::Prepared;
use super::seat::Seat;
use super::submit::{Submitted, ask, submit};
use super::tell_finished;
use crate::api::{Api, Client};
use crate::args::RunArgs;
use crate::commands::{answer, warn};
use crate::connect;
use crate::context::Context;
use crate::embed::{Background, start_background};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output;
use crate::output::progress::Progress;
use crate::output::text::shell_word;
use crate::select::exactly;

/// What was started.
#[derive(Serialize)]
struct DetachedView {
    run: String,
    resumed: bool,
    units: u32,
    next: Vec<String>,
}

pub(super) async fn start(context: &Context, prepared: &Prepared, args: &RunArgs) -> Result<Exit> {
    let (_trigger, asked) = shutdown::on_signals().map_err(|error| Failure::failed("signals cannot be handled").why(error))?;
    let is_alive = connect::find(context).await?.is_some();
    // With none alive, one of our own says what there is to do: nothing is left running for a run that is finished or refused.
    let seat = Seat::take(context).await?;
    let ahead = look_ahead(context, &seat, prepared, args, !is_alive, &asked).await;
    seat.leave().await;
    if let Some(exit) = ahead? {
        return Ok(exit);
    }
    let start = async { if is_alive { joined(context, prepared).await } else { started(context, prepared).await } };
    let client = tokio::select! {
        client = start => client?,
        () = asked.draining() => return Err(interrupted_before()),
    };
    let embedded = client.info().await?.embedded;
    let seat = Seat::Theirs { client, embedded };
    match submit(&seat.api(), prepared, embedded, args.fresh).await? {
        Submitted::Going(reply) => {
            let view = DetachedView { next: next(context, &reply.run), run: reply.run, resumed: reply.resumed, units: reply.units };
            answer(args.json, &view, |view, _| text(view))?;
            Ok(Exit::Complete)
        }
        Submitted::Finished(reply) => finished(context, &seat, prepared, args, &reply).await,
    }
}

/// What the submission will come to, and the question before a new run. `Some` if there is nothing to start.
async fn look_ahead(
    context: &Context,
    seat: &Seat,
    prepared: &Prepared,
    args: &RunArgs,
    brings_crew: bool,
    asked: &Shutdown,
) -> Result<Option<Exit>> {
    match ask(&seat.api(), prepared, seat.is_embedded(), args.fresh).await? {
        Submitted::Finished(reply) => finished(context, seat, prepared, args, &reply).await.map(Some),
        Submitted::Going(reply) => {
            if !args.yes {
                confirm(seat, prepared, brings_crew, &reply, asked).await?;
            }
            Ok(None)
        }
    }
}

async fn finished(context: &Context, seat: &Seat, prepared: &Prepared, args: &RunArgs, reply: &SubmitReply) -> Result<Exit> {
    let api = seat.api();
    let summary: SummaryView = api.query(&Query::Summary { run: exactly(&reply.run) }).await?;
    catch_up(prepared, &api, &summary, Progress::for_stderr(), mirror(context, prepared)).await?;
    let exit = summary.exit.map_or(Exit::Failed, Exit::of_run);
    tell_finished();
    answer(args.json, &context.with_commands(summary, args.json), output::summary::render)?;
    Ok(exit)
}

/// Coordinator and workers in a process of their own.
async fn started(context: &Context, prepared: &Prepared) -> Result<Client> {
    let sources = prepared.sources.clone();
    let sources = [sources.explicit.map(absolute), sources.repository, sources.user];
    start_background(&Background { data_dir: context.data_dir.clone(), sources, crew: prepared.crew.clone() }).await?;
    alive(context).await
}

async fn alive(context: &Context) -> Result<Client> {
    let gone = || Failure::failed("the background coordinator ended at once").next("background.log in the data dir says why");
    connect::find(context).await?.ok_or_else(gone)
}

/// The coordinator that is alive: running the same command again is fine, its workers are there already.
async fn joined(context: &Context, prepared: &Prepared) -> Result<Client> {
    let client = alive(context).await?;
    if prepared.crew.workers.is_empty() {
        return Ok(client);
    }
    let workers: Vec<WorkerView> = Api::live(client.clone()).query(&Query::Workers).await?;
    let offered: BTreeSet<String> =
        workers.into_iter().filter(|worker| worker.status != WorkerStatus::Gone).flat_map(|worker| worker.backends.into_keys()).collect();
    let missing: Vec<&str> = prepared.crew.names().into_iter().filter(|name| !offered.contains(*name)).collect();
    if missing.is_empty() {
        warn("a coordinator with such workers is running already; no others are started");
        return Ok(client);
    }
    Err(Failure::usage(format!(
        "a coordinator is running already, and nobody offers {} there; --detach starts no workers for it",
        missing.join(", ")
    ))
    .next("join them: worker join --backend NAME=SLOTS")
    .next("or end it first: orchctl down"))
}

fn absolute(path: std::path::PathBuf) -> std::path::PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn next(context: &Context, run: &str) -> Vec<String> {
    let run = shell_word(run);
    [format!("orchctl wait {run} --timeout 9m"), format!("orchctl status {run}"), "orchctl down".to_owned()]
        .map(|next| context.command(&next))
        .to_vec()
}

fn text(view: &DetachedView) -> String {
    let how = if view.resumed { "goes on" } else { "has started" };
    format!(
        "{} {how} in the background\n\nwait for it (exit 124: not yet, wait again)\n  {}\nlook at it\n  {}\nend the background coordinator\n  {}\n",
        view.run, view.next[0], view.next[1], view.next[2]
    )
}
