//! What can be typed: commands, flags, help. Flags stay optional here; configuration and defaults come later, in that order.

mod act;
mod env;
mod look;
mod run;

pub use act::*;
pub use env::{GLOBAL, variable, variables, with_environment};
pub use look::*;
pub use run::*;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use roundtable_shared::limits::UNITS_MAX;
use roundtable_shared::spec::ReadOptions;

const TOP_EXAMPLES: &str = "\
Examples:
  orchctl demo                        a whole run on a sample, without accounts
  orchctl plan --spec .specs/login    what would run, in which order, and why
  orchctl run --spec .specs/login     do it; again, to go on after any stop
  orchctl status --watch              how far it is
  orchctl decide human-fallback-3 resume
                                      answer what only a person can settle
  orchctl accept                      bring the commits into your branch

From an agent's shell tool, set its timeout to 7200000 ms; where it is capped:
  orchctl run --spec DIR --detach
  orchctl wait --timeout 9m                    again while it exits 124

Every flag can also come from the environment as ROUNDTABLE_<COMMAND>_<FLAG>
(ROUNDTABLE_COORDINATOR, ROUNDTABLE_DATA_DIR and ROUNDTABLE_CONFIG for all
commands), or from a configuration file: see `orchctl config show`.

Exit codes: 0 complete or done, 1 failed, halted or incomplete, 2 decisions
wait, 3 usage or invalid input, 4 coordinator unreachable, 5 not authorised,
124 the time of `wait --timeout` passed, 130 interrupted.";

