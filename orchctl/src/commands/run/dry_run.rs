//! `run --dry-run`: what would happen, asking only what can be asked without starting anything.

use roundtable_shared::view::{PlanView, Query, SummaryView};
use serde::Serialize;

use super::prepare::Prepared;
use super::submit::{Submitted, ask};
use crate::args::JsonArg;
use crate::commands::answer;
use crate::context::Context;
use crate::embed;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::output::paint::{Paint, Style};
use crate::output::text::{count, short};
use crate::select::exactly;
use crate::session::reader;

/// What would happen.
#[derive(Serialize)]
struct DryRunView {
    /// The run that would go on, or whose summary stands; null if a new one would start.
    run: Option<String>,
    /// It is unfinished and would go on.
    resumed: bool,
    /// It has ended, and nothing is new: its summary and exit code would be given again.
    finished: bool,
    /// How it ended.
    exit: Option<u8>,
    base: String,
    units: u32,
    /// Least number of agent calls of a new run.
    calls: u32,
    /// Workers that would be started, as far as they were named.
    workers: Vec<String>,
    mirror_dir: String,
    plan: PlanView,
}

pub(super) async fn show(context: &Context, prepared: &Prepared, fresh: bool, json: JsonArg) -> Result<Exit> {
    prepared.warn();
    let api = reader(context).await?;
    let embedded = match api.client() {
        Some(client) => client.info().await?.embedded,
        None => true,
    };
    // Refused as the real one would be.
    let (reply, finished) = match ask(&api, prepared, embedded, fresh).await? {
        Submitted::Going(reply) => (reply, false),
        Submitted::Finished(reply) => (reply, true),
    };
    let exit = if finished { api.query::<SummaryView>(&Query::Summary { run: exactly(&reply.run) }).await?.exit } else { None };
    let view = DryRunView {
        resumed: reply.resumed,
        finished,
        exit,
        run: (!reply.run.is_empty()).then_some(reply.run),
        base: prepared.base.commit.to_string(),
        units: reply.units,
        calls: reply.calls,
        workers: prepared.crew.workers.clone(),
        mirror_dir: prepared.location.paths.dir().to_string_lossy().into_owned(),
        plan: embed::plan(&prepared.spec, &prepared.options, None, prepared.read, &[])?,
    };
    answer(json, &view, text)?;
    Ok(Exit::Complete)
}

fn text(view: &DryRunView, paint: Paint) -> String {
    let mut text = output::plan::render(&view.plan, paint);
    let what = match &view.run {
        Some(run) if view.finished => {
            let exit = view.exit.map(|code| format!(" (exit {code})")).unwrap_or_default();
            format!("nothing new to do: the summary of {run} stands{exit}; --fresh would start another")
        }
        Some(run) => format!("would go on with {run}"),
        None => format!("would start a new run from {}: at least {}", short(&view.base), count(u64::from(view.calls), "agent call")),
    };
    let workers = if view.workers.is_empty() { String::new() } else { format!("\nworkers: {}", view.workers.join(", ")) };
    text.push_str(&format!("\n{}{workers}\nmirror files: {}\nnothing was started\n", paint.style(Style::Strong, &what), view.mirror_dir));
    text
}
