//! Parsing: the contract's synopsis, environment names, and that nothing of later steps is taken.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use std::time::Duration;

use clap::{ArgAction, FromArgMatches};

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    let words = std::iter::once("orchctl").chain(line.split_whitespace());
    command().version("test").try_get_matches_from(words).and_then(|matches| Cli::from_arg_matches(&matches))
}

#[test]
fn the_command_is_well_formed() {
    command().version("test").debug_assert();
}

#[test]
fn everything_of_the_synopsis_is_taken() {
    let lines = [
        "run --spec S --workdir . --mode deterministic --backend opencode --assign-backend codex --output O --workers codex=2,gemini=1 \
         --backend-path codex=scripted:f.json --escalate-backend codex --check true --hazards writes --manifest strict --max-iterations 50 \
         --max-actions 6 --sleep 1.0 --session roundtable --with-optional --only 1,2 --base HEAD~1 --strict --units-max 5 --wait-worker 2m --dry-run --fresh --accept --yes",
        "run --spec S --orchestrator codex --include-dirty --detach",
        "run --state AGENT_STATE.json --tasks T --pulse P",
        "plan --spec S --slots 3 --strict --units-max 5 --json",
        "init --spec S --output O --session s --mode legacy --strict --units-max 5",
        "demo --real codex --keep D",
        "status --watch --exit-code",
        "status R --json",
        "runs",
        "runs --all --json",
        "runs rm R S --force",
        "runs prune --older-than 30d --dry-run",
        "du --json",
        "show R U",
        "show U",
        "logs R U -f --attempt 2",
        "logs",
        "diff R",
        "findings R U",
        "attempts R U",
        "attempts R -",
        "explain U",
        "events R -f --jsonl",
        "checkout R U D",
        "checkout U D",
        "decisions R",
        "decide R/human-fallback-3 resume --commit abc --note text",
        "decide quarantine-2 skip --dependants go-on",
        "assign R U --owner b --criticality security-sensitive --writes a,b --reads c",
        "assign R U --requires gpu,zone=eu",
        "retry R U",
        "skip R U",
        "cancel R",
        "cancel R U",
        "pause R --note t",
        "pause --all",
        "resume --all",
        "step R assign",
        "step sync-pulse",
        "accept R --into b --partial",
        "fetch R",
        "summary R --json",
        "export R --output D",
        "import AGENT_STATE.json --spec S --include-dirty",
        "wait R --timeout 9m --json",
        "workers --json",
        "drain W --wait --json",
        "undrain W",
        "doctor",
        "login https://h:1 --profile build --token-file -",
        "logout --profile build --json",
        "down",
        "config show",
        "status --coordinator https://h:1 --profile p --data-dir D",
    ];
    for line in lines {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_is_not_built_or_makes_no_sense_is_refused() {
    let lines = [
        "drain",
        "undrain W --wait",
        "limits",
        "login",
        "logout h",
        "tui",
        "ui",
        "report",
        "cost",
        "pr",
        "mcp",
        "run --spec S --sandbox auto",
        "run",
        "run --spec S --tasks T",
        "run --spec S --mode fast",
        "run --spec S --base X --include-dirty",
        "run --spec S --sleep -1",
        "assign U",
        "runs rm",
        "runs R",
        "runs prune --older-than soon",
        "pause R --all",
        "wait --timeout soon",
        "status one two",
        "decide human-fallback-3",
        "run --spec S --backend a --orchestrator b",
    ];
    for line in lines {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn flags_have_environment_names() {
    let mut names = BTreeMap::new();
    collect(&command(), &mut Vec::new(), &mut names);
    let expect = |path: &str, name: &str| assert_eq!(names.get(path).map(String::as_str), Some(name), "{path}");
    expect("--coordinator", "ROUNDTABLE_COORDINATOR");
    expect("--data-dir", "ROUNDTABLE_DATA_DIR");
    expect("run --max-iterations", "ROUNDTABLE_RUN_MAX_ITERATIONS");
    expect("wait --timeout", "ROUNDTABLE_WAIT_TIMEOUT");
    expect("status --json", "ROUNDTABLE_STATUS_JSON");
    expect("config show --workdir", "ROUNDTABLE_CONFIG_SHOW_WORKDIR");
    assert!(names.len() > 60, "every long flag has one: {}", names.len());
}

fn collect(command: &clap::Command, path: &mut Vec<String>, names: &mut BTreeMap<String, String>) {
    for arg in command.get_arguments().filter(|arg| !matches!(arg.get_action(), ArgAction::Help | ArgAction::Version)) {
        let Some(long) = arg.get_long() else { continue };
        let variable = arg.get_env().unwrap_or_else(|| panic!("{path:?} --{long} has no variable"));
        let key = path.iter().cloned().chain([format!("--{long}")]).collect::<Vec<_>>().join(" ");
        assert!(names.insert(key, variable.to_str().unwrap().to_owned()).is_none());
    }
    for sub in command.get_subcommands() {
        path.push(sub.get_name().to_owned());
        collect(sub, path, names);
        path.pop();
    }
}

#[test]
fn durations_are_read_as_people_write_them() {
    assert_eq!(duration("9m"), Ok(Duration::from_secs(540)));
    assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
    assert!(duration("soon").is_err());
    assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
    assert!(seconds("-1").is_err() && seconds("NaN").is_err());
}

#[test]
fn every_help_fits_eighty_columns_and_has_examples() {
    fn check(command: &mut clap::Command, path: &str) {
        let help = command.render_help().to_string();
        assert!(help.contains("Examples:"), "{path}");
        assert!(help.matches("\nOptions:\n").count() <= 1, "{path}:\n{help}");
        let long: Vec<&str> = help.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{path}: {long:?}");
        for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name());
            check(sub, &path);
        }
    }
    let mut command = command().version("test").term_width(80);
    command.build();
    check(&mut command, "orchctl");
}

#[test]
fn examples_are_written_to_fit_so_that_none_is_wrapped() {
    let mut all = vec![command()];
    let mut wide: Vec<String> = Vec::new();
    while let Some(command) = all.pop() {
        let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        wide.extend(examples.lines().filter(|line| line.chars().count() > 80).map(str::to_owned));
        all.extend(command.get_subcommands().cloned());
    }
    assert!(wide.is_empty(), "{wide:#?}");
}
