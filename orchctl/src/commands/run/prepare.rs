//! All of a run that needs no coordinator: repository, spec, configuration, options, files to bring, the place of the mirror files.

use std::path::{Path, PathBuf};

use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::config::{Aliases, Config, Sources, environment};
use roundtable_shared::RunOptions;
use roundtable_shared::spec::SpecReport;
use roundtable_shared::view::SubmitRequest;
use serde::Deserialize;

use crate::args::{FleetOptions, RunArgs};
use crate::branch::refuse_occupied_name;
use crate::commands::warn;
use crate::context::Context;
use crate::crew::CrewOptions;
use crate::failure::{Failure, Result, problem_line};
use crate::intake::{CopyFile, SpecFolder, read_copies, read_spec, read_text};
use crate::lint::{lint, warnings};
use crate::mirror::{Location, MirrorPaths, locate};
use crate::options::{RepositoryTraits, run_options};
use crate::settings::with_repository;
use crate::workdir::{Base, Workdir};

/// Problems of a spec that are worth a line when a run starts; `plan` shows all.
const PROBLEMS_SHOWN_MAX: usize = 8;
/// Uncommitted paths named in a refusal.
const NAMED_MAX: usize = 5;

/// What is known before a coordinator is asked.
pub(in crate::commands) struct Prepared {
    pub(in crate::commands) workdir: Workdir,
    pub(in crate::commands) spec: SpecFolder,
    pub(in crate::commands) report: SpecReport,
    pub(in crate::commands) base: Base,
    pub(in crate::commands) config: Config,
    pub(in crate::commands) sources: Sources,
    pub(in crate::commands) options: RunOptions,
    pub(in crate::commands) copies: Vec<CopyFile>,
    pub(in crate::commands) crew: CrewOptions,
    pub(in crate::commands) location: Location,
    pub(in crate::commands) strict: bool,
    mode_given: bool,
    import: Option<String>,
    warnings: Vec<String>,
}

/// The part of a state file that is needed here.
#[derive(Deserialize)]
struct State {
    spec_path: String,
    #[serde(default)]
    tasks: Vec<StateTask>,
}

#[derive(Deserialize)]
struct StateTask {
    #[serde(default)]
    task_id: String,
    #[serde(default)]
    status: String,
}

impl Prepared {
    /// Checks and reads everything. Problems of the spec are all reported at once, and nothing has been started.
    pub(in crate::commands) async fn new(context: &Context, args: &RunArgs) -> Result<Self> {
        let state = match &args.state {
            Some(file) => Some((file, read_text(file, "AGENT_STATE.json")?)),
            None => None,
        };
        let parsed = state.as_ref().map(|(file, text)| read_state(file, text)).transpose()?;
        let spec_dir = match (&args.spec, &state, &parsed) {
            (Some(dir), ..) => dir.clone(),
            (None, Some((file, _)), Some(state)) => spec_of_state(file, &state.spec_path),
            _ => return Err(Failure::usage("the spec is missing").next("name its folder with --spec DIR")),
        };
        let spec = read_spec(&spec_dir)?;
        let report = lint(&spec, args.plan.strict)?;
        let workdir = Workdir::open(args.workdir.as_deref().unwrap_or(Path::new("."))).await?;
        refuse_occupied_name(&workdir.repository).await?;
        let top = workdir.repository.top().to_owned();
        let config = with_repository(&context.sources, top.clone())?;
        let aliases = Aliases::read(&environment);
        let traits = RepositoryTraits { ignore_case: workdir.facts.ignore_case };
        let options = run_options(args, &config, &aliases, traits)?;
        if let Some(state) = &parsed
            && !args.plan.include_dirty
        {
            refuse_unsaved_work(&workdir, &spec.path, state).await?;
        }
        let base = workdir.base(args.plan.base.as_deref(), args.plan.include_dirty, &spec.path, SystemClock.wall()).await?;
        let (copies, notes) = read_copies(&top, &options.copy)?;
        let location = match &args.state {
            Some(file) => Location { paths: mirror_paths(file, args), notice: None },
            None => locate(&spec.path, args.output.as_deref()),
        };
        let mut warnings: Vec<String> =
            config.warnings.iter().chain(&aliases.warnings).chain(&base.warnings).chain(&notes).cloned().collect();
        warnings.extend(location.notice.clone());
        let crew = crew_options(&args.fleet, aliases.parallel_max);
        let sources = Sources { repository: Some(top), ..context.sources.clone() };
        let (import, strict, mode_given) = (state.map(|(_, text)| text), args.plan.strict, args.plan.mode.is_some());
        Ok(Self { workdir, spec, report, base, config, sources, options, copies, crew, location, strict, mode_given, import, warnings })
    }

    /// The submission's header.
    pub(in crate::commands) fn request(&self, embedded: bool, fresh: bool, dry_run: bool) -> SubmitRequest {
        let relative = |path: &Path| self.workdir.repository.relative(path);
        let own = |path: &Path| path.to_string_lossy().into_owned();
        SubmitRequest {
            repository: self.workdir.facts.root.to_string(),
            git_dir: self.workdir.git_dir(),
            spec_path: own(&self.spec.path),
            workdir: own(self.workdir.path()),
            spec_in_repository: relative(&self.spec.path),
            mirror_paths: self.location.paths.all().into_iter().filter_map(relative).collect(),
            base: self.base.commit.to_string(),
            started_branch: self.workdir.branch(),
            options: RunOptions { embedded, ..self.options.clone() },
            mode_given: self.mode_given,
            fresh,
            strict: self.strict,
            dry_run,
            import: self.import.clone(),
        }
    }

