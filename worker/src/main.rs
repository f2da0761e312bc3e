//! The `worker` binary. Owns nothing but the order of things: helpers of its own first, then the command line; outcomes become exit codes here.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches};
use roundtable_runtime::config::{self, Config};
use roundtable_runtime::identity::{JoinToken, Pin};
use roundtable_runtime::lock::LockError;
use roundtable_runtime::systemd::{self, Scope};
use roundtable_runtime::{flags, fsx, shutdown, telemetry, terminal};
use roundtable_shared::{RunLimits, text};
use roundtable_worker::args::{self, Cli, Command, DoctorArgs, InstallArgs, JoinArgs, KeygenArgs};
use roundtable_worker::backend::{self, Host};
use roundtable_worker::host::Quotas;
use roundtable_worker::identity::{self, Entry};
use roundtable_worker::install;
use roundtable_worker::join::{JoinError, JoinOptions, join};
use roundtable_worker::spool::KeepLimits;
use tokio::sync::watch;

/// Bytes of a file with a token.
const TOKEN_BYTES_MAX: u64 = 4096;

/// Exit codes of `worker` (0 is success).
mod exit {
    pub const FAILED: u8 = 1;
    pub const USAGE: u8 = 3;
    pub const UNREACHABLE: u8 = 4;
    pub const REFUSED: u8 = 5;
    pub const HELD: u8 = 6;
}

fn main() -> ExitCode {
    if let Some(code) = roundtable_worker::dispatch_hidden() {
        return code;
    }
    let arguments: Vec<_> = std::env::args_os().collect();
    let read = flags::read(args::command(&config::environment), &arguments, &config::environment);
    let parsed = read.and_then(|read| {
        let is_token_typed = is_token_typed(&read.matches);
        Ok((Cli::from_arg_matches(&read.matches).map_err(flags::Stop::Parse)?, read.config, is_token_typed))
    });
    let (cli, config, is_token_typed) = match parsed {
        Ok(parsed) => parsed,
        Err(flags::Stop::Parse(error)) => {
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            // Nothing to do about a closed stdout.
            let _ = error.print();
            return ExitCode::from(code);
        }
        Err(flags::Stop::Config(error)) => return ExitCode::from(fail(exit::USAGE, &error.to_string())),
    };
    for warning in &config.warnings {
        eprintln!("{}", terminal::hanging(&format!("worker: {warning}"), 2));
    }
    let format = cli.log_format.map(Into::into).or(config.log_format).unwrap_or_default();
    if let Err(error) = telemetry::init(format, "info") {
        return ExitCode::from(fail(exit::USAGE, &error.to_string()));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ExitCode::from(fail(exit::FAILED, &format!("the runtime could not start: {error}"))),
    };
    let code = match cli.command {
        Command::Join(args) => {
            if is_token_typed {
                eprintln!("worker: --token: others on this host can read the command line; use ROUNDTABLE_TOKEN or --token-file");
            }
            runtime.block_on(run_join(*args, &config))
        }
        Command::Keygen(args) => run_keygen(args, &config),
        Command::Doctor(args) => runtime.block_on(run_doctor(args, &config)),
        Command::Install(args) => run_install(args),
    };
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ExitCode::from(code)
}

fn is_token_typed(matches: &ArgMatches) -> bool {
    let join = matches.subcommand().filter(|(name, _)| *name == "join");
    join.is_some_and(|(_, join)| join.value_source("token") == Some(ValueSource::CommandLine))
}

/// What lets this worker in for the first time, if anything was given.
fn entry(args: &JoinArgs) -> Result<Option<Entry>, String> {
    if let Some(pin) = &args.pin {
        let pin = Pin::parse(pin).ok_or("--pin: a digest has 64 hex digits, as `coordinator worker add` prints it")?;
        return Ok(Some(Entry::Key(pin)));
    }
    let (text, from) = match (&args.token_file, &args.token) {
        (Some(file), _) => (token_file(file).map_err(|error| format!("--token-file {file}: {error}"))?, format!("--token-file {file}")),
        (None, Some(token)) => (token.0.clone(), "the token".to_owned()),
        (None, None) => return Ok(None),
    };
    JoinToken::parse(&text).map(|token| Some(Entry::Token(token))).map_err(|why| format!("{from}: {why}"))
}

fn token_file(file: &str) -> Result<String, String> {
    let bytes = if file == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().take(TOKEN_BYTES_MAX).read_to_end(&mut bytes).map(|_| bytes)
    } else {
        let read = fsx::read_bounded(file.as_ref(), TOKEN_BYTES_MAX);
        read.and_then(|bytes| bytes.ok_or_else(|| std::io::ErrorKind::NotFound.into()))
    };
    String::from_utf8(bytes.map_err(|error| error.to_string())?).map_err(|_| "it is no text".to_owned())
}

fn run_keygen(args: KeygenArgs, config: &Config) -> u8 {
    let folder = match args.workspace.map_or_else(|| data_dir(args.data_dir, config), Ok) {
        Ok(dir) => dir,
        Err(error) => return fail(exit::USAGE, &error),
    };
    match identity::keygen(&folder) {
        Ok(fingerprint) => {
            println!("{fingerprint}");
            eprintln!("worker: on the coordinator's host: coordinator worker add --key {fingerprint}");
            0
        }
        Err(error) => fail(exit::FAILED, &error.to_string()),
    }
}

