//! Acts of a person: the words they typed become commands of the core.

use roundtable_core::command::{Act, Command, Operate, Phase};
use roundtable_core::state::{AssignAnswer as AssignAnswered, KeptAssignment, Run, State};
use roundtable_core::{Core, Reply};
use roundtable_shared::answer::{AssignAnswer, Proposal};
use roundtable_shared::error::ErrorCode;
use roundtable_shared::limits::SPEC_FILE_BYTES_MAX;
use roundtable_shared::view::{AssignmentView, Operation, OperationAct, OperationReply, option_index};
use roundtable_shared::{BackendName, Choice, Criticality, Decision, DecisionId, DecisionKind, Dependants, RunId, UnitId};

use crate::driver::{Handle, HandleError};
use crate::report::nameable_backends;
use crate::view::{self, SelectError};

/// The option of `missing-owner-agent-<id>` in state files written by others.
const SET_OWNER: &str = "Set owner_agent and retry fix loop";

/// Longest answer in one's own words, characters.
const ANSWER_CHARS_MAX: usize = 1000;

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// No such run, or more than one.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The words do not fit.
    #[error("{0}")]
    Invalid(String),
    /// What was named does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The core or the driver refused.
    #[error(transparent)]
    Driver(#[from] HandleError),
}

impl OperateError {
    /// The code this maps to at every edge.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Select(error) => error.code(),
            Self::Invalid(_) => ErrorCode::InvalidInput,
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::Driver(error) => error.code(),
        }
    }
}

/// Does it.
pub async fn operate(handle: &Handle, operation: Operation, by: String) -> Result<OperationReply, OperateError> {
    let command = handle.view(move |core: &Core, now| understand(&core.state, &nameable_backends(core, now), operation, by)).await??;
    let run = command.run.as_ref().map(ToString::to_string).unwrap_or_default();
    match handle.command(Command::Operate(command)).await? {
        Reply::Done { text, unchanged } => Ok(OperationReply { run, text, unchanged }),
        _ => Ok(OperationReply { run, text: "done".to_owned(), unchanged: false }),
    }
}

/// The command that was meant.
fn understand(state: &State, backends: &[BackendName], operation: Operation, by: String) -> Result<Operate, OperateError> {
    if let OperationAct::KeepAssignment { assignment } = operation.act {
        let AssignmentView { inputs_digest, backend, model, proposals } = assignment;
        let kept = Box::new(KeptAssignment { inputs_digest, answer: AssignAnswered { backend, model, proposals } });
        return Ok(Operate { run: None, by, act: Act::KeepAssignment { kept } });
    }
    let of_fleet = match &operation.act {
        OperationAct::Drain { worker } => Some(Act::Drain { worker: worker.as_str().into() }),
        OperationAct::Undrain { worker } => Some(Act::Undrain { worker: worker.as_str().into() }),
        _ => None,
    };
    if let Some(act) = of_fleet {
        return Ok(Operate { run: None, by, act });
    }
    if operation.all {
        let act = match operation.act {
            OperationAct::Pause { note } => Act::Pause { note },
            OperationAct::Resume => Act::Resume,
            _ => return Err(OperateError::Invalid("only pause and resume can be done to all runs".to_owned())),
        };
        return Ok(Operate { run: None, by, act });
    }
    let id = match &operation.act {
        // A decision's id is often enough to tell which run is meant.
        OperationAct::Decide { id, .. } if operation.run.run.is_none() => run_of_decision(state, id, &operation)?,
        _ => view::select_run(state, &operation.run)?,
    };
    let run = state.run(&id).ok_or_else(|| OperateError::NotFound(format!("there is no run {id}")))?;
    let act = act(run, backends, operation.act)?;
    Ok(Operate { run: Some(id), by, act })
}

