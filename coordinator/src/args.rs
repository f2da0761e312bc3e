//! The command line of `coordinator`. Parsing only.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Owns the state of runs: plans, grants, reviews, integrates.
#[derive(Parser, Debug)]
#[command(name = "coordinator", version = crate::VERSION_LONG, about, long_about = None, after_help = EXAMPLES, disable_help_subcommand = true, max_term_width = 80)]
pub struct Cli {
    /// Form of log lines on stderr, text or json [default: text]
    #[arg(long, value_enum, value_name = "FORM", hide_possible_values = true, global = true, help_heading = "Global options")]
    pub log_format: Option<LogFormat>,
    /// Configuration file that goes before the user's
    #[arg(long, value_name = "FILE", global = true, help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  coordinator serve                      on 127.0.0.1:7420; workers and orchctl
                                         of this user find it by themselves
  coordinator serve --data-dir /srv/rt   keep everything in /srv/rt
  coordinator verify                     check log, events and repositories

Every flag can also come from the environment as ROUNDTABLE_<COMMAND>_<FLAG>
(ROUNDTABLE_DATA_DIR, ROUNDTABLE_CONFIG and ROUNDTABLE_LOG_FORMAT for all
commands), or from the command's table in a configuration file.

Exit codes: 0 ended as asked, 1 failed, 3 usage, 6 data dir held by another.";

const SERVE_EXAMPLES: &str = "\
Examples:
  coordinator serve
  coordinator serve --listen 127.0.0.1:0          a free port
  coordinator serve --data-dir /srv/roundtable    keep everything there
  ROUNDTABLE_SERVE_LISTEN=127.0.0.1:7500 coordinator serve

In a configuration file:
  data_dir = \"/srv/roundtable\"
  [serve]
  listen = \"127.0.0.1:7500\"";

const VERIFY_EXAMPLES: &str = "\
Examples:
  coordinator verify                              exit 1 names what is bad
  coordinator verify --data-dir /srv/roundtable --json

Every row of the log, every event, and every object of the repositories is read;
nothing is changed. Beside one who serves it, what is being written may show as missing.";

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
    /// Serve until stopped (SIGTERM drains)
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Check the integrity of a data directory
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
}

/// `coordinator serve`.
#[derive(Args, Debug, Clone)]
pub struct ServeArgs {
    /// Address to listen on; always TLS
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7420")]
    pub listen: SocketAddr,
    /// Everything it keeps [default: $XDG_STATE_HOME/roundtable, else
    /// ~/.local/state/roundtable]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `coordinator verify`.
#[derive(Args, Debug, Clone)]
pub struct VerifyArgs {
    /// The data directory [default: that of `serve`]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// One JSON value
    #[arg(long)]
    pub json: bool,
}

impl From<LogFormat> for roundtable_runtime::telemetry::LogFormat {
    fn from(form: LogFormat) -> Self {
        match form {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_its_help_fits_a_terminal() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let mut all = Cli::command();
        all.build();
        let mut texts = vec![all.render_long_help().to_string()];
        texts.extend(all.get_subcommands_mut().map(|sub| sub.render_long_help().to_string()));
        for text in texts {
            assert!(text.contains("Examples:"), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
        assert!(Cli::try_parse_from(["coordinator", "serve", "--store", "sqlite:x"]).is_err(), "not built yet");
    }
}
