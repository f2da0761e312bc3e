//! Starting a run, or finding the one that goes on: reading the spec, comparing with what is there, keeping attached files. What a run then does is the
//! core's.

use std::collections::BTreeMap;

use roundtable_core::command::{Act, Command, Operate, RunSource, ShellAnswer, Submit};
use roundtable_core::state::{Run, State};
use roundtable_core::{Core, Reply};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::manifest::may_be_folder;
use roundtable_shared::spec::{Level, Plan, Problem, ReadOptions, Spec, SpecReport, select};
use roundtable_shared::view::{ProblemView, SubmitReply, SubmitRequest};
use roundtable_shared::{CommitId, Mode, RunId, RunOptions};

use crate::attachments::{Attached, Attachments, AttachmentsError};
use crate::driver::{Handle, HandleError};
use crate::ended;
use crate::import::{self, ImportError, Place};
use crate::lost::{self, MendError};
use crate::parts::Parts;
use crate::repository::{Repositories, RepositoryError};

/// Letters of the random end of a run id: base32 without padding.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Longest part of a run id taken from the spec's name.
const NAME_CHARS_MAX: usize = 40;

/// Files of the base that name the inputs of an assignment.
const DIGEST_FILES_MAX: usize = 100_000;

/// All that came with a submission.
pub struct Submission {
    /// The header.
    pub request: SubmitRequest,
    /// The spec's files by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Files under `copy`.
    pub attachments: Vec<Attached>,
    /// Who (identity of the certificate).
    pub by: String,
}

/// Why a submission came to nothing (problems of the spec itself are part of the reply).
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The base was not uploaded.
    #[error("commit {0} is not here; upload it first (run the command again)")]
    BaseMissing(CommitId),
    /// The run that would go on has lost what it stands on.
    #[error("{0}")]
    Lost(String),
    /// The header makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The state to continue from cannot be used.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Git or disk.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Attached files could not be kept.
    #[error(transparent)]
    Attachments(#[from] AttachmentsError),
    /// The core or the driver refused.
    #[error(transparent)]
    Driver(#[from] HandleError),
}

impl SubmitError {
    /// The code this maps to at every edge.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::BaseMissing(_) | Self::Lost(_) => ErrorCode::NotFound,
            Self::Invalid(_) | Self::Import(_) => ErrorCode::InvalidInput,
            Self::Repository(error) => error.code(),
            Self::Attachments(_) => ErrorCode::Exhausted,
            Self::Driver(error) => error.code(),
        }
    }
}

/// What is needed for it.
#[derive(Clone)]
pub struct Submitter {
    /// The driver.
    pub handle: Handle,
    /// Bare repositories.
    pub repositories: Repositories,
    /// Where attached files are kept.
    pub attachments: Attachments,
    /// Units of a plan that it takes.
    pub units_max: usize,
}

impl Parts {
    /// What submissions need.
    pub fn submitter(&self) -> Submitter {
        Submitter {
            handle: self.links.handle.clone(),
            repositories: self.repositories.clone(),
            attachments: self.attachments.clone(),
            units_max: self.limits.units,
        }
    }
}

