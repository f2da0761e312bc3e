//! Where a flag's value comes from: command line, environment, `--config`, the user's file, default. Reading files is the runtime's; the repository's
//! file is read by the commands that have one.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, Id};
use roundtable_runtime::config::{Config, ConfigError, Sources, environment, user_file};

use crate::args::{Cli, GLOBAL, GlobalArgs, bare_command, variable, with_environment};
use crate::failure::{Failure, Result};

/// Flags of `run` whose values from files are read later, with the repository's file, which may set the same options.
const OPTIONS_LATER: [&str; 3] = ["check", "wait-worker", "sleep"];

/// A parsed command line with what the files add.
#[derive(Debug)]
pub struct Settings {
    /// The command line, files included.
    pub cli: Cli,
    /// The user's configuration and `--config`.
    pub config: Config,
    /// Where those came from.
    pub sources: Sources,
}

/// How parsing ended, if not with a command.
#[derive(Debug)]
pub enum Stop {
    /// Help or version were asked for.
    Shown(clap::Error),
    /// Wrong usage, in clap's words.
    Usage(clap::Error),
    /// A configuration file is wrong.
    Failed(Failure),
}

/// Parses the arguments once to see what was typed, reads the files, and parses again with what environment and files add. What goes before hides what it
/// cannot stand beside: a typed flag hides variables and files' values of flags it excludes, a variable those of files.
pub fn read(arguments: Vec<std::ffi::OsString>, version: &'static str) -> std::result::Result<Settings, Stop> {
    let bare = bare_command().version(version);
    let first = bare.clone().ignore_errors(true).try_get_matches_from(&arguments).map_err(stop)?;
    let typed = Typed::of(&bare, &first);
    let explicit = first.get_one::<PathBuf>("config").cloned().or_else(|| environment("ROUNDTABLE_CONFIG").map(PathBuf::from));
    let sources = Sources { explicit, repository: None, user: user_file(&environment) };
    let config = Config::load(&sources).map_err(|error| Stop::Failed(refusal(error)))?;
    let set = typed.variables(&|name| environment(name));
    let command = with_environment(bare, &|variable| set.offered.iter().any(|offered| offered == variable));
    let mut arguments = arguments;
    let at = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    arguments.splice(at..at, typed.words_of_files(&config, &set).into_iter().map(Into::into));
    let matches = command.try_get_matches_from(&arguments).map_err(stop)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(stop)?;
    fill_global(&mut cli.global, &config);
    Ok(Settings { cli, config, sources })
}

/// Reads the layers again with a repository's file among them.
pub fn with_repository(sources: &Sources, top: PathBuf) -> Result<Config> {
    load(&Sources { repository: Some(top), ..sources.clone() })
}

/// Reads these layers.
pub fn load(sources: &Sources) -> Result<Config> {
    Config::load(sources).map_err(refusal)
}

/// What is wrong with a file, as a usage error.
pub fn refusal(error: ConfigError) -> Failure {
    let next = match &error {
        ConfigError::Absent { .. } => "name one that is there with --config, or leave it out",
        _ => "`orchctl config show` tells which files are read",
    };
    Failure::usage(error.to_string()).next(next)
}

/// The command that was typed, with the arguments that were.
struct Typed {
    /// The innermost command.
    command: Command,
    /// Its name in files, `config.show` for one within another; empty if there is none.
    name: String,
    /// The arguments' names.
    args: Vec<Id>,
}

/// Variables that are set.
struct Set {
    /// Arguments they give a value, by name.
    args: Vec<Id>,
    /// Variables that are offered to the parser.
    offered: Vec<String>,
}

impl Typed {
    fn of(command: &Command, matches: &ArgMatches) -> Self {
        let (mut command, mut matches, mut names) = (command.clone(), matches.clone(), Vec::new());
        while let Some((name, inner)) = matches.remove_subcommand() {
            let Some(found) = command.find_subcommand(&name).cloned() else { break };
            command = found;
            matches = inner;
            names.push(name);
        }
        // The arguments' groups count as typed too, but are no arguments.
        let typed = |id: &Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        let args =
            command.get_arguments().map(|arg| arg.get_id().clone()).filter(|id| matches.try_contains_id(id.as_str()).is_ok() && typed(id));
        let args = args.collect();
        Self { command, name: names.join("."), args }
    }

    /// The variables that are set for this command, but for those of flags that were typed or cannot stand beside what was.
    fn variables(&self, environment: &dyn Fn(&str) -> Option<String>) -> Set {
        let mut set = Set {
            args: Vec::new(),
            offered: GLOBAL.iter().map(|long| variable(None, long)).filter(|name| environment(name).is_some()).collect(),
        };
        for arg in self.command.get_arguments().filter(|arg| !self.args.contains(arg.get_id())) {
            let Some(long) = arg.get_long() else { continue };
            let name = variable(Some(&self.name.replace('.', "-")), long);
            let Some(value) = environment(&name).filter(|_| !excluded(&self.command, arg.get_id(), &self.args)) else { continue };
            set.args.push(arg.get_id().clone());
            // A switch that is turned off is no flag that was given, but hides a file's.
            if !is_switch(arg) || !is_off(&value) {
                set.offered.push(name);
            }
        }
        set
    }

