//! What agents say: final answers (and documents of people, which are read by the same rules) and the lines of their CLIs. Anything is read; what is made of it
//! is bounded, can be said in its own form, and never calls a turn good that did not end well.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use roundtable_shared::answer::{AnswerError, AssignAnswer, OrchestrateAnswer, ReviewAnswer, WorkAnswer, WorkStatus, last_object};
use roundtable_shared::limits::{ANSWER_BYTES_MAX, EVENT_TEXT_BYTES_MAX, LEARNING_CHARS_MAX, LEARNINGS_MAX};
use roundtable_shared::manifest::normalise_entry;
use roundtable_shared::spec::{Plan, parse_tasks};
use roundtable_shared::{AgentEvent, BackendName, Role, TurnData};
use roundtable_worker::backend::{Backend, EndedBy, ExitFacts, Host, LINE_BYTES_MAX, Turn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// CLIs whose lines are read.
const CLIS: [&str; 4] = ["codex", "codex-review", "gemini", "opencode"];

/// Reads the bytes as an answer of the role that the first one names, or as a CLI's output.
pub fn check(data: &[u8]) {
    let Some((kind, bytes)) = crate::chosen(data, 9) else { return };
    let text = String::from_utf8_lossy(bytes);
    match kind {
        0 => work(&text),
        1 => review(&text),
        2 => assign(&text),
        // Words that name no action are told once.
        3 => said_again(known(OrchestrateAnswer::parse(&text)), |said| known(OrchestrateAnswer::parse(said))),
        4 => document(&text),
        cli => output(CLIS[usize::from(cli - 5)], bytes),
    }
    if kind < 5
        && let Some(object) = last_object(&text).filter(|object| object.values().all(is_exact))
    {
        let said = serde_json::to_string(&object).unwrap();
        assert_eq!(last_object(&said).as_ref(), Some(&object), "an object is found as it is");
    }
}

/// Fractions need not come back to the last bit.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(object) => object.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// What was read of an answer, put in its own form, is read as the same.
fn said_again<T>(read: Result<T, AnswerError>, parse: impl Fn(&str) -> Result<T, AnswerError>)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    match read {
        Ok(answer) => {
            let said = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<T>(&said).unwrap(), answer, "as it is kept");
            assert_eq!(parse(&said), Ok(answer), "as it is read");
        }
        Err(error) => assert!(error.to_string().len() < 2_000, "{error}"),
    }
}

fn known(read: Result<OrchestrateAnswer, AnswerError>) -> Result<OrchestrateAnswer, AnswerError> {
    read.map(|answer| OrchestrateAnswer { unknown: Vec::new(), ..answer })
}

fn work(text: &str) {
    let read = WorkAnswer::parse(text);
    if let Ok(answer) = &read {
        assert!(answer.learnings.len() <= LEARNINGS_MAX);
        assert!(
            answer.learnings.iter().all(|learning| learning.text.chars().count() <= LEARNING_CHARS_MAX && !learning.text.contains('\n'))
        );
        assert!(answer.evidence.iter().all(|evidence| !evidence.command.contains('\n')));
        assert!(answer.answers.iter().all(|said| said.fixed.is_some() || said.why_not.is_some()));
        let gives_up = answer.failed_subtask.is_some() || answer.refusal.is_some();
        assert!(!gives_up || answer.status == WorkStatus::Failed, "it completed what it could not do");
        assert!(answer.coverage_num().is_none_or(|per_cent| (0.0..=100.0).contains(&per_cent)));
    }
    said_again(read, WorkAnswer::parse);
}

fn review(text: &str) {
    let read = ReviewAnswer::parse(text);
    if let Ok(answer) = &read {
        assert!(answer.issues.iter().all(|issue| issue.severity <= answer.severity), "an issue is worse than the whole");
    }
    said_again(read, ReviewAnswer::parse);
}

fn plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| parse_tasks(b"- [ ] 1. A\n  - [ ] 1.1 B\n- [ ] 2. C\n  - Depends on: 1\n- [ ] 3. D\n", "tasks.md"))
}

fn backends() -> [BackendName; 2] {
    ["codex".into(), "gemini".into()]
}

fn assign(text: &str) {
    let read = AssignAnswer::parse(text);
    let Ok(answer) = read else { return };
    let checked = answer.check(&plan().units, &backends());
    judged(&checked);
    let values = answer.dispatch_units.iter().flat_map(|unit| unit.values());
    if values.into_iter().all(is_exact) {
        let said = serde_json::to_string(&answer).unwrap();
        assert_eq!(AssignAnswer::parse(&said).map(|again| again.check(&plan().units, &backends())), Ok(checked), "as it is read");
    }
}

