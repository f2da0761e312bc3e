//! Arguments of commands that change a run.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::JsonArg;

/// `--yes` of commands that end or accept a run.
#[derive(Args, Clone, Copy, Debug)]
pub struct SureArg {
    /// Ask nothing: where RUN is left out and several could be meant, refuse
    #[arg(long)]
    pub yes: bool,
}

/// `decide`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orchctl decide human-fallback-3 resume         the last attempt goes to review
  orchctl decide human-fallback-3 resume --commit 1a2b3c4
  orchctl decide login-k3f9qa/failed-subtask-2 retry
  orchctl decide quarantine-4 skip --dependants skip --note 'not needed'")]
pub struct DecideArgs {
    /// Id of the decision, with its run before a slash where it is not clear
    #[arg(value_name = "[RUN/]ID")]
    pub id: String,
    /// Number, letter, keyword or text of an option, as `orchctl decisions` shows them
    pub choice: String,
    /// resume: the commit you made, in this repository
    #[arg(long, value_name = "REV")]
    pub commit: Option<String>,
    /// skip: whether units that depend on it go-on or skip too [default: go-on]
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub dependants: Option<DependantsArg>,
    /// For the record, and told the unit's agents
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    #[command(flatten)]
    pub sure: SureArg,
    #[command(flatten)]
    pub json: JsonArg,
}

/// What becomes of units that depend on a skipped one.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum DependantsArg {
    /// They go on.
    GoOn,
    /// They are skipped too.
    Skip,
}

impl DependantsArg {
    /// The word the coordinator reads.
    pub fn word(self) -> String {
        match self {
            Self::GoOn => "go-on",
            Self::Skip => "skip",
        }
        .to_owned()
    }
}

/// `assign`.
#[derive(Args, Debug)]
#[command(
    after_help = "\
Examples:
  orchctl assign 3 --owner gemini
  orchctl assign login-k3f9qa 3 --writes src/login/ --criticality complex
  orchctl assign 3 --requires gpu,zone=eu        only workers that say so
  orchctl assign login-k3f9qa --from assignment.json",
    group = clap::ArgGroup::new("change").required(true).multiple(true)
)]
pub struct AssignArgs {
    /// RUN (may be left out) and UNIT; with --from, RUN alone
    #[arg(required_unless_present = "from", num_args = 1..=2, value_names = ["RUN", "UNIT"])]
    pub target: Vec<String>,
    /// Apply an assignment document, the JSON an assignment agent answers with: all of it, or nothing. `-` reads it from standard input
    #[arg(long, value_name = "FILE|-", group = "change", conflicts_with_all = ["owner", "criticality", "writes", "reads", "requires"])]
    pub from: Option<PathBuf>,
    /// Backend that does it
    #[arg(long, value_name = "B", group = "change")]
    pub owner: Option<String>,
    /// How carefully it is reviewed: standard, complex or security-sensitive
    #[arg(long, value_name = "C", hide_possible_values = true, group = "change")]
    pub criticality: Option<CriticalityArg>,
    /// Paths it may write, instead of those it has
    #[arg(long, value_name = "P,…", value_delimiter = ',', group = "change")]
    pub writes: Option<Vec<String>>,
    /// Paths it reads, instead of those it has
    #[arg(long, value_name = "P,…", value_delimiter = ',', group = "change")]
    pub reads: Option<Vec<String>>,
    /// Labels its worker must have, instead of those it asks for; `none` for none
    #[arg(long, value_name = "LABEL,…", value_delimiter = ',', group = "change")]
    pub requires: Option<Vec<String>>,
    #[command(flatten)]
    pub json: JsonArg,
}

/// Criticality.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum CriticalityArg {
    /// One reviewer.
    Standard,
    /// Two reviewers.
    Complex,
    /// Two reviewers with a security brief.
    SecuritySensitive,
}

impl CriticalityArg {
    /// The word the coordinator reads.
    pub fn word(self) -> String {
        match self {
            Self::Standard => "standard",
            Self::Complex => "complex",
            Self::SecuritySensitive => "security-sensitive",
        }
        .to_owned()
    }
}

