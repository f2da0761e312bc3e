//! The command line of `worker`. Parsing only; what it means is `join`'s and `doctor`'s.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use roundtable_runtime::config::Environment;
use roundtable_runtime::flags;
use roundtable_shared::check_label;

/// Runs coding agents for a Roundtable coordinator.
#[derive(Parser, Debug)]
#[command(name = "worker", version = crate::VERSION_LONG, about, long_about = None, after_help = EXAMPLES, disable_help_subcommand = true, max_term_width = 80)]
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
  worker join --backend codex             serve codex and codex-review, one slot
  worker join --backend codex=2 --backend gemini
  worker join --backend scripted:play.toml=4
                                          every role from a playbook, no account
  worker doctor --backend codex           a real call: is it there, logged in,
                                          able to write, what may it reach?

Every flag can also come from the environment as ROUNDTABLE_<COMMAND>_<FLAG>
(ROUNDTABLE_COORDINATOR, ROUNDTABLE_DATA_DIR, ROUNDTABLE_CONFIG and
ROUNDTABLE_LOG_FORMAT for all commands), or from the command's table in a
configuration file.

Exit codes: 0 ended as asked, 1 failed, 3 usage, 4 coordinator unreachable,
5 refused, 6 workspace held by another.";

const JOIN_EXAMPLES: &str = "\
Examples:
  worker join --backend codex
  worker join https://127.0.0.1:7420 --backend codex=2 --label zone=a
  ROUNDTABLE_TOKEN=rt1.… worker join https://HOST:7420 --backend codex
  worker join --backend codex --name ci --workspace /var/tmp/rt --max-idle 10m
  worker join --backend scripted:play.toml=4 --once
  ROUNDTABLE_JOIN_BACKEND=codex=2,gemini worker join

In a configuration file:
  [join]
  backend = [\"codex=2\", \"gemini\"]
  label = [\"zone=a\"]

A token is needed once: the identity won by it is kept in the workspace, renewed
while the worker works, and goes before any token.

SIGTERM lets running agents end and takes nothing new; a second one stops them
within 10 s, their work saved.";

const KEYGEN_EXAMPLES: &str = "\
Examples:
  worker keygen                           prints the fingerprint of the key
  coordinator worker add --key …          on the coordinator's host, with that
  worker join https://HOST:7420 --pin …   the line that prints

The key stays on this host; made before, it is the same one again.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  worker doctor                           every agent CLI that is installed
  worker doctor --backend codex --json
  worker doctor --offline                 program and version, no model asked
  worker doctor --backend mine --backend-path mine=/opt/mine/agent";

const INSTALL_EXAMPLES: &str = "\
Examples:
  sudo worker install --user roundtable   from the boot on, as that user
  worker install                          your own, while you are logged in
                                          (or: loginctl enable-linger)
  worker install --print                  only show the unit

What it serves stands in worker.env, in /etc/roundtable or ~/.config/roundtable;
where that file is new, the worker starts once you have looked at it.";

/// Log formats.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl From<LogFormat> for roundtable_runtime::telemetry::LogFormat {
    fn from(form: LogFormat) -> Self {
        match form {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

/// What becomes of agents while no coordinator is heard.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnPartition {
    /// They go on; what they come to is handed in once one is heard, if it is still wanted.
    #[default]
    GoOn,
    /// They are stopped, their work saved.
    Stop,
}

/// The command line, to be read with what environment and files add.
pub fn command(environment: Environment<'_>) -> clap::Command {
    let command = <Cli as clap::CommandFactory>::command();
    command.mut_subcommand("join", |join| join.mut_arg("url", |url| flags::from_variable(url, "ROUNDTABLE_COORDINATOR", environment)))
}

/// Commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Join a coordinator and take work until stopped
    #[command(after_help = JOIN_EXAMPLES)]
    Join(Box<JoinArgs>),
    /// Make the key by which this host is admitted without a secret on the way
    #[command(after_help = KEYGEN_EXAMPLES)]
    Keygen(KeygenArgs),
    /// Probe each agent CLI: found, version, logged in, can write, does not
    /// prompt, what it may reach
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Write a systemd unit that keeps `join` running, and enable it
    #[command(after_help = INSTALL_EXAMPLES)]
    Install(InstallArgs),
}

/// `worker join`.
#[derive(Args, Debug, Clone)]
pub struct JoinArgs {
    /// Coordinator, https://HOST:PORT [default: ROUNDTABLE_COORDINATOR, else the
    /// live one of this user on this host]
    pub url: Option<String>,
    /// Backend to serve: codex, gemini, codex-review, opencode, scripted:FILE, or
    /// a configured name; =SLOTS for more than one at a time. check=SLOTS: checks at
    /// a time [default: 1]
    #[arg(long = "backend", value_name = "NAME[=SLOTS]", required = true, value_delimiter = ',', value_parser = parse_backend)]
    pub backends: Vec<BackendSlots>,
    /// Program of a backend, or scripted:FILE to play it from a playbook
    #[arg(long = "backend-path", value_name = "NAME=FILE", value_delimiter = ',', value_parser = parse_pair)]
    pub backend_paths: Vec<(String, String)>,
    /// Join token; better in ROUNDTABLE_TOKEN or --token-file: what is typed here,
    /// others on this host can read
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<TokenText>,
    /// File with the join token, - for standard input
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<String>,
    /// Join by the key that `worker keygen` made, at the coordinator whose authority
    /// has this digest
    #[arg(long, value_name = "SHA256", conflicts_with = "token_file")]
    pub pin: Option<String>,
    /// Name shown in lists [default: that of the workspace, else HOST-NUMBER, the first
    /// that is free]
    #[arg(long)]
    pub name: Option<String>,
    /// Label that units can ask for, any number of them; `os` and `arch` are there
    #[arg(long = "label", value_name = "KEY=VALUE", value_delimiter = ',', value_parser = parse_label)]
    pub labels: Vec<(String, String)>,
    /// Where worktrees, object caches and the spool live [default:
    /// DATA-DIR/workers/NAME]
    #[arg(long, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// Show attempts in this session of tmux: a window for each of the plan's, in
    /// it a pane with the live log of each attempt
    #[arg(long, value_name = "SESSION", value_parser = parse_session)]
    pub tmux: Option<String>,
    /// End after one attempt
    #[arg(long)]
    pub once: bool,
    /// End after this long without work, e.g. 10m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub max_idle: Option<Duration>,
    /// Data directory shared with the coordinator of this host
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where no coordinator has been heard for 20 s: `go-on` lets agents work on,
    /// `stop` ends them, their work saved [default: go-on]
    #[arg(long, value_name = "WHAT", value_enum, hide_possible_values = true)]
    pub on_partition: Option<OnPartition>,
    /// Keep what was delivered so long, for a coordinator that is restored from a
    /// backup [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub keep_outcomes: Option<Duration>,
    /// Keep at most so much of it, e.g. 2GiB; the oldest goes first [default: 2GiB]
    #[arg(long, value_name = "SIZE", value_parser = roundtable_shared::text::parse_bytes)]
    pub keep_bytes: Option<u64>,
    /// Keep at most so much of the objects of repositories; those used longest ago
    /// go first [default: 16GiB]
    #[arg(long, value_name = "SIZE", value_parser = roundtable_shared::text::parse_bytes)]
    pub cache_bytes: Option<u64>,
    /// Keep at most so much of worktrees that lie idle, to be used again
    /// [default: 8GiB]
    #[arg(long, value_name = "SIZE", value_parser = roundtable_shared::text::parse_bytes)]
    pub worktree_bytes: Option<u64>,
    /// Largest pack taken from the coordinator [default: 4GiB]
    #[arg(long, value_name = "SIZE", value_parser = roundtable_shared::text::parse_bytes)]
    pub pack_bytes: Option<u64>,
}

/// A token as it was typed: it does not show itself.
#[derive(Clone)]
pub struct TokenText(pub String);

impl From<String> for TokenText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for TokenText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenText")
    }
}

