//! One file per command: each asks, acts, and gives data. Printing it is `output`'s; exit codes are `main`'s.

mod accept;
mod act;
mod assignment;
mod attempts;
mod checkout;
mod config_show;
mod decide;
mod decisions;
mod demo;
mod diff;
pub mod doctor;
mod down;
mod drain;
mod du;
mod events;
mod explain;
mod export;
mod fetch;
mod findings;
mod import;
mod init;
mod login;
mod logout;
mod logs;
mod plan;
mod run;
mod runs;
mod runs_prune;
mod runs_rm;
mod show;
mod status;
mod step;
mod summary;
mod wait;
mod workers;

use std::io::Write;

use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_shared::text::terminal;
use roundtable_shared::time::WallMs;
use serde::Serialize;

use crate::args::{Command, ConfigCommand, JsonArg, RunsCommand};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::json;
use crate::output::paint::Paint;
use crate::settings::Settings;

/// Does what the command line says.
pub async fn dispatch(settings: Settings) -> Result<Exit> {
    let context = Context::new(&settings)?;
    match settings.cli.command {
        // What steers a run is too large for the stack of every command.
        Command::Run(args) => Box::pin(run::run(&context, *args)).await,
        Command::Plan(args) => plan::run(&context, &args).await,
        Command::Init(args) => init::run(&context, &args).await,
        Command::Demo(args) => Box::pin(demo::run(&context, &args)).await,
        Command::Status(args) => status::run(&context, &args).await,
        Command::Runs(args) => match &args.command {
            None => runs::run(&context, &args).await,
            Some(RunsCommand::Rm(args)) => runs_rm::run(&context, args).await,
            Some(RunsCommand::Prune(args)) => runs_prune::run(&context, args).await,
        },
        Command::Du(args) => du::run(&context, &args).await,
        Command::Show(args) => show::run(&context, &args).await,
        Command::Logs(args) => logs::run(&context, &args).await,
        Command::Diff(args) => diff::run(&context, &args).await,
        Command::Findings(args) => findings::run(&context, &args).await,
        Command::Attempts(args) => attempts::run(&context, &args).await,
        Command::Explain(args) => explain::run(&context, &args).await,
        Command::Events(args) => events::run(&context, &args).await,
        Command::Checkout(args) => checkout::run(&context, &args).await,
        Command::Decisions(args) => decisions::run(&context, &args).await,
        Command::Decide(args) => decide::run(&context, &args).await,
        Command::Assign(args) => act::assign(&context, &args).await,
        Command::Retry(args) => act::retry(&context, &args).await,
        Command::Skip(args) => act::skip(&context, &args).await,
        Command::Cancel(args) => act::cancel(&context, &args).await,
        Command::Pause(args) => act::pause(&context, &args).await,
        Command::Resume(args) => act::resume(&context, &args).await,
        Command::Step(args) => step::run(&context, &args).await,
        Command::Accept(args) => accept::run(&context, &args).await,
        Command::Fetch(args) => fetch::run(&context, &args).await,
        Command::Summary(args) => summary::run(&context, &args).await,
        Command::Export(args) => export::run(&context, &args).await,
        Command::Import(args) => import::run(&context, &args).await,
        Command::Wait(args) => wait::run(&context, &args).await,
        Command::Workers(args) => workers::run(&context, &args).await,
        Command::Login(args) => login::run(&context, &args).await,
        Command::Logout(args) => logout::run(&context, &args).await,
        Command::Drain(args) => drain::drain(&context, &args).await,
        Command::Undrain(args) => drain::undrain(&context, &args).await,
        Command::Doctor(args) => doctor::run(&context, &args).await,
        Command::Down(args) => down::run(&context, &args).await,
        Command::Config(args) => match args.command {
            ConfigCommand::Show(args) => config_show::run(&context, &args).await,
        },
    }
}

/// Prints an answer: as JSON, or as text for people.
fn answer<T: Serialize>(as_json: JsonArg, value: &T, human: impl FnOnce(&T, Paint) -> String) -> Result<()> {
    let shown = if as_json.json { write(&json(value)) } else { print(&human(value, Paint::stdout())) };
    shown.map(|_| ())
}

/// Writes text for people to standard output and tells whether anyone still reads. A reader that has read enough is no failure.
fn print(text: &str) -> Result<bool> {
    write(&terminal(text))
}

/// Writes as it is what has been made safe, or what a program reads.
fn write(text: &str) -> Result<bool> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::failed("the answer cannot be written").why(error)),
    }
}

/// Says something on standard error that is neither answer nor failure.
fn warn(text: &str) {
    use crate::output::paint::Style;
    let label = Paint::stderr().style(Style::Warning, "warning");
    for (n, line) in crate::output::text::wrap(text, 71).iter().enumerate() {
        // Whoever closed standard error does not want to read it.
        let _ = if n == 0 { writeln!(std::io::stderr(), "{label}: {line}") } else { writeln!(std::io::stderr(), "         {line}") };
    }
}

fn now() -> WallMs {
    SystemClock.wall()
}
