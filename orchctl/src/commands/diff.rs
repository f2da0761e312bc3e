//! `orchctl diff`.

use std::io::IsTerminal;

use roundtable_shared::view::{DiffView, Query};

use super::{answer, warn, write};
use crate::args::MaybeUnitArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::output::paint::Paint;
use crate::select::Selector;
use crate::session::reader;

pub(super) async fn run(context: &Context, args: &MaybeUnitArgs) -> Result<Exit> {
    let api = reader(context).await?;
    let target = Selector::new(&api, context.git_dir_here().await).await?.maybe_unit(&args.target).await?;
    let diff: DiffView = api.query(&Query::Diff { run: target.selector(), unit: target.unit }).await?;
    // Elsewhere than on a terminal it is a patch, to be applied as it is.
    if args.json.json || std::io::stdout().is_terminal() {
        answer(args.json, &diff, output::diff::render)?;
    } else {
        write(&output::diff::render(&diff, Paint::stdout()))?;
    }
    if diff.truncated {
        warn("the difference is longer than what is shown; `orchctl fetch` brings the commits here");
    }
    Ok(Exit::Complete)
}
