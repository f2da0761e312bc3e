//! The `coordinator` binary: arguments in, exit code out.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use roundtable_coordinator::args::{
    AuditArgs, BackupArgs, Cli, Command, InstallArgs, RestoreArgs, RootCommand, ServeArgs, TokenCommand, VerifyArgs, WorkerCommand,
};
use roundtable_coordinator::audit::{self, ShowError};
use roundtable_coordinator::backup::{self, BackupError, Restored};
use roundtable_coordinator::enrol::{self, EnrolError};
use roundtable_coordinator::retention::Retention;
use roundtable_coordinator::serve::{self, Running, ServeError, ServeOptions};
use roundtable_coordinator::{http, install, tokens};
use roundtable_runtime::lock::LockError;
use roundtable_runtime::shutdown::Shutdown;
use roundtable_runtime::systemd::{self, Scope};
use roundtable_runtime::{config, flags, open_files, shutdown, telemetry, terminal};
use roundtable_shared::AccessRole;
use roundtable_shared::error::ErrorCode;
use roundtable_shared::text;
use roundtable_shared::view::{AccessRequest, RootAct};

/// Exit codes of `coordinator` (0 is success).
mod exit {
    pub const FAILED: u8 = 1;
    pub const USAGE: u8 = 3;
    pub const REFUSED: u8 = 5;
    pub const HELD: u8 = 6;
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let read = flags::read(Cli::command(), &arguments, &config::environment);
    let parsed = read.and_then(|read| Ok((Cli::from_arg_matches(&read.matches).map_err(flags::Stop::Parse)?, read.config)));
    let (cli, config) = match parsed {
        Ok(parsed) => parsed,
        Err(flags::Stop::Parse(error)) => {
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            // Nothing to do about a closed stdout.
            let _ = error.print();
            return ExitCode::from(code);
        }
        Err(flags::Stop::Config(error)) => return ExitCode::from(fail(exit::USAGE, &error.to_string())),
    };
    let format = cli.log_format.map(Into::into).or(config.log_format).unwrap_or_default();
    if let Err(error) = telemetry::init(format, "info") {
        return ExitCode::from(fail(exit::USAGE, &error.to_string()));
    }
    for warning in &config.warnings {
        eprintln!("{}", terminal::hanging(&format!("coordinator: {warning}"), 2));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return ExitCode::from(fail(exit::FAILED, &format!("the runtime could not start: {error}")));
        }
    };
    let code = match cli.command {
        Command::Serve(args) => runtime.block_on(serve(*args, config.data_dir)),
        Command::Token(args) => {
            runtime.block_on(manage(token_request(args.command), "coordinator token", args.data_dir, config.data_dir, args.json))
        }
        Command::Worker(args) => {
            let WorkerCommand::Add { key, name, labels } = args.command;
            let request = AccessRequest::AddWorker { key, name, labels: labels.into_iter().collect() };
            runtime.block_on(manage(request, "coordinator worker", args.data_dir, config.data_dir, args.json))
        }
        Command::Revoke(args) => {
            let request = AccessRequest::Revoke { id: args.id };
            runtime.block_on(manage(request, "coordinator revoke", args.data_dir, config.data_dir, args.json))
        }
        Command::Root(args) => {
            let request = AccessRequest::Root { act: root_act(args.command) };
            runtime.block_on(manage(request, "coordinator root", args.data_dir, config.data_dir, args.json))
        }
        Command::Audit(args) => runtime.block_on(show_audit(args, config.data_dir)),
        Command::Verify(args) => runtime.block_on(verify(args, config.data_dir)),
        Command::Backup(args) => runtime.block_on(backup(args, config.data_dir)),
        Command::Restore(args) => runtime.block_on(restore(args, config.data_dir)),
        Command::Install(args) => install(args),
    };
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ExitCode::from(code)
}

/// Flag and environment before the files before the default, as for the other programs.
fn data_dir(given: Option<PathBuf>, configured: Option<PathBuf>) -> Result<PathBuf, String> {
    match given.or(configured) {
        Some(dir) => Ok(dir),
        None => config::default_data_dir(&config::environment).map_err(|error| error.to_string()),
    }
}

