//! Options of a run, from the command line, the configuration files and the variables other tools set, in this order.

use roundtable_runtime::config::{Aliases, Config};
use roundtable_shared::{BackendName, HazardRule, ManifestRule, Mode, RunOptions, Switches};

use crate::args::{HazardsArg, ManifestArg, ModeArg, RunArgs, duration, seconds};
use crate::failure::{Failure, Result};

/// Most units that `--only` may name by ranges.
const ONLY_MAX: usize = 100_000;

/// What the user's repository adds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RepositoryTraits {
    /// Its file system folds case.
    pub ignore_case: bool,
}

/// Puts the options of a run together.
pub fn run_options(args: &RunArgs, config: &Config, aliases: &Aliases, repository: RepositoryTraits) -> Result<RunOptions> {
    let mut options = RunOptions { ignore_case: repository.ignore_case, ..RunOptions::default() };
    let plan = &args.plan;
    let files = RunTable(config);
    set(&mut options.mode, plan.mode.map(mode));
    set(&mut options.orchestrator_backend, plan.backend.as_deref().or(plan.orchestrator.as_deref()).map(BackendName::from));
    set(&mut options.assign_backend, plan.assign_backend.as_deref().map(BackendName::from));
    set(&mut options.escalate_backend, plan.escalate_backend.as_deref().map(BackendName::from));
    set(&mut options.hazards, plan.hazards.map(hazards));
    set(&mut options.manifest, plan.manifest.map(manifest));
    set(&mut options.max_iterations, plan.max_iterations);
    set(&mut options.max_actions, plan.max_actions);
    set(&mut options.session_name, plan.session.clone());
    let check = plan.check.clone().or_else(|| files.text("check").map(str::to_owned)).or_else(|| config.check.clone());
    options.check = check.filter(|check| !check.trim().is_empty());
    options.setup = config.setup.clone();
    options.copy = config.copy.clone().unwrap_or_default();
    options.with_optional = plan.with_optional;
    options.only = expand(&plan.only)?;
    config.limits.apply(&mut options.limits);
    // The environment goes before the files.
    set(&mut options.limits.wall_ms, aliases.wall_ms);
    let sleep = plan.sleep.map_or_else(|| files.read("sleep", seconds), |sleep| Ok(Some(sleep)))?;
    set(&mut options.limits.consult_every_ms, sleep.map(millis));
    let wait_worker = args.fleet.wait_worker.map_or_else(|| files.read("wait-worker", duration), |wait| Ok(Some(wait)))?;
    set(&mut options.limits.wait_worker_ms, wait_worker.map(millis));
    for (name, backend) in &config.backends {
        let name = BackendName::from(name.as_str());
        options.models.extend(backend.model.clone().map(|model| (name.clone(), model)));
        options.efforts.extend(backend.effort.clone().map(|effort| (name, effort)));
    }
    options.switches = Switches {
        bypass_sandbox: aliases.bypass_sandbox.then_some(true),
        skip_permissions: aliases.skip_permissions.then_some(true),
        opencode_agent: aliases.opencode_agent.clone(),
        opencode_model: aliases.opencode_model.clone(),
    };
    Ok(options)
}

/// `[run]` of the files, where the same option may have another name in a layer that goes before.
struct RunTable<'c>(&'c Config);

impl RunTable<'_> {
    fn text(&self, flag: &str) -> Option<&str> {
        self.0.flags.get("run")?.get(flag)?.last().map(String::as_str)
    }

    fn read<T>(&self, flag: &str, read: fn(&str) -> std::result::Result<T, String>) -> Result<Option<T>> {
        let wrong = |text: &str, why: String| {
            Failure::usage(format!("run.{flag}: {text:?} cannot be used")).why(why).next("`orchctl config show` tells which file says so")
        };
        self.text(flag).map(|text| read(text).map_err(|why| wrong(text, why))).transpose()
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn mode(arg: ModeArg) -> Mode {
    match arg {
        ModeArg::Llm => Mode::Llm,
        ModeArg::Deterministic => Mode::Deterministic,
        ModeArg::Legacy => Mode::Legacy,
        ModeArg::Manual => Mode::Manual,
    }
}

fn hazards(arg: HazardsArg) -> HazardRule {
    match arg {
        HazardsArg::Ordered => HazardRule::Ordered,
        HazardsArg::Writes => HazardRule::Writes,
    }
}

fn manifest(arg: ManifestArg) -> ManifestRule {
    match arg {
        ManifestArg::Extend => ManifestRule::Extend,
        ManifestArg::Strict => ManifestRule::Strict,
    }
}

/// `1,3-5` as ids; a range stands between two numbers.
fn expand(words: &[String]) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for word in words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()) {
        let range = word.split_once('-').and_then(|(from, to)| Some((from.trim().parse::<u32>().ok()?, to.trim().parse::<u32>().ok()?)));
        match range {
            Some((from, to)) if from > to || (to - from) as usize >= ONLY_MAX => {
                return Err(Failure::usage(format!("--only {word} is no range of units")).next("write it like 1,3-5"));
            }
            Some((from, to)) => ids.extend((from..=to).map(|id| id.to_string())),
            None => ids.push(word.to_owned()),
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    fn options(args: &RunArgs, config: &Config, aliases: &Aliases) -> RunOptions {
        run_options(args, config, aliases, RepositoryTraits::default()).unwrap()
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(options(&RunArgs::default(), &Config::default(), &Aliases::default()), RunOptions::default());
    }

    #[test]
    fn flags_go_before_variables_of_other_tools_and_those_before_files() {
        let mut args = RunArgs::default();
        let mut config = Config { check: Some("make".into()), ..Config::default() };
        let aliases = Aliases { wall_ms: Some(5_000), bypass_sandbox: true, ..Aliases::default() };
        let seen = options(&args, &config, &aliases);
        assert_eq!((seen.check.as_deref(), seen.limits.wall_ms, seen.switches.bypass_sandbox), (Some("make"), 5_000, Some(true)));
        let run = [("check", "just"), ("sleep", "2.5"), ("wait-worker", "9s")];
        config.flags.insert("run".into(), run.map(|(flag, value)| (flag.to_owned(), vec![value.to_owned()])).into_iter().collect());
        let seen = options(&args, &config, &aliases);
        assert_eq!((seen.check.as_deref(), seen.limits.consult_every_ms, seen.limits.wait_worker_ms), (Some("just"), 2500, 9000));
        args.plan.check = Some("ninja".into());
        args.plan.sleep = Some(Duration::from_millis(1500));
        args.plan.orchestrator = Some("codex".into());
        args.fleet.wait_worker = Some(Duration::from_secs(3));
        let seen = options(&args, &config, &aliases);
        assert_eq!(seen.check.as_deref(), Some("ninja"));
        assert_eq!((seen.limits.consult_every_ms, seen.limits.wait_worker_ms), (1500, 3000));
        assert_eq!(seen.orchestrator_backend.as_str(), "codex");
        config.flags.insert("run".into(), [("wait-worker".to_owned(), vec!["soon".to_owned()])].into_iter().collect());
        args.fleet.wait_worker = None;
        assert!(run_options(&args, &config, &aliases, RepositoryTraits::default()).is_err());
    }

    #[test]
    fn ranges_of_units_are_expanded() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(expand(&words(&["1", " 3-5", "T01", "P2.1"])).unwrap(), words(&["1", "3", "4", "5", "T01", "P2.1"]));
        assert!(expand(&words(&["5-3"])).is_err());
        assert!(expand(&words(&["1-99999999"])).is_err());
        assert_eq!(expand(&words(&["a-b"])).unwrap(), words(&["a-b"]));
    }
}
