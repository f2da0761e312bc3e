//! `orchctl diff`.

use roundtable_shared::view::{DiffView, Query};

use super::{answer, warn};
use crate::args::MaybeUnitArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::select::Selector;

pub(super) async fn run(context: &Context, args: &MaybeUnitArgs) -> Result<Exit> {
    let api = context.reader().await?;
    let target = Selector::new(&api, context.git_dir_here().await).await?.maybe_unit(&args.target).await?;
    let diff: DiffView = api.query(&Query::Diff { run: target.selector(), unit: target.unit }).await?;
    answer(args.json, &diff, output::diff::render)?;
    if diff.truncated {
        warn("the difference is longer than what is shown; `orchctl fetch` brings the commits here");
    }
    Ok(Exit::Complete)
}