async fn serve(args: ServeArgs, configured: Option<PathBuf>) -> u8 {
    let data_dir = match data_dir(args.data_dir.clone(), configured.clone()) {
        Ok(dir) => dir,
        Err(error) => return fail(exit::USAGE, &error),
    };
    if let Err(error) = open_files::allow_most() {
        tracing::warn!(%error, "no more files may be open than this process began with");
    }
    let page = match page(&args).await {
        Ok(page) => page,
        Err(error) => return fail(if error.is_usage() { exit::USAGE } else { exit::FAILED }, &error.to_string()),
    };
    // Signals count from the first moment on.
    let (_trigger, asked) = match shutdown::on_signals() {
        Ok(signals) => signals,
        Err(error) => return fail(exit::FAILED, &error.to_string()),
    };
    let limits = args.limits();
    let options = ServeOptions {
        listen: args.listen,
        advertise: args.advertise,
        hostnames: args.hostname,
        data_dir: data_dir.clone(),
        embedded: false,
        command: "coordinator serve".to_owned(),
        limits,
        retention: Retention { keep_runs: args.keep_runs, keep_bytes: args.keep_bytes },
    };
    let running = match serve::start(options).await {
        Ok(running) => running,
        Err(error) => return fail(code_of(&error), &error.to_string()),
    };
    if let Some(page) = page {
        let url = page.url();
        if let Err(error) = page.serve(&running) {
            let _ = running.stop().await;
            return fail(exit::FAILED, &error.to_string());
        }
        eprintln!("coordinator: health and metrics on {url}");
    }
    let places = &running.parts.places;
    eprintln!("coordinator: listening on {}, data in {}", places.listening(), data_dir.display());
    if !places.others().is_empty() {
        let urls: Vec<String> = places.others().iter().map(|place| format!("https://{place}")).collect();
        eprintln!("coordinator: others reach it at {}", urls.join(", "));
    }
    if std::io::stderr().is_terminal() {
        eprintln!("coordinator: join workers of this user with: worker join --backend codex{}", data_dir_flag(&data_dir, configured));
        if !places.others().is_empty() {
            tell_others(&running).await;
        }
    }
    eprintln!("ready");
    until_ended(running, asked).await
}

/// Listens for health and metrics, if that is asked for.
async fn page(args: &ServeArgs) -> Result<Option<http::Bound>, http::HttpError> {
    let Some(listen) = args.http else { return Ok(None) };
    let options = http::HttpOptions { listen, certificate: args.http_cert.clone(), key: args.http_key.clone() };
    http::bind(options).await.map(Some)
}

