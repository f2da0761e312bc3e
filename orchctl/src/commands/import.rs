//! `orchctl import`: a run made from an existing `AGENT_STATE.json`.

use roundtable_shared::view::SubmitReply;
use serde::Serialize;

use super::answer;
use super::run::{Prepared, Submitted, ask, other_state, submit};
use crate::api::Api;
use crate::args::{ImportArgs, PlanOptions, RunArgs};
use crate::connect;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output::text::{count, shell_word};
use crate::session::Session;

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
        trust: args.trust,
        plan: PlanOptions { include_dirty: args.include_dirty, ..PlanOptions::default() },
        ..RunArgs::default()
    };
    let prepared = Prepared::new(context, &as_run).await?;
    prepared.warn();
    let is_served = match connect::find(context).await? {
        Some(client) => !client.info().await?.embedded,
        None => false,
    };
    let session = Session::begin(context).await?;
    let done = imported(&session.api, &prepared, !is_served).await;
    session.end().await;
    let reply = done?;
    let next = vec![context.command(&format!("orchctl run --spec {}", shell_word(&args.spec.to_string_lossy())))];
    let view = ImportedView { run: reply.run, resumed: reply.resumed, units: reply.units, next };
    answer(args.json, &view, |view, _| text(view))?;
    Ok(Exit::Complete)
}

/// Nothing is made where an unfinished run began with the same: that goes on.
async fn imported(api: &Api, prepared: &Prepared, embedded: bool) -> Result<SubmitReply> {
    if let Submitted::Going(reply) = ask(api, prepared, embedded, false).await?
        && reply.resumed
        && prepared.includes_other_changes(&reply.base).await?
    {
        return Err(
            other_state(&reply.run, &prepared.spec.path, prepared.state_file()).why("the uncommitted changes it began with are others")
        );
    }
    let (Submitted::Going(reply) | Submitted::Finished(reply)) = submit(api, prepared, embedded, false).await?;
    Ok(reply)
}

fn text(view: &ImportedView) -> String {
    let how = if view.resumed { "is there already, unfinished, and began with this state" } else { "was made" };
    format!("{} {how}, {} in it\n\nnext\n  {}\n", view.run, count(u64::from(view.units), "unit"), view.next[0])
}
