//! `orchctl runs rm`. What may be removed is the coordinator's to say.

use roundtable_shared::view::{Operation, OperationAct, OperationReply};

use super::answer;
use crate::api::Api;
use crate::args::RunsRmArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::mirror::forget_gone;
use crate::select::{Selector, exactly};
use crate::session::Session;

pub(super) async fn run(context: &Context, args: &RunsRmArgs) -> Result<Exit> {
    let session = Session::begin(context).await?;
    let done = async {
        let selector = Selector::new(&session.api, context.git_dir_here().await).await?;
        // All of them are known before the first goes.
        let runs: Vec<String> =
            args.runs.iter().map(|word| selector.pick(Some(word.as_str())).map(|run| run.run.clone())).collect::<Result<_>>()?;
        let mut replies = Vec::new();
        for run in &runs {
            replies.push(remove(&session.api, run, args.force).await?);
        }
        Ok::<Vec<OperationReply>, crate::failure::Failure>(replies)
    };
    let done = done.await;
    session.end().await;
    forget_gone(&context.data_dir);
    answer(args.json, &done?, |replies, _| told(replies))?;
    Ok(Exit::Complete)
}

/// Removes one run's files.
pub(super) async fn remove(api: &Api, run: &str, force: bool) -> Result<OperationReply> {
    api.operate(&Operation { run: exactly(run), all: false, act: OperationAct::Remove { force } }).await
}

/// A line each.
pub(super) fn told(replies: &[OperationReply]) -> String {
    replies.iter().map(|reply| format!("{}\n", reply.text)).collect()
}
