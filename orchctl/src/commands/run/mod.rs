//! `orchctl run`: prepares everything on this side, finds or starts a coordinator, submits, and follows to the end.

mod attached;
mod confirm;
mod detach;
mod dry_run;
mod prepare;
mod seat;
mod submit;

pub(super) use attached::{Manner, follow_to_end};
pub(super) use prepare::{Prepared, crew_options};
pub(super) use seat::Seat;
pub(super) use submit::{Submitted, ask, other_state, submit};

use crate::args::RunArgs;
use crate::commands::warn;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;

/// That what follows is the summary of a run that has ended.
fn tell_finished() {
    warn("there is nothing new to do; this is what the last run came to. Start another all the same with --fresh");
}

pub(super) async fn run(context: &Context, args: RunArgs) -> Result<Exit> {
    let prepared = Prepared::new(context, &args).await?;
    if args.dry_run {
        return dry_run::show(context, &prepared, args.fresh, args.json).await;
    }
    prepared.warn();
    if args.detach {
        return detach::start(context, &prepared, &args).await;
    }
    let manner = Manner { fresh: args.fresh, accept: args.accept, yes: args.yes, passing: false, json: args.json };
    follow_to_end(context, &prepared, manner).await
}
