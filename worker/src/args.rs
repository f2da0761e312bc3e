//! The command line of `worker`. Parsing only; what it means is `join`'s and `doctor`'s.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Runs coding agents for a Roundtable coordinator.
#[derive(Parser, Debug)]
#[command(name = "worker", version = crate::VERSION_LONG, about, long_about = None, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    /// How logs are written on stderr.
    #[arg(long, value_enum, default_value = "text", global = true, env = "ROUNDTABLE_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  worker join --backend codex                       serve codex (and codex-review) with one slot
  worker join --backend codex=2 --backend gemini    two codex slots, one gemini slot
  worker join --backend scripted:play.toml=4        play every role from a playbook, no accounts needed
  worker doctor --backend codex                     a real, headless call: is it there, logged in, able to write?";

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
    /// Join a coordinator and take work until stopped (SIGTERM: finish or hand back; twice: stop within 10 s).
    Join(JoinArgs),
    /// Probe each agent CLI: found, version, logged in, can write, does not prompt.
    Doctor(DoctorArgs),
}

/// `worker join`.
#[derive(Args, Debug, Clone)]
pub struct JoinArgs {
    /// Coordinator, `https://HOST:PORT`; without it the live one of this user on this host.
    #[arg(env = "ROUNDTABLE_COORDINATOR")]
    pub url: Option<String>,
    /// Backend to serve: codex, gemini, codex-review, opencode, scripted:FILE, or a configured name; `=SLOTS` for more than one at a time.
    #[arg(long = "backend", value_name = "NAME[=SLOTS]", required = true, env = "ROUNDTABLE_JOIN_BACKEND", value_delimiter = ',', value_parser = parse_backend)]
    pub backends: Vec<BackendSlots>,
    /// Program of a backend, or `scripted:FILE` to play it from a playbook.
    #[arg(long = "backend-path", value_name = "NAME=FILE", env = "ROUNDTABLE_JOIN_BACKEND_PATH", value_delimiter = ',', value_parser = parse_pair)]
    pub backend_paths: Vec<(String, String)>,
    /// Name shown in lists; default `<host>-<first free number>`.
    #[arg(long, env = "ROUNDTABLE_JOIN_NAME")]
    pub name: Option<String>,
    /// Label, any number of them.
    #[arg(long = "label", value_name = "KEY=VALUE", env = "ROUNDTABLE_JOIN_LABEL", value_delimiter = ',', value_parser = parse_pair)]
    pub labels: Vec<(String, String)>,
    /// Where worktrees, object caches and the spool live; default `<data-dir>/workers/<name>`.
    #[arg(long, value_name = "DIR", env = "ROUNDTABLE_JOIN_WORKSPACE")]
    pub workspace: Option<PathBuf>,
    /// End after one attempt.
    #[arg(long, env = "ROUNDTABLE_JOIN_ONCE")]
    pub once: bool,
    /// End after this long without work, e.g. `10m`.
    #[arg(long, value_name = "DURATION", env = "ROUNDTABLE_JOIN_MAX_IDLE", value_parser = parse_duration)]
    pub max_idle: Option<Duration>,
    /// Data directory shared with the coordinator of this host.
    #[arg(long, value_name = "DIR", env = "ROUNDTABLE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Configuration file with [backend.NAME] tables, above the user's.
    #[arg(long, value_name = "FILE", env = "ROUNDTABLE_CONFIG")]
    pub config: Option<PathBuf>,
}

/// `worker doctor`.
#[derive(Args, Debug, Clone)]
pub struct DoctorArgs {
    /// Backend to probe; default: all that are installed.
    #[arg(long = "backend", value_name = "NAME", env = "ROUNDTABLE_DOCTOR_BACKEND", value_delimiter = ',')]
    pub backends: Vec<String>,
    /// Program of a backend.
    #[arg(long = "backend-path", value_name = "NAME=FILE", env = "ROUNDTABLE_DOCTOR_BACKEND_PATH", value_delimiter = ',', value_parser = parse_pair)]
    pub backend_paths: Vec<(String, String)>,
    /// Program and version only; no call to a model.
    #[arg(long, env = "ROUNDTABLE_DOCTOR_OFFLINE")]
    pub offline: bool,
    /// One JSON value.
    #[arg(long, env = "ROUNDTABLE_DOCTOR_JSON")]
    pub json: bool,
    /// Configuration file with [backend.NAME] tables, above the user's.
    #[arg(long, value_name = "FILE", env = "ROUNDTABLE_CONFIG")]
    pub config: Option<PathBuf>,
}

/// A backend and how many slots it gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendSlots {
    /// Its name; may hold a file name (`scripted:FILE`).
    pub name: String,
    /// Slots, if named.
    pub slots: Option<u32>,
}

/// Reads `NAME[=SLOTS]`.
pub fn parse_backend(text: &str) -> Result<BackendSlots, String> {
    let text = text.trim();
    let (name, slots) = match text.rsplit_once('=') {
        Some((name, slots)) => {
            let slots = slots.parse().map_err(|_| format!("`{slots}` is no number of slots; write NAME=2"))?;
            (name, Some(slots))
        }
        None => (text, None),
    };
    if name.is_empty() {
        return Err("a backend's name is missing; write e.g. codex or codex=2".to_owned());
    }
    if slots.is_some_and(|slots| slots > 1024) {
        return Err("more than 1024 slots on one worker".to_owned());
    }
    Ok(BackendSlots { name: name.to_owned(), slots })
}

/// Reads `KEY=VALUE`.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not of the form NAME=VALUE")),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write e.g. 90s, 10m or 2h"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn backends_take_slots_and_file_names() {
        assert_eq!(parse_backend("codex"), Ok(BackendSlots { name: "codex".into(), slots: None }));
        assert_eq!(parse_backend("codex=2"), Ok(BackendSlots { name: "codex".into(), slots: Some(2) }));
        assert_eq!(parse_backend("scripted:a b.toml=4"), Ok(BackendSlots { name: "scripted:a b.toml".into(), slots: Some(4) }));
        assert!(parse_backend("codex=two").unwrap_err().contains("NAME=2"));
        assert!(parse_backend("=2").is_err());
    }

    #[test]
    fn the_command_line_is_sound_and_names_what_is_missing() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let error = Cli::try_parse_from(["worker", "join"]).unwrap_err().to_string();
        assert!(error.contains("--backend"), "{error}");
        let cli =
            Cli::try_parse_from(["worker", "join", "https://h:1", "--backend", "codex=2", "--backend", "gemini", "--max-idle", "10m"])
                .unwrap();
        let Command::Join(join) = cli.command else { panic!("join") };
        assert_eq!(join.backends.len(), 2);
        assert_eq!(join.max_idle, Some(Duration::from_secs(600)));
    }
}