fn act(run: &Run, backends: &[BackendName], act: OperationAct) -> Result<Act, OperateError> {
    Ok(match act {
        OperationAct::Decide { id, choice, commit, dependants, note } => {
            let decision = decision(run, &id)?;
            let choice = choice_of(decision, &choice, commit)?;
            if dependants.is_some() && choice != Choice::Skip {
                return Err(OperateError::Invalid(format!("--dependants goes with `skip`, not with `{}`", choice.keyword())));
            }
            Act::Decide { id: decision.id.clone(), choice, dependants: dependants_of(dependants)?, note }
        }
        OperationAct::Assign { unit, owner, criticality, writes, reads, requires } => Act::Assign {
            unit: unit_of(run, &unit)?,
            owner: owner.map(BackendName::from),
            criticality: criticality.map(|word| criticality_of(&word)).transpose()?,
            writes,
            reads,
            requires,
        },
        OperationAct::KeepAssignment { .. } => return Err(OperateError::Invalid("an assignment is kept for no run".to_owned())),
        OperationAct::AssignDocument { document } => Act::AssignAll { proposals: proposals(run, backends, &document)? },
        OperationAct::Retry { unit } => Act::Retry { unit: unit_of(run, &unit)? },
        OperationAct::Skip { unit, dependants } => Act::Skip { unit: unit_of(run, &unit)?, dependants: dependants_of(dependants)? },
        OperationAct::Cancel { unit } => Act::Cancel { unit: unit.map(|unit| unit_of(run, &unit)).transpose()? },
        OperationAct::Pause { note } => Act::Pause { note },
        OperationAct::Resume => Act::Resume,
        OperationAct::Step { phase } => Act::Step { phase: phase_of(&phase)? },
        OperationAct::RecordAccept { branch, commit } => Act::RecordAccept { branch, commit: commit.into() },
        OperationAct::Remove { force } => Act::Remove { force },
        OperationAct::Halt { reason } => Act::Halt { reason },
        OperationAct::Drain { .. } | OperationAct::Undrain { .. } => {
            return Err(OperateError::Invalid("workers are drained for all runs; name no run".to_owned()));
        }
    })
}

/// What a document says, if all of it can be taken.
fn proposals(run: &Run, backends: &[BackendName], document: &str) -> Result<Vec<Proposal>, OperateError> {
    if document.len() > SPEC_FILE_BYTES_MAX {
        return Err(OperateError::Invalid(format!("the document has more than {SPEC_FILE_BYTES_MAX} bytes; split it")));
    }
    let known: Vec<BackendName> = backends.iter().chain(run.units().filter_map(|unit| unit.assignment.owner.as_ref())).cloned().collect();
    let checked = AssignAnswer::read_document(document, &run.origin.outline.units, &known)
        .map_err(|error| OperateError::Invalid(error.to_string()))?;
    if checked.refused.is_empty() {
        return Ok(checked.accepted);
    }
    let listed: Vec<String> = checked.refused.iter().map(|refusal| format!("- {refusal}")).collect();
    Err(OperateError::Invalid(format!("nothing was applied:\n{}", listed.join("\n"))))
}

fn run_of_decision(state: &State, id: &str, operation: &Operation) -> Result<RunId, OperateError> {
    let id = DecisionId::from(id);
    let mut holders = state.unfinished().filter(|run| run.people.decisions.contains_key(&id));
    match (holders.next(), holders.next()) {
        (Some(run), None) => Ok(run.id.clone()),
        _ => Ok(view::select_run(state, &operation.run)?),
    }
}

fn decision<'a>(run: &'a Run, id: &str) -> Result<&'a Decision, OperateError> {
    let id = DecisionId::from(id);
    run.people.decisions.get(&id).or_else(|| run.people.answered.get(&id)).ok_or_else(|| {
        let open: Vec<&str> = run.people.decisions.keys().map(DecisionId::as_str).collect();
        let open = if open.is_empty() { "none is open".to_owned() } else { format!("open are: {}", open.join(", ")) };
        OperateError::NotFound(format!("run {} has no decision {id}; {open}", run.id))
    })
}

