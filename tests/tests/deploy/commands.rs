//! Command lines in other tools' files: every flag is one that the program takes.

use roundtable_runtime::config::COMMANDS;

/// Flags of all commands.
const GLOBAL: [&str; 3] = ["data-dir", "log-format", "config"];

/// Fails at the first word that `program` would not take as a flag.
#[track_caller]
pub fn check_command(program: &str, command: &[&str]) {
    let name = command.first().unwrap_or_else(|| panic!("{program} is not told what to do"));
    let (_, flags) = COMMANDS.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{program} has no command {name}"));
    for word in &command[1..] {
        let Some(flag) = word.strip_prefix("--") else { continue };
        let flag = flag.split('=').next().unwrap_or_default();
        let is_known = flags.contains(&flag) || GLOBAL.contains(&flag);
        assert!(is_known, "{program} {name} has no --{flag}");
    }
}

#[test]
fn flags_that_are_not_there_are_found() {
    check_command("coordinator", &["serve", "--listen", "0.0.0.0:7420", "--http=127.0.0.1:1", "--data-dir=/x"]);
    for wrong in [&["serve", "--lisen=x"][..], &["join", "--http=x"]] {
        assert!(std::panic::catch_unwind(|| check_command("coordinator", wrong)).is_err(), "{wrong:?}");
    }
}
