//! `orchctl summary`.

use roundtable_shared::view::{Query, SummaryView};

use super::answer;
use crate::args::RunOnlyArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::select::{Selector, exactly};
use crate::session::reader;

pub(super) async fn run(context: &Context, args: &RunOnlyArgs) -> Result<Exit> {
    let api = reader(context).await?;
    let selector = Selector::new(&api, context.git_dir_here().await).await?;
    let run = selector.run(args.run.as_deref())?.run.clone();
    let summary: SummaryView = api.query(&Query::Summary { run: exactly(&run) }).await?;
    let summary = context.with_commands(summary, args.json);
    answer(args.json, &summary, output::summary::render)?;
    Ok(Exit::Complete)
}
