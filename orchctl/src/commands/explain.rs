//! `orchctl explain`.

use roundtable_shared::view::{ExplainView, Query};

use super::answer;
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
    let explain: ExplainView = api.query(&Query::Explain { run: target.selector(), unit: target.unit.unwrap_or_default() }).await?;
    answer(args.json, &explain, output::explain::render)?;
    Ok(Exit::Complete)
}
