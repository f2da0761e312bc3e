//! `orchctl decisions`.

use roundtable_shared::view::{DecisionView, Query, RunSelector};

use super::{answer, now};
use crate::args::DecisionsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::select::{Selector, exactly};

pub(super) async fn run(context: &Context, args: &DecisionsArgs) -> Result<Exit> {
    let api = context.reader().await?;
    let run = match &args.run {
        Some(word) => exactly(&Selector::new(&api, None).await?.run(Some(word))?.run),
        None => RunSelector::default(),
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
