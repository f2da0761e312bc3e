//! `orchctl fetch`.

use roundtable_shared::view::{Query, SummaryView};
use serde::Serialize;

use super::answer;
use crate::api::Api;
use crate::args::RunOnlyArgs;
use crate::branch::RunBranch;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::text::short;
use crate::select::{Selector, exactly};
use crate::session::Session;

/// What was fetched.
#[derive(Serialize)]
struct FetchedView {
    run: String,
    branch: String,
    head: String,
    repository: String,
}

pub(super) async fn run(context: &Context, args: &RunOnlyArgs) -> Result<Exit> {
    let session = Session::begin(context).await?;
    let done = async {
        let (summary, branch) = up_to_date(context, &session.api, args.run.as_deref()).await?;
        let repository = branch.repository().top().to_string_lossy().into_owned();
        Ok(FetchedView { run: summary.run, branch: summary.branch, head: summary.head, repository })
    };
    let done = done.await;
    session.end().await;
    answer(args.json, &done?, |done, _| format!("{} is at {} in {}\n", done.branch, short(&done.head), done.repository))?;
    Ok(Exit::Complete)
}

/// Brings the run's branch up to date in its repository.
pub(super) async fn up_to_date(context: &Context, api: &Api, word: Option<&str>) -> Result<(SummaryView, RunBranch)> {
    let selector = Selector::new(api, context.git_dir_here().await).await?;
    let line = selector.run(word)?;
    let summary: SummaryView = api.query(&Query::Summary { run: exactly(&line.run) }).await?;
    let found = RunBranch::find(&line.repository, &summary.base, &summary.run, &summary.branch).await?;
    let mut branch = found.ok_or_else(|| not_here(&summary.run, &line.repository))?;
    branch.bring_to(api.live_client()?, &summary.head).await?;
    Ok((summary, branch))
}

/// The run's repository is not on this machine, or has moved.
pub(super) fn not_here(run: &str, repository: &str) -> Failure {
    Failure::failed(format!("the repository of {run} is not here"))
        .why(format!("it is {repository}"))
        .next("go to a checkout of it, or to a clone that has the commit the run began with, and try again")
}
