//! `orchctl show`.

use roundtable_shared::view::{Query, ShowView};

use super::{answer, now};
use crate::args::UnitArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::select::Selector;

pub(super) async fn run(context: &Context, args: &UnitArgs) -> Result<Exit> {
    let api = context.reader().await?;
    let target = Selector::new(&api, context.git_dir_here().await).await?.unit(&args.target).await?;
    let show: ShowView = api.query(&Query::Show { run: target.selector(), unit: target.unit.unwrap_or_default() }).await?;
    answer(args.json, &show, |show, paint| output::show::render(show, now(), paint))?;
    Ok(Exit::Complete)
}