    /// What the files say of this command's flags, as words to be typed, where nothing that goes before has a say.
    fn words_of_files(&self, config: &Config, set: &Set) -> Vec<String> {
        let Some(flags) = config.flags.get(&self.name) else { return Vec::new() };
        let before: Vec<Id> = self.args.iter().chain(&set.args).cloned().collect();
        let mut words = Vec::new();
        for (long, values) in flags {
            if self.name == "run" && OPTIONS_LATER.contains(&long.as_str()) {
                continue;
            }
            // A table may be of two programs, with flags that only the other has.
            let Some(arg) = self.command.get_arguments().find(|arg| arg.get_long() == Some(long)) else { continue };
            if before.contains(arg.get_id()) || excluded(&self.command, arg.get_id(), &before) {
                continue;
            }
            for value in values {
                if !is_switch(arg) {
                    words.push(format!("--{long}={value}"));
                } else if value == "true" {
                    words.push(format!("--{long}"));
                } else if value != "false" {
                    // No value of a switch: the parser says so.
                    words.push(format!("--{long}={value}"));
                }
            }
        }
        words
    }
}

/// Whether an argument cannot stand beside one of these.
fn excluded(command: &Command, id: &Id, beside: &[Id]) -> bool {
    let of = |id: &Id| command.get_arguments().find(|arg| arg.get_id() == id);
    let conflicts = |one: &Id, other: &Id| {
        of(one).is_some_and(|arg| command.get_arg_conflicts_with(arg).iter().any(|conflict| conflict.get_id() == other))
    };
    beside.iter().any(|other| conflicts(id, other) || conflicts(other, id))
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn is_off(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "0" | "n" | "no" | "f" | "false" | "off")
}

fn fill_global(global: &mut GlobalArgs, config: &Config) {
    global.coordinator = global.coordinator.take().or_else(|| config.coordinator.clone());
    global.profile = global.profile.take().or_else(|| config.profile.clone());
    global.data_dir = global.data_dir.take().or_else(|| config.data_dir.clone());
}