impl Submitter {
    /// Starts, resumes, or says why not.
    pub async fn submit(&self, submission: Submission) -> Result<SubmitReply, SubmitError> {
        let Submission { request, files, attachments, by } = submission;
        let report = Spec::read_with(&files, ReadOptions { strict: request.strict, units_max: self.units_max });
        let mut reply = first_reply(&report, &request.options);
        if !reply.errors.is_empty() {
            return Ok(reply);
        }
        let source = source_of(&request);
        let wish = Wish::of(&request, &report);
        let mode = wish.mode;
        // Whether the run is there still, or by now, the core decides with the command.
        let found = self.handle.view(move |core: &Core, _| find(&core.state, &wish)).await?;
        reply = told(reply, &found);
        match found {
            Found::Resume(run, _) => {
                if !request.dry_run {
                    self.stand(&run).await?;
                    let act = Act::Attach { options: Box::new(request.options), mode };
                    let attached = self.handle.command(Command::Operate(Operate { run: Some(run.clone()), by, act })).await;
                    return attached_or_over(reply, run, attached.err());
                }
                return Ok(reply);
            }
            Found::OtherState(_) | Found::Changed(..) | Found::Finished(_) => return Ok(reply),
            Found::Nothing if request.dry_run => return Ok(reply),
            Found::Nothing => {}
        }
        let submit = self.prepare(request, report, source, by).await?;
        let run = submit.run.clone();
        reply.inputs_digest.clone_from(&submit.inputs_digest);
        if !attachments.is_empty()
            && let Err(error) = self.attachments.keep(&run, attachments).await
        {
            // Some of them serve nobody.
            self.attachments.forget(&run).await;
            return Err(error.into());
        }
        match self.handle.command(Command::Submit(Box::new(submit))).await {
            Ok(Reply::Submitted { run: begun, notices, .. }) => {
                if begun != run {
                    // Another submission came first; its run has files of its own.
                    self.attachments.forget(&run).await;
                }
                reply.run = begun.to_string();
                reply.notices = notices;
            }
            Ok(_) => reply.run = run.to_string(),
            Err(error) => {
                self.not_begun(run, &error).await;
                return Err(error.into());
            }
        }
        Ok(reply)
    }

    /// A submission was refused, or got no verdict: the driver may have kept it until the log can be written, and its run then needs its files.
    async fn not_begun(&self, run: RunId, error: &HandleError) {
        match error {
            HandleError::Rejected(refusal) if refusal.code != ErrorCode::Exhausted => self.attachments.forget(&run).await,
            _ => {
                let later = ended::forget_unless_begun(self.handle.clone(), self.attachments.clone(), run);
                crate::tasks::spawn("unsettled-submission", later);
            }
        }
    }

    /// Makes sure that what a run stands on is here: the base may have come again with this submission.
    async fn stand(&self, run: &RunId) -> Result<(), SubmitError> {
        let footing = self.handle.view(lost::footing_of(run)).await?;
        let Some(footing) = footing else { return Ok(()) };
        match footing.lost(&self.repositories).await? {
            Some(reason) => Err(SubmitError::Lost(reason)),
            None => match lost::restore(&self.handle, &self.repositories, run).await {
                Ok(Some(text)) => {
                    let said = Command::Shell(ShellAnswer::RefsRestored { run: run.clone(), text });
                    Ok(self.handle.tell(said).await?)
                }
                Ok(None) => Ok(()),
                Err(MendError::Driver(error)) => Err(error.into()),
                Err(MendError::Repository(error)) => Err(error.into()),
            },
        }
    }

