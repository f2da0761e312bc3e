//! `orchctl show`: a unit, or what one of its agents was told.

use roundtable_shared::view::{PromptView, Query, ShowView};

use super::{answer, now};
use crate::args::ShowArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::select::Selector;
use crate::session::reader;

pub(super) async fn run(context: &Context, args: &ShowArgs) -> Result<Exit> {
    let api = reader(context).await?;
    let target = Selector::new(&api, context.git_dir_here().await).await?.unit(&args.target).await?;
    let (run, unit) = (target.selector(), target.unit.clone().unwrap_or_default());
    if args.prompt {
        let told: PromptView = api.query(&Query::Prompt { run, unit, attempt: args.attempt }).await?;
        // As it was sent: nothing is wrapped, coloured or added.
        answer(args.json, &told, |told, _| told.prompt.clone())?;
        return Ok(Exit::Complete);
    }
    let show: ShowView = api.query(&Query::Show { run, unit }).await?;
    answer(args.json, &show, |show, paint| output::show::render(show, &target.run, now(), paint))?;
    Ok(Exit::Complete)
}
