//! An agent whose turn went well but left no final answer that can be read is asked for that alone, once, in its own conversation: the work is there,
//! and doing it all over would cost more than a sentence. Bounded by the attempt's own limits.

use std::fmt::Write as _;
use std::time::Duration;

use roundtable_shared::answer::{AssignAnswer, OrchestrateAnswer, ReviewAnswer, WorkAnswer};
use roundtable_shared::{FailureKind, OutcomeClass, Role, TurnData};

use super::played::Played;
use crate::backend::{Backend, Resume, Turn};
use crate::process::Limits;

/// Longest turn that only reports.
const WALL_MAX: Duration = Duration::from_secs(300);
/// With less than this left of the attempt's time nothing is asked any more.
const WALL_MIN: Duration = Duration::from_secs(5);
/// Longest reason that is told, characters.
const WHY_CHARS_MAX: usize = 300;

/// Why the answer of a turn that went well is of no use; `None` if it can be read, or the turn failed otherwise.
pub(super) fn unreadable(role: Role, played: &Played) -> Option<String> {
    let why = match &played.failure {
        Some(failure) if failure.kind == FailureKind::BadAnswer => failure.message.clone(),
        Some(_) => return None,
        None => parse(role, &played.answer).err()?,
    };
    Some(why.chars().filter(|c| !c.is_control()).take(WHY_CHARS_MAX).collect())
}

fn parse(role: Role, answer: &str) -> Result<(), String> {
    let read = match role {
        Role::Implement | Role::Fix => WorkAnswer::parse(answer).map(drop),
        Role::Review => ReviewAnswer::parse(answer).map(drop),
        Role::Assign => AssignAnswer::parse(answer).map(drop),
        Role::Orchestrate => OrchestrateAnswer::parse(answer).map(drop),
        Role::Check => return Ok(()),
    };
    read.map_err(|error| error.to_string())
}

/// The turn that asks for the report alone; `None` where the CLI cannot go on with its conversation.
pub(super) fn turn(backend: &dyn Backend, turn: &Turn, played: &Played, why: &str) -> Option<Turn> {
    let can = backend.capabilities().resume != Resume::Never;
    let session = played.session.clone().filter(|_| can)?;
    Some(Turn { resume: Some(session), prompt: prompt(&turn.data, why), report_only: true, ..turn.clone() })
}

/// What is left of the attempt's limits after so long; `None` if that is not worth asking.
pub(super) fn limits(of_attempt: &Limits, used: Duration) -> Option<Limits> {
    let left = of_attempt.wall.saturating_sub(used);
    (left >= WALL_MIN).then(|| Limits { wall: left.min(WALL_MAX), ..*of_attempt })
}

/// Both turns as one: the report counts where it can be read, the work where it cannot.
pub(super) fn merge(first: Played, second: Played) -> Played {
    let mut usage = first.usage;
    usage.add(&second.usage);
    let session = second.session.clone().or_else(|| first.session.clone());
    let merged = match second.failure.as_ref().map(|failure| failure.kind.class()) {
        None if second.answer.trim().is_empty() => first,
        None => second,
        // The agent did its part: whoever cut this short pays for it.
        Some(OutcomeClass::Provider | OutcomeClass::Infra | OutcomeClass::Internal) => Played { answer: first.answer, ..second },
        Some(OutcomeClass::Unit) => first,
    };
    Played { usage, session, ..merged }
}

fn prompt(data: &TurnData, why: &str) -> String {
    let keys = match data.role {
        Role::Implement | Role::Fix => {
            "`status` (`completed` or `failed`), `completed_subtasks` (ids), `failed_subtask`, `error`, `summary`, `files_changed`, `tests_passed`, \
             `tests_failed`, `coverage`, `learnings`, `answers`"
        }
        Role::Review => {
            "`severity` (`critical`, `major`, `minor` or `none`), `summary`, `details`, `issues` (each with `id`, `description`, `severity`, `file`, \
             `line`, `reproduced`), `earlier`"
        }
        Role::Assign => "`dispatch_units`, `window_mapping`",
        Role::Orchestrate => "`decision`, `actions`, `notes`, `hold`",
        Role::Check => "none",
    };
    let mut text = String::new();
    let _ = writeln!(text, "Your turn is over, but its final answer cannot be used: {why}\n");
    text.push_str(
        "Do nothing more: change no file and run no command. Report on what you did in this conversation, as the task asked for it: ",
    );
    let _ = writeln!(text, "answer with one JSON object and nothing before or after it. Its keys: {keys}.\n");
    let _ = writeln!(text, "Roundtable-Turn: {}", data.tag());
    text
}

#[cfg(test)]
mod tests {
    use roundtable_shared::{Failure, Usage};

    use super::*;

    fn played(failure: Option<FailureKind>, answer: &str) -> Played {
        let failure = failure.map(|kind| Failure { kind, message: "no word".to_owned() });
        let usage = Usage { input_tokens: 10, ..Usage::default() };
        Played { failure, exit_code: Some(0), answer: answer.to_owned(), session: None, usage }
    }

    #[test]
    fn only_turns_that_went_well_and_say_nothing_of_use_are_asked_again() {
        let done = r#"{"status":"completed"}"#;
        for (role, failure, answer, asks) in [
            (Role::Implement, None, done, false),
            (Role::Implement, None, "All done, have a look!", true),
            (Role::Fix, None, r#"{"summary":"x"}"#, true),
            (Role::Implement, Some(FailureKind::BadAnswer), "", true),
            (Role::Implement, Some(FailureKind::TurnFailed), "prose", false),
            (Role::Implement, Some(FailureKind::RateLimit { retry_after_ms: None }), "", false),
            (Role::Review, None, done, true),
            (Role::Review, None, r#"{"severity":"none","summary":"fine"}"#, false),
            (Role::Orchestrate, None, "go on", true),
            (Role::Assign, None, "{}", false),
            (Role::Check, None, "whatever it printed", false),
        ] {
            assert_eq!(unreadable(role, &played(failure.clone(), answer)).is_some(), asks, "{role} {failure:?} {answer}");
        }
    }

    #[test]
    fn a_report_counts_and_what_cut_it_short_pays_if_it_is_not_the_agent() {
        let first = || played(None, "prose");
        let good = merge(first(), played(None, "{}"));
        assert_eq!((good.failure, good.answer.as_str(), good.usage.input_tokens), (None, "{}", 20));
        let silent = merge(first(), played(Some(FailureKind::BadAnswer), ""));
        assert_eq!((silent.failure, silent.answer.as_str()), (None, "prose"));
        let refused = merge(first(), played(Some(FailureKind::Quota { retry_after_ms: None }), ""));
        assert_eq!(refused.failure.map(|failure| failure.kind.class()), Some(OutcomeClass::Provider));
    }

    #[test]
    fn it_is_asked_within_the_attempts_own_time() {
        let all = Limits { wall: Duration::from_secs(7200), ..Limits::default() };
        assert_eq!(limits(&all, Duration::from_secs(60)).map(|limits| limits.wall), Some(WALL_MAX));
        assert_eq!(limits(&all, Duration::from_secs(7100)).map(|limits| limits.wall), Some(Duration::from_secs(100)));
        assert!(limits(&all, Duration::from_secs(7199)).is_none());
    }
}
