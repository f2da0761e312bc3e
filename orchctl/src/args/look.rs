//! Arguments of commands that only look.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use super::{JsonArg, ReadArgs};

/// `plan`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orchctl plan --spec .specs/login
  orchctl plan --spec .specs/login --slots 4     as if four agents worked
  orchctl plan --spec .specs/login --assign      ask codex who does what first
  orchctl plan --spec .specs/login --json        also when the spec has errors")]
pub struct PlanArgs {
    /// Folder with tasks.md, requirements.md (or bugfix.md) and design.md
    #[arg(long, value_name = "DIR")]
    pub spec: PathBuf,
    /// Lay the waves out for so many agents at once [default: as many as can]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub slots: Option<u32>,
    #[command(flatten)]
    pub read: ReadArgs,
    /// Ask an assignment agent first, and show the plan that comes of its answer, which
    /// the run that follows takes [default: codex]
    #[arg(long, value_name = "BACKEND", num_args = 0..=1)]
    pub assign: Option<Option<String>>,
    /// Write the answer into tasks.md, for you to read over
    #[arg(long, requires = "assign")]
    pub write: bool,
    /// Repository the spec is about
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub workdir: PathBuf,
    /// Agents to start for it, as for `run` [default: the assignment agent alone]
    #[arg(long, value_name = "B=N,…", value_delimiter = ',', requires = "assign")]
    pub workers: Vec<String>,
    /// Program of a backend, or scripted:FILE to play it from a playbook
    #[arg(long, value_name = "NAME=FILE", value_delimiter = ',', requires = "assign")]
    pub backend_path: Vec<String>,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `init`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orchctl init --spec .specs/login               writes into .specs
  orchctl init --spec .specs/login --output out")]
pub struct InitArgs {
    /// Folder with tasks.md, requirements.md (or bugfix.md) and design.md
    #[arg(long, value_name = "DIR")]
    pub spec: PathBuf,
    /// Folder for the mirror files [default: beside the spec's folder]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Session name in the mirror files [default: roundtable]
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// legacy: owner codex and criticality by keywords are filled in; codex: they
    /// are left to the assignment agent [default: codex]
    #[arg(long, value_name = "MODE", hide_possible_values = true)]
    pub mode: Option<InitMode>,
    #[command(flatten)]
    pub read: ReadArgs,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `init --mode`.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum InitMode {
    /// Assignment is left to the agent.
    #[default]
    Codex,
    /// Assignment by the rules.
    Legacy,
}

/// `status`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orchctl status
  orchctl status --watch
  orchctl status login-k3f9qa --json
  orchctl status --exit-code                     0 complete, 2 decisions, else 1")]
pub struct StatusArgs {
    /// Run id or unique prefix [default: the only unfinished run of this repository, else its latest]
    pub run: Option<String>,
    /// Stay and show changes until it ends
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// Exit 0 when complete, 2 when decisions wait, else 1
    #[arg(long)]
    pub exit_code: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `runs`.
#[derive(Args, Debug)]
pub struct RunsArgs {
    /// What to do with them [default: list them].
    #[command(subcommand)]
    pub command: Option<RunsCommand>,
    /// Removed ones too
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `runs …`.
#[derive(Subcommand, Debug)]
pub enum RunsCommand {
    /// Remove the files of runs that are over; what they came to is kept
    #[command(after_help = "\
Examples:
  orchctl runs rm login-k3f9qa
  orchctl runs rm login-k3f9qa --force      also if nobody has accepted it

Events, prompts and commits of the run go from the coordinator's data directory,
also what only it kept in a repository. Summary, findings, attempts and all rows
of the log stay, and your repository is not touched.")]
    Rm(RunsRmArgs),
    /// Remove the files of all runs that ended long ago
    #[command(after_help = "\
Examples:
  orchctl runs prune --dry-run              which ones, of all repositories
  orchctl runs prune --older-than 7d

A complete run whose commits nobody has accepted is never among them.")]
    Prune(RunsPruneArgs),
}

/// `runs rm`.
#[derive(Args, Debug)]
pub struct RunsRmArgs {
    /// Run ids or unique prefixes
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<String>,
    /// Also complete ones that nobody has accepted: their commits are lost
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `runs prune`.
#[derive(Args, Debug)]
pub struct RunsPruneArgs {
    /// Only runs that ended so long ago
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = super::duration)]
    pub older_than: Duration,
    /// Only say which
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `du`.
#[derive(Args, Debug)]
pub struct DuArgs {
    #[command(flatten)]
    pub json: JsonArg,
}

/// A run alone.
#[derive(Args, Debug)]
pub struct RunOnlyArgs {
    /// Run id or unique prefix [default: the only unfinished run of this repository, else its latest]
    pub run: Option<String>,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `[RUN] UNIT`.
#[derive(Args, Debug)]
pub struct UnitArgs {
    /// RUN (may be left out) and UNIT, a unit's or task's id
    #[arg(required = true, num_args = 1..=2, value_names = ["RUN", "UNIT"])]
    pub target: Vec<String>,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// RUN (may be left out) and UNIT, a unit's or task's id
    #[arg(required = true, num_args = 1..=2, value_names = ["RUN", "UNIT"])]
    pub target: Vec<String>,
    /// Print what an attempt's agent was told, exactly as it was sent
    #[arg(long)]
    pub prompt: bool,
    /// Which attempt's prompt [default: the last that had one]
    #[arg(long, value_name = "N", requires = "prompt", value_parser = clap::value_parser!(u32).range(1..))]
    pub attempt: Option<u32>,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `[RUN] [UNIT]`.
#[derive(Args, Debug)]
pub struct MaybeUnitArgs {
    /// RUN and UNIT; each may be left out
    #[arg(num_args = 0..=2, value_names = ["RUN", "UNIT"])]
    pub target: Vec<String>,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `logs`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orchctl logs 3                                 unit 3 of this repository's run
  orchctl logs login-k3f9qa 3 --attempt 2
  orchctl logs -f                                everything, as it happens")]
pub struct LogsArgs {
    /// RUN and UNIT; each may be left out
    #[arg(num_args = 0..=2, value_names = ["RUN", "UNIT"])]
    pub target: Vec<String>,
    /// Stay and show what comes
    #[arg(short, long)]
    pub follow: bool,
    /// Only this attempt [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub attempt: Option<u32>,
    /// One JSON object a line
    #[arg(long)]
    pub jsonl: bool,
}

/// `events`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orchctl events --jsonl | jq 'select(.kind == \"integrated\")'
  orchctl events login-k3f9qa -f")]
pub struct EventsArgs {
    /// Run id or unique prefix [default: the only unfinished run of this repository, else its latest]
    pub run: Option<String>,
    /// Stay and show what comes
    #[arg(short, long)]
    pub follow: bool,
    /// One JSON object a line, with seq, at and kind
    #[arg(long)]
    pub jsonl: bool,
}

/// `decisions`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orchctl decisions                              of this repository's run
  orchctl decisions login-k3f9qa --all --json")]
pub struct DecisionsArgs {
    /// Run id or unique prefix [default: the only unfinished run of this repository, else its latest; outside one all unfinished runs]
    pub run: Option<String>,
    /// Answered ones too
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `wait`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orchctl wait
  orchctl wait login-k3f9qa --timeout 9m         exit 124 when time has passed")]
pub struct WaitArgs {
    /// Run id or unique prefix [default: the only unfinished run of this repository, else its latest]
    pub run: Option<String>,
    /// Longest time to wait, like 90s, 9m or 2h [default: no limit]
    #[arg(long, value_name = "DUR", value_parser = super::duration)]
    pub timeout: Option<Duration>,
    /// Folder for the mirror files [default: beside the spec's folder]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Run id or unique prefix [default: the only unfinished run of this repository, else its latest]
    pub run: Option<String>,
    /// Folder for the mirror files
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `checkout`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orchctl checkout 3 ../fix-3                    edit and commit there; then:
  orchctl decide human-fallback-3 resume --commit COMMIT")]
pub struct CheckoutArgs {
    /// RUN (may be left out), UNIT, and the folder to make
    #[arg(required = true, num_args = 2..=3, value_names = ["RUN", "UNIT", "DIR"])]
    pub target: Vec<String>,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `workers`.
#[derive(Args, Debug)]
pub struct WorkersArgs {
    #[command(flatten)]
    pub json: JsonArg,
}

/// `doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Ask the agent CLIs for their versions only; no call to a model
    #[arg(long)]
    pub offline: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `config`.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// What about it.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// `config …`.
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// What holds here, and where each value comes from
    #[command(after_help = "Examples:\n  orchctl config show\n  orchctl config show --workdir ../other --json")]
    Show(ConfigShowArgs),
}

/// `config show`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("form"))]
pub struct ConfigShowArgs {
    /// Repository whose roundtable.toml counts
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub workdir: PathBuf,
    #[command(flatten)]
    pub json: JsonArg,
}
