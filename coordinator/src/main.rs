//! The `coordinator` binary: arguments in, exit code out.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use roundtable_coordinator::args::{Cli, Command, LogFormat, ServeArgs, VerifyArgs};
use roundtable_coordinator::serve::{self, ServeError, ServeOptions};
use roundtable_runtime::lock::LockError;
use roundtable_runtime::{config, shutdown, telemetry};

/// Exit codes of `coordinator` (0 is success).
mod exit {
    pub const FAILED: u8 = 1;
    pub const USAGE: u8 = 3;
    pub const HELD: u8 = 6;
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            // Nothing to do about a closed stdout.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let format = match cli.log_format {
        LogFormat::Text => telemetry::LogFormat::Text,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    if let Err(error) = telemetry::init(format, "info") {
        eprintln!("coordinator: {error}");
        return ExitCode::from(exit::USAGE);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("coordinator: the runtime could not start: {error}");
            return ExitCode::from(exit::FAILED);
        }
    };
    let code = match cli.command {
        Command::Serve(args) => runtime.block_on(serve(args)),
        Command::Verify(args) => runtime.block_on(verify(args)),
    };
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ExitCode::from(code)
}

fn data_dir(given: Option<PathBuf>) -> Result<PathBuf, String> {
    match given {
        Some(dir) => Ok(dir),
        None => config::default_data_dir(&config::environment).map_err(|error| error.to_string()),
    }
}

async fn serve(args: ServeArgs) -> u8 {
    let data_dir = match data_dir(args.data_dir) {
        Ok(dir) => dir,
        Err(error) => return fail(exit::USAGE, &error),
    };
    // Signals count from the first moment on.
    let (_trigger, asked) = match shutdown::on_signals() {
        Ok(signals) => signals,
        Err(error) => return fail(exit::FAILED, &error.to_string()),
    };
    let options = ServeOptions {
        listen: args.listen,
        data_dir: data_dir.clone(),
        store: args.store,
        embedded: false,
        command: "coordinator serve".to_owned(),
    };
    let mut running = match serve::start(options).await {
        Ok(running) => running,
        Err(error) => {
            let held = matches!(error, ServeError::Lock(LockError::Held { .. }));
            return fail(if held { exit::HELD } else { exit::FAILED }, &error.to_string());
        }
    };
    eprintln!("coordinator: listening on https://{}, data in {}", running.address, data_dir.display());
    if std::io::stderr().is_terminal() {
        eprintln!("coordinator: join workers of this user with: worker join --backend codex{}", data_dir_flag(&data_dir));
    }
    eprintln!("ready");
    let ended = tokio::select! {
        ended = running.ended() => ended,
        () = asked.draining() => Ok(()),
    };
    if let Err(error) = ended {
        return fail(exit::FAILED, &error.to_string());
    }
    match running.stop().await {
        Ok(()) => 0,
        Err(error) => fail(exit::FAILED, &error.to_string()),
    }
}

fn data_dir_flag(dir: &std::path::Path) -> String {
    match config::default_data_dir(&config::environment) {
        Ok(default) if default == dir => String::new(),
        _ => format!(" --data-dir {}", dir.display()),
    }
}

async fn verify(args: VerifyArgs) -> u8 {
    let data_dir = match data_dir(args.data_dir) {
        Ok(dir) => dir,
        Err(error) => return fail(exit::USAGE, &error),
    };
    let store = args.store.unwrap_or_else(|| serve::store_path(&data_dir));
    match roundtable_coordinator::verify::verify(&data_dir, &store).await {
        Ok(report) => {
            if args.json {
                println!("{}", report.json());
            } else {
                println!("{report}");
            }
            if report.is_good() { 0 } else { exit::FAILED }
        }
        Err(error) => fail(exit::FAILED, &error.to_string()),
    }
}

fn fail(code: u8, error: &str) -> u8 {
    eprintln!("coordinator: {error}");
    code
}
