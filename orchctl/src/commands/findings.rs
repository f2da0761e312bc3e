//! `orchctl findings`.

use roundtable_shared::view::{FindingView, Query};

use super::answer;
use crate::args::MaybeUnitArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::select::Selector;
use crate::session::reader;

pub(super) async fn run(context: &Context, args: &MaybeUnitArgs) -> Result<Exit> {
    let api = reader(context).await?;
    let target = Selector::new(&api, context.git_dir_here().await).await?.maybe_unit(&args.target).await?;
    let findings: Vec<FindingView> = api.query(&Query::Findings { run: target.selector(), unit: target.unit }).await?;
    answer(args.json, &findings, |findings, paint| output::findings::render(findings, paint))?;
    Ok(Exit::Complete)
}
