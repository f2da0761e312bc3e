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
use crate::output::text::{shell_word, short};
use crate::select::{Selector, exactly};
use crate::session::Session;
use crate::workdir::refusal;

/// What was accepted.
#[derive(Serialize)]
pub(super) struct AcceptedView {
    run: String,
    branch: String,
    commit: String,
    how: &'static str,
    /// Units that are completed, and those that run.
    completed: u32,
    total: u32,
}

pub(super) async fn run(context: &Context, args: &AcceptArgs) -> Result<Exit> {
    let session = Session::begin(context).await?;
    let done = async {
        let selector = Selector::new(&session.api, context.git_dir_here().await).await?;
        let line = selector.run(args.run.as_deref())?;
        if args.run.is_none() {
            let into = args.into.as_deref().map(|branch| format!(" --into {}", shell_word(branch))).unwrap_or_default();
            let partial = if args.partial { " --partial" } else { "" };
            let command = |run: &str| context.command(&format!("orchctl accept {run}{into}{partial}"));
            selector.candidates().settle(line, command, args.sure.yes).await?;
        }
        let (summary, branch) = up_to_date(context, &session.api, Some(&line.run)).await?;
        accept(context, &session.api, &summary, &branch, args.into.as_deref(), args.partial).await
    };
    let done = done.await;
    session.end().await;
    answer(args.json, &done?, |done, _| text(done))?;
    Ok(Exit::Complete)
}

pub(super) fn text(done: &AcceptedView) -> String {
    let AcceptedView { run, branch, commit, how, completed, total } = done;
    let commit = short(commit);
    let what = if completed == total { format!("all of {run}") } else { format!("{completed} of {total} units of {run}") };
    match *how {
        "already_there" => format!("{branch} has {what} already\n"),
        "created" => format!("{branch} was made at {commit} with {what}\n"),
        "merged" => format!("{branch} had moved; {what} went into it by a merge at {commit}\n"),
        _ => format!("{branch} is at {commit} with {what}\n"),
    }
}

/// Moves the branch the run started on (or `into`) to what the run made, and has it recorded.
pub(super) async fn accept(
    context: &Context,
    api: &Api,
    summary: &SummaryView,
    run_branch: &RunBranch,
    into: Option<&str>,
    partial: bool,
) -> Result<AcceptedView> {
    let (completed, total) = (summary.counts.completed(), summary.counts.total());
    if summary.exit != Some(0) && !partial {
        return Err(Failure::failed(format!("{} is {}, not complete: {completed} of {total} units", summary.run, summary.status))
            .next(format!("go on with it: `orchctl run` as before, or `{}`", context.command("orchctl decisions")))
            .next(format!("or take what is done: {}", context.command(&format!("orchctl accept {} --partial", summary.run)))));
    }
    let (tip, base) = (Oid::parse(&summary.head).map_err(refusal)?, Oid::parse(&summary.base).ok());
    let (destination, name) = match into.or(summary.started_branch.as_deref()) {
        Some(branch) => {
            let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
            (Destination::Branch(RefName::branch(branch).map_err(|error| Failure::usage(error.to_string()))?), branch.to_owned())
        }
        None => (Destination::DetachedHead, "HEAD".to_owned()),
    };
    let message = format!("Merge {}\n", summary.branch);
    let moved = run_branch.repository().accept(&tip, base.as_ref(), &destination, &message, SystemClock.wall().0 / 1000).await;
    let again = context.command(&format!("orchctl accept {}", summary.run));
    let moved = moved.map_err(|error| not_moved(error).next(format!("nothing was changed; then again: {again}")))?;
    let (how, commit) = match moved {
        Accepted::AlreadyThere => ("already_there", tip.to_string()),
        Accepted::Created => ("created", tip.to_string()),
        Accepted::FastForwarded => ("fast_forwarded", tip.to_string()),
        Accepted::Merged { commit } => ("merged", commit.to_string()),
    };
    let act = OperationAct::RecordAccept { branch: name.clone(), commit: commit.clone() };
    api.operate(&Operation { run: exactly(&summary.run), all: false, act }).await?;
    Ok(AcceptedView { run: summary.run.clone(), branch: name, commit, how, completed, total })
}
