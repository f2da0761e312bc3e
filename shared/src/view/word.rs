//! A word in a read model: typed where this build knows it, kept as it came where it does not.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A word of a fixed vocabulary as another build may tell it. Keys and words of read models are added without a new version of the protocol
/// (docs/adr/0001), so a client meets words of a newer coordinator: such a one is printed and passed on as it came, and is none of those it knows.
///
/// Its JSON is the word alone, by the vocabulary's own serde names. The default is no word at all: `""`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Word<T> {
    /// One of ours.
    Known(T),
    /// Of another build.
    Other(String),
}

impl<T: Copy> Word<T> {
    /// The word, if it is one of ours: what a `match` is made on.
    pub fn known(&self) -> Option<T> {
        match self {
            Self::Known(word) => Some(*word),
            Self::Other(_) => None,
        }
    }
}

impl<T> Default for Word<T> {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl<T> From<T> for Word<T> {
    fn from(word: T) -> Self {
        Self::Known(word)
    }
}

impl<T: PartialEq> PartialEq<T> for Word<T> {
    fn eq(&self, word: &T) -> bool {
        matches!(self, Self::Known(known) if known == word)
    }
}

impl<T: fmt::Display> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(word) => word.fmt(f),
            // Padded where a known one would be.
            Self::Other(word) => f.pad(word),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde::de::DeserializeOwned;
    use serde_json::Value;

    use super::super::*;
    use super::*;
    use crate::domain::*;

    /// Each word of a vocabulary is one and the same in JSON, in text and in memory.
    macro_rules! same_everywhere {
        ($($name:ident),+ $(,)?) => {$(
            for word in $name::ALL {
                let text = serde_json::Value::from(word.as_str());
                assert_eq!(serde_json::to_value(Word::from(*word)).unwrap(), text, "{}", stringify!($name));
                assert_eq!(serde_json::from_value::<Word<$name>>(text).unwrap(), *word);
                assert_eq!(($name::parse(word.as_str()), word.to_string().as_str()), (Some(*word), word.as_str()));
            }
        )+};
    }

    #[test]
    fn words_are_the_same_in_json_and_in_print() {
        same_everywhere!(UnitState, SubtaskState, UnitType, Criticality, Role, Severity, Priority, OutcomeClass, Mode);
        same_everywhere!(RunStatus, AttemptOutcome, WorkerStatus, TokenStatus, WaitKind, PlanReason);
    }

    #[test]
    fn a_word_of_a_newer_coordinator_is_passed_on_as_it_came() {
        let word: Word<UnitState> = serde_json::from_str("\"half_done\"").unwrap();
        assert_eq!((word.known(), word.to_string().as_str()), (None, "half_done"));
        assert!(UnitState::ALL.iter().all(|known| word != *known));
        assert_eq!(serde_json::to_string(&word).unwrap(), "\"half_done\"");
        // Case counts: what is not ours to the letter is passed on to the letter.
        assert_eq!(serde_json::from_str::<Word<UnitState>>("\"Blocked\"").unwrap(), Word::Other("Blocked".into()));
        assert!(serde_json::from_str::<Word<UnitState>>("7").is_err());
        assert_eq!(serde_json::to_string(&Word::<UnitState>::default()).unwrap(), "\"\"");
        assert_eq!(format!("{:<9}|{:<9}|", Word::from(UnitState::Blocked), Word::<UnitState>::Other("new".into())), "blocked  |new      |");
    }

    fn in_other_words(json: &mut Value) {
        match json {
            Value::String(text) => *text = "half_done".to_owned(),
            Value::Array(items) => items.iter_mut().for_each(in_other_words),
            Value::Object(entries) => entries.values_mut().for_each(in_other_words),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// It is read and written as it is, with a word that nobody knows wherever it has a text.
    fn is_passed_on<T: Serialize + DeserializeOwned>(view: &T) {
        let mut json = serde_json::to_value(view).unwrap();
        in_other_words(&mut json);
        let read: T = serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{}: {error}", std::any::type_name::<T>()));
        assert_eq!(serde_json::to_value(&read).unwrap(), json, "{}", std::any::type_name::<T>());
    }

    #[test]
    fn every_read_model_passes_on_words_that_nobody_knows() {
        let unit = UnitView {
            role: Some(Word::default()),
            last_severity: Some(Word::default()),
            waiting: vec![WaitView::default()],
            ..UnitView::default()
        };
        let attempt = AttemptView { class: Some(Word::default()), ..AttemptView::default() };
        let decision = DecisionView { answer: Some(AnswerView::default()), ..DecisionView::default() };
        let finding = FindingView {
            issues: vec![IssueView::default()],
            earlier: vec![EarlierView::default()],
            answers: vec![FindingAnswer { finding: String::new(), fixed: Some(String::new()), why_not: None }],
            ..FindingView::default()
        };
        is_passed_on(&StatusView {
            units: vec![unit.clone()],
            paused: Some(PausedView::default()),
            parks: vec![ParkView::default()],
            runs: vec![RunLine::default()],
            ..StatusView::default()
        });
        is_passed_on(&SummaryView {
            units: vec![unit.clone()],
            decisions: vec![decision.clone()],
            findings: vec![finding.clone()],
            ..SummaryView::default()
        });
        is_passed_on(&ShowView {
            unit,
            tasks: vec![TaskView::default()],
            attempt_list: vec![attempt],
            findings: vec![finding],
            decisions: vec![decision],
            ..ShowView::default()
        });
        is_passed_on(&ExplainView { waiting: vec![WaitView::default()], ..ExplainView::default() });
        is_passed_on(&PromptView::default());
        is_passed_on(&WorkerView { backends: [("codex".to_owned(), BackendView::default())].into(), ..WorkerView::default() });
        is_passed_on(&DiskView { runs: vec![RunDisk::default()], workers: vec![WorkerDisk::default()], ..DiskView::default() });
        is_passed_on(&AccessReply::Tokens(vec![TokenView::default()]));
        is_passed_on(&AccessReply::Created(CreatedToken::default()));
    }

    #[test]
    fn what_is_asked_in_words_that_nobody_knows_is_refused() {
        let (query, act, access) = (r#"{"query":"dream"}"#, r#"{"act":{"kind":"dream"}}"#, r#"{"kind":"dream"}"#);
        assert!(serde_json::from_str::<Query>(query).is_err() && serde_json::from_str::<Query>(&query.replace("dream", "runs")).is_ok());
        assert!(
            serde_json::from_str::<Operation>(act).is_err() && serde_json::from_str::<Operation>(&act.replace("dream", "resume")).is_ok()
        );
        assert!(serde_json::from_str::<AccessRequest>(access).is_err());
        assert!(serde_json::from_str::<AccessRequest>(&access.replace("dream", "tokens")).is_ok());
        let assignment = |kind: &str| format!(r#"{{"inputs_digest":"d","backend":"codex","proposals":[{{"unit":"1","type":"{kind}"}}]}}"#);
        assert!(serde_json::from_str::<AssignmentView>(&assignment("dream")).is_err());
        assert!(serde_json::from_str::<AssignmentView>(&assignment("code")).is_ok());
    }
}
