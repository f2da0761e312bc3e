//! `orchctl workers`.

use roundtable_shared::view::{Query, WorkerView};

use super::answer;
use crate::args::WorkersArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::session::reader;

pub(super) async fn run(context: &Context, args: &WorkersArgs) -> Result<Exit> {
    let workers: Vec<WorkerView> = reader(context).await?.query(&Query::Workers).await?;
    let reach = context.reach();
    answer(args.json, &workers, |workers, paint| output::workers::render(workers, &reach, paint))?;
    Ok(Exit::Complete)
}
