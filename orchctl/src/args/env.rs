//! Flags from the environment: `ROUNDTABLE_<COMMAND>_<FLAG>` for each long flag, without naming every one.

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command};

/// Flags of all commands have no command in their names.
pub const GLOBAL: &[&str] = &["coordinator", "profile", "data-dir", "config", "log-format"];

/// Whether a variable, by its name, is to be read.
type IsRead<'a> = &'a dyn Fn(&str) -> bool;

/// Gives every long flag of every command its variable, if that is to be read.
pub fn with_environment(command: Command, is_read: IsRead<'_>) -> Command {
    command.mut_args(|arg| named(arg, None, is_read)).mut_subcommands(|sub| for_command(sub, "", is_read))
}

fn for_command(command: Command, prefix: &str, is_read: IsRead<'_>) -> Command {
    let name = format!("{prefix}{}", command.get_name());
    let inner = format!("{name}-");
    command.mut_args(|arg| named(arg, Some(&name), is_read)).mut_subcommands(move |sub| for_command(sub, &inner, is_read))
}

fn named(arg: Arg, command: Option<&str>, is_read: IsRead<'_>) -> Arg {
    let Some(long) = arg.get_long().filter(|long| !matches!(*long, "help" | "version")) else {
        return arg;
    };
    let name = variable(command, long);
    if !is_read(&name) {
        return arg;
    }
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    // clap wants names that live as long as the program: a few hundred bytes, once.
    let arg = arg.env(&*Box::leak(name.into_boxed_str())).hide_env(true);
    if is_switch { arg.value_parser(BoolishValueParser::new()) } else { arg }
}

/// Every flag's variable, by the key a configuration file would use for it (`run.mode`, `data_dir`).
pub fn variables(command: &Command) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(command, "", &mut found);
    found
}

fn collect(command: &Command, prefix: &str, found: &mut Vec<(String, String)>) {
    for arg in command.get_arguments() {
        if let (Some(long), Some(variable)) = (arg.get_long(), arg.get_env().and_then(|name| name.to_str())) {
            let key = if prefix.is_empty() { long.replace('-', "_") } else { format!("{prefix}.{long}") };
            found.push((key, variable.to_owned()));
        }
    }
    for sub in command.get_subcommands() {
        let prefix = if prefix.is_empty() { sub.get_name().to_owned() } else { format!("{prefix}.{}", sub.get_name()) };
        collect(sub, &prefix, found);
    }
}

/// The variable of a flag: with its command (`config-show` for one within another) in its name, unless all commands have it.
pub fn variable(command: Option<&str>, long: &str) -> String {
    let words = match command {
        Some(command) if !GLOBAL.contains(&long) => format!("{command}-{long}"),
        _ => long.to_owned(),
    };
    format!("ROUNDTABLE_{}", words.replace('-', "_").to_uppercase())
}
