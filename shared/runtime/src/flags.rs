//! Flags of `coordinator` and `worker` beyond the command line: from `ROUNDTABLE_<COMMAND>_<FLAG>`, and from the command's table in `--config` or in the
//! user's configuration, in that order. The repository's file has no say in them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{Config, ConfigError, Environment, Sources, user_file};

/// Flags of all commands have no command in their variables' names.
const GLOBAL: &[&str] = &["coordinator", "data-dir", "config", "log-format", "token"];

/// A parsed command line with what environment and files add.
pub struct Read {
    /// What was parsed.
    pub matches: ArgMatches,
    /// The files, merged.
    pub config: Config,
}

/// Without what was typed: that may be a token.
impl std::fmt::Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Read").field("command", &self.matches.subcommand_name()).field("config", &self.config).finish_non_exhaustive()
    }
}

/// How reading ended, if not with a command.
#[derive(Debug)]
pub enum Stop {
    /// Help or version were asked for, or the usage is wrong; in clap's words.
    Parse(clap::Error),
    /// A configuration file is wrong.
    Config(ConfigError),
}

/// Parses the arguments once for `--config`, reads the files, and parses again with the files' values as defaults.
pub fn read(command: Command, arguments: &[OsString], environment: Environment<'_>) -> Result<Read, Stop> {
    let command = with_environment(command, environment);
    // What is needed may stand in a file.
    let first = command.clone().mut_subcommands(|sub| sub.mut_args(|arg| arg.required(false)));
    let first = first.try_get_matches_from(arguments).map_err(Stop::Parse)?;
    let explicit = first.get_one::<PathBuf>("config").cloned();
    let config = Config::load(&Sources { explicit, repository: None, user: user_file(environment) }).map_err(Stop::Config)?;
    let name = first.subcommand_name().unwrap_or_default().to_owned();
    let command = match config.flags.get(&name) {
        Some(flags) => with_defaults(command, &name, flags),
        None => command,
    };
    Ok(Read { matches: command.try_get_matches_from(arguments).map_err(Stop::Parse)?, config })
}

/// Gives every long flag its variable.
fn with_environment(command: Command, environment: Environment<'_>) -> Command {
    let command = command.mut_args(|arg| named(arg, None, environment));
    command.mut_subcommands(|sub| {
        let name = sub.get_name().to_owned();
        sub.mut_args(|arg| named(arg, Some(&name), environment))
    })
}

fn named(arg: Arg, command: Option<&str>, environment: Environment<'_>) -> Arg {
    let Some(long) = arg.get_long().filter(|long| !matches!(*long, "help" | "version")) else { return arg };
    let words = match command {
        Some(command) if !GLOBAL.contains(&long) => format!("{command}-{long}"),
        _ => long.to_owned(),
    };
    from_variable(arg, &format!("ROUNDTABLE_{}", words.replace('-', "_").to_uppercase()), environment)
}

/// Lets an argument also come from a variable; an empty one counts as absent. Switches take what the other programs take: 1, yes, true, on, and their
/// contraries.
pub fn from_variable(arg: Arg, name: &str, environment: Environment<'_>) -> Arg {
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let arg = if is_switch { arg.value_parser(BoolishValueParser::new()) } else { arg };
    match environment(name) {
        Some(_) => arg.env(leak(name.to_owned())).hide_env(true),
        None => arg,
    }
}

fn with_defaults(command: Command, name: &str, flags: &BTreeMap<String, Vec<String>>) -> Command {
    command.mut_subcommand(name, |sub| {
        sub.mut_args(|arg| match arg.get_long().and_then(|long| flags.get(long)) {
            // What a switch says by default is not shown anyway, and clap refuses to be told so.
            Some(values) if is_single(arg.get_action()) => {
                let shows = arg.get_action().takes_values();
                arg.required(false).default_value(leak(values.last().cloned().unwrap_or_default())).hide_default_value(shows)
            }
            Some(values) => {
                arg.required(false).default_values(values.iter().cloned().map(leak).collect::<Vec<_>>()).hide_default_value(true)
            }
            None => arg,
        })
    })
}

fn is_single(action: &ArgAction) -> bool {
    matches!(action, ArgAction::Set | ArgAction::SetTrue | ArgAction::SetFalse)
}

/// clap wants names and values that live as long as the program: a few hundred bytes, once.
fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn command() -> Command {
        let long = |name: &'static str| Arg::new(name).long(name);
        let config = long("config").global(true).value_parser(clap::value_parser!(PathBuf));
        let join = Command::new("join")
            .arg(long("backend").required(true).action(ArgAction::Append).value_delimiter(','))
            .arg(long("once").action(ArgAction::SetTrue))
            .arg(long("name"));
        Command::new("worker").arg(config).subcommand(join)
    }

    fn read_with(file: &str, line: &str) -> Result<Read, Stop> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, file).unwrap();
        let words = ["worker", "--config", path.to_str().unwrap()].into_iter().chain(line.split_whitespace());
        read(command(), &words.map(Into::into).collect::<Vec<_>>(), &|_| None)
    }

    #[test]
    fn files_give_what_is_not_typed_also_what_is_needed() {
        let file = "data_dir = \"/x\"\n[join]\nbackend = [\"codex=2\", \"gemini\"]\nonce = true\nname = \"w\"\n";
        let found = read_with(file, "join --name typed").unwrap();
        assert_eq!(found.config.data_dir.as_deref().unwrap().to_str(), Some("/x"));
        let join = found.matches.subcommand().unwrap().1;
        let backends: Vec<&str> = join.get_many::<String>("backend").unwrap().map(String::as_str).collect();
        assert_eq!((backends, join.get_flag("once")), (vec!["codex=2", "gemini"], true));
        assert_eq!(join.get_one::<String>("name").unwrap(), "typed");
        assert!(matches!(read_with("", "join"), Err(Stop::Parse(_))), "nobody names a backend");
        let Err(Stop::Config(error)) = read_with("[join]\nbackends = \"x\"\n", "join") else { panic!("an unknown key") };
        assert!(error.to_string().contains("join.backend\""), "{error}");
        assert!(read(command(), &["worker", "--config", "/nope.toml", "join"].map(Into::into), &|_| None).is_err());
    }

    #[test]
    fn what_was_typed_or_stands_in_a_file_is_not_shown_for_debugging() {
        let read = read_with("[join]\ntoken = \"rt1.hush\"\n", "join --backend codex --name whisper").unwrap();
        assert_eq!(read.config.flags["join"]["token"], ["rt1.hush"]);
        let shown = format!("{read:?}");
        assert!(shown.contains("join") && shown.contains("token"), "{shown}");
        assert!(!shown.contains("hush") && !shown.contains("whisper"), "{shown}");
    }

    #[test]
    fn switches_are_read_as_people_write_them_and_an_empty_variable_is_none() {
        let arg = || Arg::new("once").long("once").action(ArgAction::SetTrue);
        let arg_of =
            |value: &'static str| from_variable(arg(), "ROUNDTABLE_JOIN_ONCE", &move |_| Some(value.to_owned()).filter(|v| !v.is_empty()));
        assert!(arg_of("1").get_env().is_some());
        assert!(arg_of("").get_env().is_none());
        for (value, wanted) in [("1", true), ("yes", true), ("true", true), ("on", true), ("0", false), ("no", false)] {
            let parsed = BoolishValueParser::new();
            let parsed = clap::builder::TypedValueParser::parse_ref(&parsed, &Command::new("x"), None, value.as_ref()).unwrap();
            assert_eq!(parsed, wanted, "{value}");
        }
    }
}