fn stop(error: clap::Error) -> Stop {
    use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
    if matches!(error.kind(), DisplayHelp | DisplayVersion) { Stop::Shown(error) } else { Stop::Usage(error) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use roundtable_runtime::config::COMMANDS;

    use super::*;
    use crate::args::{Command as Verb, ModeArg};

    fn read_with(config: &str, line: &str) -> std::result::Result<Settings, Stop> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.toml");
        std::fs::write(&file, config).unwrap();
        let words = ["orchctl", "--config", file.to_str().unwrap()].into_iter().chain(line.split_whitespace());
        read(words.map(Into::into).collect(), "test")
    }

    #[test]
    fn files_are_defaults_below_flags() {
        let config = "coordinator = \"https://h:1\"\n[run]\nmode = \"deterministic\"\nwith-optional = true\nworkers = [\"codex=1\"]\nmax-actions = 3\n";
        let Verb::Run(run) = read_with(config, "run --spec S").unwrap().cli.command else { panic!("a run") };
        assert_eq!(run.plan.mode, Some(ModeArg::Deterministic));
        assert!(run.plan.with_optional);
        assert_eq!((run.fleet.workers.as_slice(), run.plan.max_actions), (["codex=1".to_owned()].as_slice(), Some(3)));
        let settings = read_with(config, "run --spec S --mode legacy --workers gemini").unwrap();
        assert_eq!(settings.cli.global.coordinator.as_deref(), Some("https://h:1"));
        let Verb::Run(run) = settings.cli.command else { panic!("a run") };
        assert_eq!(run.plan.mode, Some(ModeArg::Legacy));
        assert_eq!(run.fleet.workers, ["gemini"]);
    }

    #[test]
    fn a_files_value_gives_way_to_what_is_typed_and_excludes_it() {
        let settings = read_with("[run]\nbackend = \"opencode\"\n", "run --spec S --orchestrator codex").unwrap();
        let Verb::Run(run) = settings.cli.command else { panic!("a run") };
        assert_eq!((run.plan.orchestrator.as_deref(), run.plan.backend), (Some("codex"), None));
        let Verb::Status(status) = read_with("[status]\nwatch = true\n", "status --json").unwrap().cli.command else { panic!("a status") };
        assert!(status.json.json && !status.watch);
        let Verb::Pause(pause) = read_with("[pause]\nall = true\n", "pause R").unwrap().cli.command else { panic!("a pause") };
        assert!(!pause.all);
    }

    #[test]
    fn what_is_needed_may_come_from_a_file() {
        let Verb::Plan(plan) = read_with("[plan]\nspec = \"S\"\nslots = 3\n", "plan").unwrap().cli.command else { panic!("a plan") };
        assert_eq!((plan.spec.to_str(), plan.slots), (Some("S"), Some(3)));
        let Verb::Run(run) = read_with("[run]\nspec = \"S\"\n", "run --yes").unwrap().cli.command else { panic!("a run") };
        assert_eq!(run.spec.unwrap().to_str(), Some("S"));
        let Verb::Config(config) = read_with("[config.show]\nworkdir = \"W\"\n", "config show").unwrap().cli.command else {
            panic!("config")
        };
        let crate::args::ConfigCommand::Show(show) = config.command;
        assert_eq!(show.workdir.to_str(), Some("W"));
        assert!(matches!(read_with("", "plan"), Err(Stop::Usage(_))));
        assert!(matches!(read_with("[status]\nwatch = \"perhaps\"\n", "status"), Err(Stop::Usage(_))));
    }

    #[test]
    fn a_variable_gives_way_to_what_is_typed_and_excludes_it_and_hides_a_file() {
        let offered = |line: &str, set: &'static [(&'static str, &'static str)]| {
            let bare = bare_command().version("test");
            let words = std::iter::once("orchctl").chain(line.split_whitespace());
            let first = bare.clone().ignore_errors(true).try_get_matches_from(words).unwrap();
            let typed = Typed::of(&bare, &first);
            let found = typed.variables(&|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()));
            let file = [("watch".to_owned(), vec!["true".to_owned()])].into_iter().collect();
            let config = Config { flags: [("status".to_owned(), file)].into_iter().collect(), ..Config::default() };
            (found.offered.clone(), typed.words_of_files(&config, &found))
        };
        assert_eq!(offered("run --spec S --orchestrator codex", &[("ROUNDTABLE_RUN_BACKEND", "b")]).0, [""; 0]);
        assert_eq!(
            offered("run --spec S", &[("ROUNDTABLE_RUN_BACKEND", "b"), ("ROUNDTABLE_DATA_DIR", "d")]).0,
            ["ROUNDTABLE_DATA_DIR", "ROUNDTABLE_RUN_BACKEND"]
        );
        assert_eq!(offered("pause R", &[("ROUNDTABLE_PAUSE_ALL", "1")]).0, [""; 0]);
        assert_eq!(offered("status --json", &[("ROUNDTABLE_STATUS_WATCH", "1")]), (Vec::new(), Vec::new()));
        assert_eq!(offered("status", &[]).1, ["--watch"]);
        assert_eq!(offered("status", &[("ROUNDTABLE_STATUS_WATCH", "0")]), (Vec::new(), Vec::new()));
        assert_eq!(offered("status", &[("ROUNDTABLE_STATUS_JSON", "1")]), (vec!["ROUNDTABLE_STATUS_JSON".to_owned()], Vec::new()));
    }

    #[test]
    fn every_command_has_a_table_with_its_flags() {
        let mut missing = Vec::new();
        let mut seen = Vec::new();
        for command in bare_command().get_subcommands() {
            let inner: Vec<(String, &Command)> =
                command.get_subcommands().map(|sub| (format!("{}.{}", command.get_name(), sub.get_name()), sub)).collect();
            let all = if inner.is_empty() { vec![(command.get_name().to_owned(), command)] } else { inner };
            for (name, command) in all {
                let known = COMMANDS.iter().find(|(table, _)| *table == name).map(|(_, flags)| *flags).unwrap_or_default();
                let own: Vec<&str> =
                    command.get_arguments().filter_map(Arg::get_long).filter(|long| !GLOBAL.contains(long) && *long != "help").collect();
                missing.extend(own.iter().filter(|long| !known.contains(long)).map(|long| format!("{name} --{long}")));
                // `doctor` is a command of the worker too.
                let foreign: Vec<&&str> = known.iter().filter(|long| !own.contains(long) && name != "doctor").collect();
                assert!(foreign.is_empty(), "{name} has no {foreign:?}");
                seen.push(name);
            }
        }
        assert!(missing.is_empty(), "{missing:?}");
        assert!(seen.len() > 30);
    }

    #[test]
    fn unknown_keys_are_usage_errors_that_name_the_nearest() {
        let Err(Stop::Failed(failure)) = read_with("[run]\nmax-action = 3\n", "run --spec S") else { panic!("a failure") };
        assert_eq!(failure.exit(), crate::exit::Exit::Usage);
        assert!(failure.what().contains("max-actions"), "{}", failure.what());
        let Err(Stop::Failed(failure)) = read(["orchctl", "runs", "--config", "/nope.toml"].map(Into::into).to_vec(), "test") else {
            panic!("a failure")
        };
        assert_eq!(failure.what(), "there is no configuration file /nope.toml");
    }
}
