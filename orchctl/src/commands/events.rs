//! `orchctl events`, and the printing of streams.

use roundtable_runtime::shutdown;
use roundtable_shared::text::json;

use super::print;
use crate::api::{Api, WatchFor};
use crate::args::EventsArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::events::EventPrinter;
use crate::output::paint::Paint;
use crate::select::Selector;
use crate::session::{reader, reader_after};

pub(super) async fn run(context: &Context, args: &EventsArgs) -> Result<Exit> {
    let api = reader(context).await?;
    let selector = Selector::new(&api, context.git_dir_here().await).await?;
    let run = selector.run(args.run.as_deref())?.run.clone();
    let wanted = WatchFor { run, transitions: true, agent_events: true, follow: args.follow, ..WatchFor::default() };
    stream(context, &api, &wanted, args.jsonl).await
}

/// Prints lines as they come, until the end or Ctrl-C.
pub(super) async fn stream(context: &Context, api: &Api, wanted: &WatchFor, jsonl: bool) -> Result<Exit> {
    let (_trigger, shutdown) = shutdown::on_signals().map_err(|error| Failure::failed("signals cannot be handled").why(error))?;
    let mut lines = api.watch(wanted).await?;
    let (mut printer, paint) = (EventPrinter::default(), Paint::stdout());
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            () = shutdown.draining() => return Ok(Exit::Interrupted),
        };
        let mut line = match line {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(Exit::Complete),
            // With the run its coordinator ends; with one that was killed the stream does.
            Err(lost) => return reader_after(context, lost, &wanted.run).await.map(|_| Exit::Complete),
        };
        let text = if jsonl {
            line.push(b'\n');
            json(&String::from_utf8_lossy(&line)).into_owned()
        } else {
            printer.line(&line, paint)
        };
        if !text.is_empty() && !print(&text)? {
            return Ok(Exit::Complete);
        }
    }
}
