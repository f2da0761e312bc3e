//! `orchctl runs`.

use roundtable_shared::view::{Query, RunLine};

use super::{answer, now};
use crate::args::RunsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::session::reader;

pub(super) async fn run(context: &Context, args: &RunsArgs) -> Result<Exit> {
    let mut runs: Vec<RunLine> = reader(context).await?.query(&Query::Runs).await?;
    runs.retain(|run| args.all || run.removed_at.is_none());
    answer(args.json, &runs, |runs, paint| output::runs::render(runs, now(), paint))?;
    Ok(Exit::Complete)
}