    async fn prepare(&self, request: SubmitRequest, report: SpecReport, source: RunSource, by: String) -> Result<Submit, SubmitError> {
        let base = CommitId::from(request.base.clone());
        let repository = self.repositories.open(&request.repository).await?;
        if !repository.has_commit(&base).await? {
            return Err(SubmitError::BaseMissing(base));
        }
        let folder = request.spec_in_repository.as_deref().map(|folder| folder.trim_matches('/').to_owned());
        let in_repository =
            |name: &str| folder.as_deref().map(|folder| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") });
        let spec_paths = Spec::FILES.iter().filter_map(|name| in_repository(name)).collect();
        let mut tick_path = None;
        if let Some(path) = in_repository("tasks.md")
            && let Some(tracked) = repository.read_file(&base, &path).await?
            && tracked == report.spec.tasks.as_bytes()
        {
            tick_path = Some(path);
        }
        let (files, truncated) = repository.files(&base, DIGEST_FILES_MAX).await?;
        let place = Place { top: request.top.clone(), workdir: request.workdir.clone() };
        let mut imported = request.import.as_deref().map(|text| import::parse(text, &report.plan, &place)).transpose()?.map(Box::new);
        if let Some(imported) = imported.as_mut().filter(|_| !truncated) {
            import::find_missing(imported, &files, &place);
            if !request.import_is_trusted {
                import::refuse_absent(imported)?;
            }
        }
        let inputs_digest = inputs_digest(&files, &report, &request.options);
        let mut report = report;
        mark_folders(&mut report.plan, &files);
        let run = new_run_id(&request.spec_path);
        repository.begin_run(&run, &base).await?;
        Ok(Submit {
            run,
            source,
            spec: report.spec,
            outline: report.plan,
            inputs_digest,
            options: request.options,
            base,
            started_branch: request.started_branch,
            fresh: request.fresh,
            tick_path,
            spec_paths,
            mirror_paths: request.mirror_paths,
            imported,
            by,
        })
    }
}

/// What a submission would come to with this state: nothing is done. How many units a plan may have is for whoever read it before to say.
pub fn foresee(state: &State, request: &SubmitRequest, files: &BTreeMap<String, Vec<u8>>) -> SubmitReply {
    let report = Spec::read_with(files, ReadOptions { strict: request.strict, units_max: usize::MAX });
    let reply = first_reply(&report, &request.options);
    if !reply.errors.is_empty() {
        return reply;
    }
    told(reply, &find(state, &Wish::of(request, &report)))
}

/// The reply with what is there already.
fn told(reply: SubmitReply, found: &Found) -> SubmitReply {
    match found {
        Found::Resume(run, base) => SubmitReply { run: run.to_string(), base: base.to_string(), resumed: true, ..reply },
        Found::OtherState(run) => SubmitReply { run: run.to_string(), other_state: true, ..reply },
        Found::Changed(run, what) => SubmitReply { run: run.to_string(), changed: Some(what.clone()), ..reply },
        Found::Finished(run) => SubmitReply { run: run.to_string(), finished: true, ..reply },
        Found::Nothing => reply,
    }
}

/// What the assignment agent is asked: an answer to another question is none to this one. Counted up when its prompt shows or asks more.
const QUESTION: &[u8] = b"assignment 2\0";

/// Names what an assignment depends on: the question, the spec's texts, the units of it that run, and the repository's file list.
fn inputs_digest(files: &[String], report: &SpecReport, options: &RunOptions) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(QUESTION).update(report.spec.text_hash().as_bytes());
    for unit in select(&report.plan.units, options.with_optional, &options.only, "tasks.md").runs {
        hasher.update(unit.id.as_str().as_bytes()).update(b"\0");
    }
    hasher.update(b"\0");
    for file in files {
        hasher.update(file.as_bytes()).update(b"\0");
    }
    hasher.finalize().to_hex().to_string()
}

/// Gives manifest entries that look like files and are directories of the base (`src/My.core`) their `/`.
fn mark_folders(plan: &mut Plan, files: &[String]) {
    let mut sorted: Vec<&str> = files.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let is_folder = |entry: &str| {
        let below = format!("{entry}/");
        sorted.get(sorted.partition_point(|file| *file < below.as_str())).is_some_and(|file| file.starts_with(&below))
    };
    let mark = |entry: &mut String| {
        if !may_be_folder(entry) && is_folder(entry) {
            entry.push('/');
        }
    };
    for unit in &mut plan.units {
        unit.writes.iter_mut().chain(&mut unit.reads).for_each(mark);
        unit.tasks.iter_mut().flat_map(|task| task.writes.iter_mut().chain(&mut task.reads)).for_each(mark);
    }
}

/// What is there already for a source.
enum Found {
    /// Its unfinished run goes on.
    Resume(RunId, CommitId),
    /// Its unfinished run did not begin with the state given.
    OtherState(RunId),
    /// Its unfinished run was planned otherwise.
    Changed(RunId, String),
    /// Its last run has ended and there is nothing new.
    Finished(RunId),
    /// A new run is to be made.
    Nothing,
}

/// What is asked for, as far as it decides whether a run that is there is meant.
struct Wish {
    source: RunSource,
    plan_hash: String,
    tasks: String,
    options: RunOptions,
    /// The mode, if it was asked for.
    mode: Option<Mode>,
    fresh: bool,
    given: Option<Given>,
}

