//! All of a run that needs no coordinator: repository, spec, configuration, options, files to bring, the place of the mirror files.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use roundtable_runtime::clock::{Clock, SystemClock};
use roundtable_runtime::config::{Aliases, Config, Sources, environment};
use roundtable_runtime::git::Oid;
use roundtable_shared::RunOptions;
use roundtable_shared::spec::{ReadOptions, SpecReport};
use roundtable_shared::view::{SubmitReply, SubmitRequest};
use serde::Deserialize;

use crate::args::{FleetOptions, RunArgs};
use crate::branch::refuse_occupied_name;
use crate::commands::warn;
use crate::context::Context;
use crate::crew::CrewOptions;
use crate::embed::{check_playbooks, refuse_unsaved_work};
use crate::failure::{Failure, Result, problem_line};
use crate::intake::{CopyFile, SpecFolder, read_copies, read_spec, read_text};
use crate::lint::{lint, warnings};
use crate::mirror::{Location, MirrorFiles, MirrorPaths, locate, note_read, was_written};
use crate::options::{RepositoryTraits, run_options};
use crate::settings::with_repository;
use crate::workdir::{Aside, Base, WorkPlace, Workdir, refusal, some_of};

/// Problems of a spec that are worth a line when a run starts; `plan` shows all.
const PROBLEMS_SHOWN_MAX: usize = 8;

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
    pub(in crate::commands) read: ReadOptions,
    mode_given: bool,
    import: Option<Import>,
    include_dirty: bool,
    /// What a state calls completed counts, whether it is there or not.
    trust: bool,
    data_dir: PathBuf,
    warnings: Vec<String>,
    /// What is not included was told already.
    told: AtomicBool,
}

/// A state to go on from.
struct Import {
    file: PathBuf,
    text: String,
    /// We wrote it ourselves.
    is_ours: bool,
}

/// The part of a state file that is needed here.
#[derive(Deserialize)]
struct State {
    spec_path: String,
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
        let report = lint(&spec, args.plan.read.options())?;
        let workdir = Workdir::open(args.workdir.as_deref().unwrap_or(Path::new("."))).await?;
        refuse_occupied_name(&workdir.repository).await?;
        let top = workdir.repository.top().to_owned();
        let config = with_repository(&context.sources, top.clone())?;
        let aliases = Aliases::read(&environment);
        let traits = RepositoryTraits { ignore_case: workdir.facts.ignore_case };
        let options = run_options(args, &config, &aliases, traits)?;
        let location = match &args.state {
            Some(file) => Location { paths: mirror_paths(file, args), notice: None },
            None => locate(&spec.path, args.output.as_deref()),
        };
        let real_top = top.canonicalize().unwrap_or_else(|_| top.clone());
        let mirrors = MirrorFiles::new(&real_top, &spec.path, &location.paths);
        let aside = Aside { spec: workdir.repository.relative(&spec.path), mirrors };
        let base = workdir.base(args.plan.base.as_deref(), args.plan.include_dirty, &aside, SystemClock.wall()).await?;
        if let Some((_, text)) = &state
            && !args.plan.include_dirty
        {
            let place = WorkPlace { top: &real_top, workdir: workdir.path(), ignore_case: traits.ignore_case };
            refuse_unsaved_work(text, &report.plan, &base.uncommitted, place)?;
        }
        let (copies, notes) = read_copies(&top, &options.copy)?;
        let mut warnings: Vec<String> =
            config.warnings.iter().chain(&aliases.warnings).chain(&base.warnings).chain(&notes).cloned().collect();
        warnings.extend(location.notice.clone());
        let crew = crew_options(&args.fleet, aliases.parallel_max);
        check_playbooks(&crew)?;
        let sources = Sources { repository: Some(top), ..context.sources.clone() };
        let is_ours = |text: &str| was_written(&location.paths, &context.data_dir, text);
        let import = state.map(|(file, text)| Import { is_ours: is_ours(&text), file: file.clone(), text });
        Ok(Self {
            workdir,
            spec,
            report,
            base,
            config,
            sources,
            options,
            copies,
            crew,
            location,
            read: args.plan.read.options(),
            mode_given: args.plan.mode.is_some(),
            import,
            include_dirty: args.plan.include_dirty,
            trust: args.trust,
            data_dir: context.data_dir.clone(),
            warnings,
            told: AtomicBool::new(false),
        })
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
            strict: self.read.strict,
            dry_run,
            import: self.import.as_ref().map(|import| import.text.clone()),
            import_is_trusted: self.trust,
            import_is_ours: self.import.as_ref().is_some_and(|import| import.is_ours),
            top: own(self.workdir.repository.top()),
        }
    }

    /// The state file it goes on from.
    pub(in crate::commands) fn state_file(&self) -> Option<&Path> {
        self.import.as_ref().map(|import| import.file.as_path())
    }

    /// A run was made from the mirror files that lie here: replacing them is no loss of an edit.
    pub(super) fn note_taken_up(&self) {
        let Some(import) = &self.import else { return };
        if let Err(error) = note_read(&self.location.paths, &self.data_dir, &import.text) {
            warn(&error.to_string());
        }
    }

    /// Says, once, which uncommitted changes are not in the commit that the run starts from, or started from.
    pub(super) async fn warn_of_what_is_not_included(&self, reply: &SubmitReply) -> Result<()> {
        if self.told.swap(true, Ordering::Relaxed) || (self.include_dirty && !reply.resumed) {
            return Ok(());
        }
        let base = Oid::parse(&reply.base).unwrap_or_else(|_| self.base.commit.clone());
        let left = self.workdir.not_in(&base, &self.base.uncommitted).await?;
        if !left.is_empty() {
            let way = match self.include_dirty {
                true => format!("{} began without them, and --fresh starts another with them", reply.run),
                false => "commit them, or use --include-dirty".to_owned(),
            };
            warn(&format!("uncommitted changes are not included: {}; {way}", some_of(&left)));
        }
        Ok(())
    }

    /// Whether it would begin with other uncommitted changes than a run that began at `base` did.
    pub(in crate::commands) async fn includes_other_changes(&self, base: &str) -> Result<bool> {
        let git = self.workdir.repository.git();
        let Some(base) = Oid::parse(base).ok().filter(|_| self.include_dirty) else { return Ok(false) };
        if git.commits_present(std::slice::from_ref(&base)).await.map_err(refusal)?.is_empty() {
            return Ok(true);
        }
        Ok(git.tree_of(&base).await.map_err(refusal)? != git.tree_of(&self.base.commit).await.map_err(refusal)?)
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
    let backend_paths = trimmed(&fleet.backend_path).iter().map(pair).collect();
    CrewOptions { workers, backend_paths, slots_max, labels: trimmed(&fleet.label) }
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
    serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
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
            label: vec![" gpu ".into(), String::new()],
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
        assert_eq!((crew.slots_max, crew.labels), (Some(3), vec!["gpu".to_owned()]));
    }
}
