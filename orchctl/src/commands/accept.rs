//! `orchctl accept`: the one command that moves a branch of the user's.

use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::git::{Accepted, Destination, Oid, RefName};
use roundtable_shared::view::{Operation, OperationAct, SummaryView};
use serde::Serialize;

use super::answer;
use super::fetch::up_to_date;
use crate::api::Api;
use crate::args::AcceptArgs;
use crate::branch::{RunBranch, not_moved};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::text::short;
use crate::select::exactly;
use crate::workdir::refusal;

/// What was accepted.
#[derive(Serialize)]
pub(super) struct AcceptedView {
    run: String,
    branch: String,
    commit: String,
    how: &'static str,
}

pub(super) async fn run(context: &Context, args: &AcceptArgs) -> Result<Exit> {
    let session = context.session().await?;
    let done = async {
        let (summary, branch) = up_to_date(context, &session.api, args.run.as_deref()).await?;
        accept(&session.api, &summary, &branch, args.into.as_deref(), args.partial).await
    };
    let done = done.await;
    session.end().await;
    answer(args.json, &done?, |done, _| text(done))?;
    Ok(Exit::Complete)
}

pub(super) fn text(done: &AcceptedView) -> String {
    let AcceptedView { run, branch, commit, how } = done;
    let commit = short(commit);
    match *how {
        "already_there" => format!("{branch} has all of {run} already\n"),
        "created" => format!("{branch} was made at {commit} with all of {run}\n"),
        "merged" => format!("{branch} had moved; {run} was merged into it at {commit}\n"),
        _ => format!("{branch} is at {commit} with all of {run}\n"),
    }
}

/// Moves the branch the run started on (or `into`) to what the run made, and has it recorded.
pub(super) async fn accept(
    api: &Api,
    summary: &SummaryView,
    run_branch: &RunBranch,
    into: Option<&str>,
    partial: bool,
) -> Result<AcceptedView> {
    if summary.exit != Some(0) && !partial {
        let figure = |key: &str| summary.counts.get(key).copied().unwrap_or(0);
        return Err(Failure::failed(format!(
            "{} is {}, not complete: {} of {} units",
            summary.run,
            summary.status,
            figure("completed"),
            figure("total")
        ))
        .next("go on with it: `orchctl run` as before, or `orchctl decisions`")
        .next(format!("or take what is done: orchctl accept {} --partial", summary.run)));
    }
    let tip = Oid::parse(&summary.head).map_err(refusal)?;
    let (destination, name) = match into.or(summary.started_branch.as_deref()) {
        Some(branch) => {
            (Destination::Branch(RefName::branch(branch).map_err(|error| Failure::usage(error.to_string()))?), branch.to_owned())
        }
        None => (Destination::DetachedHead, "HEAD".to_owned()),
    };
    let message = format!("Merge {}\n", summary.branch);
    let moved = run_branch.repository().accept(&tip, &destination, &message, SystemClock.wall().0 / 1000).await;
    let moved = moved.map_err(|error| not_moved(error).next(format!("nothing was changed; then again: orchctl accept {}", summary.run)))?;
    let (how, commit) = match moved {
        Accepted::AlreadyThere => ("already_there", tip.to_string()),
        Accepted::Created => ("created", tip.to_string()),
        Accepted::FastForwarded => ("fast_forwarded", tip.to_string()),
        Accepted::Merged { commit } => ("merged", commit.to_string()),
    };
    let act = OperationAct::RecordAccept { branch: name.clone(), commit: commit.clone() };
    api.operate(&Operation { run: exactly(&summary.run), all: false, act }).await?;
    Ok(AcceptedView { run: summary.run.clone(), branch: name, commit, how })
}
