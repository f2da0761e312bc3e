//! This executable started again by itself or by a worker in it, under a hidden first word: confined agents, playbooks, the background process.

use std::process::ExitCode;

use roundtable_worker::backend::play_main;
use roundtable_worker::process::dispatch_exec_in;

use super::background::{Background, WORD, be_background};
use crate::failure::{Failure, Result};
use crate::output::paint::Paint;

/// Does the helper's work if the first word asks for it.
pub fn run_as_helper() -> Option<ExitCode> {
    if let Some(code) = dispatch_exec_in() {
        return Some(code);
    }
    let mut arguments = std::env::args_os().skip(1);
    let word = arguments.next()?;
    match word.to_str() {
        Some("play") => Some(play_main(arguments)),
        Some(WORD) => Some(background(arguments.next().and_then(|text| text.into_string().ok()))),
        _ => None,
    }
}

fn background(text: Option<String>) -> ExitCode {
    let done = read(text).and_then(|background| {
        // A session of its own: the terminal that started it may close.
        rustix::process::setsid().map_err(|error| Failure::failed("the background process cannot leave its terminal").why(error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::failed("the program cannot start its threads").why(error))?;
        runtime.block_on(async {
            crate::start_logging(None, "info");
            be_background(background).await
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprint!("{}", failure.render(Paint::plain()));
            failure.exit().into()
        }
    }
}

fn read(text: Option<String>) -> Result<Background> {
    let text = text.ok_or_else(|| Failure::usage("the background process needs its options"))?;
    serde_json::from_str(&text).map_err(|error| Failure::usage("the background process cannot read its options").why(error))
}