    /// Says what the user should know before it starts.
    pub(in crate::commands) fn warn(&self) {
        self.warnings.iter().for_each(|warning| warn(warning));
        let problems = warnings(&self.report);
        for problem in problems.iter().take(PROBLEMS_SHOWN_MAX) {
            warn(&problem_line(problem));
        }
        if problems.len() > PROBLEMS_SHOWN_MAX {
            warn(&format!("and {} more like these; `orchctl plan` shows all", problems.len() - PROBLEMS_SHOWN_MAX));
        }
    }
}

/// Workers as asked for, with the files they name found from any folder.
pub(in crate::commands) fn crew_options(fleet: &FleetOptions, slots_max: Option<u32>) -> CrewOptions {
    let trimmed = |words: &[String]| words.iter().map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect::<Vec<_>>();
    let workers = trimmed(&fleet.workers).iter().map(|worker| absolute_playbook(worker)).collect();
    let pair = |pair: &String| match pair.split_once('=') {
        Some((name, file)) => format!("{name}={}", if file.contains('/') { absolute_path(file) } else { absolute_playbook(file) }),
        None => pair.clone(),
    };
    CrewOptions { workers, backend_paths: trimmed(&fleet.backend_path).iter().map(pair).collect(), slots_max }
}

fn absolute_path(file: &str) -> String {
    if file.starts_with("scripted:") { absolute_playbook(file) } else { absolute(file) }
}

fn absolute_playbook(word: &str) -> String {
    match word.strip_prefix("scripted:") {
        Some(word) => {
            let slots = word.rsplit_once('=').filter(|(_, slots)| slots.parse::<u32>().is_ok());
            let (file, slots) = slots.map_or((word, String::new()), |(file, slots)| (file, format!("={slots}")));
            format!("scripted:{}{slots}", absolute(file))
        }
        None => word.to_owned(),
    }
}

fn absolute(file: &str) -> String {
    // The real path: two ways to the same playbook are one backend.
    std::fs::canonicalize(file)
        .or_else(|_| std::path::absolute(file))
        .map_or_else(|_| file.to_owned(), |path| path.to_string_lossy().into_owned())
}

fn read_state(file: &Path, text: &str) -> Result<State> {
    serde_json::from_str(text).map_err(|error| {
        Failure::usage(format!("{} is no AGENT_STATE.json", file.display()))
            .why(error)
            .next("name the state file of an earlier run or `orchctl init`")
    })
}

/// The spec a state names: as it says, or seen from its own folder.
fn spec_of_state(file: &Path, spec_path: &str) -> PathBuf {
    let beside = file.parent().unwrap_or(Path::new(".")).join(spec_path);
    if beside.is_dir() { beside } else { PathBuf::from(spec_path) }
}

fn mirror_paths(state: &Path, args: &RunArgs) -> MirrorPaths {
    let beside = MirrorPaths::in_dir(state.parent().unwrap_or(Path::new(".")));
    MirrorPaths {
        agent_state: state.to_owned(),
        tasks_parsed: args.tasks.clone().unwrap_or(beside.tasks_parsed),
        pulse: args.pulse.clone().unwrap_or(beside.pulse),
    }
}

/// Units the state calls completed must be in the commit the run starts from.
async fn refuse_unsaved_work(workdir: &Workdir, spec: &Path, state: &State) -> Result<()> {
    let Some(done) = state.tasks.iter().find(|task| task.status == "completed") else {
        return Ok(());
    };
    let dirty = workdir.uncommitted(spec).await?;
    if dirty.is_empty() {
        return Ok(());
    }
    let named = dirty.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    Err(Failure::usage(format!(
        "the state says that task {} is completed, but the working tree has changes that are not committed",
        done.task_id
    ))
    .why(format!("its work may be among them, and would be missing from the commit the run starts from: {named}"))
    .next("commit them, or start from the working tree as it is: --include-dirty"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playbooks_are_found_from_any_folder() {
        let here = std::env::current_dir().expect("tests have a working directory");
        let at = |file: &str| here.join(file).to_string_lossy().into_owned();
        let fleet = FleetOptions {
            workers: vec!["scripted:p.json=4".into(), " codex=2".into(), String::new()],
            backend_path: vec![
                "codex=scripted:p.json".into(),
                "gemini=bin/gemini".into(),
                "opencode=opencode".into(),
                "x=scripted:/abs/p".into(),
            ],
            wait_worker: None,
        };
        let crew = crew_options(&fleet, Some(3));
        assert_eq!(crew.workers, [format!("scripted:{}", at("p.json=4")), "codex=2".to_owned()]);
        assert_eq!(
            crew.backend_paths,
            [
                format!("codex=scripted:{}", at("p.json")),
                format!("gemini={}", at("bin/gemini")),
                "opencode=opencode".into(),
                "x=scripted:/abs/p".into()
            ]
        );
        assert_eq!(crew.slots_max, Some(3));
    }
}