async fn until_ended(mut running: Running, asked: Shutdown) -> u8 {
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

/// The line by which other hosts come in, for whoever started this by hand.
async fn tell_others(running: &serve::Running) {
    let request =
        AccessRequest::CreateToken { role: AccessRole::Worker, ttl_ms: 3_600_000, uses: 10, labels: BTreeMap::new(), ephemeral: false };
    match enrol::manage_here(&running.parts, request, "coordinator serve").await {
        Ok(reply) => eprintln!("coordinator: join workers on other hosts, up to 10 within an hour, with:\n{}", tokens::text(&reply)),
        Err(error) => eprintln!("{}", terminal::hanging(&format!("coordinator: no line to join by can be given: {error}"), 2)),
    }
}

/// How a coordinator that could not begin ends.
fn code_of(error: &ServeError) -> u8 {
    match error {
        ServeError::Lock(LockError::Held { .. }) => exit::HELD,
        ServeError::Places(_) | ServeError::Limits(_) => exit::USAGE,
        _ => exit::FAILED,
    }
}

/// What a worker of this user must be told to find this data directory, ready for a shell.
fn data_dir_flag(dir: &std::path::Path, configured: Option<PathBuf>) -> String {
    match data_dir(None, configured) {
        Ok(default) if default == dir => String::new(),
        _ => format!(" --data-dir {}", terminal::shell_word(&dir.display().to_string())),
    }
}

async fn show_audit(args: AuditArgs, configured: Option<PathBuf>) -> u8 {
    let data_dir = match data_dir(args.data_dir, configured) {
        Ok(dir) => dir,
        Err(error) => return fail(exit::USAGE, &error),
    };
    let form = if args.json { audit::Form::Json } else { audit::Form::Text };
    match audit::show(&data_dir, form, args.follow, &mut std::io::stdout().lock()).await {
        Ok(()) => 0,
        // Whoever reads has read enough.
        Err(ShowError::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(error) => fail(exit::FAILED, &error.to_string()),
    }
}

async fn verify(args: VerifyArgs, configured: Option<PathBuf>) -> u8 {
    if let Some(file) = args.backup {
        return verify_backup(&file, args.json).await;
    }
    let data_dir = match data_dir(args.data_dir, configured) {
        Ok(dir) => dir,
        Err(error) => return fail(exit::USAGE, &error),
    };
    match roundtable_coordinator::verify::verify(&data_dir).await {
        Ok(report) => {
            if args.json {
                println!("{}", text::json(&report.json()));
            } else {
                println!("{}", text::plain(&report.to_string()));
            }
            if report.is_good() { 0 } else { exit::FAILED }
        }
        Err(error) => fail(exit::FAILED, &error.to_string()),
    }
}

async fn verify_backup(file: &Path, json: bool) -> u8 {
    let read = match backup::check(file).await {
        Ok(read) => read,
        Err(error) => return fail(exit::FAILED, &error.to_string()),
    };
    let (manifest, is_good) = (&read.manifest, read.differences.is_empty());
    if json {
        let told = serde_json::json!({
            "backup": file.display().to_string(), "made_at": manifest.made_at, "store": manifest.store, "rows": manifest.rows,
            "files": manifest.files.len(), "problems": read.differences, "ok": is_good,
        });
        println!("{}", text::json(&told.to_string()));
    } else {
        for difference in &read.differences {
            println!("BAD  {}", text::plain(difference));
        }
        println!("backup of {}: {} rows, {} files", text::plain(&manifest.made_at), manifest.rows, manifest.files.len());
        println!("{}", if is_good { "all good" } else { "damaged: use another backup" });
    }
    if is_good { 0 } else { exit::FAILED }
}

fn token_request(command: TokenCommand) -> AccessRequest {
    match command {
        TokenCommand::Create(args) => AccessRequest::CreateToken {
            role: args.role,
            ttl_ms: u64::try_from(args.ttl.as_millis()).unwrap_or(u64::MAX),
            uses: args.uses,
            labels: args.labels.into_iter().collect(),
            ephemeral: args.ephemeral,
        },
        TokenCommand::List => AccessRequest::Tokens,
        TokenCommand::Revoke { id } => AccessRequest::RevokeToken { id },
    }
}

fn root_act(command: RootCommand) -> RootAct {
    match command {
        RootCommand::Show => RootAct::Show,
        RootCommand::Next => RootAct::Next,
        RootCommand::Switch { early } => RootAct::Switch { early },
        RootCommand::Drop { early } => RootAct::Drop { early },
    }
}

/// An act about who may come in, with a live coordinator or on the data directory alone.
async fn manage(request: AccessRequest, command: &str, given: Option<PathBuf>, configured: Option<PathBuf>, json: bool) -> u8 {
    let data_dir = match data_dir(given, configured) {
        Ok(dir) => dir,
        Err(error) => return fail(exit::USAGE, &error),
    };
    let reply = match enrol::ask(&data_dir, request, command).await {
        Ok(reply) => reply,
        Err(error) => {
            let held =
                matches!(&error, EnrolError::Lock(LockError::Held { .. }) | EnrolError::Serve(ServeError::Lock(LockError::Held { .. })));
            let code = match error.code() {
                _ if held => exit::HELD,
                ErrorCode::InvalidInput => exit::USAGE,
                ErrorCode::NotAuthorised => exit::REFUSED,
                _ => exit::FAILED,
            };
            return fail(code, &error.to_string());
        }
    };
    if !json {
        println!("{}", text::plain(&tokens::text(&reply)));
        return 0;
    }
    match tokens::json(&reply) {
        Ok(text) => {
            println!("{}", text::json(&text));
            0
        }
        Err(error) => fail(exit::FAILED, &error.to_string()),
    }
}

async fn backup(args: BackupArgs, configured: Option<PathBuf>) -> u8 {
    let data_dir = match data_dir(args.data_dir, configured) {
        Ok(dir) => dir,
        Err(error) => return fail(exit::USAGE, &error),
    };
    let taken = match backup::take(&data_dir, &args.to).await {
        Ok(taken) => taken,
        Err(error) => {
            let held = matches!(error, BackupError::Lock(LockError::Held { .. }));
            return fail(if held { exit::HELD } else { exit::FAILED }, &error.to_string());
        }
    };
    let (manifest, shown, is_good) = (&taken.manifest, args.to.display(), taken.report.is_good());
    if args.json {
        let told = serde_json::json!({
            "backup": shown.to_string(), "store": manifest.store, "rows": manifest.rows, "files": manifest.files.len(), "bytes": taken.bytes, "ok": is_good,
        });
        println!("{}", text::json(&told.to_string()));
    } else {
        if is_good {
            println!("{} rows and {} files, {}, in {shown}", manifest.rows, manifest.files.len(), text::bytes(taken.bytes));
        }
        println!("{}", text::plain(&taken.report.to_string()));
    }
    if is_good {
        return 0;
    }
    fail(exit::FAILED, &format!("{} is damaged as said above; no backup of it was made", data_dir.display()))
}

async fn restore(args: RestoreArgs, configured: Option<PathBuf>) -> u8 {
    let data_dir = match data_dir(args.data_dir, configured.clone()) {
        Ok(dir) => dir,
        Err(error) => return fail(exit::USAGE, &error),
    };
    let restored = match backup::restore(&args.from, &data_dir, args.replace).await {
        Ok(restored) => restored,
        Err(error) => {
            let held = matches!(error, BackupError::Lock(LockError::Held { .. }));
            return fail(if held { exit::HELD } else { exit::FAILED }, &error.to_string());
        }
    };
    let manifest = &restored.manifest;
    if args.json {
        let told = serde_json::json!({
            "data_dir": data_dir.display().to_string(), "store": restored.store, "from": manifest.store, "made_at": manifest.made_at, "rows": manifest.rows,
            "replaced": restored.replaced, "revoked_since": restored.revoked,
        });
        println!("{}", text::json(&told.to_string()));
        return 0;
    }
    println!("{} rows of {}, in {}", manifest.rows, manifest.made_at, data_dir.display());
    let aside = restored.replaced.as_ref().map(|aside| data_dir.join(aside));
    if let Some(aside) = &aside {
        println!("what was there lies in {}", aside.display());
    }
    let flag = data_dir_flag(&data_dir, configured);
    println!("{}", text::plain(&about_revocations(&restored, aside.as_deref(), &flag)));
    println!("serve it with: coordinator serve{flag}");
    0
}

/// Whoever was refused after the backup was made comes in again: what to do about that.
fn about_revocations(restored: &Restored, aside: Option<&Path>, flag: &str) -> String {
    let since = &restored.manifest.made_at;
    match &restored.revoked {
        Some(commands) if commands.is_empty() => format!("nobody was revoked since {since}"),
        Some(commands) => {
            let commands: Vec<String> = commands.iter().map(|command| format!("\n  {command}{flag}")).collect();
            format!("whom somebody revoked since {since} this does not know of; before you serve it:{}", commands.concat())
        }
        None => {
            let look = match aside {
                Some(aside) => format!("\n`coordinator audit --data-dir {}` may tell whom", aside.display()),
                None => String::new(),
            };
            let words = format!(
                "whoever was revoked since {since} comes in again: before you serve it, revoke each anew with `coordinator revoke ROLE/ID{flag}`, and tokens with `coordinator token revoke ID{flag}`"
            );
            format!("{}{look}", terminal::wrap(&words, terminal::WIDTH).join("\n"))
        }
    }
}

fn install(args: InstallArgs) -> u8 {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return fail(exit::FAILED, &format!("this program's own file cannot be found: {error}")),
    };
    // A unit's words mean the same wherever systemd stands.
    let data_dir = match args.data_dir.map(std::path::absolute).transpose() {
        Ok(data_dir) => data_dir,
        Err(error) => return fail(exit::USAGE, &format!("--data-dir: {error}")),
    };
    let done = Scope::of(args.user).and_then(|scope| {
        let unit = install::unit(&program, &scope, data_dir.as_deref());
        if args.print {
            print!("{}", unit.text);
            return Ok(());
        }
        let installed = systemd::install(&unit, &scope, &config::environment)?;
        eprintln!("coordinator: {} is enabled and running; its flags: {}", installed.unit.display(), installed.environment.display());
        Ok(())
    });
    match done {
        Ok(()) => 0,
        Err(error) => fail(if error.is_usage() { exit::USAGE } else { exit::FAILED }, &error.to_string()),
    }
}

fn fail(code: u8, error: &str) -> u8 {
    eprintln!("{}", terminal::hanging(&format!("coordinator: {error}"), 2));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_join_by_is_ready_for_a_shell() {
        let configured = Some(PathBuf::from("/srv/rt"));
        assert_eq!(data_dir_flag("/srv/rt".as_ref(), configured.clone()), "");
        assert_eq!(data_dir_flag("/srv/other".as_ref(), configured.clone()), " --data-dir /srv/other");
        assert_eq!(data_dir_flag("/srv/it's mine".as_ref(), configured), r" --data-dir '/srv/it'\''s mine'");
    }
}
