//! Where a flag's value comes from: command line, environment, `--config`, the user's file, default. Reading files is the runtime's; the repository's
//! file is read by the commands that have one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{ArgAction, Command, FromArgMatches};
use roundtable_runtime::config::{COMMANDS, Config, ConfigError, Sources, environment, user_file};

use crate::args::{Cli, GlobalArgs, command};
use crate::failure::{Failure, Result};

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

/// Parses the arguments, reads the files, and parses again with the files' values as defaults.
pub fn read(arguments: Vec<std::ffi::OsString>, version: &'static str) -> std::result::Result<Settings, Stop> {
    let command = command().version(version);
    let first = command.clone().try_get_matches_from(&arguments).map_err(stop)?;
    let global = GlobalArgs::from_arg_matches(&first).map_err(stop)?;
    let sources = Sources { explicit: global.config.clone(), repository: None, user: user_file(&environment) };
    let config = Config::load(&sources, &known_flags(&command)).map_err(|error| Stop::Failed(refusal(error)))?;
    let matches = match first.subcommand().and_then(|(name, _)| config.flags.get(name).map(|flags| (name.to_owned(), flags))) {
        Some((name, flags)) => with_defaults(command, &name, flags).try_get_matches_from(&arguments).map_err(stop)?,
        None => first,
    };
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
    Config::load(sources, &known_flags(&command())).map_err(refusal)
}

/// What is wrong with a file, as a usage error.
pub fn refusal(error: ConfigError) -> Failure {
    Failure::usage(error.to_string()).next("`orchctl config show` tells which files are read")
}

/// The flags that files may set: those of commands with a table of their own, but for the ones that only make sense where they are typed.
pub fn known_flags(command: &Command) -> Vec<(&'static str, Vec<String>)> {
    let of = |name: &str| command.find_subcommand(name).map(long_flags).unwrap_or_default();
    COMMANDS.iter().filter(|name| command.find_subcommand(name).is_some()).map(|name| (*name, of(name))).collect()
}

fn long_flags(command: &Command) -> Vec<String> {
    let typed_only = ["help", "json", "config", "coordinator", "data-dir", "log-format"];
    command.get_arguments().filter_map(|arg| arg.get_long()).filter(|long| !typed_only.contains(long)).map(str::to_owned).collect()
}

fn with_defaults(command: Command, name: &str, flags: &BTreeMap<String, Vec<String>>) -> Command {
    let flags = flags.clone();
    command.mut_subcommand(name, move |sub| {
        sub.mut_args(|arg| match arg.get_long().and_then(|long| flags.get(long)) {
            // clap wants values that live as long as the program: a few hundred bytes, once.
            Some(values) if is_single(arg.get_action()) => arg.default_value(leak(values.last().cloned().unwrap_or_default())),
            Some(values) => arg.default_values(values.iter().cloned().map(leak).collect::<Vec<_>>()),
            None => arg,
        })
    })
}

fn is_single(action: &ArgAction) -> bool {
    matches!(action, ArgAction::Set | ArgAction::SetTrue | ArgAction::SetFalse)
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn fill_global(global: &mut GlobalArgs, config: &Config) {
    global.coordinator = global.coordinator.take().or_else(|| config.coordinator.clone());
    global.data_dir = global.data_dir.take().or_else(|| config.data_dir.clone());
}

fn stop(error: clap::Error) -> Stop {
    use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
    if matches!(error.kind(), DisplayHelp | DisplayVersion) { Stop::Shown(error) } else { Stop::Usage(error) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
    fn a_default_is_no_conflict_with_what_is_typed() {
        let settings = read_with("[run]\nbackend = \"opencode\"\n", "run --spec S --orchestrator codex").unwrap();
        let Verb::Run(run) = settings.cli.command else { panic!("a run") };
        assert_eq!(run.plan.orchestrator.as_deref(), Some("codex"));
    }

    #[test]
    fn unknown_keys_are_usage_errors_that_name_the_nearest() {
        let Err(Stop::Failed(failure)) = read_with("[run]\nmax-action = 3\n", "run --spec S") else { panic!("a failure") };
        assert_eq!(failure.exit(), crate::exit::Exit::Usage);
        assert!(failure.what().contains("max-actions"), "{}", failure.what());
    }
}
