//! `run --detach`: the same run with coordinator and workers in the background.

use roundtable_shared::view::{Query, SummaryView};
use serde::Serialize;

use super::confirm::confirm;
use super::prepare::Prepared;
use super::seat::Seat;
use super::submit::{Submitted, submit};
use crate::args::RunArgs;
use crate::commands::{answer, warn};
use crate::connect;
use crate::context::Context;
use crate::embed::{Background, start_background};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output;
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
    if connect::find(context).await?.is_none() {
        let crew = prepared.crew.clone();
        let sources = prepared.sources.clone();
        let sources = [sources.explicit.map(absolute), sources.repository, sources.user];
        start_background(&Background { data_dir: context.data_dir.clone(), sources, crew }).await?;
    } else if !prepared.crew.workers.is_empty() {
        return Err(Failure::usage("a coordinator is running already, so --detach starts no workers")
            .next("join them to it: worker join --backend NAME=SLOTS"));
    }
    let client = connect::find(context)
        .await?
        .ok_or_else(|| Failure::failed("the background coordinator ended at once").next("background.log in the data dir says why"))?;
    let embedded = client.info().await?.embedded;
    let seat = Seat::Theirs { client, embedded };
    if !args.yes {
        confirm(&seat, prepared, false, args.fresh).await?;
    }
    match submit(&seat.api(), prepared, embedded, args.fresh).await? {
        Submitted::Going(reply) => {
            let view = DetachedView { next: next(&reply.run), run: reply.run, resumed: reply.resumed, units: reply.units };
            answer(args.json, &view, |view, _| text(view))?;
            Ok(Exit::Complete)
        }
        Submitted::Finished(reply) => {
            let summary: SummaryView = seat.api().query(&Query::Summary { run: exactly(&reply.run) }).await?;
            warn("there is nothing new to do; this is what the last run came to");
            answer(args.json, &summary, output::summary::render)?;
            Ok(summary.exit.map_or(Exit::Failed, Exit::of_run))
        }
    }
}

fn absolute(path: std::path::PathBuf) -> std::path::PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn next(run: &str) -> Vec<String> {
    let run = shell_word(run);
    vec![format!("orchctl wait {run} --timeout 9m"), format!("orchctl status {run}"), "orchctl down".to_owned()]
}

fn text(view: &DetachedView) -> String {
    let how = if view.resumed { "goes on" } else { "has started" };
    format!(
        "{} {how} in the background\n\nwait for it (exit 124: not yet, wait again)\n  {}\nlook at it\n  {}\nend the background coordinator\n  {}\n",
        view.run, view.next[0], view.next[1], view.next[2]
    )
}