impl Wish {
    fn of(request: &SubmitRequest, report: &SpecReport) -> Self {
        Self {
            source: source_of(request),
            plan_hash: report.spec.plan_hash(),
            tasks: report.spec.tasks.clone(),
            options: request.options.clone(),
            mode: request.mode_given.then_some(request.options.mode),
            fresh: request.fresh,
            given: request.import.as_deref().map(|text| Given::new(text, request.import_is_ours)),
        }
    }
}

/// A state to go on from.
struct Given {
    digest: String,
    /// The run that wrote it.
    of_run: Option<String>,
}

impl Given {
    fn new(text: &str, is_ours: bool) -> Self {
        Self { digest: import::digest(text), of_run: import::run_of(text).filter(|_| is_ours) }
    }

    /// Whether a run began with it, or wrote it.
    fn is_of(&self, run: &Run) -> bool {
        run.origin.imported.as_deref() == Some(self.digest.as_str()) || self.of_run.as_deref() == Some(run.id.as_str())
    }
}

fn find(state: &State, wish: &Wish) -> Found {
    if wish.fresh {
        return Found::Nothing;
    }
    let is_other = |run: &Run| wish.given.as_ref().is_some_and(|given| !given.is_of(run));
    if let Some(run) = state.find_resumable(&wish.source) {
        if is_other(run) {
            return Found::OtherState(run.id.clone());
        }
        return match difference(run, wish) {
            None => Found::Resume(run.id.clone(), run.origin.base.clone()),
            Some(what) => Found::Changed(run.id.clone(), what),
        };
    }
    let is_same = |run: &Run| !is_other(run) && difference(run, wish).is_none();
    match state.find_latest(&wish.source) {
        Some(run) if is_all_there_is(run, wish) && is_same(run) => Found::Finished(run.id.clone()),
        _ => Found::Nothing,
    }
}

/// Whether an ended run leaves nothing to start: it did all, or was ended by a person, and its boxes stand as they did. Accepting a part ticks boxes; what
/// is open then is a new run's.
fn is_all_there_is(run: &Run, wish: &Wish) -> bool {
    (run.exit_when_done() == 0 && run.is_done()) || run.origin.spec.tasks == wish.tasks
}

/// The reply to a submission whose run was found unfinished: it may have come to its end since, which is no error to whoever wants it done.
fn attached_or_over(reply: SubmitReply, run: RunId, refused: Option<HandleError>) -> Result<SubmitReply, SubmitError> {
    match refused {
        Some(HandleError::Rejected(refusal)) if refusal.code == ErrorCode::Conflict => {
            Ok(told(SubmitReply { resumed: false, ..reply }, &Found::Finished(run)))
        }
        Some(error) => Err(error.into()),
        None => Ok(reply),
    }
}

/// What of the plan or of the options that shape it differs from the run's.
fn difference(run: &Run, wish: &Wish) -> Option<String> {
    let (had, options, mode) = (&run.options, &wish.options, wish.mode);
    let mut differs = Vec::new();
    if run.origin.spec.plan_hash() != wish.plan_hash {
        differs.push("tasks.md");
    }
    for (name, same) in [
        ("--with-optional", had.with_optional == options.with_optional),
        ("--only", had.only == options.only),
        ("--hazards", had.hazards == options.hazards),
        ("--mode", mode.is_none_or(|mode| RunOptions::may_switch(had.mode, mode))),
        ("--manifest", had.manifest == options.manifest),
    ] {
        if !same {
            differs.push(name);
        }
    }
    (!differs.is_empty()).then(|| differs.join(", "))
}

