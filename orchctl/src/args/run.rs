//! Arguments of `run` and `demo`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{JsonArg, ReadArgs};

const RUN_EXAMPLES: &str = "\
Examples:
  orchctl run --spec .specs/login                with the agent CLIs found here
  orchctl run --spec .specs/login --workers codex=2,gemini=1 --check 'make test'
  orchctl run --spec .specs/login --dry-run      what would happen
  orchctl run --spec .specs/login --workers scripted:playbook.json=4
  orchctl run --state .specs/AGENT_STATE.json    go on from mirror files

The same repository and spec is the same run until it has ended: running it
again goes on where it stopped, after any kill. Your branch and files stay as
they are until `orchctl accept`.

Ctrl-C once: nothing new starts, running agents end, all is saved. Twice: agents
are stopped, their work is saved.

From an agent's shell tool, set its timeout to 7200000 ms; where it is capped:
  orchctl run --spec DIR --detach
  orchctl wait --timeout 9m                      again while it exits 124";

/// `run`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArgs {
    /// Folder with tasks.md, requirements.md (or bugfix.md) and design.md
    #[arg(long, value_name = "DIR", required_unless_present = "state")]
    pub spec: Option<PathBuf>,
    /// Go on from an AGENT_STATE.json
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Its TASKS_PARSED.json [default: beside the state]
    #[arg(long, value_name = "FILE", requires = "state")]
    pub tasks: Option<PathBuf>,
    /// Its PROJECT_PULSE.md [default: beside the state]
    #[arg(long, value_name = "FILE", requires = "state")]
    pub pulse: Option<PathBuf>,
    /// Take the state's word for units whose files are not there
    #[arg(long, requires = "state")]
    pub trust: bool,
    /// Checkout of the repository to work on [default: .]
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,
    /// Folder for the mirror files [default: beside the spec's folder]
    #[arg(long, value_name = "DIR", conflicts_with = "state")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub plan: PlanOptions,
    #[command(flatten)]
    pub fleet: FleetOptions,
    /// Start another run although one of this spec is unfinished (which is kept)
    #[arg(long, help_heading = None::<&'static str>)]
    pub fresh: bool,
    /// When complete, bring the commits into the branch that is checked out
    #[arg(long, help_heading = None::<&'static str>)]
    pub accept: bool,
    /// Start it in the background and return
    #[arg(long, conflicts_with_all = ["dry_run", "accept"], help_heading = None::<&'static str>)]
    pub detach: bool,
    /// Say what would happen; start nothing
    #[arg(long, help_heading = None::<&'static str>)]
    pub dry_run: bool,
    /// Do not ask before the first agent call
    #[arg(long, help_heading = None::<&'static str>)]
    pub yes: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

/// What shapes a run.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Plan")]
pub struct PlanOptions {
    /// llm: an agent is consulted; deterministic: the engine alone; legacy: also
    /// without an assignment agent; manual: by `orchctl step` [default: llm]
    #[arg(long, value_name = "MODE", hide_possible_values = true)]
    pub mode: Option<ModeArg>,
    /// Backend of the agent consulted in mode llm [default: opencode]
    #[arg(long, value_name = "B", conflicts_with = "orchestrator")]
    pub backend: Option<String>,
    /// The same as --backend
    #[arg(long, value_name = "B")]
    pub orchestrator: Option<String>,
    /// Backend of the assignment agent [default: codex]
    #[arg(long, value_name = "B")]
    pub assign_backend: Option<String>,
    /// Backend of the third fix of a unit [default: codex]
    #[arg(long, value_name = "B")]
    pub escalate_backend: Option<String>,
    /// Command that must pass before a unit is integrated
    #[arg(long, value_name = "CMD")]
    pub check: Option<String>,
    /// ordered: wait for earlier units that write what this one reads or writes;
    /// writes: only for writes held right now [default: ordered]
    #[arg(long, value_name = "RULE", hide_possible_values = true)]
    pub hazards: Option<HazardsArg>,
    /// Changes outside a unit's manifest: extend claims what is free, strict sends
    /// them back [default: extend]
    #[arg(long, value_name = "RULE", hide_possible_values = true)]
    pub manifest: Option<ManifestArg>,
    /// Consultations without progress before the run halts [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_iterations: Option<u32>,
    /// Actions taken of one consultation [default: 6]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_actions: Option<u32>,
    /// Seconds over which consultations are collected [default: 1.0]
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds)]
    pub sleep: Option<Duration>,
    /// Session name in the mirror files [default: roundtable]
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// Optional units and subtasks too
    #[arg(long)]
    pub with_optional: bool,
    /// Only these units, like 1,3-5
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Commit to start from [default: HEAD]
    #[arg(long, value_name = "REV", conflicts_with = "include_dirty")]
    pub base: Option<String>,
    /// Start from the working tree with its uncommitted changes
    #[arg(long)]
    pub include_dirty: bool,
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Who does the work.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Workers")]
pub struct FleetOptions {
    /// Agents to start here, like codex=2,gemini=1 or scripted:FILE=4 [default: 2 of
    /// each agent CLI found, where no coordinator is running yet]. check=4: so many
    /// checks at a time [default: 1]
    #[arg(long, value_name = "B=N,…", value_delimiter = ',')]
    pub workers: Vec<String>,
    /// Program of a backend, or scripted:FILE to play it from a playbook
    #[arg(long, value_name = "NAME=FILE", value_delimiter = ',')]
    pub backend_path: Vec<String>,
    /// Label of the workers started here, that units can ask for [default: those that
    /// your configuration gives to join]
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',')]
    pub label: Vec<String>,
    /// On a served coordinator: how long a missing backend is waited for [default: 2m]
    #[arg(long, value_name = "DUR", value_parser = super::duration)]
    pub wait_worker: Option<Duration>,
}

/// `--mode`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModeArg {
    /// With an orchestrator agent.
    Llm,
    /// The engine alone.
    Deterministic,
    /// Also without an assignment agent.
    Legacy,
    /// By `step`.
    Manual,
}

/// `--hazards`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum HazardsArg {
    /// By plan order.
    Ordered,
    /// Held writes only.
    Writes,
}

/// `--manifest`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ManifestArg {
    /// Claim what is free.
    Extend,
    /// Nothing outside.
    Strict,
}

/// `demo`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  orchctl demo                              scripted agents, gone afterwards
  orchctl demo --keep /tmp/roundtable-demo  leaves repository, spec, playbook
  orchctl demo --real codex                 with a real agent (costs tokens)")]
pub struct DemoArgs {
    /// Use this agent CLI instead of scripted agents
    #[arg(long, value_name = "BACKEND")]
    pub real: Option<String>,
    /// Keep everything in this new folder
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// With --real: do not ask before the first agent call
    #[arg(long, requires = "real")]
    pub yes: bool,
    #[command(flatten)]
    pub json: JsonArg,
}

/// Reads `90s`, `9m`, `1h 30m`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 90s, 9m or 2h"))
}

/// Reads seconds with a fraction.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "must be 0 or more".to_owned()).map(|d| d.min(Duration::from_secs(86_400)))
}