fn document(text: &str) {
    if let Ok(checked) = AssignAnswer::read_document(text, &plan().units, &backends()) {
        judged(&checked);
    }
}

/// What is taken of an assignment fits the plan: its units, its backends, paths inside the repository, no circle of waiting.
fn judged(checked: &roundtable_shared::answer::CheckedAssignment) {
    let plan = plan();
    let mut waits: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for unit in &plan.units {
        waits.entry(unit.id.as_str()).or_default().extend(unit.depends_on.iter().map(|id| id.as_str()));
    }
    for proposal in &checked.accepted {
        assert!(plan.unit(proposal.unit.as_str()).is_some());
        assert!(proposal.owner_agent.as_ref().is_none_or(|owner| backends().contains(owner)));
        for entry in proposal.writes.iter().chain(&proposal.reads).flatten() {
            assert_eq!(normalise_entry(entry).as_ref(), Ok(entry));
        }
        waits.entry(proposal.unit.as_str()).or_default().extend(proposal.depends_on.iter().map(|id| id.as_str()));
    }
    while !waits.is_empty() {
        let free: Vec<&str> = waits.iter().filter(|(_, on)| on.iter().all(|id| !waits.contains_key(id))).map(|(id, _)| *id).collect();
        assert!(!free.is_empty(), "units wait for each other: {waits:?}");
        free.iter().for_each(|id| drop(waits.remove(id)));
    }
    assert!(checked.refused.iter().all(|refusal| !refusal.reason.is_empty()));
}

/// The first byte says how the process ended, the lines what it printed: those that begin with `!` on stderr.
fn output(cli: &'static str, bytes: &[u8]) {
    let Some((ended, lines)) = crate::chosen(bytes, 8) else { return };
    let exit = match ended {
        0..=3 => ExitFacts { code: Some(0), last_message: (ended == 1).then(|| "the last".to_owned()), ..ExitFacts::default() },
        4 => ExitFacts { code: Some(1), ..ExitFacts::default() },
        5 => ExitFacts { signal: Some(9), ..ExitFacts::default() },
        6 => ExitFacts { code: Some(0), ended_by: Some(EndedBy::Idle), ..ExitFacts::default() },
        _ => ExitFacts { code: Some(0), ended_by: Some(EndedBy::Refused), ..ExitFacts::default() },
    };
    let mut parser = backend(cli).parser(&turn());
    let mut events = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match line.strip_prefix(b"!") {
            Some(line) => parser.stderr_line(line, false, &mut events),
            None => parser.stdout_line(line, line.len() > LINE_BYTES_MAX, &mut events),
        }
        let _ = parser.contact();
    }
    let end = parser.end(&exit, &mut events);
    let left_alone = exit.code == Some(0) && exit.ended_by.is_none();
    match &end.failure {
        None => assert!(left_alone, "a turn that we ended, or that failed, counts as good"),
        Some(failure) => assert!(!failure.message.is_empty()),
    }
    assert!(end.answer.len() <= ANSWER_BYTES_MAX);
    for event in &events {
        let text = serde_json::to_string(event).unwrap();
        // At worst each byte of a text is written in six.
        assert!(text.len() <= 6 * 2 * EVENT_TEXT_BYTES_MAX + 1_000, "an event of {} bytes", text.len());
        serde_json::from_str::<AgentEvent>(&text).expect("an event can be read again");
    }
}

fn backend(name: &'static str) -> &'static Arc<dyn Backend> {
    static BACKENDS: OnceLock<BTreeMap<&str, Arc<dyn Backend>>> = OnceLock::new();
    let open = || {
        // Any program will do: nothing is started here.
        let paths = ["codex", "gemini", "opencode"].map(|name| (name.to_owned(), "/bin/sh".to_owned())).into();
        let host = Arc::new(Host { paths, ..Host::default() });
        CLIS.map(|name| (name, host.open(name).unwrap())).into()
    };
    &BACKENDS.get_or_init(open)[name]
}

fn turn() -> Turn {
    let data = TurnData { unit: Some("1".into()), ..TurnData::new("demo-abcdef", Role::Implement) };
    Turn::new(data, "Do.", PathBuf::from("/scratch"), PathBuf::from("/scratch/none"))
}
