//! `orchctl import`: a run made from an existing `AGENT_STATE.json`.

use serde::Serialize;

use super::answer;
use super::run::{Prepared, Submitted, submit};
use crate::args::{ImportArgs, PlanOptions, RunArgs};
use crate::connect;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::text::{count, shell_word};

/// What was imported.
#[derive(Serialize)]
struct ImportedView {
    run: String,
    /// The run was there already, and goes on.
    resumed: bool,
    units: u32,
    next: Vec<String>,
}

pub(super) async fn run(context: &Context, args: &ImportArgs) -> Result<Exit> {
    let as_run = RunArgs {
        spec: Some(args.spec.clone()),
        state: Some(args.state.clone()),
        workdir: Some(args.workdir.clone()),
        plan: PlanOptions { include_dirty: args.include_dirty, ..PlanOptions::default() },
        ..RunArgs::default()
    };
    let prepared = Prepared::new(context, &as_run).await?;
    prepared.warn();
    let is_served = match connect::find(context).await? {
        Some(client) => !client.info().await?.embedded,
        None => false,
    };
    let session = context.session().await?;
    let done = submit(&session.api, &prepared, !is_served, false).await;
    session.end().await;
    let (Submitted::Going(reply) | Submitted::Finished(reply)) = done?;
    let next = vec![context.command(&format!("orchctl run --spec {}", shell_word(&args.spec.to_string_lossy())))];
    let view = ImportedView { run: reply.run, resumed: reply.resumed, units: reply.units, next };
    answer(args.json, &view, |view, _| text(view))?;
    Ok(Exit::Complete)
}

fn text(view: &ImportedView) -> String {
    let how = if view.resumed { "is there already and unfinished" } else { "was made" };
    format!("{} {how}, {} in it\n\nnext\n  {}\n", view.run, count(u64::from(view.units), "unit"), view.next[0])
}
