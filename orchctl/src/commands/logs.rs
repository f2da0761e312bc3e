//! `orchctl logs`.

use super::events::stream;
use crate::api::WatchFor;
use crate::args::LogsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::select::Selector;

pub(super) async fn run(context: &Context, args: &LogsArgs) -> Result<Exit> {
    let api = context.reader().await?;
    let target = Selector::new(&api, context.git_dir_here().await).await?.maybe_unit(&args.target).await?;
    let wanted =
        WatchFor { run: target.run, unit: target.unit, attempt: args.attempt, transitions: false, agent_events: true, follow: args.follow };
    stream(context, &api, &wanted, args.jsonl).await
}