fn data_dir(given: Option<PathBuf>, config: &Config) -> Result<PathBuf, String> {
    match given.or_else(|| config.data_dir.clone()) {
        Some(dir) => Ok(dir),
        None => config::default_data_dir(&config::environment).map_err(|error| error.to_string()),
    }
}

fn host(config: &Config, paths: Vec<(String, String)>) -> Result<Arc<Host>, String> {
    let configs = config.backends.iter().map(|(name, each)| (name.clone(), backend::BackendConfig::from(each))).collect();
    let paths: BTreeMap<String, String> = paths.into_iter().collect();
    Host::current(configs, paths).map(Arc::new).map_err(|error| format!("this program's own file cannot be found: {error}"))
}

async fn run_join(args: JoinArgs, config: &Config) -> u8 {
    let options = match join_options(args, config) {
        Ok(options) => options,
        Err(error) => return fail(exit::USAGE, &error),
    };
    let (_trigger, asked) = match shutdown::on_signals() {
        Ok(signals) => signals,
        Err(error) => return fail(exit::FAILED, &error.to_string()),
    };
    let (joined, mut is_joined) = watch::channel(false);
    let announce = tokio::spawn(async move {
        while is_joined.wait_for(|joined| *joined).await.is_ok() {
            eprintln!("joined");
            if is_joined.wait_for(|joined| !*joined).await.is_err() {
                return;
            }
        }
    });
    let ended = join(options, asked, joined).await;
    announce.abort();
    match ended {
        Ok(()) => 0,
        Err(error) => {
            let code = match &error {
                JoinError::Usage(_) | JoinError::Backend(_) => exit::USAGE,
                JoinError::Unreachable(_) => exit::UNREACHABLE,
                JoinError::Refused(_) | JoinError::Ended(_) => exit::REFUSED,
                JoinError::Lock(LockError::Held { .. }) => exit::HELD,
                _ => exit::FAILED,
            };
            fail(code, &error.to_string())
        }
    }
}

fn join_options(args: JoinArgs, config: &Config) -> Result<JoinOptions, String> {
    let entry = entry(&args)?;
    let data_dir = data_dir(args.data_dir, config)?;
    let (usual, quotas) = (KeepLimits::default(), Quotas::default());
    Ok(JoinOptions {
        entry,
        coordinator: args.url.or_else(|| config.coordinator.clone()),
        data_dir,
        workspace: args.workspace,
        name: args.name,
        labels: args.labels.into_iter().collect(),
        host: host(config, args.backend_paths)?,
        backends: args.backends,
        once: args.once,
        max_idle: args.max_idle,
        patience: None,
        park_probe: park_probe(config),
        on_partition: args.on_partition.unwrap_or_default(),
        quotas: Quotas {
            cache_bytes: args.cache_bytes.unwrap_or(quotas.cache_bytes),
            worktree_bytes: args.worktree_bytes.unwrap_or(quotas.worktree_bytes),
            pack_bytes: args.pack_bytes.unwrap_or(quotas.pack_bytes),
        },
        keep: KeepLimits { time: args.keep_outcomes.unwrap_or(usual.time), bytes: args.keep_bytes.unwrap_or(usual.bytes) },
        tmux: args.tmux,
    })
}

fn park_probe(config: &Config) -> std::time::Duration {
    let mut limits = RunLimits::default();
    config.limits.apply(&mut limits);
    std::time::Duration::from_millis(limits.park_probe_ms)
}

async fn run_doctor(args: DoctorArgs, config: &Config) -> u8 {
    let host = match host(config, args.backend_paths) {
        Ok(host) => host,
        Err(error) => return fail(exit::USAGE, &error),
    };
    let mut count = 0;
    let told = |report: &backend::doctor::BackendReport| {
        if !args.json {
            let gap = if count == 0 { "" } else { "\n" };
            println!("{gap}{}", text::plain(&report.to_string()));
            count += 1;
        }
    };
    let diagnosis = match roundtable_worker::doctor::examine(&host, &args.backends, args.offline, told).await {
        Ok(diagnosis) => diagnosis,
        Err(error) => return fail(exit::FAILED, &error.to_string()),
    };
    if args.json {
        match diagnosis.json() {
            Ok(document) => println!("{}", text::json(&document)),
            Err(error) => return fail(exit::FAILED, &error.to_string()),
        }
    } else if diagnosis.reports().is_empty() {
        println!("{}", roundtable_worker::doctor::nothing_installed());
    }
    if diagnosis.is_good() { 0 } else { exit::FAILED }
}

fn run_install(args: InstallArgs) -> u8 {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return fail(exit::FAILED, &format!("this program's own file cannot be found: {error}")),
    };
    let done = Scope::of(args.user).and_then(|scope| {
        let unit = install::unit(&program, &scope);
        if args.print {
            print!("{}", unit.text);
            return Ok(());
        }
        let installed = systemd::install(&unit, &scope, &config::environment)?;
        let (file, flags) = (installed.unit.display(), installed.environment.display());
        if installed.is_started {
            eprintln!("worker: {file} is enabled and running; its flags: {flags}");
        } else {
            let mine = if scope == Scope::User { "--user " } else { "" };
            eprintln!("worker: {file} is enabled; say in {flags} what it serves, then: systemctl {mine}start {}", unit.name);
        }
        Ok(())
    });
    match done {
        Ok(()) => 0,
        Err(error) => fail(if error.is_usage() { exit::USAGE } else { exit::FAILED }, &error.to_string()),
    }
}

fn fail(code: u8, error: &str) -> u8 {
    eprintln!("{}", terminal::hanging(&format!("worker: {error}"), 2));
    code
}