/// Turns a spec into finished, reviewed commits with the agent CLIs you have.
#[derive(Parser, Debug)]
#[command(name = "orchctl", after_help = TOP_EXAMPLES, disable_version_flag = true, max_term_width = 80, infer_subcommands = false)]
pub struct Cli {
    /// Flags of all commands.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of all commands.
#[derive(Args, Clone, PartialEq, Eq, Debug, Default)]
pub struct GlobalArgs {
    /// Coordinator to talk to [default: the one alive on this machine, if any]
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    pub coordinator: Option<String>,
    /// Coordinator one has logged in to, by its name [default: where none is alive
    /// on this machine, the last login]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Global options")]
    pub profile: Option<String>,
    /// Folder of logs, stores and identities [default: $XDG_STATE_HOME/roundtable]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub data_dir: Option<PathBuf>,
    /// Configuration file that goes before the repository's and the user's
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// Form of log lines on stderr, text or json [default: text]
    #[arg(long, global = true, value_name = "FORM", hide_possible_values = true, help_heading = "Global options")]
    pub log_format: Option<LogFormat>,
}

/// Form of log lines.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
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

/// Commands, in the order of `--help`.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Do a spec: plan, implement, review, fix, integrate; or go on with it
    Run(Box<RunArgs>),
    /// Show units, order, hazards and waves of a spec; does none of it
    Plan(PlanArgs),
    /// Check a spec and write its three mirror files; starts nothing
    Init(InitArgs),
    /// See a whole run on a sample repository, with scripted agents
    Demo(DemoArgs),
    /// How far a run is, problems first
    Status(StatusArgs),
    /// List all runs, or remove the files of old ones
    #[command(
        disable_help_subcommand = true,
        after_help = "Examples:\n  orchctl runs\n  orchctl runs --json | jq '.[].run'\n  orchctl runs rm login-k3f9qa\n  orchctl runs prune --older-than 30d"
    )]
    Runs(RunsArgs),
    /// What the coordinator's data takes on the disk
    #[command(after_help = "Examples:\n  orchctl du\n  orchctl du --json | jq '.runs | max_by(.events_bytes)'")]
    Du(DuArgs),
    /// Everything about one unit, or what one of its agents was told
    #[command(
        override_usage = "orchctl show [OPTIONS] [RUN] <UNIT>",
        after_help = "Examples:\n  orchctl show 3\n  orchctl show login-k3f9qa 3 --json\n  orchctl show 3 --prompt --attempt 2\n  orchctl show - --prompt        what the run's own agent was told"
    )]
    Show(ShowArgs),
    /// What agents said and did
    #[command(override_usage = "orchctl logs [OPTIONS] [RUN] [UNIT]")]
    Logs(LogsArgs),
    /// What a unit's last attempt, or the whole run, changed
    #[command(
        override_usage = "orchctl diff [OPTIONS] [RUN] [UNIT]",
        after_help = "Examples:\n  orchctl diff                    all the run has done\n  orchctl diff 3                  the last attempt of unit 3"
    )]
    Diff(MaybeUnitArgs),
    /// What reviewers found
    #[command(
        override_usage = "orchctl findings [OPTIONS] [RUN] [UNIT]",
        after_help = "Examples:\n  orchctl findings\n  orchctl findings login-k3f9qa 3 --json"
    )]
    Findings(MaybeUnitArgs),
    /// Each execution of a unit
    #[command(
        override_usage = "orchctl attempts [OPTIONS] [RUN] <UNIT>",
        after_help = "Examples:\n  orchctl attempts 3\n  orchctl attempts login-k3f9qa - --json      the run's own, like the assignment"
    )]
    Attempts(UnitArgs),
    /// Why a unit is not running
    #[command(
        override_usage = "orchctl explain [OPTIONS] [RUN] <UNIT>",
        after_help = "Examples:\n  orchctl explain 3\n  orchctl explain login-k3f9qa 3 --json"
    )]
    Explain(UnitArgs),
    /// The run's log: transitions and agent events
    Events(EventsArgs),
    /// A unit's last attempt as a folder to work in
    #[command(override_usage = "orchctl checkout [OPTIONS] [RUN] <UNIT> <DIR>")]
    Checkout(CheckoutArgs),
    /// What waits for a person
    Decisions(DecisionsArgs),
    /// Answer a decision
    Decide(DecideArgs),
    /// Change who does a unit, or its manifest
    #[command(override_usage = "orchctl assign [OPTIONS] [RUN] <UNIT>")]
    Assign(AssignArgs),
    /// Do a unit's work again, counters at 0
    #[command(
        override_usage = "orchctl retry [OPTIONS] [RUN] <UNIT>",
        after_help = "Examples:\n  orchctl retry 3\n  orchctl retry login-k3f9qa 3"
    )]
    Retry(UnitArgs),
    /// Go on without a unit
    #[command(
        override_usage = "orchctl skip [OPTIONS] [RUN] <UNIT>",
        after_help = "Examples:\n  orchctl skip 3\n  orchctl skip login-k3f9qa 3"
    )]
    Skip(SkipArgs),
    /// End a unit, or the whole run
    #[command(
        override_usage = "orchctl cancel [OPTIONS] [RUN] [UNIT]",
        after_help = "Examples:\n  orchctl cancel 3                unit 3 alone\n  orchctl cancel login-k3f9qa     the whole run"
    )]
    Cancel(CancelArgs),
    /// Start nothing more until resumed
    #[command(after_help = "Examples:\n  orchctl pause --note 'until the release is out'\n  orchctl pause --all")]
    Pause(PauseArgs),
    /// Go on after a pause
    #[command(after_help = "Examples:\n  orchctl resume\n  orchctl resume --all")]
    Resume(ResumeArgs),
    /// Manual mode: one phase at a time
    #[command(override_usage = "orchctl step [OPTIONS] [RUN] <PHASE>")]
    Step(StepArgs),
    /// Bring a run's commits into your branch
    Accept(AcceptArgs),
    /// Bring the run's branch up to date in your repository
    #[command(
        after_help = "Examples:\n  orchctl fetch                   then look: git log roundtable/login-k3f9qa\n  orchctl fetch login-k3f9qa"
    )]
    Fetch(RunOnlyArgs),
    /// What a run came to
    #[command(after_help = "Examples:\n  orchctl summary\n  orchctl summary login-k3f9qa --json")]
    Summary(RunOnlyArgs),
    /// Write a run's mirror files
    #[command(after_help = "Examples:\n  orchctl export --output out\n  orchctl export login-k3f9qa --output /tmp/login")]
    Export(ExportArgs),
    /// Start a run from an existing AGENT_STATE.json
    Import(ImportArgs),
    /// Wait for a run to end, or to need a person
    Wait(WaitArgs),
    /// Who is there to work
    #[command(after_help = "Examples:\n  orchctl workers\n  orchctl workers --json | jq '.[] | select(.status == \"gone\")'")]
    Workers(WorkersArgs),
    /// Come in to a coordinator on another host, with a token
    Login(LoginArgs),
    /// Forget a coordinator one has logged in to
    #[command(after_help = "Examples:\n  orchctl logout                  the last login\n  orchctl logout --profile build")]
    Logout(LogoutArgs),
    /// Give a worker no new work; it is asked nothing, and may be silent
    Drain(DrainArgs),
    /// Give a drained worker work again
    #[command(after_help = "Examples:\n  orchctl undrain host-2-1")]
    Undrain(UndrainArgs),
    /// Check this machine: git, folders, configuration, agent CLIs
    #[command(
        after_help = "Examples:\n  orchctl doctor                  calls each agent CLI once (costs a few tokens)\n  orchctl doctor --offline        calls none"
    )]
    Doctor(DoctorArgs),
    /// End the background coordinator and its workers
    #[command(after_help = "Examples:\n  orchctl down                    work under way is saved first")]
    Down(DownArgs),
    /// Look at the configuration
    #[command(after_help = "Examples:\n  orchctl config show")]
    Config(ConfigArgs),
}

/// How a spec is read.
#[derive(Args, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReadArgs {
    /// Missing requirements or design are errors
    #[arg(long)]
    pub strict: bool,
    /// Most units of a plan; a coordinator that is served has its own bound as well
    /// [default: 100000]
    #[arg(long, value_name = "N")]
    pub units_max: Option<usize>,
}

impl ReadArgs {
    /// As the reader takes it.
    pub fn options(self) -> ReadOptions {
        ReadOptions { strict: self.strict, units_max: self.units_max.unwrap_or(UNITS_MAX) }
    }
}

/// `--json`.
#[derive(Args, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JsonArg {
    /// Answer as one JSON value
    #[arg(long, help_heading = None::<&'static str>)]
    pub json: bool,
}

/// The command line with all environment names, `--version` and examples.
pub fn command() -> clap::Command {
    with_environment(bare_command(), &|_| true)
}

/// The same without environment.
pub fn bare_command() -> clap::Command {
    <Cli as clap::CommandFactory>::command().arg(
        clap::Arg::new("version")
            .long("version")
            .short('V')
            .action(clap::ArgAction::Version)
            .help("Print version, commit and protocol range")
            .help_heading("Global options"),
    )
}

#[cfg(test)]
mod tests;