fn first_reply(report: &SpecReport, options: &RunOptions) -> SubmitReply {
    let selection = select(&report.plan.units, options.with_optional, &options.only, "tasks.md");
    let problems = || report.problems.iter().chain(&selection.problems);
    let of = |levels: &[Level]| problems().filter(|problem| levels.contains(&problem.level)).map(problem_view).collect();
    let units = u32::try_from(selection.runs.len()).unwrap_or(u32::MAX);
    // Implement and one review each, and the assignment where an agent makes it.
    let assign = u32::from(matches!(options.mode, Mode::Llm | Mode::Deterministic));
    SubmitReply {
        errors: of(&[Level::Error]),
        warnings: of(&[Level::Warning, Level::Note]),
        units,
        calls: units.saturating_mul(2).saturating_add(assign),
        ..SubmitReply::default()
    }
}

fn problem_view(problem: &Problem) -> ProblemView {
    ProblemView { file: problem.file.clone(), line: problem.line, message: problem.message.clone() }
}

fn source_of(request: &SubmitRequest) -> RunSource {
    RunSource {
        repository: request.repository.clone(),
        git_dir: request.git_dir.clone(),
        spec_path: request.spec_path.clone(),
        workdir: request.workdir.clone(),
    }
}

/// `<spec>-<6 base32>`: the folder's name in letters that are safe in refs and file names.
fn new_run_id(spec_path: &str) -> RunId {
    let folder = spec_path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let mut name = String::new();
    for letter in folder.chars().flat_map(char::to_lowercase) {
        if letter.is_ascii_alphanumeric() {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    let name: String = name.trim_matches('-').chars().take(NAME_CHARS_MAX).collect();
    let name = if name.is_empty() { "spec".to_owned() } else { name.trim_end_matches('-').to_owned() };
    let random = getrandom::u32().unwrap_or_else(|_| std::process::id());
    let end: String = (0..6).map(|at| char::from(BASE32[(random >> (at * 5) & 31) as usize])).collect();
    RunId::new(format!("{name}-{end}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use roundtable_core::Rejection;

    use super::*;

    #[test]
    fn run_ids_are_safe_names_with_a_random_end() {
        for (path, start) in [("/x/.kiro/specs/User Auth!", "user-auth-"), ("/", "spec-"), ("/ünï", "n-"), ("/a/b/", "b-")] {
            let id = new_run_id(path);
            assert!(id.as_str().starts_with(start), "{path} -> {id}");
            assert_eq!(id.as_str().len(), start.len() + 6);
        }
        assert_ne!(new_run_id("/x"), new_run_id("/x"));
    }

    #[test]
    fn a_run_that_ends_while_it_is_taken_up_is_a_finished_one() {
        let found = || told(SubmitReply::default(), &Found::Resume(RunId::from("words-k3v9q2"), CommitId::from("abc")));
        let attached = |refused| attached_or_over(found(), RunId::from("words-k3v9q2"), refused);
        let over = attached(Some(HandleError::Rejected(Rejection::conflict("run words-k3v9q2 has ended")))).unwrap();
        assert_eq!((over.run.as_str(), over.finished, over.resumed), ("words-k3v9q2", true, false));
        let goes_on = attached(None).unwrap();
        assert_eq!((goes_on.finished, goes_on.resumed), (false, true));
        assert!(attached(Some(HandleError::Stopped)).is_err());
        assert!(attached(Some(HandleError::Rejected(Rejection::invalid("no such model")))).is_err());
    }

    #[test]
    fn entries_that_are_folders_of_the_base_are_marked() {
        let tasks = b"- [ ] 1. A\n  - _writes: lib/kit.core, lib/kit.rs, src, docs/*.md_\n  - _reads: lib/kit.co_\n".to_vec();
        let mut plan = Spec::read(&BTreeMap::from([("tasks.md".to_owned(), tasks)]), false).plan;
        let files = ["src/a.rs", "lib/kit.rs", "lib/kit.core-old/x", "lib/kit.core/x"].map(str::to_owned);
        mark_folders(&mut plan, &files);
        assert_eq!(plan.units[0].writes, ["lib/kit.core/", "lib/kit.rs", "src", "docs/*.md"]);
        assert_eq!((plan.units[0].tasks[0].writes[0].as_str(), plan.units[0].reads[0].as_str()), ("lib/kit.core/", "lib/kit.co"));
    }
}
