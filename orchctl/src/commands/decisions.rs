//! `orchctl decisions`.

use roundtable_shared::view::{DecisionView, Query, RunSelector};

use super::{answer, now};
use crate::args::DecisionsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::select::{Selector, exactly};
use crate::session::reader;

pub(super) async fn run(context: &Context, args: &DecisionsArgs) -> Result<Exit> {
    let api = reader(context).await?;
    let here = context.git_dir_here().await;
    let run = match (&args.run, here) {
        (Some(word), _) => exactly(&Selector::new(&api, None).await?.run(Some(word))?.run),
        // The run of this repository; elsewhere those of all unfinished ones.
        (None, Some(here)) => {
            Selector::new(&api, Some(here)).await?.run(None).map_or_else(|_| RunSelector::default(), |run| exactly(&run.run))
        }
        (None, None) => RunSelector::default(),
    };
    let mut decisions: Vec<DecisionView> = api.query(&Query::Decisions { run, all: args.all }).await?;
    for decision in &mut decisions {
        for command in decision.commands.iter_mut().chain(&mut decision.evidence) {
            *command = context.command(command);
        }
    }
    answer(args.json, &decisions, |decisions, paint| output::decisions::render(decisions, now(), paint))?;
    Ok(Exit::Complete)
}