/// What a person typed: number, letter, keyword or the option's text.
fn choice_of(decision: &Decision, typed: &str, commit: Option<String>) -> Result<Choice, OperateError> {
    let typed = typed.trim();
    if decision.kind == DecisionKind::Imported {
        return imported_choice(decision, typed, commit.is_some());
    }
    let index = option_index(&decision.keywords, &decision.options, typed);
    let keyword = match index {
        Some(index) => decision.keywords.get(index).cloned(),
        None => open_keyword(decision, typed).or_else(|| assign_alone(decision, typed)),
    };
    let Some(keyword) = keyword else {
        let options: Vec<String> = decision.keywords.iter().enumerate().map(|(at, keyword)| format!("{} {keyword}", at + 1)).collect();
        return Err(OperateError::Invalid(format!("`{typed}` is no option of {}; choose one of: {}", decision.id, options.join(", "))));
    };
    if commit.is_some() && keyword != "resume" {
        return Err(OperateError::Invalid(format!("--commit goes with `resume`, not with `{keyword}`")));
    }
    Ok(match keyword.split_once(':') {
        Some(("use", backend)) => Choice::Use { backend: backend.into() },
        Some(("assign", owner)) => Choice::Assign { owner: owner.into() },
        _ => match keyword.as_str() {
            "resume" => Choice::Resume { commit: commit.map(Into::into) },
            "retry" => Choice::Retry,
            "skip" => Choice::Skip,
            "abort" => Choice::Abort,
            "wait" => Choice::Wait,
            "go-on" => Choice::GoOn,
            other => return Err(OperateError::Invalid(format!("`{other}` needs a name: write `{other}:NAME`"))),
        },
    })
}

/// An option of an imported decision is its text; one that offers none takes any.
fn imported_choice(decision: &Decision, typed: &str, has_commit: bool) -> Result<Choice, OperateError> {
    if has_commit {
        return Err(OperateError::Invalid(format!(
            "{} was imported with options of its own; --commit goes with none of them",
            decision.id
        )));
    }
    let option = match option_index(&decision.keywords, &decision.options, typed).and_then(|at| decision.options.get(at)) {
        Some(option) => option.clone(),
        None if decision.options.is_empty() && !typed.is_empty() => typed.chars().take(ANSWER_CHARS_MAX).collect(),
        None => {
            let options: Vec<String> = decision.options.iter().enumerate().map(|(at, option)| format!("{} {option}", at + 1)).collect();
            return Err(OperateError::Invalid(format!("`{typed}` is no option of {}; choose one of: {}", decision.id, options.join(", "))));
        }
    };
    Ok(Choice::Answer { option })
}

/// `use:NAME` and `assign:NAME` with a name that is not among those offered.
fn open_keyword(decision: &Decision, typed: &str) -> Option<String> {
    let (verb, name) = typed.split_once(':')?;
    let verb = verb.to_ascii_lowercase();
    let offered = decision.keywords.iter().any(|keyword| keyword.split(':').next() == Some(verb.as_str()));
    (offered && !name.is_empty()).then(|| format!("{verb}:{name}"))
}

/// `assign` without a name, also in the words scripts know: the first owner offered.
fn assign_alone(decision: &Decision, typed: &str) -> Option<String> {
    let is_meant = ["assign", SET_OWNER].iter().any(|word| word.eq_ignore_ascii_case(typed));
    decision.keywords.iter().find(|keyword| is_meant && keyword.starts_with("assign:")).cloned()
}

/// The unit of that id, or the one a task of that id belongs to.
fn unit_of(run: &Run, id: &str) -> Result<UnitId, OperateError> {
    let unit = UnitId::from(id);
    if run.unit(&unit).is_some() {
        return Ok(unit);
    }
    if let Some(owner) = run.units().find(|each| each.spec.subtasks.iter().any(|subtask| subtask.id.as_str() == id)) {
        return Err(OperateError::Invalid(format!("{id} is a task of unit {0}; units are acted on whole: name {0}", owner.id)));
    }
    let units: Vec<&str> = run.units().map(|unit| unit.id.as_str()).take(20).collect();
    Err(OperateError::NotFound(format!("run {} has no unit {id}; it has {}", run.id, units.join(", "))))
}

