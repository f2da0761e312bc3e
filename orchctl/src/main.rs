//! The user's command. Parses, dispatches, prints a failure once and maps it to the exit code; everything else is in the modules.

mod api;
mod args;
mod ask;
mod branch;
mod candidates;
mod check;
mod commands;
mod connect;
mod context;
mod credentials;
mod crew;
#[cfg_attr(not(feature = "embedded"), path = "embed/absent.rs")]
mod embed;
mod exit;
mod failure;
mod follow;
mod intake;
mod lint;
mod mirror;
mod options;
mod output;
mod reach;
mod select;
mod session;
mod settings;
mod workdir;

use std::process::ExitCode;

use exit::Exit;
use failure::Failure;
use output::paint::Paint;
use roundtable_runtime::telemetry::{self, LogFormat};
use roundtable_shared::text::terminal;
use settings::{Settings, Stop};

fn main() -> ExitCode {
    if let Some(code) = embed::run_as_helper() {
        return code;
    }
    let ended = match settings::read(std::env::args_os().collect(), roundtable_runtime::VERSION_LONG) {
        Ok(settings) => run(settings),
        Err(Stop::Shown(shown)) => {
            // A reader that has read enough of the help is no failure.
            let _ = shown.print();
            Ok(Exit::Complete)
        }
        Err(Stop::Usage(wrong)) => {
            let _ = wrong.print();
            Ok(Exit::Usage)
        }
        Err(Stop::Failed(failure)) => Err(failure),
    };
    let exit = ended.unwrap_or_else(|failure| {
        eprint!("{}", terminal(&failure.render(Paint::stderr())));
        failure.exit()
    });
    exit.into()
}

fn run(settings: Settings) -> failure::Result<Exit> {
    start_logging(settings.cli.global.log_format.map(Into::into).or(settings.config.log_format), "warn");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed("the program cannot start its threads").why(error))?;
    runtime.block_on(commands::dispatch(settings))
}

/// Log lines go to standard error; without them the program still does its work.
pub(crate) fn start_logging(format: Option<LogFormat>, default_filter: &str) {
    if let Err(error) = telemetry::init(format.unwrap_or_default(), default_filter) {
        eprintln!("warning: {}", terminal(&error.to_string()));
    }
}
