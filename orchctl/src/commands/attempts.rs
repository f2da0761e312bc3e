//! `orchctl attempts`.

use roundtable_shared::view::{AttemptView, Query};

use super::{answer, now};
use crate::args::UnitArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::select::Selector;
use crate::session::reader;

pub(super) async fn run(context: &Context, args: &UnitArgs) -> Result<Exit> {
    let api = reader(context).await?;
    let target = Selector::new(&api, context.git_dir_here().await).await?.unit(&args.target).await?;
    let attempts: Vec<AttemptView> = api.query(&Query::Attempts { run: target.selector(), unit: target.unit.unwrap_or_default() }).await?;
    answer(args.json, &attempts, |attempts, paint| output::attempts::render(attempts, now(), paint))?;
    Ok(Exit::Complete)
}