/// `skip`.
#[derive(Args, Debug)]
pub struct SkipArgs {
    /// RUN (may be left out) and UNIT
    #[arg(required = true, num_args = 1..=2, value_names = ["RUN", "UNIT"])]
    pub target: Vec<String>,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `cancel`.
#[derive(Args, Debug)]
pub struct CancelArgs {
    /// RUN and UNIT; each may be left out
    #[arg(num_args = 0..=2, value_names = ["RUN", "UNIT"])]
    pub target: Vec<String>,
    #[command(flatten)]
    pub sure: SureArg,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `pause`.
#[derive(Args, Debug)]
pub struct PauseArgs {
    /// Run id or unique prefix [default: the only unfinished run of this repository, else its latest]
    #[arg(conflicts_with = "all")]
    pub run: Option<String>,
    /// Every unfinished run
    #[arg(long)]
    pub all: bool,
    /// For the record
    #[arg(long, value_name = "T")]
    pub note: Option<String>,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `resume`.
#[derive(Args, Debug)]
pub struct ResumeArgs {
    /// Run id or unique prefix [default: the only unfinished run of this repository, else its latest]
    #[arg(conflicts_with = "all")]
    pub run: Option<String>,
    /// Every paused run
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `step`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orchctl run --spec DIR --mode manual           plans and stops
  orchctl step assign
  orchctl step dispatch")]
pub struct StepArgs {
    /// RUN (may be left out) and the phase: assign, dispatch, reviews, consolidate, sync-pulse
    #[arg(required = true, num_args = 1..=2, value_names = ["RUN", "PHASE"])]
    pub target: Vec<String>,
    /// Agents to start beside a coordinator of its own [default: 2 of each CLI found]
    #[arg(long, value_name = "B=N,…", value_delimiter = ',')]
    pub workers: Vec<String>,
    /// Program of a backend, or scripted:FILE to play it
    #[arg(long, value_name = "NAME=FILE", value_delimiter = ',')]
    pub backend_path: Vec<String>,
    #[command(flatten)]
    pub json: JsonArg,
}

/// Phases of manual mode.
pub const PHASES: [&str; 5] = ["assign", "dispatch", "reviews", "consolidate", "sync-pulse"];

/// `accept`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orchctl accept                                 into the branch it started on
  orchctl accept login-k3f9qa --into review/login
  orchctl accept --partial                       what is done so far")]
pub struct AcceptArgs {
    /// Run id or unique prefix [default: the only unfinished run of this repository, else its latest]
    pub run: Option<String>,
    /// Branch to move instead, made if need be
    #[arg(long, value_name = "BRANCH")]
    pub into: Option<String>,
    /// Although not every unit is done
    #[arg(long)]
    pub partial: bool,
    #[command(flatten)]
    pub sure: SureArg,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `import`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orchctl import .specs/AGENT_STATE.json --spec .specs/login
  orchctl run --spec .specs/login                goes on with it")]
pub struct ImportArgs {
    /// The state to go on from
    #[arg(value_name = "AGENT_STATE.json")]
    pub state: PathBuf,
    /// Folder with tasks.md, requirements.md (or bugfix.md) and design.md
    #[arg(long, value_name = "DIR")]
    pub spec: PathBuf,
    /// Repository the spec is about
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub workdir: PathBuf,
    /// Start from the working tree with its uncommitted changes
    #[arg(long)]
    pub include_dirty: bool,
    /// Take the state's word for completed units whose files are not there
    #[arg(long)]
    pub trust: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `login`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ROUNDTABLE_TOKEN=rt1.… orchctl login https://build.example:7420
  orchctl login https://build.example:7420 --token-file token --profile build
  pass show build | orchctl login https://build.example:7420 --token-file -

The token comes from `coordinator token create --role operator` (or viewer, or
admin). It is shown to the coordinator it is for, and to no other.")]
pub struct LoginArgs {
    /// Where the coordinator is: https://HOST:PORT
    pub url: String,
    /// File that holds the token, - for standard input [default: ROUNDTABLE_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `logout`.
#[derive(Args, Debug)]
pub struct LogoutArgs {
    #[command(flatten)]
    pub json: JsonArg,
}

/// `drain`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orchctl drain host-2-1              what runs there ends; nothing new begins
  orchctl drain host-2-1 --wait       until nothing of it is left
  orchctl undrain host-2-1")]
pub struct DrainArgs {
    /// Name of the worker, as `orchctl workers` shows it
    pub worker: String,
    /// Return once it holds nothing any more
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `undrain`.
#[derive(Args, Debug)]
pub struct UndrainArgs {
    /// Name of the worker, as `orchctl workers` shows it
    pub worker: String,
    #[command(flatten)]
    pub json: JsonArg,
}

/// `down`.
#[derive(Args, Debug)]
pub struct DownArgs {
    #[command(flatten)]
    pub json: JsonArg,
}