fn dependants_of(word: Option<String>) -> Result<Dependants, OperateError> {
    match word {
        None => Ok(Dependants::default()),
        Some(word) => Dependants::parse(&word).ok_or_else(|| OperateError::Invalid(format!("--dependants {word}: write go-on or skip"))),
    }
}

fn criticality_of(word: &str) -> Result<Criticality, OperateError> {
    Criticality::parse(word)
        .ok_or_else(|| OperateError::Invalid(format!("--criticality {word}: write standard, complex or security-sensitive")))
}

fn phase_of(word: &str) -> Result<Phase, OperateError> {
    Ok(match word {
        "assign" => Phase::Assign,
        "dispatch" => Phase::Dispatch,
        "reviews" => Phase::Reviews,
        "consolidate" => Phase::Consolidate,
        "sync-pulse" => Phase::SyncPulse,
        other => {
            let text = format!("`{other}` is no phase; write assign, dispatch, reviews, consolidate or sync-pulse");
            return Err(OperateError::Invalid(text));
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use roundtable_shared::Priority;
    use roundtable_shared::time::WallMs;

    use super::*;

    fn fallback() -> Decision {
        Decision {
            id: "human-fallback-2".into(),
            kind: DecisionKind::HumanFallback,
            unit: Some("2".into()),
            backend: None,
            requires: Vec::new(),
            priority: Priority::Critical,
            context: String::new(),
            options: vec![
                "I've fixed it manually - resume".into(),
                "Try again".into(),
                "Skip this task - continue without it".into(),
                "Abort orchestration".into(),
            ],
            keywords: ["resume", "retry", "skip", "abort"].map(String::from).to_vec(),
            created_at: WallMs(0),
            answer: None,
        }
    }

    #[test]
    fn a_choice_is_a_number_a_letter_a_keyword_or_the_text() {
        for typed in ["3", "c", "C", "skip", "SKIP", "skip this task - continue without it"] {
            assert_eq!(choice_of(&fallback(), typed, None).unwrap(), Choice::Skip, "{typed}");
        }
        let error = choice_of(&fallback(), "5", None).unwrap_err().to_string();
        assert!(error.contains("1 resume, 2 retry, 3 skip, 4 abort"), "{error}");
    }

    #[test]
    fn an_owner_is_named_offered_or_left_to_the_first_offer() {
        let decision = Decision {
            id: "missing-owner-agent-2".into(),
            kind: DecisionKind::MissingOwnerAgent,
            options: ["Give it to gemini", "Give it to codex", "Skip this task - continue without it", "Abort orchestration"]
                .map(String::from)
                .to_vec(),
            keywords: ["assign:gemini", "assign:codex", "skip", "abort"].map(String::from).to_vec(),
            ..fallback()
        };
        let to = |owner: &str| Choice::Assign { owner: owner.into() };
        for typed in ["1", "a", "assign", "Assign", "assign:gemini", "Give it to gemini", "set owner_agent and retry fix loop"] {
            assert_eq!(choice_of(&decision, typed, None).unwrap(), to("gemini"), "{typed}");
        }
        assert_eq!(choice_of(&decision, "assign:elsewhere", None).unwrap(), to("elsewhere"));
        assert!(choice_of(&decision, "assign:", None).is_err());
        assert!(choice_of(&fallback(), "assign", None).is_err());
    }

    #[test]
    fn a_commit_goes_with_resume_only() {
        assert_eq!(choice_of(&fallback(), "1", Some("abc".into())).unwrap(), Choice::Resume { commit: Some("abc".into()) });
        assert!(choice_of(&fallback(), "retry", Some("abc".into())).is_err());
    }

    #[test]
    fn use_takes_any_name_where_use_is_offered() {
        let mut decision = fallback();
        decision.keywords = vec!["wait".into(), "use:gemini".into(), "abort".into()];
        assert_eq!(choice_of(&decision, "use:opencode", None).unwrap(), Choice::Use { backend: "opencode".into() });
        assert_eq!(choice_of(&decision, "2", None).unwrap(), Choice::Use { backend: "gemini".into() });
        assert!(choice_of(&fallback(), "use:opencode", None).is_err());
    }
}
