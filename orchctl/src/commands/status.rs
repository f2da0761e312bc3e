//! `orchctl status`.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use roundtable_runtime::shutdown;
use roundtable_shared::text::terminal;
use roundtable_shared::view::{Query, StatusView};

use super::{answer, print};
use crate::api::Api;
use crate::args::StatusArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::follow::is_over;
use crate::output;
use crate::output::paint::Paint;
use crate::output::progress::Progress;
use crate::select::{Selector, exactly};
use crate::session::{reader, reader_after};

/// Time between two looks of `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn run(context: &Context, args: &StatusArgs) -> Result<Exit> {
    let api = reader(context).await?;
    let reach = context.reach();
    let shown = |status: &StatusView, paint| output::status::render(status, &reach, paint);
    let selector = Selector::new(&api, context.git_dir_here().await).await?;
    if selector.runs().is_empty() && args.run.is_none() {
        answer(args.json, &StatusView::default(), shown)?;
        return Ok(if args.exit_code { Exit::Failed } else { Exit::Complete });
    }
    let run = selector.run(args.run.as_deref())?.run.clone();
    if args.watch {
        return watch(context, api, &run, args).await;
    }
    let mut status = ask(&api, &run).await?;
    if args.run.is_none() {
        status.runs = selector.runs().to_vec();
    }
    answer(args.json, &status, shown)?;
    Ok(exit(&status, args))
}

async fn ask(api: &Api, run: &str) -> Result<StatusView> {
    api.query(&Query::Status { run: exactly(run) }).await
}

fn exit(status: &StatusView, args: &StatusArgs) -> Exit {
    match (args.exit_code, status.exit) {
        (false, _) => Exit::Complete,
        (true, _) if status.decisions > 0 => Exit::DecisionsWait,
        (true, Some(code)) => Exit::of_run(code),
        (true, None) => Exit::Failed,
    }
}

/// Shows the status again whenever it changes, until the run is over; a line per change where there is no terminal.
async fn watch(context: &Context, mut api: Api, run: &str, args: &StatusArgs) -> Result<Exit> {
    let (_trigger, shutdown) = shutdown::on_signals().map_err(|error| Failure::failed("signals cannot be handled").why(error))?;
    let redraws = std::io::stdout().is_terminal();
    let reach = context.reach();
    let mut progress = if redraws { Progress::silent() } else { Progress::lines().with_reach(reach.clone()) };
    loop {
        let status = match ask(&api, run).await {
            Ok(status) => status,
            Err(lost) => {
                api = reader_after(context, lost, run).await?;
                continue;
            }
        };
        if redraws {
            redraw(&output::status::render(&status, &reach, Paint::stdout()), is_over(&status))?;
        }
        progress.update(&status, super::now(), std::time::Instant::now());
        if is_over(&status) {
            if !redraws {
                print(&output::status::render(&status, &reach, Paint::stdout()))?;
            }
            return Ok(exit(&status, args));
        }
        if api.client().is_none() && !is_over(&status) {
            // Somebody may be about to go on with it; longer than that nobody is waited for.
            let idle = Failure::unreachable("no coordinator is running, so nothing moves");
            api = tokio::select! {
                found = reader_after(context, idle, run) => found?,
                () = shutdown.draining() => return Ok(Exit::Interrupted),
            };
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            () = shutdown.draining() => return Ok(Exit::Interrupted),
        }
    }
}

/// Writes over what stood there: home, each line with the rest of its row cleared, then the rows below. What has no room is left out, but for the last
/// time: it would scroll the screen away each time.
fn redraw(text: &str, is_last: bool) -> Result<()> {
    let rows = if is_last { 0 } else { console::Term::stdout().size().0 };
    let mut screen = String::from("\u{1b}[H");
    for line in fitting(&terminal(text), usize::from(rows)) {
        screen.push_str(&format!("{line}\u{1b}[K\n"));
    }
    screen.push_str("\u{1b}[J");
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(screen.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| Failure::failed("the terminal went away").why(error))
}

/// The lines that fit into so many rows, the last of which stays free for the cursor.
fn fitting(text: &str, rows: usize) -> Vec<String> {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let room = rows.saturating_sub(1);
    if room < 2 || lines.len() <= room {
        return lines;
    }
    let left_out = lines.len() - (room - 1);
    let mut fitting = lines[..room - 1].to_vec();
    fitting.push(format!("… and {left_out} more lines; a taller window shows them"));
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::JsonArg;

    #[test]
    fn a_low_window_shows_the_beginning() {
        assert_eq!(fitting("a\nb\nc", 4), ["a", "b", "c"]);
        assert_eq!(fitting("a\nb\nc\nd", 4), ["a", "b", "… and 2 more lines; a taller window shows them"]);
        assert_eq!(fitting("a\nb\nc", 0).len(), 3);
    }

    #[test]
    fn exit_codes_tell_complete_from_asking_from_unfinished() {
        let args = |exit_code| StatusArgs { run: None, watch: false, exit_code, json: JsonArg::default() };
        let status = |decisions, exit| StatusView { decisions, exit, ..StatusView::default() };
        assert_eq!(exit(&status(1, None), &args(false)), Exit::Complete);
        assert_eq!(exit(&status(0, Some(0)), &args(true)), Exit::Complete);
        assert_eq!(exit(&status(1, None), &args(true)), Exit::DecisionsWait);
        assert_eq!(exit(&status(0, None), &args(true)), Exit::Failed);
        assert_eq!(exit(&status(0, Some(1)), &args(true)), Exit::Failed);
    }
}
