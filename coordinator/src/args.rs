//! The command line of `coordinator`. Parsing only.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Owns the state of runs: plans, grants, reviews, integrates.
#[derive(Parser, Debug)]
#[command(name = "coordinator", version = crate::VERSION_LONG, about, long_about = None, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    /// How logs are written on stderr.
    #[arg(long, value_enum, default_value = "text", global = true, env = "ROUNDTABLE_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  coordinator serve                           on 127.0.0.1:7420; workers and orchctl of this user find it by themselves
  coordinator serve --data-dir /srv/rt        keep everything in /srv/rt
  coordinator verify                          check log, event segments and repositories; exit 1 names the first bad record";

/// Log formats.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Serve until stopped (SIGTERM drains).
    Serve(ServeArgs),
    /// Check the integrity of a data directory; nobody may be serving it.
    Verify(VerifyArgs),
}

/// `coordinator serve`.
#[derive(Args, Debug, Clone)]
pub struct ServeArgs {
    /// Address to listen on; always TLS.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7420", env = "ROUNDTABLE_SERVE_LISTEN")]
    pub listen: SocketAddr,
    /// Everything it keeps; default $XDG_STATE_HOME/roundtable, else ~/.local/state/roundtable.
    #[arg(long, value_name = "DIR", env = "ROUNDTABLE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The log: `sqlite:PATH`; default `sqlite:<data-dir>/store.db`.
    #[arg(long, value_name = "sqlite:PATH", env = "ROUNDTABLE_SERVE_STORE", value_parser = parse_store)]
    pub store: Option<PathBuf>,
}

/// `coordinator verify`.
#[derive(Args, Debug, Clone)]
pub struct VerifyArgs {
    /// The data directory.
    #[arg(long, value_name = "DIR", env = "ROUNDTABLE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The log, if it is not `<data-dir>/store.db`.
    #[arg(long, value_name = "sqlite:PATH", env = "ROUNDTABLE_VERIFY_STORE", value_parser = parse_store)]
    pub store: Option<PathBuf>,
    /// One JSON value.
    #[arg(long, env = "ROUNDTABLE_VERIFY_JSON")]
    pub json: bool,
}

fn parse_store(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err("this release keeps its log in SQLite; write sqlite:PATH".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_refuses_other_stores() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let error = Cli::try_parse_from(["coordinator", "serve", "--store", "postgres://x"]).unwrap_err().to_string();
        assert!(error.contains("sqlite:PATH"), "{error}");
    }
}