/// `worker keygen`.
#[derive(Args, Debug, Clone)]
pub struct KeygenArgs {
    /// Where the key is kept [default: the data directory of `join`]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Workspace the key is for and kept in: each worker of a host after the
    /// first needs a key of its own
    #[arg(long, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
}

/// `worker doctor`.
#[derive(Args, Debug, Clone)]
pub struct DoctorArgs {
    /// Backend to probe [default: all that are installed]
    #[arg(long = "backend", value_name = "NAME", value_delimiter = ',')]
    pub backends: Vec<String>,
    /// Program of a backend
    #[arg(long = "backend-path", value_name = "NAME=FILE", value_delimiter = ',', value_parser = parse_pair)]
    pub backend_paths: Vec<(String, String)>,
    /// Program and version only; no call to a model
    #[arg(long)]
    pub offline: bool,
    /// One JSON value
    #[arg(long)]
    pub json: bool,
}

/// `worker install`.
#[derive(Args, Debug, Clone)]
pub struct InstallArgs {
    /// User it runs as; needed by root, and for root only
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Write the unit to standard output, and nothing else
    #[arg(long)]
    pub print: bool,
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

/// Reads `KEY=VALUE` of a label; `KEY` alone is one too.
pub fn parse_label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, "true"));
    check_label(key, value).map(|()| (key.to_owned(), value.to_owned()))
}

fn parse_session(text: &str) -> Result<String, String> {
    if crate::tmux::is_session_name(text) {
        return Ok(text.to_owned());
    }
    Err("a session's name is of letters, digits, `-` and `_`, at most 64, and begins with no `-`".to_owned())
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
    fn a_label_is_a_key_with_a_value_or_alone() {
        assert_eq!(parse_label("zone=eu").unwrap(), ("zone".to_owned(), "eu".to_owned()));
        assert_eq!(parse_label("gpu").unwrap(), ("gpu".to_owned(), "true".to_owned()));
        for wrong in ["", "=x", "zone=", "1=2", "big gpu"] {
            assert!(parse_label(wrong).unwrap_err().contains("is no label"), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_sound_fits_a_terminal_and_names_what_is_missing() {
        command(&|_| Some("x".to_owned())).debug_assert();
        let mut all = command(&|_| None);
        all.build();
        let mut texts = vec![all.render_long_help().to_string()];
        texts.extend(all.get_subcommands_mut().map(|sub| sub.render_long_help().to_string()));
        for text in texts {
            assert!(text.contains("Examples:"), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
        let error = Cli::try_parse_from(["worker", "join"]).unwrap_err().to_string();
        assert!(error.contains("--backend"), "{error}");
        let cli =
            Cli::try_parse_from(["worker", "join", "https://h:1", "--backend", "codex=2", "--backend", "gemini", "--max-idle", "10m"])
                .unwrap();
        let Command::Join(join) = cli.command else { panic!("join") };
        assert_eq!(join.backends.len(), 2);
        assert_eq!(join.max_idle, Some(Duration::from_secs(600)));
        let cli = Cli::try_parse_from(["worker", "join", "--backend", "codex", "--token", "hush"]).unwrap();
        assert!(!format!("{cli:?}").contains("hush"));
    }
}
